//! Files to be sent.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder as _, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// Red above and blue below, so that it is seen which side is up.
pub fn picture(width: u32, height: u32) -> DynamicImage {
    let half = height / 2;
    RgbImage::from_fn(width, height, |_, y| {
        if y < half {
            Rgb([230, 20, 20])
        } else {
            Rgb([20, 20, 230])
        }
    })
    .into()
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("written");
    file.into_inner()
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    written(&picture(width, height), ImageFormat::Png)
}

pub fn webp(width: u32, height: u32) -> Vec<u8> {
    written(&picture(width, height), ImageFormat::WebP)
}

/// Something shines through its upper half.
pub fn glass(width: u32, height: u32) -> Vec<u8> {
    let half = height / 2;
    let picture = RgbaImage::from_fn(width, height, |_, y| {
        Rgba([20, 200, 20, if y < half { 100 } else { 255 }])
    });
    written(&picture.into(), ImageFormat::Png)
}

pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let rgb = picture(width, height).into_rgb8();
    let encoder = JpegEncoder::new_with_quality(&mut file, 90);
    encoder
        .write_image(&rgb, width, height, ExtendedColorType::Rgb8)
        .expect("written");
    file
}

/// A JPEG as a camera writes it: how it was held (1 to 8), and where it was.
pub fn photograph(width: u32, height: u32, orientation: u8, place: &str) -> Vec<u8> {
    let text = [place.as_bytes(), b"\0"].concat();
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0".to_vec();
    // ImageDescription: text, at 38 from the start of the TIFF header.
    exif.extend_from_slice(b"\x0e\x01\x02\0");
    exif.extend_from_slice(&u32::try_from(text.len()).expect("short").to_le_bytes());
    exif.extend_from_slice(&38_u32.to_le_bytes());
    exif.extend_from_slice(&[0x12, 0x01, 0x03, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    exif.extend_from_slice(&[0; 4]);
    exif.extend_from_slice(&text);
    let length = u16::try_from(exif.len() + 2).expect("short").to_be_bytes();
    let plain = jpeg(width, height);
    [&plain[..2], b"\xff\xe1", &length, &exif, &plain[2..]].concat()
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

/// A chunk of a PNG.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind.as_slice(), data].concat();
    let length = u32::try_from(data.len()).expect("short").to_be_bytes();
    [&length[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// A PNG with a chunk after its head.
pub fn png_with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    const HEAD: usize = 8 + 25;
    let plain = png(32, 32);
    [&plain[..HEAD], &chunk(kind, data), &plain[HEAD..]].concat()
}

/// A few bytes that say they are so many pixels of 16 bits a channel.
pub fn bomb(width: u32, height: u32) -> Vec<u8> {
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[16, 6, 0, 0, 0]].concat();
    // Deflated: one stored block that is empty, and the last.
    let data = [0x78, 0x01, 0x01, 0, 0, 0xff, 0xff, 0, 0, 0, 1];
    let chunks = [chunk(b"IHDR", &head), chunk(b"IDAT", &data), chunk(b"IEND", &[])].concat();
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunks].concat()
}

/// A WebP that moves.
pub fn moving_webp() -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("short").to_le_bytes();
        [kind.as_slice(), &length, data].concat()
    };
    let canvas = chunk(b"VP8X", &[2, 0, 0, 0, 9, 0, 0, 9, 0, 0]);
    let body = [b"WEBP".as_slice(), &canvas, &chunk(b"ANIM", &[0; 6])].concat();
    let length = u32::try_from(body.len()).expect("short").to_le_bytes();
    [b"RIFF".as_slice(), &length, &body].concat()
}

/// A GIF of one frame far larger than itself.
pub const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02\x44\x01\x00;";

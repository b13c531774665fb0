//! From the bytes that somebody sent to the files that are kept: read within limits,
//! shrunk, turned upright, and written anew, so that nothing is left of what came beside
//! the pixels. It takes a core for a while and belongs on a thread of its own.

use std::io::Cursor;

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::PngDecoder;
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder as _, Limits};

use super::container::{self, Source};
use super::model::{Format, Kind, SIDE_MAX, Size, Unfit, fit};

/// Of JPEG, from 1 to 100: what is lost is not seen.
const QUALITY: u8 = 85;
/// Memory that a decoder may set aside beside the picture, in bytes.
const DECODER_BYTES: u64 = 64 << 20;
/// Memory of a pixel, in bytes: more of them, as 16 bits a channel have, count as more pixels.
const PIXEL_BYTES: u64 = 4;

/// Of what has more pixels, a size that is far smaller comes from averages.
const FILTERED_PIXELS_MAX: u64 = 4 << 20;

/// A picture as it will be kept.
#[derive(Debug)]
pub struct Developed {
    /// What it is written as.
    pub format: Format,
    /// Of its large size.
    pub width: u32,
    /// Of its large size.
    pub height: u32,
    /// A file for each of [`Size::ALL`].
    pub files: [Vec<u8>; 3],
}

/// Reads a file of at most `pixels_max` pixels and writes it in all sizes of its kind.
///
/// # Errors
/// What is wrong with it.
pub fn develop(kind: Kind, file: &[u8], pixels_max: u64) -> Result<Developed, Unfit> {
    let (source, file) = container::look(file)?;
    let reader = Cursor::new(file);
    let (picture, orientation) = match source {
        Source::Jpeg => read(JpegDecoder::new(reader).map_err(unreadable)?, pixels_max)?,
        Source::Webp => read(WebPDecoder::new(reader).map_err(unreadable)?, pixels_max)?,
        Source::Png => {
            let mut limits = Limits::default();
            limits.max_alloc = Some(DECODER_BYTES);
            let decoder = PngDecoder::with_limits(reader, limits).map_err(unreadable)?;
            read(decoder, pixels_max)?
        }
    };
    let large = largest(kind, picture, orientation);
    let format = if shines_through(&large) {
        Format::Webp
    } else {
        Format::Jpeg
    };
    let mut files = [const { Vec::new() }; 3];
    for (file, size) in files.iter_mut().zip(Size::ALL) {
        *file = write(&shrunk(&large, kind.side(size)), format)?;
    }
    Ok(Developed {
        format,
        width: large.width(),
        height: large.height(),
        files,
    })
}

#[allow(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn unreadable(error: image::ImageError) -> Unfit {
    tracing::debug!(%error, "a picture could not be read");
    Unfit::Broken(match error {
        image::ImageError::Limits(_) => "it takes too much memory",
        image::ImageError::Unsupported(_) => "it is of a variant that is not supported",
        _ => "it is damaged",
    })
}

/// Decodes, if the head says that it is small enough.
fn read(mut decoder: impl ImageDecoder, pixels_max: u64) -> Result<(DynamicImage, Orientation), Unfit> {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let is_large = width.max(height) > SIDE_MAX || pixels > pixels_max;
    if is_large || decoder.total_bytes() > pixels_max.saturating_mul(PIXEL_BYTES) {
        return Err(Unfit::TooManyPixels {
            width,
            height,
            most: pixels_max,
        });
    }
    if pixels == 0 {
        return Err(Unfit::Broken("it has no pixels"));
    }
    // A note on how the camera was held that cannot be read says nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    Ok((picture, orientation))
}

/// The large size, upright. It is shrunk first: turning takes a copy.
fn largest(kind: Kind, picture: DynamicImage, orientation: Orientation) -> DynamicImage {
    let side = kind.side(Size::Large);
    let (width, height) = (picture.width(), picture.height());
    let mut large = if kind.is_square() {
        let shorter = width.min(height);
        // As large as puts the shorter side at `side`; what is too long is cut off.
        let longest = u64::from(width.max(height)) * u64::from(side) / u64::from(shorter);
        let longest = u32::try_from(longest).unwrap_or(u32::MAX).max(side);
        let shrunk = shrunk(&picture, longest);
        let cut = shrunk.width().min(shrunk.height()).min(side);
        shrunk.crop_imm((shrunk.width() - cut) / 2, (shrunk.height() - cut) / 2, cut, cut)
    } else {
        shrunk(&picture, side)
    };
    drop(picture);
    large.apply_orientation(orientation);
    if large.has_alpha() {
        large.into_rgba8().into()
    } else {
        large.into_rgb8().into()
    }
}

/// The same picture within `side`. Far smaller ones of large pictures come from averages,
/// which take no memory; others from a filter, which is smoother.
fn shrunk(picture: &DynamicImage, side: u32) -> DynamicImage {
    let sides = (picture.width(), picture.height());
    let (width, height) = fit(sides, side);
    if (width, height) == sides {
        return picture.clone();
    }
    let is_far = sides.0.max(sides.1) > width.max(height).saturating_mul(2);
    if is_far && u64::from(sides.0) * u64::from(sides.1) > FILTERED_PIXELS_MAX {
        return picture.thumbnail_exact(width, height);
    }
    picture.resize_exact(width, height, FilterType::CatmullRom)
}

fn shines_through(picture: &DynamicImage) -> bool {
    let rgba = picture.as_rgba8();
    rgba.is_some_and(|rgba| rgba.pixels().any(|pixel| pixel.0[3] < u8::MAX))
}

fn write(picture: &DynamicImage, format: Format) -> Result<Vec<u8>, Unfit> {
    let mut file = Vec::new();
    let (width, height) = (picture.width(), picture.height());
    match format {
        Format::Jpeg => {
            let rgb = picture.to_rgb8();
            let encoder = JpegEncoder::new_with_quality(&mut file, QUALITY);
            encoder.write_image(&rgb, width, height, ExtendedColorType::Rgb8)
        }
        Format::Webp => {
            let rgba = picture.to_rgba8();
            let encoder = WebPEncoder::new_lossless(&mut file);
            encoder.write_image(&rgba, width, height, ExtendedColorType::Rgba8)
        }
    }
    .map_err(unreadable)?;
    Ok(file)
}

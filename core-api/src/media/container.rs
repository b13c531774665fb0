//! What a file is by its own bytes, and whether it is whole: looked at before anything of
//! it is decoded, so that a file which promises more than it has, or more than it says at
//! first, costs nothing. Pure: no IO, no clock, and no memory beside the file.

use super::model::Unfit;

/// What can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// ITU-T T.81.
    Jpeg,
    /// W3C PNG, third edition.
    Png,
    /// RFC 9649.
    Webp,
}

/// Passes over a JPEG's picture at most. Progressive files have some ten; each one costs
/// as much as the picture has pixels, however few bytes it takes.
const SCANS_MAX: usize = 32;

const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What the file is, if it is whole and a still picture, and the bytes that are it: what
/// follows its end was not looked at, and no decoder may see it.
///
/// # Errors
/// [`Unfit::NoPicture`] for what is none of the three, whatever it is called or calls
/// itself; [`Unfit::Broken`], [`Unfit::Moves`].
pub fn look(file: &[u8]) -> Result<(Source, &[u8]), Unfit> {
    let (source, end) = if file.starts_with(b"\xff\xd8\xff") {
        (Source::Jpeg, jpeg(file)?)
    } else if file.starts_with(PNG_MAGIC) {
        (Source::Png, png(file)?)
    } else if file.starts_with(b"RIFF") && file.get(8..12) == Some(b"WEBP") {
        (Source::Webp, webp(file)?)
    } else {
        return Err(Unfit::NoPicture);
    };
    Ok((source, file.get(..end).ok_or(CUT)?))
}

const CUT: Unfit = Unfit::Broken("it ends before its end");

/// Goes from marker to marker until the end of the picture: where that is. Inside a scan a 0xFF that is no
/// marker is followed by a zero or a restart's number, so that the same step finds the
/// next one there, too.
fn jpeg(file: &[u8]) -> Result<usize, Unfit> {
    const START_OF_SCAN: u8 = 0xda;
    const END: u8 = 0xd9;
    let (mut at, mut scans) = (2, 0);
    loop {
        let marker = loop {
            let next = file.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0xff));
            at += next.ok_or(CUT)? + 1;
            match *file.get(at).ok_or(CUT)? {
                // Stuffed, a restart, TEM, or the first of several fill bytes.
                0x00 | 0x01 | 0xd0..=0xd8 | 0xff => {}
                marker => break marker,
            }
        };
        if marker == END {
            return Ok(at + 1);
        }
        if marker == START_OF_SCAN {
            scans += 1;
            if scans > SCANS_MAX {
                return Err(Unfit::Broken("it has more passes than a picture needs"));
            }
        }
        let length = file.get(at + 1..at + 3).ok_or(CUT)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        at += 1 + length.max(2);
        if at > file.len() {
            return Err(CUT);
        }
    }
}

/// Goes from chunk to chunk until `IEND`: where that ends.
fn png(file: &[u8]) -> Result<usize, Unfit> {
    let mut rest = file.get(PNG_MAGIC.len()..).ok_or(CUT)?;
    loop {
        let length = rest.get(..4).ok_or(CUT)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let kind = rest.get(4..8).ok_or(CUT)?;
        if kind == b"acTL" {
            return Err(Unfit::Moves);
        }
        // Length, kind and checksum.
        let whole = usize::try_from(length).ok().and_then(|length| length.checked_add(12));
        let after = whole.and_then(|whole| rest.get(whole..)).ok_or(CUT)?;
        if kind == b"IEND" {
            return Ok(file.len() - after.len());
        }
        rest = after;
    }
}

/// Goes through the chunks: where the last one ends. Each must be there, and a frame as
/// large as the first chunk announces: that is what the decoder says of the picture, and
/// what it sets memory aside for is the frame.
fn webp(file: &[u8]) -> Result<usize, Unfit> {
    const ANIMATION: u8 = 0b10;
    let size = u32_at(file, 4).ok_or(CUT)?;
    let end = usize::try_from(size)
        .ok()
        .and_then(|size| size.checked_add(8))
        .ok_or(CUT)?;
    let mut rest = file.get(12..end).ok_or(CUT)?;
    let (mut canvas, mut has_picture) = (None, false);
    while !rest.is_empty() {
        let kind = rest.get(..4).ok_or(CUT)?;
        let length = u32_at(rest, 4).and_then(|length| usize::try_from(length).ok());
        let after = length.and_then(|length| length.checked_add(8)).ok_or(CUT)?;
        let chunk = rest.get(8..after).ok_or(CUT)?;
        match kind {
            b"ANIM" | b"ANMF" => return Err(Unfit::Moves),
            // RFC 9649, 2.7: it comes first, and once.
            b"VP8X" if canvas.is_some() => return Err(Unfit::Broken("it says twice how large it is")),
            b"VP8X" => {
                let (flags, sides) = (*chunk.first().ok_or(CUT)?, canvas_of(chunk).ok_or(CUT)?);
                if flags & ANIMATION != 0 {
                    return Err(Unfit::Moves);
                }
                canvas = Some(sides);
            }
            b"VP8 " | b"VP8L" => {
                let frame = frame_of(kind, chunk).ok_or(CUT)?;
                if *canvas.get_or_insert(frame) != frame {
                    return Err(Unfit::Broken("its frame is not as large as it says"));
                }
                has_picture = true;
            }
            _ if canvas.is_none() => return Err(Unfit::Broken("it does not say first how large it is")),
            _ => {}
        }
        // Chunks of an odd length have a byte of padding, which the last one may lack.
        rest = rest.get(after + after % 2..).unwrap_or_default();
    }
    if has_picture { Ok(end) } else { Err(CUT) }
}

/// Width and height that a `VP8X` chunk announces.
fn canvas_of(chunk: &[u8]) -> Option<(u32, u32)> {
    // The last three bytes have none after them to be read with.
    let high = chunk.get(7..10)?;
    let width = 1 + (u32_at(chunk, 4)? & 0xff_ffff);
    Some((width, 1 + u32::from_le_bytes([high[0], high[1], high[2], 0])))
}

/// Width and height that a frame's own head says, with or without loss.
fn frame_of(kind: &[u8], chunk: &[u8]) -> Option<(u32, u32)> {
    if kind == b"VP8 " {
        let sides = u32_at(chunk, 6)?;
        return Some((sides & 0x3fff, (sides >> 16) & 0x3fff));
    }
    let sides = u32_at(chunk, 1)?;
    Some((1 + (sides & 0x3fff), 1 + ((sides >> 14) & 0x3fff)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).expect("short").to_le_bytes();
        let padding = vec![0; data.len() % 2];
        [kind.as_slice(), &length, data, &padding].concat()
    }

    fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
        let body = [b"WEBP".as_slice(), &chunks.concat()].concat();
        let length = u32::try_from(body.len()).expect("short").to_le_bytes();
        [b"RIFF".as_slice(), &length, &body].concat()
    }

    /// A frame's head, lossy.
    fn frame(width: u16, height: u16) -> Vec<u8> {
        let (w, h) = (width.to_le_bytes(), height.to_le_bytes());
        chunk(b"VP8 ", &[0, 0, 0, 0x9d, 0x01, 0x2a, w[0], w[1], h[0], h[1]])
    }

    #[test]
    fn what_is_no_picture_is_known_by_its_bytes() {
        for file in [
            &b""[..],
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>",
            b"<!doctype html><img src=x>",
            b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"RIFF\x04\x00\x00\x00WAVE",
            b"\xff\xd8",
        ] {
            assert_eq!(look(file), Err(Unfit::NoPicture), "{file:?}");
        }
    }

    #[test]
    fn a_jpeg_ends_at_its_end_and_not_at_that_of_a_picture_inside_it() {
        let inner = b"\xff\xd8\xff\xd9";
        let segment = [b"\xff\xe1\x00\x06".as_slice(), inner].concat();
        let scan = b"\xff\xda\x00\x03\x01\x11\xff\x00\xff\xd0\x22";
        let whole = [b"\xff\xd8".as_slice(), &segment, scan, b"\xff\xd9", b"<script>"].concat();
        let length = whole.len() - b"<script>".len();
        assert_eq!(look(&whole), Ok((Source::Jpeg, &whole[..length])));
        let end = whole.len() - b"\xff\xd9<script>".len();
        for cut in 3..=end {
            assert_eq!(look(&whole[..cut]), Err(CUT), "{cut}");
        }
    }

    #[test]
    fn a_jpeg_has_only_so_many_passes() {
        let scans = b"\xff\xda\x00\x02\x33".repeat(SCANS_MAX + 1);
        let file = [b"\xff\xd8".as_slice(), &scans, b"\xff\xd9"].concat();
        assert!(matches!(look(&file), Err(Unfit::Broken(_))));
    }

    #[test]
    fn a_webp_whose_frame_is_larger_than_its_canvas_is_refused() {
        let canvas = chunk(b"VP8X", &[0, 0, 0, 0, 9, 0, 0, 9, 0, 0]);
        let whole = riff(&[canvas.clone(), frame(10, 10)]);
        assert_eq!(look(&whole), Ok((Source::Webp, whole.as_slice())));
        assert!(matches!(
            look(&riff(&[canvas.clone(), frame(16_383, 16_383)])),
            Err(Unfit::Broken(_))
        ));
        assert_eq!(look(&riff(std::slice::from_ref(&canvas))), Err(CUT), "no picture in it");
        let moving = [canvas, chunk(b"ANIM", &[0; 6])];
        assert_eq!(look(&riff(&moving)), Err(Unfit::Moves));
    }

    #[test]
    fn a_webp_says_once_and_first_how_large_it_is_and_ends_where_it_says() {
        let canvas = |side: u8| chunk(b"VP8X", &[0, 0, 0, 0, side - 1, 0, 0, side - 1, 0, 0]);
        let broken = |chunks: &[Vec<u8>]| assert!(matches!(look(&riff(chunks)), Err(Unfit::Broken(_))));
        // The decoder goes by the first one, and only the last one was compared once.
        broken(&[canvas(1), canvas(10), frame(10, 10)]);
        broken(&[canvas(10), frame(10, 10), canvas(10)]);
        broken(&[frame(10, 10), canvas(10)]);
        broken(&[frame(10, 10), frame(20, 20)]);
        broken(&[chunk(b"EXIF", b"camera"), canvas(10), frame(10, 10)]);
        let mut moving = canvas(10);
        moving[8] = 0b10;
        assert_eq!(look(&riff(&[moving, frame(10, 10)])), Err(Unfit::Moves));
        // What lies behind the end is none of it.
        let whole = riff(&[canvas(10), chunk(b"EXIF", b"camera"), frame(10, 10)]);
        let longer = [whole.as_slice(), &frame(16_383, 16_383)].concat();
        assert_eq!(look(&longer), Ok((Source::Webp, whole.as_slice())));
    }

    #[test]
    fn a_chunk_that_is_longer_than_its_file_is_refused() {
        let mut file = riff(&[frame(10, 10)]);
        file[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(look(&file), Err(CUT));
        let png = [PNG_MAGIC, &u32::MAX.to_be_bytes(), b"IHDR"].concat();
        assert_eq!(look(&png), Err(CUT));
    }

    proptest! {
        #[test]
        fn whatever_comes_it_is_read_to_an_end(
            magic in prop::sample::select(vec![&b"\xff\xd8\xff"[..], PNG_MAGIC, b"RIFF\x40\x00\x00\x00WEBPVP8X"]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = look(&[magic, &rest].concat());
        }
    }
}

//! What a reader makes of frames that another implementation would also read, however
//! they are cut into pieces, and what it keeps of them meanwhile.

use proptest::prelude::*;

use super::*;
use crate::net::deflate::Deflater;
use crate::net::frame::MAX_CONTROL_BYTES;

const LIMITS: ReadLimits = ReadLimits {
    message_bytes: 1000,
    fragments: 8,
};

/// An event that owns what it carries.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<Event<'_>> for Heard {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong => Self::Pong,
            Event::Close(code) => Self::Close(code),
        }
    }
}

/// A client's frame with a mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | u8::try_from(short).expect("short")),
        medium @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(medium).expect("medium").to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Feeds bytes in pieces of the given lengths, the last one as often as needed.
fn read(reader: &mut Reader, bytes: &[u8], pieces: &[usize]) -> (Vec<Heard>, Result<(), ReadError>) {
    let (mut heard, mut inflater, mut rest) = (Vec::new(), Inflater::default(), bytes);
    let mut pieces = pieces
        .iter()
        .copied()
        .chain(std::iter::repeat(pieces.last().copied().unwrap_or(1)));
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(pieces.next().unwrap_or(1).clamp(1, rest.len()));
        rest = after;
        let mut piece = piece.to_vec();
        let fed = reader.feed(&mut piece, &mut inflater, |event| {
            heard.push(event.into());
            ControlFlow::Continue(())
        });
        match fed {
            Ok(used) => assert_eq!(used, piece.len()),
            Err(error) => return (heard, Err(error)),
        }
        let overhead = MAX_HEADER_BYTES + MAX_CONTROL_BYTES;
        assert!(reader.kept_bytes() <= LIMITS.message_bytes as usize + overhead);
    }
    (heard, Ok(()))
}

fn read_whole(bytes: &[u8]) -> (Vec<Heard>, Result<(), ReadError>) {
    read(&mut Reader::new(LIMITS, true), bytes, &[usize::MAX])
}

#[test]
fn frames_of_every_length_are_read_whole_and_byte_by_byte() {
    for len in [0, 1, 7, 8, 9, 125, 126, 127, 1000] {
        let (text, bytes) = ("x".repeat(len), vec![7; len]);
        let sent = [frame(0x81, text.as_bytes()), frame(0x82, &bytes)].concat();
        for pieces in [&[usize::MAX][..], &[1], &[3]] {
            let mut reader = Reader::new(LIMITS, false);
            let expected = vec![Heard::Text(text.clone()), Heard::Binary(bytes.clone())];
            assert_eq!(
                read(&mut reader, &sent, pieces),
                (expected, Ok(())),
                "{len} by {pieces:?}"
            );
            assert!(!reader.is_midway());
        }
    }
}

#[test]
fn control_frames_come_between_fragments_and_nothing_comes_after_a_close() {
    let sent = [
        frame(0x01, b"gr\xc3"),
        frame(0x89, b"there?"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, b"\xbc\xc3\x9fe"),
        frame(0x88, &[0x03, 0xe8, b'o', b'k']),
        frame(0x81, b"too late"),
        vec![0xff; 20],
    ]
    .concat();
    let expected = vec![
        Heard::Ping(b"there?".to_vec()),
        Heard::Pong,
        Heard::Text("grüße".to_owned()),
        Heard::Close(Some(1000)),
    ];
    for pieces in [&[usize::MAX][..], &[1], &[2], &[5]] {
        let mut reader = Reader::new(LIMITS, false);
        assert_eq!(
            read(&mut reader, &sent, pieces),
            (expected.clone(), Ok(())),
            "{pieces:?}"
        );
        assert_eq!(reader.kept_bytes(), 0);
    }
}

#[test]
fn a_frame_is_judged_by_its_header_before_anything_is_kept() {
    let mask = [0; 4];
    let huge = [&[0x82, 0xff][..], &(1_u64 << 40).to_be_bytes(), &mask].concat();
    let negative = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &mask].concat();
    let wordy_medium = [&[0x82, 0xfe, 0, 125][..], &mask].concat();
    let wordy_long = [&[0x82, 0xff][..], &65_535_u64.to_be_bytes(), &mask].concat();
    let late = [frame(0x01, &[b'x'; 600]), vec![0x80, 0xfe, 0x01, 0x91], mask.to_vec()].concat();
    for (bytes, code) in [
        (&huge[..], 1009),
        (&negative, 1002),
        (&wordy_medium, 1002),
        (&wordy_long, 1002),
        (&late, 1009),
        (&[0x83], 1002),
        (&[0x8b], 1002),
        (&[0xa1], 1002),
        (&[0x91], 1002),
        (&[0xc8], 1002),
        (&[0xc0], 1002),
        (&[0x09], 1002),
        (&[0x81, 0x01], 1002),
        (&[0x89, 0xfe], 1002),
        (&frame(0x80, b""), 1002),
        (&[frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002),
        (&frame(0x88, &[3]), 1002),
        (&frame(0x88, &1005_u16.to_be_bytes()), 1002),
        (&frame(0x88, &[0x03, 0xe8, 0xff]), 1007),
        (&frame(0x81, &[0xff]), 1007),
        (&frame(0x81, &[0xc3]), 1007),
        (&frame(0x01, &[0xc0]), 1007),
        (&frame(0xc1, &[0xff, 0xff]), 1007),
    ] {
        for pieces in [usize::MAX, 1] {
            let mut reader = Reader::new(LIMITS, true);
            let (heard, end) = read(&mut reader, bytes, &[pieces]);
            assert_eq!(heard, [], "{bytes:x?}");
            assert_eq!(end.map_err(ReadError::close_code), Err(code), "{bytes:x?}");
        }
    }
    let (_, end) = read(&mut Reader::new(LIMITS, false), &[0xc1], &[1]);
    assert_eq!(end, Err(ReadError::Protocol("a reserved bit is set")), "not negotiated");
}

#[test]
fn a_text_that_goes_wrong_fails_at_that_byte() {
    let text = frame(0x81, b"gr\xc3\xbc\xc3\xedfe");
    let wrong = text.len() - 3;
    let mut reader = Reader::new(LIMITS, false);
    assert_eq!(read(&mut reader, &text[..wrong], &[1]).1, Ok(()));
    assert_eq!(read(&mut reader, &text[wrong..=wrong], &[1]).1, Err(ReadError::NotUtf8));
}

#[test]
fn a_message_has_so_many_fragments_and_no_more() {
    let fragments = |count: usize| {
        let mut sent = frame(0x02, b"");
        sent.extend(frame(0x00, b"").repeat(count - 2));
        sent.extend(frame(0x80, b"end"));
        sent
    };
    assert_eq!(
        read_whole(&fragments(8)),
        (vec![Heard::Binary(b"end".to_vec())], Ok(()))
    );
    assert_eq!(read_whole(&fragments(9)), (vec![], Err(ReadError::TooManyFragments)));
}

#[test]
fn what_is_not_whole_is_kept_as_it_comes_and_let_go_when_it_is() {
    let sent = frame(0x82, &[1; 900]);
    let mut reader = Reader::new(LIMITS, false);
    for (upto, kept) in [(1, 1), (7, 7), (8, 0), (108, 100)] {
        let mut reader = Reader::new(LIMITS, false);
        assert_eq!(read(&mut reader, &sent[..upto], &[1]).0, []);
        assert_eq!(reader.kept_bytes(), kept, "{upto}");
        assert!(reader.is_midway());
    }
    read(&mut reader, &sent, &[1]).1.expect("read");
    assert!(!reader.is_midway());
    assert!(size_of::<Reader>() <= 24, "{}", size_of::<Reader>());
}

#[test]
fn who_breaks_off_gets_the_rest_later() {
    let mut sent = [frame(0x81, b"one"), frame(0x81, b"two")].concat();
    let (mut reader, mut inflater) = (Reader::new(LIMITS, false), Inflater::default());
    let (mut heard, mut from) = (Vec::<Heard>::new(), 0);
    while from < sent.len() {
        let fed = reader.feed(&mut sent[from..], &mut inflater, |event| {
            heard.push(event.into());
            ControlFlow::Break(())
        });
        from += fed.expect("good frames");
        assert_eq!(from, heard.len() * sent.len() / 2);
    }
    assert_eq!(heard, ["one", "two"].map(|text| Heard::Text(text.to_owned())));
}

#[test]
fn compressed_messages_are_inflated_within_the_limit() {
    let text = "and again ".repeat(100);
    let small = Deflater::default().deflate(text.as_bytes()).expect("smaller");
    let (head, tail) = small.split_at(5);
    let sent = [
        frame(0xc1, &small),
        frame(0x41, head),
        frame(0x89, b""),
        frame(0x80, tail),
    ]
    .concat();
    let expected = vec![Heard::Text(text.clone()), Heard::Ping(vec![]), Heard::Text(text)];
    for pieces in [usize::MAX, 1] {
        assert_eq!(
            read(&mut Reader::new(LIMITS, true), &sent, &[pieces]),
            (expected.clone(), Ok(()))
        );
    }
    let bomb = Deflater::default().deflate(&[b'a'; 1001]).expect("smaller");
    assert_eq!(read_whole(&frame(0xc1, &bomb)), (vec![], Err(ReadError::TooLarge)));
}

fn any_frame() -> impl Strategy<Value = (Vec<u8>, Heard)> {
    let text = ".{0,40}".prop_map(|text: String| (frame(0x81, text.as_bytes()), Heard::Text(text)));
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let binary = bytes.prop_map(|bytes| (frame(0x82, &bytes), Heard::Binary(bytes)));
    let split = (".{0,40}", 0..200_usize).prop_map(|(text, at): (String, usize)| {
        let (head, tail) = text.as_bytes().split_at(at.min(text.len()));
        let frames = [frame(0x01, head), frame(0x00, b""), frame(0x80, tail)].concat();
        (frames, Heard::Text(text))
    });
    let packed = prop::collection::vec(0_u8..4, 0..500).prop_map(|bytes| match Deflater::default().deflate(&bytes) {
        Some(packed) => (frame(0xc2, &packed), Heard::Binary(bytes)),
        None => (frame(0x82, &bytes), Heard::Binary(bytes)),
    });
    let ping = prop::collection::vec(any::<u8>(), 0..=125).prop_map(|bytes| (frame(0x89, &bytes), Heard::Ping(bytes)));
    prop_oneof![text, binary, split, packed, ping]
}

proptest! {
    #[test]
    fn however_it_is_cut_the_same_is_read(
        frames in prop::collection::vec(any_frame(), 0..8),
        pieces in prop::collection::vec(1..40_usize, 1..60),
    ) {
        let (sent, expected): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        let mut reader = Reader::new(LIMITS, true);
        prop_assert_eq!(read(&mut reader, &sent.concat(), &pieces), (expected, Ok(())));
        prop_assert!(!reader.is_midway());
    }

    #[test]
    fn no_bytes_make_it_panic_and_cuts_change_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        pieces in prop::collection::vec(1..20_usize, 1..20),
    ) {
        let whole = read(&mut Reader::new(LIMITS, true), &bytes, &[usize::MAX]);
        let cut = read(&mut Reader::new(LIMITS, true), &bytes, &pieces);
        prop_assert_eq!(&whole.0, &cut.0);
        // In pieces, a fault may show before the frame is whole.
        if whole.1.is_err() {
            prop_assert!(cut.1.is_err());
        }
    }
}

//! 6 text that is UTF-8, and text that is not.

use super::{Case, End, Step, case, run};
use crate::wire::{CONTINUATION, FINAL, MORE, PING, PONG, TEXT, fragmented, frame};

const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
const EDITED: &[u8] = b"edited";

#[test]
fn autobahn_6_1_to_6_4_text_in_fragments() {
    let hello = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
    let (head, tail) = hello.split_at("Hello-µ@ßöä".len());
    let middle: &[u8] = b"middle frame payload";
    let three = |middle: &[u8]| {
        [
            frame(MORE | TEXT, b""),
            frame(MORE | CONTINUATION, middle),
            frame(FINAL | CONTINUATION, b""),
        ]
    };
    let surrogate = [KOSME, b"\xed\xa0\x80", EDITED].concat();
    let beyond = [KOSME, b"\xf4\x90\x80\x80", EDITED].concat();
    let in_two = [frame(MORE | TEXT, head), frame(FINAL | CONTINUATION, tail)];
    let in_bytes = |text| fragmented(TEXT, text, 1);
    run(
        13,
        vec![
            case("6.1.1", &[frame(FINAL | TEXT, b"")], &[(TEXT, b"")], End::Clean),
            case("6.1.2", &three(b""), &[(TEXT, b"")], End::Clean),
            case("6.1.3", &three(middle), &[(TEXT, middle)], End::Clean),
            case("6.2.1", &[frame(FINAL | TEXT, hello)], &[(TEXT, hello)], End::Clean),
            case("6.2.2", &in_two, &[(TEXT, hello)], End::Clean),
            case("6.2.3", &in_bytes(hello), &[(TEXT, hello)], End::Clean),
            case("6.2.4", &in_bytes(KOSME), &[(TEXT, KOSME)], End::Clean),
            case("6.3.1", &[frame(FINAL | TEXT, &surrogate)], &[], End::Failed(1007)),
            case("6.3.2", &in_bytes(&surrogate), &[], End::Failed(1007)),
            fails_fast("6.4.1", &beyond, [11, 15], true),
            fails_fast("6.4.2", &beyond, [12, 13], true),
            fails_fast("6.4.3", &beyond, [11, 15], false),
            fails_fast("6.4.4", &beyond, [12, 13], false),
        ],
    );
}

/// The first part is taken; with the second one it fails, before the third is sent.
fn fails_fast(name: &str, text: &[u8], [one, two]: [usize; 2], by_frames: bool) -> Case {
    let send = |bytes: &[u8]| Step::Send(bytes.to_vec(), usize::MAX);
    let steps = if by_frames {
        vec![
            send(&frame(MORE | TEXT, &text[..one])),
            send(&frame(FINAL | PING, b"")),
            Step::Hear(PONG, Vec::new()),
            send(&frame(MORE | CONTINUATION, &text[one..two])),
        ]
    } else {
        let whole = frame(FINAL | TEXT, text);
        let header = whole.len() - text.len();
        vec![send(&whole[..header + one]), send(&whole[header + one..header + two])]
    };
    Case {
        name: name.to_owned(),
        steps,
        end: End::Failed(1007),
    }
}

/// What is not UTF-8, and in which group of cases it stands.
const INVALID: &[(u32, &[&[u8]])] = &[
    (8, &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
    (
        10,
        &[
            b"\xf7\xbf\xbf\xbf",
            b"\xfb\xbf\xbf\xbf\xbf",
            b"\xfd\xbf\xbf\xbf\xbf\xbf",
        ],
    ),
    (
        12,
        &[
            b"\x80",
            b"\xbf",
            b"\x80\xbf",
            b"\x80\xbf\x80",
            b"\x80\xbf\x80\xbf",
            b"\x80\xbf\x80\xbf\x80",
            b"\x80\xbf\x80\xbf\x80\xbf",
        ],
    ),
    (14, MISSING),
    (16, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
    (
        17,
        &[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ],
    ),
    (
        18,
        &[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ],
    ),
    (
        19,
        &[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ],
    ),
    (
        20,
        &[
            b"\xed\xa0\x80",
            b"\xed\xad\xbf",
            b"\xed\xae\x80",
            b"\xed\xaf\xbf",
            b"\xed\xb0\x80",
            b"\xed\xbe\x80",
            b"\xed\xbf\xbf",
        ],
    ),
    (
        21,
        &[
            b"\xed\xa0\x80\xed\xb0\x80",
            b"\xed\xa0\x80\xed\xbf\xbf",
            b"\xed\xad\xbf\xed\xb0\x80",
            b"\xed\xad\xbf\xed\xbf\xbf",
            b"\xed\xae\x80\xed\xb0\x80",
            b"\xed\xae\x80\xed\xbf\xbf",
            b"\xed\xaf\xbf\xed\xb0\x80",
            b"\xed\xaf\xbf\xed\xbf\xbf",
        ],
    ),
];

/// Sequences whose last byte is missing.
const MISSING: &[&[u8]] = &[
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

const VALID: &[(u32, &[&[u8]])] = &[
    (
        5,
        &[
            b"hello\x24world",
            b"hello\xc2\xa2world",
            b"hello\xe2\x82\xacworld",
            b"hello\xf0\xa4\xad\xa2world",
            KOSME,
        ],
    ),
    (7, &[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
    (9, &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
    (
        23,
        &[
            b"\xef\xbf\xb9",
            b"\xef\xbf\xba",
            b"\xef\xbf\xbb",
            b"\xef\xbf\xbc",
            b"\xef\xbf\xbd",
            b"\xef\xbf\xbe",
            b"\xef\xbf\xbf",
        ],
    ),
];

fn each(name: String, text: &[u8], valid: bool) -> Case {
    let sent = [frame(FINAL | TEXT, text)];
    if valid {
        case(name, &sent, &[(TEXT, text)], End::Clean)
    } else {
        case(name, &sent, &[], End::Failed(1007))
    }
}

#[test]
fn autobahn_6_5_to_6_23_text() {
    let mut cases = Vec::new();
    for (table, valid) in [(VALID, true), (INVALID, false)] {
        for (group, texts) in table {
            for (n, text) in (1..).zip(*texts) {
                cases.push(each(format!("6.{group}.{n}"), text, valid));
            }
        }
    }
    // Prefixes of a text, of which those are valid that end with a character.
    for n in 1..=KOSME.len() {
        let valid = matches!(n, 2 | 5 | 7 | 9 | 11);
        cases.push(each(format!("6.6.{n}"), &KOSME[..n], valid));
    }
    let bounds: [(&[u8], bool); 5] = [
        (b"\xed\x9f\xbf", true),
        (b"\xee\x80\x80", true),
        (b"\xef\xbf\xbd", true),
        (b"\xf4\x8f\xbf\xbf", true),
        (b"\xf4\x90\x80\x80", false),
    ];
    for (n, (text, valid)) in (1..).zip(bounds) {
        cases.push(each(format!("6.11.{n}"), text, valid));
    }
    let continuations: Vec<u8> = (0x80..0xbf).collect();
    cases.push(each("6.12.8".to_owned(), &continuations, false));
    let starts = [(0xc0, 0xdf), (0xe0, 0xef), (0xf0, 0xf7), (0xf8, 0xfb), (0xfc, 0xfd)];
    for (n, (from, to)) in (1..).zip(starts) {
        let lonely: Vec<u8> = (from..to).flat_map(|start| [start, b' ']).collect();
        cases.push(each(format!("6.13.{n}"), &lonely, false));
    }
    cases.push(each("6.15.1".to_owned(), &MISSING.concat(), false));
    for (n, text) in (1..).zip(non_characters()) {
        cases.push(each(format!("6.22.{n}"), &text, true));
    }
    run(132, cases);
}

/// Code points that are no characters, and valid all the same.
fn non_characters() -> Vec<Vec<u8>> {
    let mut texts = vec![b"\xef\xbf\xbe".to_vec(), b"\xef\xbf\xbf".to_vec()];
    for plane in 1..=16_u32 {
        for last in [0xfffe, 0xffff] {
            let character = char::from_u32(plane << 16 | last).expect("no surrogate");
            texts.push(character.to_string().into_bytes());
        }
    }
    texts
}

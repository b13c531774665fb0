//! The committed corpus: every property holds for each of its files, and what can be made
//! of docs/protocol.md and of real frames is in it. `WRITE_CORPUS=1 cargo test -p
//! hawker-fuzz` writes that part anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use live_engine::net::deflate::Deflater;
use shared::protocol::{ClientFrame, Format, ServerFrame};

const PAGE: &str = include_str!("../../docs/protocol.md");
/// Seeds that are made start with it; what fuzzing has found does not.
const MADE: &str = "made-";

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn replay(target: &str, property: fn(&[u8])) {
    let mut count = 0;
    for entry in fs::read_dir(corpus(target)).expect("a corpus") {
        let path = entry.expect("a file").path();
        let data = fs::read(&path).expect("readable");
        let held = std::panic::catch_unwind(|| property(&data));
        assert!(held.is_ok(), "{} breaks it", path.display());
        count += 1;
    }
    assert!(count > 0, "{target} has no corpus");
}

#[test]
fn frames_of_the_corpus_are_read_the_same_however_they_are_cut() {
    replay("reader", hawker_fuzz::reader);
}

#[test]
fn frames_of_the_corpus_are_read_as_another_implementation_reads_them() {
    replay("frames", hawker_fuzz::frames);
}

#[test]
fn commands_of_the_corpus_are_read_or_refused_within_bounds() {
    replay("command", hawker_fuzz::command);
}

#[test]
fn messages_of_the_corpus_are_the_same_when_they_are_written_and_read_again() {
    replay("message", hawker_fuzz::message);
}

/// Whatever is sent, it may not take more memory than is documented: lists that say they
/// are endless, and lists in lists.
#[test]
fn a_command_that_promises_endless_lists_takes_no_more_memory_than_it_may() {
    let known = b"\x01\x83\xa2id\x01\xa3cmd\xa5leave\xa1x".as_slice();
    for (level, count) in [
        (b"\xdd\x7f\xff\xff\xff".as_slice(), 3_000),
        (b"\xdd\x7f\xff\xff\xff", 100),
        (b"\xdf\x7f\xff\xff\xff\xa1k", 100),
        (b"\xdc\xff\xff", 100),
        (b"\x9f", 100),
        (b"\xc0", 16_000),
    ] {
        hawker_fuzz::command(&[known, &level.repeat(count)].concat());
        hawker_fuzz::command(&[known, b"\xdc\x3e\x80", &level.repeat(count)].concat());
    }
    let json = |value: &str| format!("\0{{\"id\":1,\"cmd\":\"leave\",\"x\":{value}}}");
    hawker_fuzz::command(json(&format!("[{}0]", "0,".repeat(8_000))).as_bytes());
    hawker_fuzz::command(json(&format!("[{}{{}}]", "{},".repeat(5_000))).as_bytes());
}

#[test]
fn the_corpus_has_what_can_be_made() {
    let made = made();
    if std::env::var_os("WRITE_CORPUS").is_some() {
        for target in ["reader", "frames", "command", "message"] {
            fs::create_dir_all(corpus(target)).expect("a folder");
            for entry in fs::read_dir(corpus(target)).expect("a corpus") {
                let entry = entry.expect("a file");
                if entry.file_name().to_string_lossy().starts_with(MADE) {
                    fs::remove_file(entry.path()).expect("removed");
                }
            }
        }
        for (path, data) in &made {
            fs::write(path, data).expect("written");
        }
    }
    for (path, data) in made {
        let there = fs::read(&path).unwrap_or_default();
        let path = path.display();
        assert!(
            there == data,
            "{path} is stale: run WRITE_CORPUS=1 cargo test -p hawker-fuzz"
        );
    }
}

/// Seeds by their files.
fn made() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    let mut add = |target: &str, name: String, data: Vec<u8>| {
        seeds.insert(corpus(target).join(format!("{MADE}{name}")), data);
    };
    for (n, example) in examples("client").into_iter().enumerate() {
        let frame: ClientFrame = serde_json::from_value(example.clone()).expect("a command");
        let name = example["cmd"].as_str().expect("named").to_owned();
        let json = example.to_string().into_bytes();
        let packed = Format::MsgPack.encode(&frame).expect("packed");
        add("frames", format!("{n:02}-{name}"), as_frames(0x81, &json));
        add(
            "reader",
            format!("{n:02}-{name}"),
            [&[0x07][..], &masked(0x82, &packed)].concat(),
        );
        add("command", format!("{n:02}-{name}.json"), [&[0][..], &json].concat());
        add(
            "command",
            format!("{n:02}-{name}.msgpack"),
            [&[1][..], &packed].concat(),
        );
    }
    for (n, example) in examples("server").into_iter().enumerate() {
        let frame: ServerFrame = serde_json::from_value(example.clone()).expect("a message");
        let named = example.get("type").or_else(|| example["m"][0].get("type"));
        let name = named.and_then(|name| name.as_str()).unwrap_or("frame").to_owned();
        let packed = Format::MsgPack.encode(&frame).expect("packed");
        add(
            "message",
            format!("{n:02}-{name}.json"),
            [&[0][..], example.to_string().as_bytes()].concat(),
        );
        add(
            "message",
            format!("{n:02}-{name}.msgpack"),
            [&[1][..], &packed].concat(),
        );
    }
    let long = "again and again, ".repeat(40);
    let packed = Deflater::default().deflate(long.as_bytes()).expect("smaller");
    let (head, tail) = packed.split_at(5);
    let compressed = [
        masked(0xc1, &packed),
        masked(0x41, head),
        masked(0x89, b"?"),
        masked(0x80, tail),
    ]
    .concat();
    add("reader", "compressed".into(), [&[0x07][..], &compressed].concat());
    let fragments = [
        masked(0x01, "gr\u{fc}".as_bytes()),
        masked(0x89, b"there?"),
        masked(0x80, "\u{df}e".as_bytes()),
        masked(0x88, b"\x03\xe8bye"),
    ];
    add(
        "reader",
        "fragments".into(),
        [&[0x56, 3, 1][..], &fragments.concat()].concat(),
    );
    let fragments = [as_frames(0x01, b"one"), as_frames(0x8a, b""), as_frames(0x80, b"two")].concat();
    add("frames", "fragments".into(), fragments);
    add("frames", "compressed".into(), as_frames(0xc1, &long.as_bytes()[..560]));
    add("frames", "close".into(), as_frames(0x88, b"\x03\xe8bye"));
    seeds
}

/// The page's examples, by who sends them.
fn examples(sender: &str) -> Vec<serde_json::Value> {
    let fence = format!("```json {sender}\n");
    let texts = PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    texts
        .map(|text| serde_json::from_str(text).expect("an example"))
        .collect()
}

/// A client's frame with a mask.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => out.push(0x80 | short),
        _ => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(payload.len()).expect("medium").to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A frame as the target `frames` reads it: the first byte, the length in bytes or eights
/// of them, the payload.
fn as_frames(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let length = if payload.len() < 0x80 {
        payload.len()
    } else {
        payload.resize(payload.len().next_multiple_of(8), b' ');
        0x80 | (payload.len() / 8)
    };
    let length = u8::try_from(length).expect("at most 1016 bytes");
    [&[first, length][..], &payload].concat()
}

//! 9 sizes: what one reader takes when its limits let it. The engine's own are far lower.

use super::{Case, End, case, chopped, echo, run};
use crate::wire::{BINARY, CLOSE, Client, FINAL, TEXT, fragmented, frame};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The suite sends a thousand.
const ROUNDS: usize = 50;

fn repeated(pattern: &[u8], len: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(len).collect()
}

#[test]
fn autobahn_9_1_and_9_2_sizes() {
    let mut cases = Vec::new();
    for (group, opcode, pattern) in [(1, TEXT, &b"BAsd7&jh23"[..]), (2, BINARY, b"\x00\xfe\x23\xfa\xf0")] {
        for (n, size) in (1..).zip([64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB]) {
            let payload = repeated(pattern, size);
            let sent = [frame(FINAL | opcode, &payload)];
            cases.push(case(format!("9.{group}.{n}"), &sent, &[(opcode, &payload)], End::Clean));
        }
    }
    run(12, cases);
}

#[test]
fn autobahn_9_3_and_9_4_fragments() {
    let mut cases = Vec::new();
    for (group, opcode, byte) in [(3, TEXT, b'*'), (4, BINARY, 0xfe)] {
        let payload = vec![byte; 4 * MIB];
        let sizes = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
        for (n, size) in (1..).zip(sizes) {
            // One write for all: how they are cut on the way is for 9.5.
            let sent = [fragmented(opcode, &payload, size).concat()];
            cases.push(case(format!("9.{group}.{n}"), &sent, &[(opcode, &payload)], End::Clean));
        }
    }
    run(18, cases);
}

#[test]
fn autobahn_9_5_and_9_6_pieces() {
    let mut cases: Vec<Case> = Vec::new();
    for (group, opcode, pattern) in [(5, TEXT, &b"BAsd7&jh23"[..]), (6, BINARY, b"\x00\xfe\x23\xfa\xf0")] {
        let payload = repeated(pattern, MIB);
        for (n, chop) in (1..).zip([64, 128, 256, 512, 1024, 2048]) {
            let sent = [frame(FINAL | opcode, &payload)];
            let name = format!("9.{group}.{n}");
            cases.push(chopped(name, &sent, chop, &[(opcode, &payload)], End::Clean));
        }
    }
    run(12, cases);
}

#[test]
fn autobahn_9_7_and_9_8_round_trips() {
    for (group, opcode, byte) in [(7, TEXT, b'*'), (8, BINARY, 0xfe)] {
        for (n, size) in (1..).zip([0, 16, 64, 256, 1024, 4096]) {
            let mut client = Client::open(echo::start(), "/ws", None);
            let payload = vec![byte; size];
            for _ in 0..ROUNDS {
                client.send(&frame(FINAL | opcode, &payload), usize::MAX);
                let heard = client.message();
                assert!(heard == Some((opcode, payload.clone())), "case 9.{group}.{n}");
            }
            client.send(&frame(FINAL | CLOSE, &1000_u16.to_be_bytes()), usize::MAX);
            assert_eq!(client.closed(), Ok(Some(1000)), "case 9.{group}.{n}");
        }
    }
}

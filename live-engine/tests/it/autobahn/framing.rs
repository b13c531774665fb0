//! 1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes.

use super::{End, case, chopped, run};
use crate::wire::{BINARY, CLOSE, FINAL, PING, PONG, TEXT, frame};

const HELLO: &[u8] = b"Hello, world!";
const BYTES: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

#[test]
fn autobahn_1_framing() {
    let mut cases = Vec::new();
    for (group, opcode, byte) in [(1, TEXT, b'*'), (2, BINARY, 0xfe)] {
        let sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
        for (n, size) in (1..).zip(sizes) {
            let payload = vec![byte; size];
            let chop = if n == 8 { 997 } else { usize::MAX };
            let name = format!("1.{group}.{n}");
            let sent = [frame(FINAL | opcode, &payload)];
            cases.push(chopped(name, &sent, chop, &[(opcode, &payload)], End::Clean));
        }
    }
    run(16, cases);
}

#[test]
fn autobahn_2_pings_and_pongs() {
    let [full, long] = [vec![0xfe; 125], vec![0xfe; 126]];
    let ping = |payload: &[u8]| frame(FINAL | PING, payload);
    let pong = |payload: &[u8]| frame(FINAL | PONG, payload);
    let many: Vec<Vec<u8>> = (0..10).map(|n| format!("payload-{n}").into_bytes()).collect();
    let pings: Vec<_> = many.iter().map(|payload| ping(payload)).collect();
    let pongs: Vec<(u8, &[u8])> = many.iter().map(|payload| (PONG, &payload[..])).collect();
    let unasked = b"unsolicited pong payload";
    run(
        11,
        vec![
            case("2.1", &[ping(b"")], &[(PONG, b"")], End::Clean),
            case("2.2", &[ping(HELLO)], &[(PONG, HELLO)], End::Clean),
            case("2.3", &[ping(BYTES)], &[(PONG, BYTES)], End::Clean),
            case("2.4", &[ping(&full)], &[(PONG, &full)], End::Clean),
            case("2.5", &[ping(&long)], &[], End::Failed(1002)),
            chopped("2.6", &[ping(&full)], 1, &[(PONG, &full)], End::Clean),
            case("2.7", &[pong(b"")], &[], End::Clean),
            case("2.8", &[pong(unasked)], &[], End::Clean),
            case(
                "2.9",
                &[pong(unasked), ping(b"ping payload")],
                &[(PONG, b"ping payload")],
                End::Clean,
            ),
            case("2.10", &pings, &pongs, End::Clean),
            chopped("2.11", &pings, 1, &pongs, End::Clean),
        ],
    );
}

#[test]
fn autobahn_3_reserved_bits() {
    let hello = || frame(FINAL | TEXT, HELLO);
    let with = |bits: u8, opcode: u8, payload: &[u8]| frame(FINAL | bits << 4 | opcode, payload);
    let after_hello = |bits| [hello(), with(bits, TEXT, HELLO), frame(FINAL | PING, b"")];
    let echoed: [(u8, &[u8]); 1] = [(TEXT, HELLO)];
    run(
        7,
        vec![
            case("3.1", &[with(1, TEXT, HELLO)], &[], End::Failed(1002)),
            // Sent as one, the first is echoed all the same.
            case("3.2", &[after_hello(2).concat()], &echoed, End::Failed(1002)),
            case("3.3", &after_hello(3), &echoed, End::Failed(1002)),
            chopped("3.4", &after_hello(4), 1, &echoed, End::Failed(1002)),
            case("3.5", &[with(5, BINARY, BYTES)], &[], End::Failed(1002)),
            case("3.6", &[with(6, PING, HELLO)], &[], End::Failed(1002)),
            case("3.7", &[with(7, CLOSE, b"")], &[], End::Failed(1002)),
        ],
    );
}

#[test]
fn autobahn_4_opcodes() {
    let mut cases = Vec::new();
    for (group, opcodes) in [(1, 3..=7), (2, 11..=15)] {
        for (n, opcode) in (1..).zip(opcodes) {
            let name = format!("4.{group}.{n}");
            let payload = if matches!(n, 2 | 4 | 5) { HELLO } else { b"" };
            let reserved = frame(FINAL | opcode, payload);
            if n <= 2 {
                cases.push(case(name, &[reserved], &[], End::Failed(1002)));
                continue;
            }
            let sent = [frame(FINAL | TEXT, HELLO), reserved, frame(FINAL | PING, b"")];
            let chop = if n == 5 { 1 } else { usize::MAX };
            cases.push(chopped(name, &sent, chop, &[(TEXT, HELLO)], End::Failed(1002)));
        }
    }
    run(10, cases);
}

//! 5 fragmentation, 10 messages that are fragmented by themselves.

use super::{Case, End, Step, case, chopped, run};
use crate::wire::{CONTINUATION, FINAL, MORE, PING, PONG, TEXT, fragmented, frame};

/// How the suite sends frames: in one, frame by frame, byte by byte.
enum Chop {
    One,
    Frames,
    Bytes,
}
const EACH: [Chop; 3] = [Chop::One, Chop::Frames, Chop::Bytes];

fn sent(name: usize, frames: &[Vec<u8>], chop: &Chop, heard: &[(u8, &[u8])], end: End) -> Case {
    let name = format!("5.{name}");
    match chop {
        Chop::One => case(name, &[frames.concat()], heard, end),
        Chop::Frames => case(name, frames, heard, end),
        Chop::Bytes => chopped(name, frames, 1, heard, end),
    }
}

#[test]
fn autobahn_5_fragmentation() {
    let whole: &[u8] = b"fragment1fragment2";
    let first = || frame(MORE | TEXT, b"fragment1");
    let last = || frame(FINAL | CONTINUATION, b"fragment2");
    let ping = || frame(FINAL | PING, b"ping payload");
    let stray = |fin: u8| frame(fin | CONTINUATION, b"non-continuation payload");
    let hello = || frame(FINAL | TEXT, b"Hello, world!");
    let failed = || End::Failed(1002);
    let mut cases = vec![
        sent(
            1,
            &[frame(MORE | PING, b"fragment1"), last()],
            &Chop::One,
            &[],
            failed(),
        ),
        sent(
            2,
            &[frame(MORE | PONG, b"fragment1"), last()],
            &Chop::One,
            &[],
            failed(),
        ),
    ];
    for (n, chop) in (3..).zip(&EACH) {
        cases.push(sent(n, &[first(), last()], chop, &[(TEXT, whole)], End::Clean));
        let heard: [(u8, &[u8]); 2] = [(PONG, b"ping payload"), (TEXT, whole)];
        cases.push(sent(n + 3, &[first(), ping(), last()], chop, &heard, End::Clean));
        cases.push(sent(n + 6, &[stray(FINAL), hello()], chop, &[], failed()));
        cases.push(sent(n + 9, &[stray(MORE), hello()], chop, &[], failed()));
    }
    let third = frame(MORE | CONTINUATION, b"fragment3");
    let fourth = frame(FINAL | TEXT, b"fragment4");
    cases.push(sent(
        15,
        &[first(), last(), third, fourth],
        &Chop::One,
        &[(TEXT, whole)],
        failed(),
    ));
    for (n, fin) in [(16, MORE), (17, FINAL)] {
        let round = [
            frame(fin | CONTINUATION, b"fragment1"),
            frame(MORE | TEXT, b"fragment2"),
            frame(FINAL | CONTINUATION, b"fragment3"),
        ];
        cases.push(sent(n, &[round.clone(), round].concat(), &Chop::One, &[], failed()));
    }
    cases.push(sent(
        18,
        &[first(), frame(FINAL | TEXT, b"fragment2")],
        &Chop::One,
        &[],
        failed(),
    ));
    cases.push(in_two_halves("5.19", false));
    cases.push(in_two_halves("5.20", true));
    run(20, cases);
}

/// The first ping is answered before the second half is sent.
fn in_two_halves(name: &str, by_frames: bool) -> Case {
    let part = |n: u8| format!("fragment{n}").into_bytes();
    let ping = |n: u8| format!("pongme {n}!").into_bytes();
    let more = |n| frame(MORE | if n == 1 { TEXT } else { CONTINUATION }, &part(n));
    let halves = [
        vec![more(1), more(2), frame(FINAL | PING, &ping(1))],
        vec![
            more(3),
            more(4),
            frame(FINAL | PING, &ping(2)),
            frame(FINAL | CONTINUATION, &part(5)),
        ],
    ];
    let [one, two] = halves.map(|half| if by_frames { half } else { vec![half.concat()] });
    let send = |frames: Vec<Vec<u8>>| frames.into_iter().map(|frame| Step::Send(frame, usize::MAX));
    let mut steps: Vec<Step> = send(one).collect();
    steps.push(Step::Hear(PONG, ping(1)));
    steps.extend(send(two));
    steps.push(Step::Hear(PONG, ping(2)));
    steps.push(Step::Hear(TEXT, (1..=5).flat_map(part).collect()));
    Case {
        name: name.to_owned(),
        steps,
        end: End::Clean,
    }
}

#[test]
fn autobahn_10_auto_fragmentation() {
    let payload = vec![b'*'; 65_536];
    let frames = fragmented(TEXT, &payload, 1300);
    assert_eq!(frames.len(), 51);
    run(1, vec![case("10.1.1", &frames, &[(TEXT, &payload)], End::Clean)]);
}

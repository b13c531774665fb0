//! 7 the end of a connection.

use super::{Case, End, case, run};
use crate::wire::{CLOSE, CONTINUATION, FINAL, MORE, PING, TEXT, frame};

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FINAL | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

#[test]
fn autobahn_7_close() {
    let hello: &[u8] = b"Hello World!";
    let text = || frame(FINAL | TEXT, hello);
    let bye = || close(1000, b"");
    let answered = || End::Answered(Some(1000));
    let large = b"BAsd7&jh23"
        .iter()
        .copied()
        .cycle()
        .take(256 * 1024)
        .collect::<Vec<_>>();
    let ping = || frame(FINAL | PING, b"");
    let mut cases = vec![
        case("7.1.1", &[text()], &[(TEXT, hello)], End::Clean),
        case("7.1.2", &[bye(), frame(FINAL | CLOSE, b"")], &[], answered()),
        case("7.1.3", &[bye(), ping()], &[], answered()),
        case("7.1.4", &[bye(), text()], &[], answered()),
        fragment_after_close(),
        case(
            "7.1.6",
            &[frame(FINAL | TEXT, &large), text(), bye(), ping()],
            &[(TEXT, &large), (TEXT, hello)],
            answered(),
        ),
        case("7.3.1", &[frame(FINAL | CLOSE, b"")], &[], End::Answered(None)),
        case("7.3.2", &[frame(FINAL | CLOSE, b"a")], &[], End::Failed(1002)),
        case("7.3.3", &[bye()], &[], answered()),
        case("7.3.4", &[close(1000, hello)], &[], answered()),
        case("7.3.5", &[close(1000, &[b'*'; 123])], &[], answered()),
        case("7.3.6", &[close(1000, &[b'*'; 124])], &[], End::Failed(1002)),
        case(
            "7.5.1",
            &[close(
                1000,
                b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
            )],
            &[],
            End::Failed(1007),
        ),
    ];
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for (n, code) in (1..).zip(valid) {
        let answer = End::Answered(Some(code));
        cases.push(case(format!("7.7.{n}"), &[close(code, b"")], &[], answer));
    }
    let invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    for (n, code) in (1..).zip(invalid) {
        cases.push(case(format!("7.9.{n}"), &[close(code, b"")], &[], End::Failed(1002)));
    }
    for (n, code) in [(1, 5000), (2, 65_535)] {
        cases.push(case(format!("7.13.{n}"), &[close(code, b"")], &[], End::Failed(1002)));
    }
    run(37, cases);
}

fn fragment_after_close() -> Case {
    let frames = [
        frame(MORE | TEXT, b"fragment1"),
        close(1000, b""),
        frame(FINAL | CONTINUATION, b"fragment2"),
    ];
    case("7.1.5", &frames, &[], End::Answered(Some(1000)))
}

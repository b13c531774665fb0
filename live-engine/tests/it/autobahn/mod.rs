//! The cases of the Autobahn test suite (crossbario/autobahn-testsuite, whose program needs
//! Python 2), by their numbers, against an echo server that reads and writes with what the
//! engine reads and writes with. Where the suite accepts a lax answer as well as the strict
//! one, only the strict one passes here.
//!
//! Every case that the suite runs against a server is here, with these differences:
//!
//! - 6.4: where the suite waits a second to see that nothing has failed yet, a ping is
//!   answered, or, inside a frame, the next part follows.
//! - 7.1.6, 7.13.1, 7.13.2 are informational there; here they are held to what we do.
//! - 9.7, 9.8, 12 and 13 send fewer messages of each size: they measure, which is for
//!   `benches/`. The suite's own files in 12 and 13 are replaced by data of the same kinds.
//! - 13.3 and 13.5 offer only windows of 512 bytes, which one message for all cannot have:
//!   the offer is declined, and plain messages are echoed.
//! - 9.9 and 9.10 are switched off there; 0, 8 and 11 have no cases.

mod close;
mod deflate;
mod echo;
mod fragments;
mod framing;
mod limits;
mod utf8;

use crate::wire::{CLOSE, Client, FINAL, frame};

/// What a case does, in order.
enum Step {
    /// Sends bytes, so many at a time.
    Send(Vec<u8>, usize),
    /// Waits for this message or pong.
    Hear(u8, Vec<u8>),
}

/// How a case ends.
enum End {
    /// We close with 1000, and are answered with the same.
    Clean,
    /// We have closed already, and are answered with this code, or with none.
    Answered(Option<u16>),
    /// The server closes with this code.
    Failed(u16),
}

/// A case of the suite.
struct Case {
    name: String,
    steps: Vec<Step>,
    end: End,
}

/// A case from its frames, each sent at once.
fn case(name: impl Into<String>, frames: &[Vec<u8>], heard: &[(u8, &[u8])], end: End) -> Case {
    chopped(name, frames, usize::MAX, heard, end)
}

/// A case from its frames, each sent so many bytes at a time.
fn chopped(name: impl Into<String>, frames: &[Vec<u8>], chop: usize, heard: &[(u8, &[u8])], end: End) -> Case {
    let sent = frames.iter().map(|frame| Step::Send(frame.clone(), chop));
    let heard = heard.iter().map(|(opcode, bytes)| Step::Hear(*opcode, bytes.to_vec()));
    Case {
        name: name.into(),
        steps: sent.chain(heard).collect(),
        end,
    }
}

/// Runs cases, of which there must be `count` under different names.
fn run(count: usize, cases: Vec<Case>) {
    let server = echo::start();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| case.name.clone()).collect();
    assert_eq!((cases.len(), names.len()), (count, count));
    for Case { name, steps, end } in cases {
        let mut client = Client::open(server, "/ws", None);
        for step in steps {
            match step {
                Step::Send(bytes, chop) => client.send(&bytes, chop),
                Step::Hear(opcode, bytes) => {
                    let heard = client.message();
                    assert!(heard == Some((opcode, bytes)), "case {name} heard {heard:?}");
                }
            }
        }
        let closed = match end {
            End::Clean => {
                client.send(&frame(FINAL | CLOSE, &1000_u16.to_be_bytes()), usize::MAX);
                Some(1000)
            }
            End::Answered(code) => code,
            End::Failed(code) => Some(code),
        };
        assert_eq!(client.closed(), Ok(closed), "case {name}");
    }
}

//! What a reader is written next, in one piece: every tick from its place to the head
//! and, behind them, the newest frame that may be missed.
//!
//! One write to a socket costs the same whatever its size, nearly; many small ones cost
//! many times that. Readers who were visited one after the other lack the same ticks, so
//! a piece is put together once for all of them and kept until the next one is needed.

use std::cell::RefCell;

use bytes::Bytes;

use super::{Encoded, RoomLog, Variant};

/// A piece ends with the tick that reaches this size: a reader who takes no more keeps at
/// most a frame of it.
const RUN_BYTES: usize = 64 * 1024;

/// A frame that may be missed, on its way to every reader once.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// Tells it from those before it.
    pub number: u64,
    /// The tick whose ephemeral frame it is.
    pub tick: &'a Encoded,
}

/// What a reader finds at a place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read<T> {
    /// Nothing yet: the reader has everything numbered.
    Head,
    /// The tick is no longer kept.
    Gone,
    /// What came of handing over the piece; so long it was, and where it ends.
    Run {
        /// What `take` gave back.
        taken: T,
        /// The piece.
        bytes: usize,
        /// The place after it.
        end: u64,
    },
}

/// The pieces put together last, one a variant. Cleared with [`RoomLog::forget_runs`].
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    pieces: RefCell<[Piece; 4]>,
}

#[derive(Clone, Debug, Default)]
struct Piece {
    /// From which place, up to which, and with which passing frame.
    of: Option<(u64, u64, Option<u64>)>,
    bytes: Vec<u8>,
}

impl RoomLog {
    /// Hands `take` what a reader at `place` is to be written next.
    pub fn read<T>(
        &self,
        place: u64,
        variant: Variant,
        passing: Option<Passing<'_>>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Read<T> {
        let Some(index) = place.checked_sub(self.first) else {
            return Read::Gone;
        };
        let Some(first) = usize::try_from(index).ok().and_then(|index| self.ticks.get(index)) else {
            return Read::Head;
        };
        let framed = first.framed(variant);
        if place + 1 == self.next() {
            // The newest alone, which most readers lack: not even a reference is taken.
            let with_it = passing.is_none_or(|passing| std::ptr::eq(passing.tick, &raw const **first));
            if with_it {
                let end = if passing.is_some() {
                    framed.bytes.len()
                } else {
                    framed.numbered
                };
                return Read::Run {
                    taken: take(&framed.bytes[..end]),
                    bytes: end,
                    end: place + 1,
                };
            }
        }
        let mut pieces = self.runs.pieces.borrow_mut();
        let piece = &mut pieces[variant.index()];
        let of = (place, self.next(), passing.map(|passing| passing.number));
        let end = if piece.of == Some(of) {
            self.end_of_run(place, variant)
        } else {
            piece.of = Some(of);
            piece.bytes.clear();
            self.gather(place, variant, passing, &mut piece.bytes)
        };
        Read::Run {
            taken: take(&piece.bytes),
            bytes: piece.bytes.len(),
            end,
        }
    }

    /// Puts a piece together; the place after it.
    fn gather(&self, place: u64, variant: Variant, passing: Option<Passing<'_>>, out: &mut Vec<u8>) -> u64 {
        let end = self.end_of_run(place, variant);
        for tick in self.ticks_in(place, end) {
            out.extend_from_slice(tick.framed(variant).numbered());
        }
        if end == self.next()
            && let Some(passing) = passing
        {
            out.extend_from_slice(passing.tick.framed(variant).ephemeral());
        }
        end
    }

    fn end_of_run(&self, place: u64, variant: Variant) -> u64 {
        let (mut end, mut bytes) = (place, 0);
        for tick in self.ticks_in(place, self.next()) {
            bytes += tick.framed(variant).numbered;
            end += 1;
            if bytes >= RUN_BYTES {
                break;
            }
        }
        end
    }

    fn ticks_in(&self, from: u64, to: u64) -> impl Iterator<Item = &Encoded> {
        let index = |place: u64| usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let to = index(to).min(self.ticks.len());
        self.ticks.range(index(from).min(to)..to).map(|tick| &**tick)
    }

    /// Where a reader is who took only `sent` bytes of the piece at `place`: the place to go
    /// on from, after the rest of the frame that has begun.
    #[must_use]
    pub fn advance(&self, place: u64, variant: Variant, passing: Option<Passing<'_>>, sent: usize) -> (u64, Bytes) {
        let (mut at, mut left) = (place, sent);
        for tick in self.ticks_in(place, self.end_of_run(place, variant)) {
            if left == 0 {
                return (at, Bytes::new());
            }
            let framed = tick.framed(variant);
            at += 1;
            if left < framed.numbered {
                return (at, framed.bytes.slice(left..framed.numbered));
            }
            left -= framed.numbered;
        }
        let rest = passing.map(|passing| {
            let framed = passing.tick.framed(variant);
            framed.bytes.slice((framed.numbered + left).min(framed.bytes.len())..)
        });
        // Not one byte of it: it is missed.
        let rest = rest.filter(|_| left > 0).unwrap_or_default();
        (at, rest)
    }

    /// Lets go of pieces that nobody needs any more.
    pub fn forget_runs(&self) {
        *self.runs.pieces.borrow_mut() = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use shared::protocol::Format;

    use super::*;
    use crate::room::log::{Framed, LogLimits};

    const JSON: Variant = Variant::plain(Format::Json);

    fn tick(n: u64, numbered: &str) -> Arc<Encoded> {
        let framed = Framed {
            bytes: Bytes::from(format!("{numbered}({n})")),
            numbered: numbered.len(),
        };
        Arc::new(Encoded::new(n, n, Instant::now(), [framed.clone(), framed]))
    }

    fn log_of(ticks: &[Arc<Encoded>]) -> RoomLog {
        let limits = LogLimits {
            bytes: usize::MAX,
            age: Duration::from_secs(60),
        };
        let mut log = RoomLog::new(1, 0, limits);
        for tick in ticks {
            assert!(log.push(tick.clone()));
        }
        log
    }

    fn read(log: &RoomLog, place: u64, passing: Option<Passing<'_>>) -> Option<(String, u64)> {
        match log.read(place, JSON, passing, |bytes| {
            String::from_utf8_lossy(bytes).into_owned()
        }) {
            Read::Run { taken, bytes, end } => {
                assert_eq!(taken.len(), bytes);
                Some((taken, end))
            }
            Read::Head | Read::Gone => None,
        }
    }

    #[test]
    fn a_reader_gets_all_that_it_lacks_in_one_piece() {
        let ticks = [tick(1, "<1>"), tick(2, "<2>"), tick(3, "<3>")];
        let log = log_of(&ticks);
        let (older, newest) = (
            Passing {
                number: 1,
                tick: &ticks[0],
            },
            Passing {
                number: 2,
                tick: &ticks[2],
            },
        );
        let run = |place, passing| read(&log, place, passing);
        assert_eq!(run(0, None), Some(("<1><2><3>".into(), 3)));
        assert_eq!(run(1, Some(older)), Some(("<2><3>(1)".into(), 3)));
        assert_eq!(
            run(1, Some(newest)),
            Some(("<2><3>(3)".into(), 3)),
            "not the piece before"
        );
        assert_eq!(run(2, None), Some(("<3>".into(), 3)));
        assert_eq!(run(2, Some(newest)), Some(("<3>(3)".into(), 3)));
        assert_eq!(run(2, Some(older)), Some(("<3>(1)".into(), 3)));
        assert_eq!(run(3, None), None);
    }

    #[test]
    fn a_piece_ends_where_it_is_large_enough_and_what_may_be_missed_waits_for_the_last() {
        let large = format!("<{}>", "x".repeat(RUN_BYTES));
        let ticks = [tick(1, &large), tick(2, "<2>")];
        let log = log_of(&ticks);
        let passing = Passing {
            number: 1,
            tick: &ticks[1],
        };
        assert_eq!(read(&log, 0, Some(passing)), Some((large, 1)));
        assert_eq!(read(&log, 1, Some(passing)), Some(("<2>(2)".into(), 2)));
    }

    #[test]
    fn who_takes_less_goes_on_within_the_frame_that_has_begun() {
        let ticks = [tick(1, "<1>"), tick(2, "<22>")];
        let log = log_of(&ticks);
        let passing = Passing {
            number: 1,
            tick: &ticks[0],
        };
        let expected = [
            (0, (0, "")),
            (1, (1, "1>")),
            (3, (1, "")),
            (4, (2, "22>")),
            (7, (2, "")),
            (8, (2, "1)")),
        ];
        for (sent, (place, rest)) in expected {
            let (at, begun) = log.advance(0, JSON, Some(passing), sent);
            assert_eq!((at, &begun[..]), (place, rest.as_bytes()), "{sent} bytes");
        }
    }
}

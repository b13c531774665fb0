//! The one writer of a connection: everything that leaves a socket goes through here, so
//! that a frame once begun is finished before anything else starts.
//!
//! Sans-IO: it is handed a `write` function. Room frames are written straight from the
//! room's shared log; what is kept of them is the place to go on, and of a frame that
//! the socket took only half of, a reference to the rest. What is for this connection
//! alone waits in one small bounded buffer that goes out between frames.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::room::log::{Passing, Read, RoomLog, Variant};

/// How far writing got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pumped {
    /// Nothing waits.
    Drained,
    /// The socket takes no more for now.
    Blocked,
    /// The log has moved past this reader.
    TooSlow,
    /// The close frame is out; nothing may follow.
    Finished,
    /// The socket is gone.
    Dead,
}

/// More waits for this connection than it may keep waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// A close frame is queued: the last thing that is sent.
    Closing,
}

/// What the socket has not taken yet.
#[derive(Debug, Default)]
struct Waiting {
    /// The rest of a frame that has begun, and whether it is of `private`.
    begun: Bytes,
    begun_private: bool,
    /// Whole frames for this connection alone.
    private: BytesMut,
}

impl Waiting {
    /// Writes all of it, or says why not.
    fn write(&mut self, write: &mut impl FnMut(&[u8]) -> io::Result<usize>) -> Option<Pumped> {
        loop {
            while !self.begun.is_empty() {
                match write(&self.begun) {
                    Ok(0) => return Some(Pumped::Dead),
                    Ok(sent) => self.begun.advance(sent),
                    Err(error) => {
                        if let Some(stop) = stop(&error) {
                            return Some(stop);
                        }
                    }
                }
            }
            if self.private.is_empty() {
                return None;
            }
            self.begun = std::mem::take(&mut self.private).freeze();
            self.begun_private = true;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    /// Nothing while nothing waits, which is what an idle connection costs.
    waiting: Option<Box<Waiting>>,
    /// The room's next tick for it, once it has joined.
    place: Option<u64>,
    phase: Phase,
    max_private_bytes: u32,
}

impl Writer {
    /// A writer with nothing to do.
    #[must_use]
    pub fn new(max_private_bytes: usize) -> Self {
        Self {
            waiting: None,
            place: None,
            phase: Phase::Open,
            max_private_bytes: u32::try_from(max_private_bytes).unwrap_or(u32::MAX),
        }
    }

    /// Sends whole frames to this connection alone: at once as far as the socket takes
    /// them, unless something waits already.
    ///
    /// # Errors
    /// When too much waits already.
    pub fn send(&mut self, frames: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> Result<Pumped, Full> {
        if self.phase == Phase::Closing {
            return Ok(Pumped::Drained);
        }
        if self.waiting.is_some() {
            self.push(frames)?;
            return Ok(self.write_waiting(&mut write).unwrap_or(Pumped::Drained));
        }
        let mut rest = frames;
        while !rest.is_empty() {
            match write(rest) {
                Ok(0) => return Ok(Pumped::Dead),
                Ok(sent) => rest = &rest[sent..],
                Err(error) => {
                    let Some(stop) = stop(&error) else { continue };
                    let waiting = self.waiting.get_or_insert_default();
                    if rest.len() == frames.len() {
                        waiting.private.extend_from_slice(rest);
                    } else {
                        waiting.begun = Bytes::copy_from_slice(rest);
                        waiting.begun_private = true;
                    }
                    return Ok(stop);
                }
            }
        }
        Ok(Pumped::Drained)
    }

    /// Queues whole frames for this connection alone. After a close frame they are
    /// dropped in silence. What finds nothing waiting is taken whatever its size: a
    /// snapshot may be larger than what may pile up.
    ///
    /// # Errors
    /// When too much waits already.
    pub fn push(&mut self, frames: &[u8]) -> Result<(), Full> {
        if self.phase == Phase::Closing {
            return Ok(());
        }
        let waiting = self.waiting.get_or_insert_default();
        let begun = if waiting.begun_private { waiting.begun.len() } else { 0 };
        let bytes = waiting.private.len() + begun;
        if bytes > 0 && bytes + frames.len() > self.max_private_bytes as usize {
            return Err(Full);
        }
        waiting.private.extend_from_slice(frames);
        Ok(())
    }

    /// Queues the close frame: what has begun is finished, what waits for this connection
    /// alone goes first, room frames end.
    pub fn close(&mut self, frame: &[u8]) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            self.place = None;
            self.waiting.get_or_insert_default().private.extend_from_slice(frame);
        }
    }

    /// Drops what waits, apart from a frame that has begun: for a reader that is too
    /// slow to get it anyway.
    pub fn abandon(&mut self) {
        if let Some(waiting) = self.waiting.as_mut().filter(|_| self.phase == Phase::Open) {
            waiting.private = BytesMut::new();
        }
    }

    /// From which tick on the room's frames are written; `None` ends them.
    pub fn follow(&mut self, place: Option<u64>) {
        if self.phase == Phase::Open {
            self.place = place;
        }
    }

    /// Writes as much as the socket takes: the frame that has begun, then what is for
    /// this connection alone, then the room's ticks and `passing` with them, in as few
    /// pieces as there can be. A reader that lags does without what may be missed.
    pub fn pump(
        &mut self,
        log: Option<&RoomLog>,
        variant: Variant,
        mut passing: Option<Passing<'_>>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Pumped {
        loop {
            if let Some(stop) = self.write_waiting(&mut write) {
                return stop;
            }
            if self.phase == Phase::Closing {
                return Pumped::Finished;
            }
            let (Some(place), Some(log)) = (self.place, log) else {
                return Pumped::Drained;
            };
            let (taken, bytes, end) = match log.read(place, variant, passing, &mut write) {
                Read::Run { taken, bytes, end } => (taken, bytes, end),
                Read::Gone => return Pumped::TooSlow,
                Read::Head => {
                    return passing.map_or(Pumped::Drained, |passing| self.pass(variant, passing, &mut write));
                }
            };
            let sent = match taken {
                Ok(0) => return Pumped::Dead,
                Ok(sent) => sent,
                Err(error) => match stop(&error) {
                    Some(stop) => return stop,
                    None => continue,
                },
            };
            if sent == bytes {
                self.place = Some(end);
                if end == log.next() {
                    return Pumped::Drained;
                }
            } else {
                let (place, rest) = log.advance(place, variant, passing, sent);
                self.place = Some(place);
                // It has begun to go with the rest, or is missed.
                passing = passing.filter(|_| end != log.next());
                if !rest.is_empty() {
                    self.begin(rest);
                }
            }
        }
    }

    /// Writes a frame that may be missed to a reader who has everything else; or not.
    fn pass(
        &mut self,
        variant: Variant,
        passing: Passing<'_>,
        write: &mut impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Pumped {
        let framed = passing.tick.framed(variant);
        let frame = framed.bytes.slice(framed.numbered..);
        match write(&frame) {
            Ok(0) => Pumped::Dead,
            Ok(sent) if sent < frame.len() => {
                self.begin(frame.slice(sent..));
                self.write_waiting(write).unwrap_or(Pumped::Drained)
            }
            Ok(_) => Pumped::Drained,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Pumped::Drained,
            Err(error) => stop(&error).unwrap_or(Pumped::Drained),
        }
    }

    /// Keeps the rest of a room's frame, which is a reference to the log's bytes.
    fn begin(&mut self, rest: Bytes) {
        self.waiting = Some(Box::new(Waiting {
            begun: rest,
            ..Waiting::default()
        }));
    }

    fn write_waiting(&mut self, write: &mut impl FnMut(&[u8]) -> io::Result<usize>) -> Option<Pumped> {
        let stop = self.waiting.as_mut()?.write(write);
        if stop.is_none() {
            self.waiting = None;
        }
        stop
    }
}

fn stop(error: &io::Error) -> Option<Pumped> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Some(Pumped::Blocked),
        io::ErrorKind::Interrupted => None,
        _ => Some(Pumped::Dead),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use shared::protocol::Format;

    use super::*;
    use crate::room::log::{Encoded, Framed, LogLimits};

    const MAX_PRIVATE: usize = 64;
    const JSON: Variant = Variant::plain(Format::Json);

    /// A tick whose frames can be told apart: `<n n n>` numbered, `(n)` ephemeral.
    fn tick(n: u64, at: Instant) -> Arc<Encoded> {
        let numbered = format!(
            "<{}>",
            format!("{n} ").repeat(usize::try_from(n % 5).expect("small") + 1)
        );
        let framed = Framed {
            bytes: Bytes::from(format!("{numbered}({n})")),
            numbered: numbered.len(),
        };
        Arc::new(Encoded::new(n, n, at, [framed.clone(), framed]))
    }

    fn log(bytes: usize) -> RoomLog {
        let age = Duration::from_secs(60);
        RoomLog::new(1, 0, LogLimits { bytes, age })
    }

    /// A socket that takes so many bytes and then blocks.
    fn take<'a>(sent: &'a mut Vec<u8>, room: &'a mut usize) -> impl FnMut(&[u8]) -> io::Result<usize> + 'a {
        move |bytes| {
            if *room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(*room);
            *room -= n;
            sent.extend_from_slice(&bytes[..n]);
            Ok(n)
        }
    }

    /// The frames that a client reads; panics on one that was cut into.
    fn frames(sent: &[u8]) -> Vec<String> {
        let (mut frames, mut rest) = (Vec::new(), std::str::from_utf8(sent).expect("text"));
        while let Some(open) = rest.chars().next() {
            let close = match open {
                '<' => '>',
                '(' => ')',
                '[' => ']',
                '{' => '}',
                other => panic!("a frame begins with {other:?}: {rest}"),
            };
            let end = rest.find(close).expect("a whole frame");
            let frame = &rest[..=end];
            assert!(!frame[1..].contains(['<', '(', '[', '{']), "cut into: {frame}");
            frames.push(frame.to_owned());
            rest = &rest[end + 1..];
        }
        frames
    }

    #[derive(Clone, Debug)]
    enum Step {
        Tick,
        /// A private frame, while the socket takes so many bytes.
        Private(usize),
        Room(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Tick),
            1 => (0..8_usize).prop_map(Step::Private),
            4 => (0..40_usize).prop_map(Step::Room),
        ]
    }

    proptest! {
        #[test]
        fn however_little_a_socket_takes_it_gets_every_frame_whole_and_in_order(
            steps in prop::collection::vec(any_step(), 0..120)
        ) {
            let (mut log, mut writer, at) = (log(usize::MAX), Writer::new(usize::MAX), Instant::now());
            writer.follow(Some(0));
            let (mut sent, mut ticks, mut privates) = (Vec::new(), 0, 0);
            // The newest frame that may be missed, offered once.
            let mut newest = None;
            for step in steps.into_iter().chain([Step::Room(usize::MAX)]) {
                match step {
                    Step::Tick => {
                        ticks += 1;
                        prop_assert!(log.push(tick(ticks, at)));
                        newest = Some(tick(ticks, at));
                    }
                    Step::Private(mut room) => {
                        let frame = format!("[{privates}]");
                        writer.send(frame.as_bytes(), take(&mut sent, &mut room)).expect("no limit");
                        privates += 1;
                    }
                    Step::Room(mut room) => {
                        let (left, tick) = (room, newest.take());
                        let passing = tick.as_ref().map(|tick| Passing { number: ticks, tick });
                        let pumped = writer.pump(Some(&log), JSON, passing, take(&mut sent, &mut room));
                        prop_assert!(pumped == Pumped::Drained || room == 0, "{pumped:?} with {room} of {left}");
                    }
                }
            }
            let heard = frames(&sent);
            let of = |open: char| heard.iter().filter(|frame| frame.starts_with(open)).cloned().collect::<Vec<_>>();
            let expected: Vec<_> = (1..=ticks)
                .map(|n| String::from_utf8(tick(n, at).framed(JSON).numbered().to_vec()).expect("text"))
                .collect();
            prop_assert_eq!(of('<'), expected, "every numbered frame, once and in order");
            let passed = of('(');
            prop_assert!(passed.windows(2).all(|pair| pair[0] != pair[1]), "what may be missed, once at most");
            let expected: Vec<_> = (0..privates).map(|n| format!("[{n}]")).collect();
            prop_assert_eq!(of('['), expected, "every private frame, once and in order");
        }

        #[test]
        fn a_reader_that_the_log_has_passed_has_a_prefix_and_is_told_so(
            rooms in prop::collection::vec(0..12_usize, 1..60)
        ) {
            let (mut log, mut writer, at) = (log(60), Writer::new(MAX_PRIVATE), Instant::now());
            writer.follow(Some(0));
            let mut sent = Vec::new();
            let mut ended = None;
            for (n, mut room) in (1..).zip(rooms) {
                log.push(tick(n, at));
                let pumped = writer.pump(Some(&log), JSON, None, take(&mut sent, &mut room));
                if pumped == Pumped::TooSlow {
                    writer.close(b"{4008}");
                    let mut room = usize::MAX;
                    ended = Some(writer.pump(Some(&log), JSON, None, take(&mut sent, &mut room)));
                    break;
                }
            }
            if let Some(ended) = ended {
                prop_assert_eq!(ended, Pumped::Finished);
                let heard = frames(&sent);
                prop_assert_eq!(heard.last().map(String::as_str), Some("{4008}"));
                for (n, frame) in (1..).zip(&heard[..heard.len() - 1]) {
                    prop_assert!(frame.starts_with(&format!("<{n} ")), "{heard:?}");
                }
            }
        }
    }

    #[test]
    fn everything_that_a_reader_lacks_goes_out_in_one_write() {
        let (mut log, mut writer, at) = (log(usize::MAX), Writer::new(MAX_PRIVATE), Instant::now());
        writer.follow(Some(0));
        let newest = tick(2, at);
        log.push(tick(1, at));
        log.push(newest.clone());
        let passing = Passing {
            number: 1,
            tick: &newest,
        };
        let mut writes = Vec::new();
        let pumped = writer.pump(Some(&log), JSON, Some(passing), |bytes| {
            writes.push(frames(bytes));
            Ok(bytes.len())
        });
        assert_eq!(pumped, Pumped::Drained);
        assert_eq!(writes, [["<1 1 >", "<2 2 2 >", "(2)"]]);
    }

    #[test]
    fn passing_frames_are_dropped_for_who_lags_and_never_cut_off() {
        let (mut log, mut writer, at) = (log(usize::MAX), Writer::new(MAX_PRIVATE), Instant::now());
        writer.follow(Some(0));
        let hearts = tick(7, at);
        let pump = |writer: &mut Writer, log: &RoomLog, number, sent: &mut Vec<u8>, mut room| {
            let passing = Passing { number, tick: &hearts };
            writer.pump(Some(log), JSON, Some(passing), take(sent, &mut room))
        };
        let mut sent = Vec::new();
        assert_eq!(
            pump(&mut writer, &log, 1, &mut sent, 0),
            Pumped::Drained,
            "nothing waits"
        );
        assert_eq!(pump(&mut writer, &log, 2, &mut sent, 2), Pumped::Blocked);
        assert_eq!(pump(&mut writer, &log, 3, &mut sent, 0), Pumped::Blocked);
        log.push(tick(1, at));
        let mut room = usize::MAX;
        writer.pump(Some(&log), JSON, None, take(&mut sent, &mut room));
        assert_eq!(frames(&sent), ["(7)", "<1 1 >"]);
    }

    #[test]
    fn private_frames_are_bounded_and_nothing_follows_a_close_frame() {
        let (log, mut writer) = (log(usize::MAX), Writer::new(MAX_PRIVATE));
        let large = format!("[{}]", "x".repeat(MAX_PRIVATE * 2));
        assert_eq!(writer.push(large.as_bytes()), Ok(()), "alone, whatever its size");
        assert_eq!(writer.push(b"[1]"), Err(Full));
        let (mut sent, mut room) = (Vec::new(), 10);
        let pumped = writer.pump(Some(&log), JSON, None, take(&mut sent, &mut room));
        assert_eq!(pumped, Pumped::Blocked);
        assert_eq!(writer.push(b"[1]"), Err(Full), "what has begun counts");
        writer.abandon();
        writer.close(b"{bye}");
        assert_eq!(writer.push(b"[2]"), Ok(()));
        writer.close(b"{again}");
        room = usize::MAX;
        let pumped = writer.pump(Some(&log), JSON, None, take(&mut sent, &mut room));
        assert_eq!(pumped, Pumped::Finished);
        assert_eq!(frames(&sent), [large, "{bye}".to_owned()]);
    }
}

//! The one writer of a connection: everything that leaves a socket goes through here, so
//! that a frame once begun is finished before anything else starts.
//!
//! Sans-IO: it is handed a `write` function. Room frames are written straight from the
//! room's shared log; what is kept of them is the place to go on, and of a frame that
//! the socket took only half of, a reference to the rest. What is for this connection
//! alone waits in one small bounded buffer that goes out between frames.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use shared::protocol::Format;

use crate::room::log::{Place, RoomLog};

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

/// See the module.
#[derive(Debug)]
pub struct Writer {
    /// The rest of a frame that has begun, and whether it is of `private`.
    begun: Bytes,
    begun_private: bool,
    /// Whole frames for this connection alone.
    private: BytesMut,
    /// The room's next tick for it, once it has joined.
    place: Option<u64>,
    phase: Phase,
    max_private_bytes: usize,
}

impl Writer {
    /// A writer with nothing to do.
    #[must_use]
    pub fn new(max_private_bytes: usize) -> Self {
        Self {
            begun: Bytes::new(),
            begun_private: false,
            private: BytesMut::new(),
            place: None,
            phase: Phase::Open,
            max_private_bytes,
        }
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
        let waiting = self.private.len() + if self.begun_private { self.begun.len() } else { 0 };
        if waiting > 0 && waiting + frames.len() > self.max_private_bytes {
            return Err(Full);
        }
        self.private.extend_from_slice(frames);
        Ok(())
    }

    /// Queues the close frame: what has begun is finished, what waits for this connection
    /// alone goes first, room frames end.
    pub fn close(&mut self, frame: &[u8]) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            self.place = None;
            self.private.extend_from_slice(frame);
        }
    }

    /// Drops what waits, apart from a frame that has begun: for a reader that is too
    /// slow to get it anyway.
    pub fn abandon(&mut self) {
        if self.phase == Phase::Open {
            self.private = BytesMut::new();
        }
    }

    /// From which tick on the room's frames are written; `None` ends them.
    pub fn follow(&mut self, place: Option<u64>) {
        if self.phase == Phase::Open {
            self.place = place;
        }
    }

    /// Writes as much as the socket takes: the frame that has begun, then what is for
    /// this connection alone, then the room's ticks. With `ephemeral`, the newest tick's
    /// ephemeral frame goes with it; a reader that lags does without.
    pub fn pump(
        &mut self,
        log: Option<&RoomLog>,
        format: Format,
        ephemeral: bool,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Pumped {
        loop {
            if let Some(stop) = self.finish_begun(&mut write) {
                return stop;
            }
            if !self.private.is_empty() {
                self.begun = std::mem::take(&mut self.private).freeze();
                self.begun_private = true;
                continue;
            }
            if self.phase == Phase::Closing {
                return Pumped::Finished;
            }
            let (Some(place), Some(log)) = (self.place, log) else {
                return Pumped::Drained;
            };
            match log.at(place) {
                Place::Head => return Pumped::Drained,
                Place::Gone => return Pumped::TooSlow,
                Place::Tick(tick, newest) => {
                    let framed = tick.framed(format);
                    let end = if newest && ephemeral {
                        framed.bytes.len()
                    } else {
                        framed.numbered
                    };
                    // The straight way: no copy, not even a reference is taken.
                    let sent = match write(&framed.bytes[..end]) {
                        Ok(sent) => sent,
                        Err(error) => match stop(&error) {
                            Some(stop) => return stop,
                            None => continue,
                        },
                    };
                    if sent == 0 {
                        return Pumped::Dead;
                    }
                    self.place = Some(place + 1);
                    if sent < framed.numbered {
                        self.begun = framed.bytes.slice(sent..framed.numbered);
                    } else if sent > framed.numbered && sent < end {
                        self.begun = framed.bytes.slice(sent..end);
                    }
                }
            }
        }
    }

    /// Writes frames that may be missed, if nothing else waits; otherwise drops them.
    pub fn offer(
        &mut self,
        log: &RoomLog,
        frames: &Bytes,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Pumped {
        let idle = self.begun.is_empty() && self.private.is_empty() && self.phase == Phase::Open;
        if !idle || !matches!(self.place.map(|place| log.at(place)), Some(Place::Head)) {
            return Pumped::Drained;
        }
        match write(frames) {
            Ok(0) => Pumped::Dead,
            Ok(sent) if sent < frames.len() => {
                self.begun = frames.slice(sent..);
                Pumped::Blocked
            }
            Ok(_) => Pumped::Drained,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Pumped::Drained,
            Err(error) => stop(&error).unwrap_or(Pumped::Drained),
        }
    }

    fn finish_begun(&mut self, write: &mut impl FnMut(&[u8]) -> io::Result<usize>) -> Option<Pumped> {
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
        // Lets go of the tick's bytes, which an empty slice would keep alive.
        self.begun = Bytes::new();
        self.begun_private = false;
        None
    }
}

fn stop(error: &io::Error) -> Option<Pumped> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Some(Pumped::Blocked),
        io::ErrorKind::Interrupted => None,
        _ => Some(Pumped::Dead),
    }
}

//! A connection's dialogue from its first byte to its last: the upgrade, who is there,
//! then one command after the other.
//!
//! It goes on when there is something to read, and has no task. Only while a proof or a
//! command waits for something does one wait for it; nothing more is read from that
//! connection until it is done, and what was read already is kept for then.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::protocol::{
    ClientCommand, ClientFrame, Format, MAX_CLIENT_FRAME_BYTES, Millis, Private, read_client_frame,
};

use tracing::Instrument as _;

use super::conn::{Conn, Ending};
use super::deflate::Inflater;
use super::frame::{self, Opcode};
use super::handshake::{self, Answer, Upgrade};
use super::reader::{Event, ReadError, ReadLimits, Reader};
use super::worker::Worker;
use crate::auth::{self, Proof, Proven};
use crate::commands;
use crate::metrics::{self, Parting};
use crate::trace;

/// Bytes read at once: what a connection that waits keeps at most of what it sent meanwhile.
const SCRATCH_BYTES: usize = 8 * 1024;
/// Try again later (RFC 6455's registry).
const TRY_LATER: u16 = 1013;
/// Against what is allowed here (RFC 6455's registry).
const POLICY: u16 = 1008;

/// What is too much of one client.
const LIMITS: ReadLimits = ReadLimits {
    message_bytes: MAX_CLIENT_FRAME_BYTES as u32,
    fragments: 1024,
};

/// What all connections of a worker read with.
pub struct Scratch {
    bytes: Box<[u8]>,
    inflater: Inflater,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            bytes: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            inflater: Inflater::default(),
        }
    }
}

/// What a connection has said and is not whole.
pub struct Input {
    stage: Stage,
    /// Something that it said is waited for; nothing is read until that is done.
    busy: bool,
    /// What was read and is to be looked at then.
    rest: Box<[u8]>,
}

enum Stage {
    /// The request for the upgrade, as far as it has come.
    Request(Vec<u8>),
    /// Frames.
    Frames(Reader),
}

impl Default for Input {
    fn default() -> Self {
        Self {
            stage: Stage::Request(Vec::new()),
            busy: false,
            rest: Box::default(),
        }
    }
}

impl Input {
    /// Whether the upgrade is still to come.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self.stage, Stage::Request(_))
    }

    /// Whether something is waited for.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.busy
    }
}

/// Reads one portion of what a connection's socket has.
pub fn read(worker: &Rc<Worker>, conn: &Rc<Conn>) {
    if conn.input.borrow().busy || conn.ending() == Ending::Over {
        return;
    }
    let mut scratch = worker.scratch.take().unwrap_or_default();
    match conn.read(&mut scratch.bytes) {
        Ok(0) => conn.end(Parting::Lost),
        Ok(count) => {
            conn.heard.set(worker.turn.now());
            if count == scratch.bytes.len() {
                conn.read_on();
            }
            hear(worker, conn, &mut scratch.bytes[..count], &mut scratch.inflater);
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => conn.read_on(),
        Err(_) => conn.end(Parting::Lost),
    }
    worker.scratch.set(Some(scratch));
}

/// Goes on after what was waited for.
fn go_on(worker: &Rc<Worker>, conn: &Rc<Conn>) {
    let mut rest = {
        let mut input = conn.input.borrow_mut();
        input.busy = false;
        std::mem::take(&mut input.rest)
    };
    let mut scratch = worker.scratch.take().unwrap_or_default();
    hear(worker, conn, &mut rest, &mut scratch.inflater);
    worker.scratch.set(Some(scratch));
    conn.read_on();
}

/// Takes in what was read. What comes from a connection that is closing is dropped.
fn hear(worker: &Rc<Worker>, conn: &Rc<Conn>, bytes: &mut [u8], inflater: &mut Inflater) {
    let mut from = 0;
    while from < bytes.len() && conn.ending() == Ending::No {
        let input = conn.input.borrow();
        if input.busy {
            drop(input);
            conn.input.borrow_mut().rest = bytes[from..].into();
            return;
        }
        let is_request = input.is_request();
        drop(input);
        from += if is_request {
            request(worker, conn, &bytes[from..])
        } else {
            frames(worker, conn, &mut bytes[from..], inflater)
        };
    }
}

/// Takes in a part of the request for the upgrade; gives back how much of it that was.
fn request(worker: &Rc<Worker>, conn: &Rc<Conn>, bytes: &[u8]) -> usize {
    let (answer, known) = {
        let mut input = conn.input.borrow_mut();
        let Stage::Request(request) = &mut input.stage else {
            return 0;
        };
        let known = request.len();
        request.extend_from_slice(bytes);
        let answer = handshake::answer(request, known, &worker.shared.config, conn.peer());
        (answer, known)
    };
    match answer {
        Answer::Incomplete => bytes.len(),
        Answer::Refused { response } => {
            conn.close_with(&response, Parting::Refused);
            bytes.len()
        }
        Answer::Upgraded {
            response,
            upgrade,
            used,
        } => {
            conn.format.set(upgrade.format);
            conn.deflate.set(upgrade.deflate.is_some());
            conn.since.set(worker.turn.now());
            conn.input.borrow_mut().stage = Stage::Frames(Reader::new(LIMITS, upgrade.deflate.is_some()));
            conn.send_raw(&response);
            upgraded(worker, conn, upgrade);
            used - known
        }
    }
}

/// Finds out who is there, or asks.
fn upgraded(worker: &Rc<Worker>, conn: &Rc<Conn>, upgrade: Upgrade) {
    let seated = conn.seat.borrow_mut().move_to(upgrade.address);
    if let Err(refusal) = seated {
        conn.refuse(refusal, TRY_LATER);
        return;
    }
    let (worker, conn) = (worker.clone(), conn.clone());
    match upgrade.proof {
        Proof::Later => conn.send(&Private::Hello(auth::hello(&worker.shared, None, now_ms()))),
        Proof::Ticket(token) => wait_for(worker.clone(), conn.clone(), async move {
            let proven = auth::ticket(&worker.shared, &token);
            let proven = proven.instrument(trace::connection(conn.id)).await;
            greet(&worker, &conn, proven);
        }),
        Proof::Bearer(token) => wait_for(worker.clone(), conn.clone(), async move {
            let proven = auth::bearer(&worker.shared, &token);
            let proven = proven.instrument(trace::connection(conn.id)).await;
            greet(&worker, &conn, proven);
        }),
    }
}

/// Lets somebody in, or sends them away.
fn greet(worker: &Worker, conn: &Conn, proven: Result<Proven, Refusal>) {
    let seated = proven.and_then(|proven| {
        let account = proven.identity.user();
        account.map_or(Ok(()), |account| conn.seat.borrow_mut().belong_to(account))?;
        Ok(proven)
    });
    match seated {
        Ok(proven) => {
            let hello = auth::hello(&worker.shared, Some(&proven), now_ms());
            conn.identify(proven.identity, proven.expires_at);
            // Whoever is shut out from now on is found among the connections.
            if worker.require_good(conn) {
                conn.send(&Private::Hello(hello));
            }
        }
        Err(_) if conn.ending() != Ending::No => {}
        Err(refusal) => {
            let code = match refusal.code {
                ErrorCode::Overloaded | ErrorCode::DatabaseUnavailable | ErrorCode::Internal => TRY_LATER,
                code => code
                    .close_code()
                    .or(ErrorCode::TicketInvalid.close_code())
                    .unwrap_or(TRY_LATER),
            };
            conn.refuse(refusal, code);
        }
    }
}

/// A command; or why it is none, with its id where that could be read.
type Command = Result<ClientFrame, (Option<u64>, Refusal)>;

/// Something to act upon; pings are answered along the way.
enum Said {
    Frame(Command),
    OtherKind,
    Close(Option<u16>),
}

/// Takes in frames up to the first that says something; gives back how much that was.
fn frames(worker: &Rc<Worker>, conn: &Rc<Conn>, bytes: &mut [u8], inflater: &mut Inflater) -> usize {
    let format = conn.format.get();
    let (mut said, mut pongs, mut whole) = (None, Vec::new(), false);
    let fed = {
        let mut input = conn.input.borrow_mut();
        let Stage::Frames(reader) = &mut input.stage else {
            return bytes.len();
        };
        let fed = reader.feed(bytes, inflater, |event| {
            // What comes between the fragments of a message is no part of it.
            whole |= matches!(event, Event::Text(_) | Event::Binary(_));
            said = match (event, format) {
                (Event::Text(text), Format::Json) => Some(Said::Frame(read_client_frame(format, text.as_bytes()))),
                (Event::Binary(bytes), Format::MsgPack) => Some(Said::Frame(read_client_frame(format, bytes))),
                (Event::Text(_) | Event::Binary(_), _) => Some(Said::OtherKind),
                (Event::Close(code), _) => Some(Said::Close(code)),
                (Event::Pong, _) => None,
                (Event::Ping(payload), _) => {
                    // Whoever pings without measure is not answered; it is no reason to part.
                    if worker.shared.guards.command(&conn.commands, conn.person()).is_ok() {
                        frame::push(&mut pongs, Opcode::Pong, payload);
                    }
                    None
                }
            };
            match said {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        });
        let begun = conn.begun.get().filter(|_| !whole);
        let now = worker.turn.now();
        conn.begun.set(reader.is_midway().then(|| begun.unwrap_or(now)));
        fed
    };
    if !pongs.is_empty() {
        conn.send_raw(&pongs);
    }
    match fed {
        Ok(used) => {
            if let Some(said) = said {
                act(worker, conn, said);
            }
            used
        }
        Err(error) => {
            fail(conn, error);
            bytes.len()
        }
    }
}

fn act(worker: &Rc<Worker>, conn: &Rc<Conn>, said: Said) {
    match said {
        Said::Close(code) => conn.close_with(&frame::close(code, ""), Parting::Client),
        Said::OtherKind => {
            let detail = "this subprotocol's frames are of the other kind";
            conn.refuse(Refusal::new(ErrorCode::Malformed, detail), 1007);
        }
        Said::Frame(frame) if conn.identity().is_none() => greet(worker, conn, resume(worker, frame)),
        Said::Frame(frame) => {
            metrics::received();
            command(worker, conn, frame);
        }
    }
}

fn command(worker: &Rc<Worker>, conn: &Rc<Conn>, frame: Command) {
    if let Err((_, refusal)) = &frame
        && let Some(code) = refusal.code.close_code()
    {
        conn.refuse(refusal.clone(), code);
        return;
    }
    // What is no command costs as much as one, and its answer more.
    if let Err(refusal) = worker.shared.guards.command(&conn.commands, conn.person()) {
        shed(worker, conn, &frame, refusal);
        return;
    }
    match frame {
        Ok(frame) => {
            let (worker, conn) = (worker.clone(), conn.clone());
            wait_for(worker.clone(), conn.clone(), async move {
                commands::handle(&worker, &conn, frame).await;
            });
        }
        Err((id, refusal)) => {
            metrics::command("unknown", true);
            conn.send(&Private::Error { id, refusal });
        }
    }
}

/// Refuses a command that is one too many, and reads no more from its connection until
/// one more may come: what is sent beyond the rate stays with its sender, and is neither
/// inflated nor parsed here. Who never pauses is sent away.
fn shed(worker: &Rc<Worker>, conn: &Rc<Conn>, frame: &Command, refusal: Refusal) {
    let (id, kind) = match frame {
        Ok(frame) => (Some(frame.id), commands::kind(&frame.command)),
        Err((id, _)) => (*id, "unknown"),
    };
    metrics::command(kind, true);
    metrics::shed_command();
    if conn.is_tireless(worker.turn.now()) {
        conn.refuse(refusal, POLICY);
        return;
    }
    let pause = Duration::from_millis(refusal.retry_after_ms.unwrap_or(1));
    conn.send(&Private::Error { id, refusal });
    wait_for(worker.clone(), conn.clone(), tokio::time::sleep(pause));
}

/// The first frame of who has not said who they are has to be `resume`.
fn resume(worker: &Worker, frame: Command) -> Result<Proven, Refusal> {
    let wrong = || Refusal::new(ErrorCode::TicketInvalid, "the first frame must be resume");
    match frame {
        Ok(frame) => match frame.command {
            ClientCommand::Resume { token } => {
                let shared = &worker.shared;
                auth::resume(&shared.config.token_key, &shared.revoked, &token, now_ms())
            }
            _ => Err(wrong()),
        },
        Err((_, refusal)) if refusal.code == ErrorCode::Malformed => Err(refusal),
        Err(_) => Err(wrong()),
    }
}

/// Does something of a connection. Most of it is done at once; for what has to wait there
/// is a task until it is done.
fn wait_for(worker: Rc<Worker>, conn: Rc<Conn>, work: impl Future<Output = ()> + 'static) {
    let mut work = Box::pin(work);
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
        return;
    }
    conn.input.borrow_mut().busy = true;
    actix_rt::spawn(async move {
        work.await;
        go_on(&worker, &conn);
    });
}

/// Closes a connection whose frames cannot be read, with the code that says why.
fn fail(conn: &Conn, error: ReadError) {
    let refusal = match error {
        ReadError::TooLarge | ReadError::TooManyFragments => ErrorCode::PayloadTooLarge.into(),
        ReadError::Protocol(_) | ReadError::NotUtf8 | ReadError::NotDeflate => {
            Refusal::new(ErrorCode::Malformed, error.to_string())
        }
    };
    conn.refuse(refusal, error.close_code());
}

/// The server's clock.
pub fn now_ms() -> Millis {
    chrono::Utc::now().timestamp_millis()
}

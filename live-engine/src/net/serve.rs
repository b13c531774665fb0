//! A connection from its first byte to its last: accept, upgrade, who is there, then one
//! frame after the other. One task each; it owns the reading side and the connection's
//! place in the worker.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use shared::error::{ErrorCode, Refusal};
use shared::protocol::{ClientCommand, Format, Private, read_client_frame};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::conn::{Conn, Ending};
use super::handshake;
use super::socket::SharedSocket;
use super::worker::Worker;
use crate::auth::{self, Proof, Proven};
use crate::limits::Seat;
use crate::{commands, metrics};

/// The other side broke the protocol (RFC 6455, 7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
/// Try again later (RFC 6455's registry).
const TRY_LATER: u16 = 1013;
/// How long to wait after a failed accept: when the process has no descriptor left, the
/// connection stays in the queue and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Socket = WebSocketStream<SharedSocket>;

/// Accepts connections until the worker refuses more.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = worker.refusing.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                // Too many: closed without a word, which costs least.
                let Some(seat) = worker.shared.guards.seat(peer.ip().to_canonical()) else {
                    continue;
                };
                tune(&socket, worker.shared.config.limits.send_buffer_bytes);
                actix_rt::spawn(serve(worker.clone(), socket, seat));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Sets a socket up. A system that refuses an option serves all the same.
fn tune(socket: &TcpStream, send_buffer_bytes: usize) {
    // Events go out in whole ticks; waiting to fill a segment only delays them.
    let _ = socket.set_nodelay(true);
    let _ = socket2::SockRef::from(socket).set_send_buffer_size(send_buffer_bytes);
}

async fn serve(worker: Rc<Worker>, socket: TcpStream, seat: Seat) {
    let conn = worker.admit(socket, seat);
    if let Some(mut socket) = Box::pin(greet(&worker, &conn)).await {
        read(&worker, &conn, &mut socket).await;
    }
    worker.leave(&conn);
    if conn.ending() == Ending::Closing {
        conn.farewell().await;
    }
    worker.dismiss(&conn);
}

/// Upgrades, and finds out who is there. `None` when it came to nothing.
async fn greet(worker: &Rc<Worker>, conn: &Rc<Conn>) -> Option<Socket> {
    let config = &worker.shared.config;
    let deadline = config.limits.handshake;
    let upgraded = tokio::time::timeout(deadline, handshake::accept(conn, config)).await;
    let Ok(Ok((mut socket, upgrade))) = upgraded else {
        // The response, if there was one, is on its way; so is our half's end.
        conn.farewell_to_http().await;
        return None;
    };
    conn.format.set(upgrade.format);
    if !conn.seat.borrow_mut().move_to(upgrade.address) {
        conn.refuse(ErrorCode::Overloaded.into(), TRY_LATER);
        return Some(socket);
    }
    let proven = match upgrade.proof {
        Proof::Ticket(token) => auth::ticket(&worker.shared, &token).await,
        Proof::Bearer(token) => auth::bearer(&worker.shared, &token).await,
        Proof::Later => {
            conn.send(&Private::Hello(auth::hello(&worker.shared, None, now_ms())));
            let resumed = tokio::time::timeout(deadline, resume(worker, conn, &mut socket)).await;
            resumed.unwrap_or_else(|_| {
                Err(Refusal::new(
                    ErrorCode::TicketInvalid,
                    "who is there? nobody said in time",
                ))
            })
        }
    };
    match proven {
        Ok(proven) => {
            conn.send(&Private::Hello(auth::hello(&worker.shared, Some(&proven), now_ms())));
            conn.identify(proven.identity, proven.expires_at);
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
    Some(socket)
}

/// Reads the first frame, which has to be `resume`.
async fn resume(worker: &Worker, conn: &Rc<Conn>, socket: &mut Socket) -> Result<Proven, Refusal> {
    let wrong = || Refusal::new(ErrorCode::TicketInvalid, "the first frame must be resume");
    let Some(bytes) = next_frame(conn, socket).await else {
        return Err(wrong());
    };
    match read_client_frame(conn.format.get(), &bytes) {
        Ok(frame) => match frame.command {
            ClientCommand::Resume { token } => auth::resume(&worker.shared.config.token_key, &token),
            _ => Err(wrong()),
        },
        Err((_, refusal)) if refusal.code == ErrorCode::Malformed => Err(refusal),
        Err(_) => Err(wrong()),
    }
}

async fn read(worker: &Rc<Worker>, conn: &Rc<Conn>, socket: &mut Socket) {
    while let Some(bytes) = next_frame(conn, socket).await {
        metrics::received();
        match read_client_frame(conn.format.get(), &bytes) {
            Ok(frame) => commands::handle(worker, conn, frame).await,
            Err((id, refusal)) => match refusal.code.close_code() {
                Some(code) => conn.refuse(refusal, code),
                None => {
                    metrics::command("unknown", true);
                    // What is no command costs as much as one, and its answer more.
                    let refusal = worker.shared.guards.command(&conn.commands).err().unwrap_or(refusal);
                    conn.send(&Private::Error { id, refusal });
                }
            },
        }
    }
}

/// The next frame with a command; `None` when the connection closes, from either side.
/// Safe to cancel.
async fn next_frame(conn: &Rc<Conn>, socket: &mut Socket) -> Option<Vec<u8>> {
    loop {
        let message = tokio::select! {
            biased;
            () = conn.closing() => return None,
            message = socket.next() => message,
        };
        conn.heard.set(Instant::now());
        match message {
            Some(Ok(Message::Text(text))) if conn.format.get() == Format::Json => {
                return Some(text.as_bytes().to_vec());
            }
            Some(Ok(Message::Binary(bytes))) if conn.format.get() == Format::MsgPack => return Some(bytes.to_vec()),
            Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                let detail = "this subprotocol's frames are of the other kind";
                conn.refuse(Refusal::new(ErrorCode::Malformed, detail), 1007);
            }
            // Tungstenite answers both, through the connection's writer.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
            Some(Err(error)) => fail(conn, &error),
            // The closing handshake is complete, or the socket has ended.
            None => {
                conn.end();
                return None;
            }
        }
    }
}

/// Closes a connection whose frames cannot be read, with the code that says why.
fn fail(conn: &Rc<Conn>, error: &Error) {
    match error {
        Error::Capacity(_) => conn.refuse(ErrorCode::PayloadTooLarge.into(), 1009),
        Error::Utf8(_) => conn.refuse(Refusal::new(ErrorCode::Malformed, "text must be UTF-8"), 1007),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => conn.end(),
        Error::Protocol(_) => conn.refuse(
            Refusal::new(ErrorCode::Malformed, "the frames break RFC 6455"),
            PROTOCOL_ERROR,
        ),
        _ => conn.end(),
    }
}

/// The server's clock.
pub fn now_ms() -> shared::protocol::Millis {
    chrono::Utc::now().timestamp_millis()
}

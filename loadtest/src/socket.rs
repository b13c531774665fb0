//! One WebSocket to the live engine in either format: the upgrade, frames out, frames
//! in as bytes. What the frames mean is for [`crate::live`] and the show's viewers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use shared::error::Refusal;
use shared::protocol::{Format, Position};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything is waited for before it counts as lost.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// The default read buffer of 128 KiB a connection would make thousands of viewers dear.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// A snapshot or a batch is the largest frame a server sends.
const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;
/// RFC 6455, 7.1.5: the code of a connection that ended without a close frame.
pub const ABNORMAL_CLOSE: u16 = 1006;

/// Who connects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Auth {
    /// With a ticket in the query.
    Ticket(String),
    /// With an access token in the `Authorization` header.
    Bearer(String),
    /// With a resume token as the first frame.
    Resume(String),
    /// Nobody says who; the server decides what that may do.
    None,
}

/// How a connection ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closed {
    /// The close code; [`ABNORMAL_CLOSE`] without a close frame.
    pub code: u16,
    /// The reason that came with it.
    pub reason: String,
}

/// What goes wrong on a live connection.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The server did not switch protocols.
    #[error("the upgrade was refused with status {status}: {body}")]
    Upgrade {
        /// The HTTP status.
        status: u16,
        /// The answer's body.
        body: String,
    },
    /// The connection has ended.
    #[error("the connection was closed with code {} {:?}", .0.code, .0.reason)]
    Closed(Closed),
    /// Nothing came in time.
    #[error("{0} did not come in {seconds} s", seconds = DEADLINE.as_secs())]
    Deadline(&'static str),
    /// A frame that the protocol does not know.
    #[error("not a frame of the protocol: {0}")]
    Unreadable(String),
    /// Numbered events do not follow each other.
    #[error("after {at:?} came epoch {epoch}, seq {from} to {to} with {events} events")]
    Gap {
        /// The last position.
        at: Position,
        /// The frame's epoch.
        epoch: i64,
        /// Its first seq.
        from: u64,
        /// Its last seq.
        to: u64,
        /// How many events it holds.
        events: usize,
    },
    /// The server refused something that the client cannot go on without.
    #[error("refused: {0}")]
    Refused(#[source] Refusal),
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Transport(#[source] Box<WsError>),
}

impl From<WsError> for LiveError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Http(response) => {
                let body = response.body().as_deref().unwrap_or_default();
                Self::Upgrade {
                    status: response.status().as_u16(),
                    body: String::from_utf8_lossy(body).into_owned(),
                }
            }
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::Closed(abnormal()),
            other => Self::Transport(Box::new(other)),
        }
    }
}

fn abnormal() -> Closed {
    Closed {
        code: ABNORMAL_CLOSE,
        reason: String::new(),
    }
}

/// An open connection.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    format: Format,
    closed: Option<Closed>,
}

impl Socket {
    /// Connects to `url` (`ws://host:port/ws`) with more request headers than the
    /// protocol needs, such as an `Origin`. A [`Auth::Resume`] token is not sent here:
    /// it is the first frame.
    ///
    /// # Errors
    /// `Upgrade` when the server refuses, `Deadline`, `Transport`.
    pub async fn open(url: &str, format: Format, auth: &Auth, headers: &[(&str, &str)]) -> Result<Self, LiveError> {
        let url = match auth {
            Auth::Ticket(ticket) => format!("{url}?ticket={ticket}"),
            Auth::Bearer(_) | Auth::Resume(_) | Auth::None => url.to_owned(),
        };
        let mut request = url.into_client_request()?;
        let fields = request.headers_mut();
        fields.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(format.subprotocol()),
        );
        if let Auth::Bearer(token) = auth {
            fields.insert(header::AUTHORIZATION, header_value(&format!("Bearer {token}"))?);
        }
        for (name, value) in headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| LiveError::Unreadable(format!("header {name:?}")))?;
            fields.insert(name, header_value(value)?);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let connecting = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
        let (stream, _) = deadline("the upgrade", connecting).await??;
        Ok(Self {
            stream,
            format,
            closed: None,
        })
    }

    /// The connection's format.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// `Closed`, `Deadline`, `Transport`; `Unreadable` when the frame cannot be written.
    pub async fn send<T: Serialize>(&mut self, frame: &T) -> Result<(), LiveError> {
        let bytes = self
            .format
            .encode(frame)
            .map_err(|error| LiveError::Unreadable(error.to_string()))?;
        let message = match self.format {
            Format::Json => Message::text(String::from_utf8(bytes).map_err(|e| LiveError::Unreadable(e.to_string()))?),
            Format::MsgPack => Message::binary(bytes),
        };
        self.send_message(message).await
    }

    /// Sends bytes as they are, as a frame of the connection's kind: for tests that
    /// speak badly on purpose.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn send_raw(&mut self, bytes: Vec<u8>) -> Result<(), LiveError> {
        let message = match String::from_utf8(bytes) {
            Ok(text) if self.format == Format::Json => Message::text(text),
            Ok(text) => Message::binary(text.into_bytes()),
            Err(error) => Message::binary(error.into_bytes()),
        };
        self.send_message(message).await
    }

    async fn send_message(&mut self, message: Message) -> Result<(), LiveError> {
        deadline("sending a frame", self.stream.send(message)).await??;
        Ok(())
    }

    /// The next frame's bytes, without a deadline. Safe to cancel.
    ///
    /// # Errors
    /// `Closed` once the connection has ended, `Unreadable` for a frame of the other
    /// kind, `Transport`.
    pub async fn receive(&mut self) -> Result<Bytes, LiveError> {
        if let Some(closed) = &self.closed {
            return Err(LiveError::Closed(closed.clone()));
        }
        loop {
            let closed = match self.stream.next().await {
                Some(Ok(Message::Text(text))) if self.format == Format::Json => return Ok(text.into()),
                Some(Ok(Message::Binary(bytes))) if self.format == Format::MsgPack => return Ok(bytes),
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                    return Err(LiveError::Unreadable("a frame of the other kind".into()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(Some(frame)))) => Closed {
                    code: frame.code.into(),
                    reason: frame.reason.to_string(),
                },
                Some(Ok(Message::Close(None)) | Err(_)) | None => abnormal(),
            };
            self.closed = Some(closed.clone());
            // The answer to the close frame is queued; without it the server waits.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.flush()).await;
            return Err(LiveError::Closed(closed));
        }
    }

    /// Says goodbye and drops the connection.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.close(None)).await;
    }
}

fn header_value(text: &str) -> Result<HeaderValue, LiveError> {
    text.parse()
        .map_err(|_| LiveError::Unreadable(format!("header value {text:?}")))
}

/// Waits at most [`DEADLINE`] for `what`.
///
/// # Errors
/// `Deadline`.
pub async fn deadline<T>(what: &'static str, work: impl Future<Output = T>) -> Result<T, LiveError> {
    tokio::time::timeout(DEADLINE, work)
        .await
        .map_err(|_| LiveError::Deadline(what))
}

//! A server for one connection that sends what it is told.

use futures_util::{SinkExt, StreamExt};
use shared::protocol::{ClientFrame, Format, Hello, Limits, Private, ServerFrame};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// The server's end of the connection.
pub struct Peer {
    stream: WebSocketStream<TcpStream>,
    format: Format,
}

pub fn hello(resume: Option<&str>) -> ServerFrame {
    ServerFrame::Private(Private::Hello(Hello {
        node: shared::ids::NodeId::new(),
        now: 0,
        resume: resume.map(str::to_owned),
        user: None,
        guest: None,
        limits: Limits {
            frame_bytes: 1,
            chat_chars: 1,
            reaction_count: 1,
            ping_interval_ms: 1,
        },
    }))
}

impl Peer {
    /// Takes one connection and greets it.
    #[allow(clippy::result_large_err, reason = "the callback's type is the library's")]
    pub async fn accept(listener: &TcpListener) -> Self {
        let (tcp, _) = listener.accept().await.expect("the test is in order");
        let mut format = Format::Json;
        let stream = tokio_tungstenite::accept_hdr_async(tcp, |request: &Request, mut response: Response| {
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            format = Format::from_subprotocol(protocol.to_str().expect("text")).expect("the test is in order");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok(response)
        });
        let stream = stream.await.expect("the test is in order");
        let mut peer = Self { stream, format };
        peer.send(&hello(Some("token"))).await;
        peer
    }

    pub async fn send(&mut self, frame: &ServerFrame) {
        let bytes = self.format.encode(frame).expect("the test is in order");
        let message = match self.format {
            Format::Json => Message::text(String::from_utf8(bytes).expect("the test is in order")),
            Format::MsgPack => Message::binary(bytes),
        };
        self.stream.send(message).await.expect("the test is in order");
    }

    pub async fn receive(&mut self) -> ClientFrame {
        let message = self.stream.next().await.expect("a message").expect("in order");
        self.format.decode(&message.into_data()).expect("the test is in order")
    }

    #[allow(dead_code, reason = "two test programs share this, and one never closes")]
    pub async fn close(&mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.stream.close(Some(frame)).await.expect("the test is in order");
    }
}

/// A listener and where it is.
pub async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the test is in order");
    let url = format!("ws://{}/ws", listener.local_addr().expect("the test is in order"));
    (listener, url)
}

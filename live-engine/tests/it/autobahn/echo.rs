//! A server that says back what it hears. What reads and writes is the engine's; around it
//! is only a thread for each connection.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::OnceLock;

use live_engine::Config;
use live_engine::net::deflate::{self, Inflater};
use live_engine::net::frame::{self, Opcode};
use live_engine::net::handshake::{self, Answer};
use live_engine::net::reader::{Event, ReadLimits, Reader};
use live_engine::net::writer::Writer;
use shared::config::Settings;

/// The suite's largest message has 16 MiB, its most fragments are 65,536.
const LIMITS: ReadLimits = ReadLimits {
    message_bytes: 16 * 1024 * 1024,
    fragments: 65_536,
};

/// Starts the one server of all cases, or says where it is.
pub fn start() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listening");
        let addr = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.expect("accepted");
                std::thread::spawn(move || serve(socket));
            }
        });
        addr
    })
}

fn config() -> Config {
    let mut settings = Settings::from_pairs([
        ("database_url", "postgres://nowhere"),
        ("token_secret", testkit::TOKEN_SECRET),
    ]);
    Config::read(&mut settings).expect("a config")
}

fn serve(mut socket: TcpStream) {
    socket.set_nodelay(true).expect("an option");
    let (mut head, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
    let (deflate, mut input) = loop {
        let (known, count) = (head.len(), socket.read(&mut buffer).expect("a request"));
        head.extend_from_slice(&buffer[..count]);
        match handshake::answer(&head, known, &config(), Ipv4Addr::LOCALHOST.into()) {
            Answer::Incomplete => {}
            Answer::Refused { .. } => return,
            Answer::Upgraded {
                response,
                upgrade,
                used,
            } => {
                socket.write_all(&response).expect("answered");
                break (upgrade.deflate.is_some(), head.split_off(used));
            }
        }
    };
    let (mut reader, mut inflater) = (Reader::new(LIMITS, deflate), Inflater::default());
    let mut writer = Writer::new(usize::MAX);
    loop {
        let (replies, end) = hear(&mut reader, &mut inflater, &mut input, deflate);
        // An error means that the client has gone; reading says so.
        let _ = writer.send(&replies, |bytes| socket.write(bytes));
        if let Some(last) = end {
            writer.close(&last);
            writer.pump(
                None,
                live_engine::room::log::Variant::plain(shared::protocol::Format::Json),
                None,
                |bytes| socket.write(bytes),
            );
            break;
        }
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => input = buffer[..count].to_vec(),
        }
    }
    // As a connection of the engine's does: our half is closed, the rest dropped.
    let _ = socket.shutdown(Shutdown::Write);
    while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

/// What to say to this, and the last frame when it is the end.
fn hear(reader: &mut Reader, inflater: &mut Inflater, input: &mut [u8], deflate: bool) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut replies, mut end) = (Vec::new(), None);
    let fed = reader.feed(input, inflater, |event| {
        match event {
            Event::Text(text) => echo(&mut replies, Opcode::Text, text.as_bytes(), deflate),
            Event::Binary(bytes) => echo(&mut replies, Opcode::Binary, bytes, deflate),
            Event::Ping(payload) => frame::push(&mut replies, Opcode::Pong, payload),
            Event::Pong => {}
            Event::Close(code) => end = Some(frame::close(code, "")),
        }
        ControlFlow::Continue(())
    });
    if let Err(error) = fed {
        end = Some(frame::close(Some(error.close_code()), &error.to_string()));
    }
    (replies, end)
}

fn echo(replies: &mut Vec<u8>, opcode: Opcode, message: &[u8], deflate: bool) {
    match deflate.then(|| deflate::deflate(message)).flatten() {
        Some(payload) => frame::push_deflated(replies, opcode, &payload),
        None => frame::push(replies, opcode, message),
    }
}

//! The upgrade: which requests become WebSockets, and in which format.
//!
//! Reading a request and nothing else; who is there is for `auth` to say.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use shared::client_address::client_address;
use shared::protocol::{Format, MAX_CLIENT_FRAME_BYTES};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::conn::Conn;
use super::socket::SharedSocket;
use crate::auth::Proof;
use crate::config::Config;

/// What a connection's reader keeps at hand. Commands are short; a longer one grows it.
const READ_BUFFER_BYTES: usize = 1024;

/// What the request said.
#[derive(Debug)]
pub struct Upgrade {
    /// How frames are written.
    pub format: Format,
    /// Who it says it is.
    pub proof: Proof,
    /// The address that limits count: a proxy of ours names another than the peer's.
    pub address: IpAddr,
}

/// Answers the upgrade request.
///
/// # Errors
/// When there is no WebSocket in the end; the response has been sent.
pub async fn accept(
    conn: &Rc<Conn>,
    config: &Config,
) -> Result<(WebSocketStream<SharedSocket>, Upgrade), tokio_tungstenite::tungstenite::Error> {
    let read: Rc<RefCell<Option<Upgrade>>> = Rc::default();
    let peer = conn
        .socket
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let callback = {
        let (read, origins) = (read.clone(), config.allowed_origins.clone());
        let proxies = config.trusted_proxies.clone();
        #[allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
        move |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let upgrade = upgrade(request, &origins, peer, &proxies)?;
            response.headers_mut().insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(upgrade.format.subprotocol()),
            );
            *read.borrow_mut() = Some(upgrade);
            Ok(response)
        }
    };
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(1024)
        .max_message_size(Some(MAX_CLIENT_FRAME_BYTES))
        .max_frame_size(Some(MAX_CLIENT_FRAME_BYTES));
    let socket = SharedSocket(conn.clone());
    let accepted = tokio_tungstenite::accept_hdr_async_with_config(socket, callback, Some(limits)).await?;
    let upgrade = read.borrow_mut().take();
    match upgrade {
        Some(upgrade) => Ok((accepted, upgrade)),
        None => Err(tokio_tungstenite::tungstenite::Error::AttackAttempt),
    }
}

#[allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn upgrade(request: &Request, origins: &[String], peer: IpAddr, proxies: &[IpAddr]) -> Result<Upgrade, ErrorResponse> {
    if request.uri().path() != "/ws" {
        return Err(refuse(StatusCode::NOT_FOUND, "the socket is at /ws"));
    }
    let headers = request.headers();
    if let Some(origin) = headers.get(header::ORIGIN) {
        let known = |allowed: &String| allowed == "*" || origin == allowed.as_str();
        if !origins.iter().any(known) {
            return Err(refuse(StatusCode::FORBIDDEN, "this origin is not allowed"));
        }
    }
    let format = offered(headers, &header::SEC_WEBSOCKET_PROTOCOL).find_map(Format::from_subprotocol);
    let Some(format) = format else {
        let detail = "ask for the subprotocol hawker.v1.json or hawker.v1.msgpack";
        return Err(refuse(StatusCode::BAD_REQUEST, detail));
    };
    let forwarded = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|line| line.to_str().ok());
    let address = client_address(peer, forwarded, proxies);
    Ok(Upgrade {
        format,
        proof: proof(request),
        address,
    })
}

/// The comma-separated values of a header, over all its lines.
fn offered<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

fn proof(request: &Request) -> Proof {
    let ticket = request
        .uri()
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("ticket="));
    if let Some(ticket) = ticket {
        return Proof::Ticket(ticket.to_owned());
    }
    let bearer = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match bearer {
        Some((_, token)) => Proof::Bearer(token.trim().to_owned()),
        None => Proof::Later,
    }
}

fn refuse(status: StatusCode, detail: &'static str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(detail.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(detail.len()));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request")
    }

    fn status(result: Result<Upgrade, ErrorResponse>) -> Option<u16> {
        result.err().map(|response| response.status().as_u16())
    }

    const JSON: (&str, &str) = ("sec-websocket-protocol", "chat, hawker.v1.json");

    #[test]
    fn only_the_right_path_and_a_known_subprotocol_are_upgraded() {
        assert_eq!(status(upgrade(&request("/", &[JSON]), &[], PEER, &[])), Some(404));
        assert_eq!(status(upgrade(&request("/ws", &[]), &[], PEER, &[])), Some(400));
        let other = ("sec-websocket-protocol", "graphql-ws");
        assert_eq!(status(upgrade(&request("/ws", &[other]), &[], PEER, &[])), Some(400));
        let upgraded = upgrade(&request("/ws", &[JSON]), &[], PEER, &[]).expect("upgraded");
        assert_eq!(upgraded.format, Format::Json);
        assert!(matches!(upgraded.proof, Proof::Later));
    }

    #[test]
    fn a_browser_from_elsewhere_is_refused() {
        let origins = ["https://shop.example".to_owned()];
        let from = |origin| request("/ws", &[JSON, ("origin", origin)]);
        assert_eq!(
            status(upgrade(&from("https://evil.example"), &origins, PEER, &[])),
            Some(403)
        );
        assert_eq!(
            status(upgrade(&from("https://shop.example"), &origins, PEER, &[])),
            None
        );
    }

    #[test]
    fn who_it_is_comes_from_the_query_or_the_header() {
        let upgraded = upgrade(&request("/ws?a=b&ticket=t.t", &[JSON]), &[], PEER, &[]).expect("upgraded");
        assert!(matches!(upgraded.proof, Proof::Ticket(ticket) if ticket == "t.t"));
        let bearer = request("/ws", &[JSON, ("authorization", "bearer abc")]);
        let upgraded = upgrade(&bearer, &[], PEER, &[]).expect("upgraded");
        assert!(matches!(upgraded.proof, Proof::Bearer(token) if token == "abc"));
    }

    #[test]
    fn a_forwarded_address_is_believed_from_a_proxy_only() {
        let forwarded = request("/ws", &[JSON, ("x-forwarded-for", "1.1.1.1, 9.9.9.9")]);
        let from_proxy = upgrade(&forwarded, &[], PEER, &[PEER]).expect("upgraded");
        assert_eq!(from_proxy.address, IpAddr::from([9, 9, 9, 9]));
        let direct = upgrade(&forwarded, &[], PEER, &[]).expect("upgraded");
        assert_eq!(direct.address, PEER);
    }
}

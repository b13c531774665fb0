//! The upgrade: which requests become WebSockets, and in which format.
//!
//! Bytes of a request in, bytes of a response out; who is there is for `auth` to say.
//! Tungstenite reads the request and knows what makes it an upgrade.

use std::net::IpAddr;

use shared::client_address::client_address;
use shared::protocol::Format;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::extensions::negotiate;
use crate::auth::Proof;
use crate::config::Config;

/// The largest request that is read: browsers send the page's cookies along.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// What the request said.
#[derive(Debug)]
pub struct Upgrade {
    /// How frames are written.
    pub format: Format,
    /// How the offer of compression was taken up; then messages may be compressed.
    pub deflate: Option<String>,
    /// Who it says it is.
    pub proof: Proof,
    /// The address that limits count: a proxy of ours names another than the peer's.
    pub address: IpAddr,
}

/// What becomes of the beginning of a connection.
#[derive(Debug)]
pub enum Answer {
    /// The request is not whole.
    Incomplete,
    /// It becomes a WebSocket.
    Upgraded {
        /// What is sent before any frame.
        response: Vec<u8>,
        /// What the request said.
        upgrade: Upgrade,
        /// How long the request was; frames may follow it.
        used: usize,
    },
    /// It does not.
    Refused {
        /// What is sent before the connection is closed.
        response: Vec<u8>,
    },
}

/// Answers a request as far as it has come. `known` of its bytes were there when it was
/// last asked, so that a request that comes byte by byte is looked through once.
#[must_use]
pub fn answer(bytes: &[u8], known: usize, config: &Config, peer: IpAddr) -> Answer {
    if !has_end(&bytes[known.saturating_sub(3)..]) {
        return match bytes.len() {
            ..=MAX_REQUEST_BYTES => Answer::Incomplete,
            _ => refused(&refuse(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request is too large",
            )),
        };
    }
    let Ok(Some((used, request))) = Request::try_parse(bytes) else {
        return refused(&refuse(StatusCode::BAD_REQUEST, "this is no request for a WebSocket"));
    };
    if used > MAX_REQUEST_BYTES {
        return refused(&refuse(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request is too large",
        ));
    }
    match accept(&request, config, peer) {
        Ok((response, upgrade)) => Answer::Upgraded {
            response,
            upgrade,
            used,
        },
        Err(response) => refused(&response),
    }
}

/// Whether an empty line is among the bytes.
fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

#[allow(clippy::result_large_err, reason = "a refusal is rare")]
fn accept(request: &Request, config: &Config, peer: IpAddr) -> Result<(Vec<u8>, Upgrade), ErrorResponse> {
    let mut upgrade = upgrade(request, &config.allowed_origins, peer, &config.trusted_proxies)?;
    let no_upgrade = |_| refuse(StatusCode::BAD_REQUEST, "this is no request for a WebSocket");
    let mut response = create_response(request).map_err(no_upgrade)?;
    response.headers_mut().insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(upgrade.format.subprotocol()),
    );
    upgrade.deflate = upgrade.deflate.filter(|_| config.compression);
    if let Some(taken_up) = upgrade.deflate.as_deref().map(HeaderValue::try_from) {
        let taken_up = taken_up.map_err(|_| refuse(StatusCode::BAD_REQUEST, "the extensions cannot be read"))?;
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, taken_up);
    }
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(no_upgrade)?;
    Ok((bytes, upgrade))
}

fn refused(response: &ErrorResponse) -> Answer {
    let mut bytes = Vec::new();
    // Our own refusals can all be written.
    if write_response(&mut bytes, response).is_ok() {
        bytes.extend_from_slice(response.body().as_deref().unwrap_or_default().as_bytes());
    }
    Answer::Refused { response: bytes }
}

#[allow(clippy::result_large_err, reason = "a refusal is rare")]
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
    let forwarded = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let address = client_address(peer, forwarded, proxies);
    Ok(Upgrade {
        format,
        deflate: extensions(request),
        proof: proof(request),
        address,
    })
}

/// How the extensions that the client offers are answered.
fn extensions(request: &Request) -> Option<String> {
    let lines = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    negotiate(lines.iter().filter_map(|line| line.to_str().ok()))
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
    use std::net::Ipv4Addr;

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

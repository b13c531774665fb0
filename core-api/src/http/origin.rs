//! Which pages may call: those of this server's own origin, and those that the
//! configuration lists. A client that is no browser sends no `Origin` and is not asked.

use actix_web::HttpRequest;
use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use shared::error::{ErrorCode, Refusal};

use super::Result;
use crate::config::Config;

/// What a page of another origin may send, beyond what every page may.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, if-none-match");
const REQUEST_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, ratelimit, ratelimit-policy, idempotency-replayed, etag");

fn text<'a>(head: &'a RequestHead, name: &header::HeaderName) -> Option<&'a str> {
    head.headers().get(name)?.to_str().ok()
}

/// Whether `origin` is this server's own: the same host and port as the request went to.
fn is_own(head: &RequestHead, origin: &str) -> bool {
    let authority = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    let host = text(head, &header::HOST).or_else(|| head.uri.authority().map(actix_web::http::uri::Authority::as_str));
    matches!((authority, host), (Some(a), Some(h)) if a.eq_ignore_ascii_case(h))
}

fn is_listed(origin: &str, config: &Config) -> bool {
    config.allowed_origins.iter().any(|allowed| allowed == origin)
}

/// The value of `Access-Control-Allow-Origin`, where the caller's origin is listed.
pub(super) fn allowed_header(head: &RequestHead, config: &Config) -> Option<HeaderValue> {
    let origin = text(head, &header::ORIGIN)?;
    is_listed(origin, config)
        .then(|| HeaderValue::from_str(origin).ok())
        .flatten()
}

/// Whether a browser asks for leave before a request.
pub(super) fn is_preflight(head: &RequestHead) -> bool {
    head.method == Method::OPTIONS
        && head.headers().contains_key(header::ORIGIN)
        && head.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Tells the browser what the page may do. Without an allowed origin nothing is said,
/// and the browser keeps the answer from the page.
pub(super) fn add_headers(headers: &mut HeaderMap, allowed: Option<HeaderValue>, method: &Method) {
    // Caches must not give one origin's answer to another.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(origin) = allowed else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    if method == Method::OPTIONS {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, REQUEST_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

/// Refuses a request that a cookie would authorise and whose page is unknown: browsers
/// send the cookie whoever wrote the page, so the page must be one of ours.
///
/// # Errors
/// `Forbidden`.
pub fn require_origin(request: &HttpRequest, config: &Config) -> Result<()> {
    let head = request.head();
    match text(head, &header::ORIGIN) {
        Some(origin) if is_own(head, origin) || is_listed(origin, config) => Ok(()),
        _ => Err(Refusal::new(
            ErrorCode::Forbidden,
            "A session kept in a cookie is used from this server's own pages only",
        )
        .at("Origin")
        .into()),
    }
}

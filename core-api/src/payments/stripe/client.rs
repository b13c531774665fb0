//! Stripe's API over HTTP: forms there, JSON back. It knows no payment; it tells answers
//! from refusals, and both from not knowing. Each request is sent once: who repeats it,
//! under which key, is decided elsewhere. Nothing of a request, an answer or a key is logged.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::config::Secret;

use crate::payments::provider::ProviderError;
use crate::payments::return_url::is_loopback;

/// The version of the API that is spoken, whichever the account has as its default.
pub const VERSION: &str = "2023-10-16";
/// How long a connection may take to open.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes: a page of a hundred refunds is some hundred KiB.
const ANSWER_MAX: usize = 1 << 20;

/// A form's or a query's fields, in order.
pub type Fields<'a> = Vec<(&'a str, String)>;

/// What Stripe said.
#[derive(Debug)]
pub struct Answer<T> {
    /// It.
    pub body: T,
    /// It is what was answered to the first request under this key: what it tells of may
    /// have gone on since.
    pub is_replayed: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum CallError {
    /// It was refused, and nothing was done by this request.
    Refused(Refused),
    /// Whether anything was done is not known.
    Unknown(ProviderError),
}

/// A refusal: a 4xx that says something of what was asked, and not of who asked, how often
/// or with what key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// Stripe's code, where there is one.
    pub code: String,
    /// The parameter that it is about, where there is one.
    pub param: String,
}

impl From<CallError> for ProviderError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unknown(error) => error,
            CallError::Refused(Refused { status, code, param }) => {
                Self::Failed(format!("it refused with {status} {code:?} at {param:?}"))
            }
        }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: ErrorDetail,
}

#[derive(Default, Deserialize)]
struct ErrorDetail {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    param: Option<String>,
}

/// The way to Stripe.
pub struct Client {
    http: reqwest::Client,
    api: Url,
}

impl Client {
    /// To `api`, as whoever has `key`; no request takes longer than `timeout`.
    ///
    /// # Errors
    /// When the key cannot be sent, or the system has no certificates.
    pub fn new(api: Url, key: &Secret, timeout: Duration) -> anyhow::Result<Self> {
        // The client asks for whichever the process has; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bearer = format!("Bearer {}", key.expose());
        let mut bearer =
            HeaderValue::from_str(&bearer).map_err(|_| anyhow::anyhow!("stripe_secret_key cannot be sent"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert("stripe-version", HeaderValue::from_static(VERSION));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("hawker/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(timeout);
        if is_loopback(&api) {
            builder = builder.no_proxy();
        }
        let http = builder.build().context("Stripe cannot be reached from here")?;
        Ok(Self { http, api })
    }

    /// Reads.
    ///
    /// # Errors
    /// As told, or not.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: Fields<'_>) -> Result<T, CallError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(&query);
        Ok(self.send(self.http.get(url)).await?.body)
    }

    /// Asks for something to be done: once under `key`, where one is given.
    ///
    /// # Errors
    /// As told, or not.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: Fields<'_>,
        key: Option<&str>,
    ) -> Result<Answer<T>, CallError> {
        let mut request = self.http.post(self.url(path)?).form(&form);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request).await
    }

    fn url(&self, path: &str) -> Result<Url, CallError> {
        self.api.join(path).map_err(|_| failed("there is no such path"))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>, CallError> {
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let is_replayed = response
            .headers()
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true");
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            if body.len() + piece.len() > ANSWER_MAX {
                return Err(failed("its answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        let body = serde_json::from_slice(&body)
            .map_err(|error| failed(&format!("its answer is not of the form: {error}")))?;
        Ok(Answer { body, is_replayed })
    }
}

fn failed(why: &str) -> CallError {
    CallError::Unknown(ProviderError::Failed(why.to_owned()))
}

/// The connection broke, or nothing came in time: the request may have been carried out.
/// Without its URL, which may name what must not be logged.
#[allow(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn lost(error: reqwest::Error) -> CallError {
    if error.is_timeout() {
        return CallError::Unknown(ProviderError::Timeout);
    }
    let why = if error.is_connect() {
        "it cannot be reached"
    } else {
        "the connection broke"
    };
    failed(why)
}

/// What an error's status and body say (<https://docs.stripe.com/api/errors>). A key that is
/// in use or was used for something else, too many requests, a key without permission and
/// any fault of Stripe's say nothing about what was asked.
fn refusal(status: StatusCode, body: &[u8]) -> CallError {
    let detail = serde_json::from_slice::<ErrorBody>(body).map_or_else(|_| ErrorDetail::default(), |body| body.error);
    let code = detail.code.unwrap_or_default();
    let is_about_what_was_asked = matches!(status.as_u16(), 400 | 402 | 404)
        && matches!(detail.kind.as_deref(), Some("card_error" | "invalid_request_error"));
    // Another request has a lock, for a moment, or the key; or there were too many.
    let passes = code.starts_with("idempotency_key") || matches!(code.as_str(), "lock_timeout" | "rate_limit");
    if !is_about_what_was_asked || passes {
        return failed(&format!("it answered {} {code:?}", status.as_u16()));
    }
    CallError::Refused(Refused {
        status: status.as_u16(),
        code,
        param: detail.param.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> CallError {
        refusal(StatusCode::from_u16(status).expect("a status"), body.as_bytes())
    }

    #[test]
    fn what_was_asked_is_refused_finally_and_anything_else_is_not_known() {
        let declined = read(402, r#"{"error": {"type": "card_error", "code": "card_declined"}}"#);
        assert!(matches!(declined, CallError::Refused(refused) if refused.code == "card_declined"));
        let missing = read(
            404,
            r#"{"error": {"type": "invalid_request_error", "code": "resource_missing", "param": "id"}}"#,
        );
        assert!(matches!(missing, CallError::Refused(refused) if refused.param == "id"));
        for (status, body) in [
            (400, r#"{"error": {"type": "idempotency_error"}}"#),
            (
                409,
                r#"{"error": {"type": "idempotency_error", "code": "idempotency_key_in_use"}}"#,
            ),
            (
                400,
                r#"{"error": {"type": "invalid_request_error", "code": "lock_timeout"}}"#,
            ),
            (401, r#"{"error": {"type": "invalid_request_error"}}"#),
            (403, "{}"),
            (429, r#"{"error": {"code": "rate_limit"}}"#),
            (500, r#"{"error": {"type": "api_error"}}"#),
            (503, "<html>"),
            (302, ""),
            (400, "not JSON"),
            (404, "{}"),
        ] {
            assert!(matches!(read(status, body), CallError::Unknown(_)), "{status} {body}");
        }
    }
}

//! A client of the REST API for tests and shows: one method for each route that they
//! use, and refusals as [`RestError::Refused`] with their problem details.
//!
//! A client is a handle that is cheap to clone; signing in gives another handle. A
//! patient client tries again when it is told to come back later.

mod calls;
mod model;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::error::{ErrorCode, Retry};
use shared::ids::RequestId;
use tokio::time::Instant;

pub use model::*;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest and the longest pause before a request is tried again.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The server refused, and said why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The server answered something that is not in the contract.
    #[error("{method} {path} answered {status}, which cannot be read: {problem}")]
    Unreadable {
        /// The request's method.
        method: Method,
        /// Its path.
        path: String,
        /// The answer's status.
        status: StatusCode,
        /// What is wrong with it, and its beginning.
        problem: String,
    },
    /// There was no answer.
    #[error("{method} {path}: {source}")]
    Transport {
        /// The request's method.
        method: Method,
        /// Its path.
        path: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
}

impl RestError {
    /// The refusal's code, if it is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            Self::Unreadable { .. } | Self::Transport { .. } => None,
        }
    }
}

/// What calls return.
pub type RestResult<T> = Result<T, RestError>;

/// An answer with its status: for tests of what exactly is answered.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The body; null when it is empty.
    pub body: serde_json::Value,
}

/// A handle on the API, signed in or not.
#[derive(Clone, Debug)]
pub struct RestClient {
    http: reqwest::Client,
    base: Arc<str>,
    token: Option<Arc<str>>,
    patience: Option<Duration>,
}

impl RestClient {
    /// A client of the API at `base`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').into(),
            token: None,
            patience: None,
        })
    }

    /// The same API for the bearer of an access token.
    #[must_use]
    pub fn signed_in(&self, access_token: &str) -> Self {
        Self {
            token: Some(access_token.into()),
            ..self.clone()
        }
    }

    /// The same client, trying again for so long when the server is busy or asks to come
    /// back later. Requests that change something carry an Idempotency-Key where the
    /// contract has one, so a second try does nothing twice.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self {
            patience: Some(patience),
            ..self.clone()
        }
    }

    /// Where the API is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The access token it acts with.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// One request, and whatever is answered, refusals included.
    ///
    /// # Errors
    /// `Transport`, or `Unreadable` for a body that is not JSON.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        key: Option<RequestId>,
        body: Option<&serde_json::Value>,
    ) -> RestResult<Answered> {
        let (status, bytes) = self.send(&method, path, key, body).await?;
        let body = if bytes.is_empty() {
            serde_json::Value::Null
        } else {
            read(&method, path, status, &bytes)?
        };
        Ok(Answered {
            status: status.as_u16(),
            body,
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> RestResult<T> {
        self.call(Method::GET, path, None, None::<&()>).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> RestResult<T> {
        self.call(Method::POST, path, None, Some(body)).await
    }

    async fn post_as<T: DeserializeOwned>(
        &self,
        path: &str,
        key: RequestId,
        body: Option<&impl Serialize>,
    ) -> RestResult<T> {
        self.call(Method::POST, path, Some(key), body).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<RequestId>,
        body: Option<&impl Serialize>,
    ) -> RestResult<T> {
        let by = Instant::now() + self.patience.unwrap_or_default();
        let mut pause = RETRY_PAUSE.0;
        loop {
            let error = match self.once(&method, path, key, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = self.pause_before_retry(&error, pause) else {
                return Err(error);
            };
            if Instant::now() + wait > by {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(RETRY_PAUSE.1);
        }
    }

    /// How long to wait before this may be tried again; `None`: it may not.
    fn pause_before_retry(&self, error: &RestError, pause: Duration) -> Option<Duration> {
        self.patience?;
        let RestError::Refused(problem) = error else {
            return None;
        };
        // Sold out and not open yet are answers, not trouble.
        let trouble = matches!(problem.status, 429 | 503) || problem.code == ErrorCode::RequestInFlight;
        if !trouble || problem.code.retry() != Retry::Later {
            return None;
        }
        let told = problem.retry_after_ms.map(Duration::from_millis).unwrap_or_default();
        Some(told.max(pause))
    }

    async fn once<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        key: Option<RequestId>,
        body: Option<&impl Serialize>,
    ) -> RestResult<T> {
        let (status, bytes) = self.send(method, path, key, body).await?;
        if status.is_success() {
            // 204 has no body, and unit reads from null.
            let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
            return read(method, path, status, bytes);
        }
        Err(RestError::Refused(read(method, path, status, &bytes)?))
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        key: Option<RequestId>,
        body: Option<&impl Serialize>,
    ) -> RestResult<(StatusCode, bytes::Bytes)> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key.to_string());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let transport = |source| RestError::Transport {
            method: method.clone(),
            path: path.to_owned(),
            source,
        };
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        Ok((status, response.bytes().await.map_err(transport)?))
    }
}

fn read<T: DeserializeOwned>(method: &Method, path: &str, status: StatusCode, bytes: &[u8]) -> RestResult<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text: String = String::from_utf8_lossy(bytes).chars().take(300).collect();
        RestError::Unreadable {
            method: method.clone(),
            path: path.to_owned(),
            status,
            problem: format!("{error}: {text}"),
        }
    })
}

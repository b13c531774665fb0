//! A request, who sends it, and its answer.

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::ids::UserId;
use uuid::Uuid;

use crate::description;

/// A request on its way.
pub struct Call(pub(super) reqwest::RequestBuilder);

impl Call {
    /// Of whatever is asked for.
    pub const fn of(request: reqwest::RequestBuilder) -> Self {
        Self(request)
    }

    /// Signed in as somebody.
    pub fn by(self, session: &Session) -> Self {
        Self(self.0.bearer_auth(&session.token))
    }

    /// With a JSON body.
    pub fn json(self, body: &impl Serialize) -> Self {
        Self(self.0.json(body))
    }

    /// With any body.
    pub fn body(self, media: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", media).body(body))
    }

    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// With an Idempotency-Key.
    pub fn key(self, key: Uuid) -> Self {
        self.header("Idempotency-Key", &key.to_string())
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Reply {
        self.try_send().await.expect("the service answers")
    }

    /// The same, of a service that may be gone before it has answered.
    pub async fn try_send(self) -> reqwest::Result<Reply> {
        let (client, request) = self.0.build_split();
        let request = request.expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let reply = Reply { status, headers, text };
        description::hold(&method, &path, &reply);
        Ok(reply)
    }

    /// Sends it and reads the whole answer as it is.
    pub async fn fetch(self) -> (StatusCode, HeaderMap, Vec<u8>) {
        let response = self.0.send().await.expect("the service answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("a whole answer");
        (status, headers, body.to_vec())
    }
}

/// Somebody who is signed in.
#[derive(Clone)]
pub struct Session {
    pub(super) origin: String,
    pub(super) client: reqwest::Client,
    /// The account.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// The access token.
    pub token: String,
    /// The refresh token.
    pub refresh: String,
}

impl Session {
    /// A call of theirs.
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call(self.client.request(method, format!("{}{path}", self.origin))).by(self)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path).send().await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Reply {
        self.call(Method::POST, path).json(body).send().await
    }

    /// POST under an Idempotency-Key.
    pub async fn post_once(&self, path: &str, key: Uuid, body: &impl Serialize) -> Reply {
        self.call(Method::POST, path).key(key).json(body).send().await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Reply {
        self.call(Method::PUT, path).json(body).send().await
    }

    /// Sends a file as the body.
    pub async fn send_file(&self, method: Method, path: &str, media: &str, file: &[u8]) -> Reply {
        self.call(method, path).body(media, file.to_vec()).send().await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: &impl Serialize) -> Reply {
        self.call(Method::PATCH, path).json(body).send().await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path).send().await
    }

    /// DELETE under a key.
    pub async fn delete_once(&self, path: &str, key: Uuid) -> Reply {
        self.call(Method::DELETE, path).key(key).send().await
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Reply {
    /// The body, which must be JSON.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn with<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        self.with(200)
    }

    /// The body of a 201.
    #[track_caller]
    pub fn created<T: DeserializeOwned>(&self) -> T {
        self.with(201)
    }

    /// A 204.
    #[track_caller]
    pub fn gone(&self) {
        assert_eq!((self.status.as_u16(), self.text.as_str()), (204, ""));
    }

    /// Problem details with this status and code, whole and in the right shape.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.value();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:hawker:problem:{code}"), "{problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{problem}");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        problem
    }

    /// A header; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header is text"))
    }
}

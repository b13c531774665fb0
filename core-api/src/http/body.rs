//! What callers send, read once and validated at the edge: JSON bodies, ids in paths,
//! the Idempotency-Key. A body comes as it is, whole, within a time and within a size.

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use garde::Validate;
use serde::de::DeserializeOwned;
use shared::error::{ErrorCode, Refusal};
use shared::ids::RequestId;
use std::future::{Ready, ready};
use std::time::Duration;

use super::{Error, Result, request};
use crate::config::Limits;
use crate::state::State;

/// A body at most, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// A JSON body that satisfies its type's rules. No body at all reads as `{}`.
pub struct Body<T>(pub T);

impl<T> FromRequest for Body<T>
where
    T: DeserializeOwned + Validate<Context = ()> + 'static,
{
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let media = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| is_json(value.to_str().unwrap_or_default()));
        let bytes = web::Bytes::from_request(request, payload);
        let time = time_for(request, |limits| limits.body_wait);
        Box::pin(async move {
            if media == Some(false) {
                return Err(ErrorCode::UnsupportedMediaType.into());
            }
            let bytes = in_time(time?, bytes).await?.map_err(|error| unreadable(&error))?;
            match (bytes.is_empty(), media) {
                (true, _) => parse(b"{}"),
                (false, Some(_)) => parse(&bytes),
                (false, None) => Err(ErrorCode::UnsupportedMediaType.into()),
            }
            .map(Self)
        })
    }
}

/// A body as it was sent, for what is signed: read before anything is made of it.
pub struct RawBody(pub web::Bytes);

impl RawBody {
    /// What it says, as JSON that satisfies its type's rules.
    ///
    /// # Errors
    /// `Malformed`, `InvalidBody`.
    pub fn json<T: DeserializeOwned + Validate<Context = ()>>(&self) -> Result<T> {
        parse(&self.0)
    }
}

impl FromRequest for RawBody {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = web::Bytes::from_request(request, payload);
        let time = time_for(request, |limits| limits.body_wait);
        Box::pin(async move {
            let bytes = in_time(time?, bytes).await?;
            Ok(Self(bytes.map_err(|error| unreadable(&error))?))
        })
    }
}

/// How long the body of `request` may take to arrive.
///
/// # Errors
/// When the application has no state.
pub fn time_for(request: &HttpRequest, of: fn(&Limits) -> Duration) -> Result<Duration> {
    let state = request.app_data::<web::Data<State>>();
    let state = state.ok_or_else(|| anyhow::anyhow!("the application has no state"))?;
    Ok(of(&state.config.limits))
}

/// Waits for a whole body: whoever sends it a byte at a time holds no request for long.
///
/// # Errors
/// `RequestTimeout`.
pub async fn in_time<T>(time: Duration, body: impl Future<Output = T>) -> Result<T> {
    // A body has its own time: the work on it begins when it is there.
    let read = request::outside_of_work(tokio::time::timeout(time, body)).await;
    read.map_err(|_| ErrorCode::RequestTimeout.into())
}

/// Refuses a body that is compressed. Nothing here needs one, and what a few bytes unfold
/// into is memory that a sender could make us set aside.
///
/// # Errors
/// `UnsupportedMediaType`.
pub(super) fn require_plain(headers: &HeaderMap) -> Result<()> {
    let is_plain = |value: &HeaderValue| {
        let codings = value.to_str().unwrap_or("?").split(',').map(str::trim);
        { codings }.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity"))
    };
    if headers.get_all(header::CONTENT_ENCODING).all(is_plain) {
        return Ok(());
    }
    let detail = "Send the body as it is, without a Content-Encoding";
    Err(Refusal::new(ErrorCode::UnsupportedMediaType, detail)
        .at(header::CONTENT_ENCODING.as_str())
        .into())
}

/// `application/json`, whatever its parameters.
fn is_json(media: &str) -> bool {
    media
        .split(';')
        .next()
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn unreadable(error: &actix_web::Error) -> Error {
    let code = match error.as_response_error().status_code().as_u16() {
        413 => ErrorCode::PayloadTooLarge,
        408 => ErrorCode::RequestTimeout,
        _ => ErrorCode::Malformed,
    };
    code.into()
}

fn parse<T: DeserializeOwned + Validate<Context = ()>>(bytes: &[u8]) -> Result<T> {
    require_object(bytes)?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let body: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        wrong_json(error.inner(), &path)
    })?;
    reader.end().map_err(|error| wrong_json(&error, "."))?;
    body.validate().map_err(|report| {
        // One at a time: a refusal names one field.
        let (field, problem) = report.iter().next().map_or_else(
            || (String::new(), ErrorCode::InvalidBody.title().to_owned()),
            |(path, error)| (dotted(&path.to_string()), error.message().to_owned()),
        );
        Refusal::new(ErrorCode::InvalidBody, problem).at(field)
    })?;
    Ok(body)
}

/// A type of fields would be read from a list of their values as well, which nobody means.
fn require_object(bytes: &[u8]) -> Result<()> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        return Ok(());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|error| wrong_json(&error, "."))?;
    Err(Refusal::new(ErrorCode::InvalidBody, "The body must be an object").into())
}

/// What is not JSON is malformed; JSON of another shape is an invalid body.
fn wrong_json(error: &serde_json::Error, path: &str) -> Refusal {
    if !error.is_data() {
        return Refusal::new(ErrorCode::Malformed, format!("The body is not JSON: {error}"));
    }
    let message = error.to_string();
    let refusal = Refusal::new(ErrorCode::InvalidBody, message.clone());
    // A missing field is told of at its parent, by name.
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    match (path, missing) {
        ("." | "", None) => refusal,
        ("." | "", Some(name)) => refusal.at(name.to_owned()),
        (parent, Some(name)) if parent != name && !parent.ends_with(&format!(".{name}")) => {
            refusal.at(dotted(&format!("{parent}.{name}")))
        }
        (path, _) => refusal.at(dotted(path)),
    }
}

/// `items[0].quantity` as `items.0.quantity`.
fn dotted(path: &str) -> String {
    path.replace('[', ".").replace(']', "").trim_matches('.').to_owned()
}

/// An id, or a tuple of ids, in the path. What is no id is the id of nothing: 404.
pub struct Id<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Id<T> {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            web::Path::<T>::extract(request)
                .into_inner()
                .map(|path| Self(path.into_inner()))
                .map_err(|_| ErrorCode::NotFound.into()),
        )
    }
}

/// The caller's name for this act, the same when it is sent again: a UUID.
#[derive(Clone, Copy, Debug, utoipa::IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(pub RequestId);

impl IdempotencyKey {
    const NAME: &str = "Idempotency-Key";
}

impl FromRequest for IdempotencyKey {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(value) = request.headers().get(Self::NAME) else {
            return ready(Err(ErrorCode::IdempotencyKeyMissing.into()));
        };
        ready(
            value
                .to_str()
                .ok()
                .and_then(|text| text.trim_matches('"').parse().ok())
                .map(Self)
                .ok_or_else(|| {
                    Refusal::new(ErrorCode::InvalidParameter, "The Idempotency-Key is a UUID")
                        .at(Self::NAME)
                        .into()
                }),
        )
    }
}

/// The same where it may be left out: what is told twice without harm needs no name.
#[derive(Clone, Copy, Debug, utoipa::IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct OptionalKey(#[param(required = false)] pub Option<RequestId>);

impl OptionalKey {
    /// The caller's name for the act, or a new one.
    #[must_use]
    pub fn id(self) -> RequestId {
        self.0.unwrap_or_else(RequestId::new)
    }
}

impl From<Option<IdempotencyKey>> for OptionalKey {
    fn from(key: Option<IdempotencyKey>) -> Self {
        Self(key.map(|key| key.0))
    }
}

impl FromRequest for OptionalKey {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    /// What is there must be a UUID: a key that nobody reads would promise what is not kept.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !request.headers().contains_key(IdempotencyKey::NAME) {
            return ready(Ok(Self(None)));
        }
        let key = IdempotencyKey::from_request(request, payload).into_inner();
        ready(key.map(|key| Self(Some(key.0))))
    }
}

/// Makes the framework's own extractors refuse in our words.
pub fn extractor_errors(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
        .app_data(web::PathConfig::default().error_handler(|_, _| Error::from(ErrorCode::NotFound).into()))
        .app_data(web::QueryConfig::default().error_handler(|error, _| {
            Error::from(Refusal::new(ErrorCode::InvalidParameter, error.to_string())).into()
        }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Validate, Debug)]
    #[garde(allow_unvalidated)]
    struct Basket {
        #[garde(dive, length(min = 1))]
        items: Vec<Item>,
    }

    #[derive(serde::Deserialize, Validate, Debug)]
    #[garde(allow_unvalidated)]
    struct Item {
        #[garde(range(min = 1))]
        quantity: i32,
    }

    fn refusal(body: &str) -> (ErrorCode, Option<String>) {
        let Err(Error::Refused(refusal)) = parse::<Basket>(body.as_bytes()) else {
            panic!("{body} must be refused");
        };
        (refusal.code, refusal.field.map(std::borrow::Cow::into_owned))
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let named = |field: &str| (ErrorCode::InvalidBody, Some(field.to_owned()));
        assert_eq!(refusal(r#"{"items":[{"quantity":0}]}"#), named("items.0.quantity"));
        assert_eq!(refusal(r#"{"items":[{"quantity":"1"}]}"#), named("items.0.quantity"));
        assert_eq!(refusal(r#"{"items":[{}]}"#), named("items.0.quantity"));
        assert_eq!(refusal("{}"), named("items"));
        assert_eq!(refusal(r#"{"items":[]}"#), named("items"));
    }

    #[test]
    fn a_list_of_a_bodys_values_is_no_body() {
        for text in [r#"[[{"quantity":1}]]"#, " []", "[null, null]"] {
            assert_eq!(refusal(text).0, ErrorCode::InvalidBody, "{text}");
        }
        assert_eq!(refusal("[1").0, ErrorCode::Malformed);
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for text in ["{", r#"{"items":[{"quantity":1}]} {}"#, "hello"] {
            assert_eq!(refusal(text).0, ErrorCode::Malformed, "{text}");
        }
    }
}

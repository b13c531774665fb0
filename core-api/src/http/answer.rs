//! The one middleware around every route: cross-origin rules, rate limits, no compressed
//! bodies, the request's id, problem details for every error, security headers, and the
//! request's metrics. And a handler's time: who waits longer than that has gone, or asks
//! again, and what is not done by then only keeps others waiting.

use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ResourceDef, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use metrics::Unit::{Count, Seconds};
use shared::error::{ErrorCode, Refusal};
use shared::metric::Metric;
use utoipa::openapi::OpenApi;
use uuid::Uuid;

use super::body::require_plain;
use super::error::{Error, problem};
use super::meter::count;
use super::origin;
use super::request::{Late, within};
use super::traffic::Told;
use crate::config::Config;
use crate::state::State;

/// When to ask again what took too long.
const LATE_RETRY_MS: u64 = 1_000;

/// The header that names the request to whoever asks about it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The service's metrics.
pub const METRICS: &[Metric] = &[
    Metric::counter("http_requests_total", Count, LABELS, "requests answered"),
    Metric::histogram("http_request_seconds", Seconds, LABELS, "how long answers took"),
    Metric::counter(
        "catalog_pages_total",
        Count,
        &["from"],
        "product pages served, by where they came from",
    )
    .each(&["memory", "database"]),
    Metric::counter(
        "pictures_total",
        Count,
        &["outcome"],
        "uploads that arrived, by what became of them",
    )
    .each(&["kept", "refused", "failed"]),
    Metric::counter(
        "shop_pages_total",
        Count,
        &["from"],
        "shops' pages served, by where they came from",
    )
    .each(&["memory", "database"]),
    Metric::counter("mails_total", Count, &["outcome"], "letters, by what became of them")
        .each(&["sent", "delayed", "given_up", "moot"]),
    Metric::counter(
        "webhooks_total",
        Count,
        &["outcome"],
        "messages of providers, by what became of them",
    )
    .each(&["kept", "known", "done", "delayed", "given_up"]),
    Metric::gauge(
        "refunds_owed",
        Count,
        &[],
        "refunds that have failed and whose money is still owed to buyers, in the whole database",
    ),
    Metric::gauge(
        "dead_letters",
        Count,
        &["kind"],
        "letters and messages of providers that nobody tries any more, in the whole database",
    )
    .each(&["outbox", "webhook"]),
];
/// The route is its pattern, and a method that we do not know is `other`.
const LABELS: &[&str] = &["method", "route", "status"];

/// What an answer takes from its request, which is gone by then.
struct About {
    method: Method,
    /// The route's pattern and not the path: a label must have few values.
    route: String,
    request_id: Option<Uuid>,
    cross_origin: Option<HeaderValue>,
    allowance: Option<Told>,
    hsts: Option<HeaderValue>,
    started: Instant,
}

impl About {
    fn of(request: &ServiceRequest, state: Option<&State>, id: Option<Uuid>) -> Self {
        Self {
            method: request.method().clone(),
            route: request.match_pattern().unwrap_or_else(|| "unmatched".to_owned()),
            request_id: id,
            cross_origin: state.and_then(|state| origin::allowed_header(request.head(), &state.config)),
            allowance: None,
            hsts: state.and_then(|state| hsts(&state.config)),
            started: Instant::now(),
        }
    }

    /// What every answer says, whatever it answers.
    fn finish(self, status: StatusCode, headers: &mut HeaderMap) {
        if let Some(id) = self.request_id.and_then(|id| {
            let mut text = Uuid::encode_buffer();
            HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).ok()
        }) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(allowance) = self.allowance {
            allowance.add_to(headers);
        }
        origin::add_headers(headers, self.cross_origin, &self.method);
        add_security_headers(headers, self.hsts);
        count(&self.method, self.route, status, self.started);
    }
}

/// Wraps the whole application.
///
/// # Errors
/// With the whole answer, when a handler took too long; what an inner middleware fails
/// with. Handlers' errors arrive as responses.
pub async fn answer(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> std::result::Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = request.extensions().get().map(|id: &tracing_actix_web::RequestId| **id);
    let state = request.app_data::<web::Data<State>>().cloned();
    let mut about = About::of(&request, state.as_ref().map(web::Data::get_ref), id);
    if about.method == Method::HEAD {
        // Routed as the GET that it stands for (RFC 9110, 9.3.2); the server leaves the
        // body out, because it knows what was asked.
        request.head_mut().method = Method::GET;
    }
    let response = if origin::is_preflight(request.head()) {
        request.into_response(HttpResponse::NoContent().finish())
    } else {
        let time = state.as_ref().and_then(|state| time_to_work(&request, &state.config));
        let admitted = state.map_or(Ok(()), |state| {
            let (told, admitted) = state.rates.traffic.count(request.request(), &state);
            about.allowance = told;
            admitted
        });
        match admitted.and_then(|()| require_plain(request.headers())) {
            Ok(()) => match within(id, time, next.call(request)).await {
                Ok(response) => response?.map_into_boxed_body(),
                Err(Late) => return Err(too_late(about)),
            },
            Err(refused) => request.error_response(refused),
        }
    };
    let mut response = with_problem(response, about.request_id);
    about.finish(response.status(), response.response_mut().headers_mut());
    Ok(response)
}

/// How long the work on a request may take. A payment is not dropped midway: what asks the
/// provider has a time of its own, and its outcome is to be written.
fn time_to_work(request: &ServiceRequest, config: &Config) -> Option<Duration> {
    // As routing reads it: `p%61yments` is `payments`.
    let mut parts = request.match_info().as_str().split('/');
    (!parts.any(|part| part == "payments")).then_some(config.limits.request_time)
}

/// The answer to a request whose handler took too long. The request is gone with its
/// handler, so the answer goes out as an error that carries it.
fn too_late(about: About) -> actix_web::Error {
    tracing::error!(route = about.route, "a handler took too long and was dropped");
    let refusal = Refusal::from(ErrorCode::Overloaded).retry_after_ms(LATE_RETRY_MS);
    let mut told = problem(&refusal, about.request_id.map(|id| id.to_string()));
    about.finish(told.status(), told.headers_mut());
    InternalError::from_response(Error::from(refusal), told).into()
}

/// Tells browsers to come back over HTTPS alone, where the configuration says that there
/// is HTTPS in front.
fn hsts(config: &Config) -> Option<HeaderValue> {
    let seconds = (config.hsts_seconds > 0).then_some(config.hsts_seconds)?;
    HeaderValue::from_str(&format!("max-age={seconds}")).ok()
}

/// Turns an error's response into problem details that carry the request's id, and logs
/// a fault's cause, here and nowhere else.
fn with_problem(response: ServiceResponse<BoxBody>, request_id: Option<Uuid>) -> ServiceResponse<BoxBody> {
    let refusal = match response.response().error() {
        None => return response,
        Some(error) => match error.as_error::<Error>() {
            Some(Error::Refused(refusal)) => refusal.clone(),
            Some(Error::Fault(cause)) => {
                tracing::error!(error = format!("{cause:#}"), "request failed");
                ErrorCode::Internal.into()
            }
            None => of_the_framework(response.status(), error),
        },
    };
    let mut told = problem(&refusal, request_id.map(|id| id.to_string()));
    let (request, _) = response.into_parts();
    if refusal.code == ErrorCode::MethodNotAllowed
        && let Some(allowed) = request.app_data::<web::Data<AllowedMethods>>()
        && let Ok(value) = HeaderValue::from_str(&allowed.of(request.match_info().as_str()).join(", "))
    {
        told.headers_mut().insert(header::ALLOW, value);
    }
    ServiceResponse::new(request, told)
}

/// The refusal that an error of the web framework's own stands for.
fn of_the_framework(status: StatusCode, error: &actix_web::Error) -> Refusal {
    let code = match status {
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ErrorCode::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
        status if status.is_client_error() => ErrorCode::Malformed,
        _ => {
            tracing::error!(%error, "request failed");
            ErrorCode::Internal
        }
    };
    code.into()
}

/// Headers that keep a browser from doing more with an answer than is meant. A page sets
/// its own policy first; what is set stays.
fn add_security_headers(headers: &mut HeaderMap, hsts: Option<HeaderValue>) {
    if let Some(hsts) = hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    let is_data = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|media| media.starts_with("application/json") || media.starts_with(super::PROBLEM_JSON));
    let mut set = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    if is_data {
        // No page of another origin gets it as a picture or a script.
        set(header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin");
        set(header::CACHE_CONTROL, "no-store");
        set(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        );
    }
}

/// Which methods each path answers to, from the API's own description.
pub struct AllowedMethods(Vec<(ResourceDef, Vec<&'static str>)>);

impl AllowedMethods {
    /// Reads them from `api`.
    #[must_use]
    pub fn new(api: &OpenApi) -> Self {
        let methods = |item: &utoipa::openapi::PathItem| {
            [
                (item.get.is_some(), "GET"),
                // Answered as the GET that it stands for.
                (item.get.is_some(), "HEAD"),
                (item.post.is_some(), "POST"),
                (item.put.is_some(), "PUT"),
                (item.patch.is_some(), "PATCH"),
                (item.delete.is_some(), "DELETE"),
            ]
            .into_iter()
            .filter_map(|(there, name)| there.then_some(name))
            .collect()
        };
        let mut paths: Vec<_> = api
            .paths
            .paths
            .iter()
            .map(|(path, item)| (ResourceDef::new(path.as_str()), methods(item)))
            .collect();
        // As in routing, a path without parameters goes before one that it also matches.
        paths.sort_by_key(|(path, _)| path.pattern().is_some_and(|pattern| pattern.contains('{')));
        Self(paths)
    }

    /// The methods of `path`; none when there is no such path.
    #[must_use]
    pub fn of(&self, path: &str) -> &[&'static str] {
        self.0
            .iter()
            .find(|(pattern, _)| pattern.is_match(path))
            .map_or(&[], |(_, methods)| methods)
    }
}

/// What answers where no route does: 405 when another method would be answered, else 404.
///
/// # Errors
/// Always.
pub async fn no_route(request: HttpRequest, allowed: web::Data<AllowedMethods>) -> super::Result<HttpResponse> {
    if allowed.of(request.match_info().as_str()).is_empty() {
        return Err(Refusal::new(ErrorCode::NotFound, "There is nothing at this path").into());
    }
    Err(ErrorCode::MethodNotAllowed.into())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use shared::token::TokenKey;

    use super::*;

    #[test]
    fn a_payment_is_not_dropped_midway() {
        let key = TokenKey::new(&[7; 32]).expect("a long key");
        let config = Config::new(([127, 0, 0, 1], 0).into(), key, "ws://127.0.0.1:1/ws".to_owned());
        let time = |path| time_to_work(&TestRequest::post().uri(path).to_srv_request(), &config);
        assert_eq!(time("/orders"), Some(Duration::from_secs(30)));
        assert_eq!(time("/orders/1/payments"), None);
        assert_eq!(time("/orders/1/payments/2/confirm"), None);
        assert_eq!(time("/orders/1/p%61yments"), None);
    }
}

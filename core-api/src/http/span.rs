//! The span that every line of the log about a request lies in. It says what is needed to
//! find the request again, and neither its query nor its sender, who are people's own. Where
//! nobody reads it, nothing is made.

use actix_web::HttpMessage as _;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use tracing::Span;
use tracing::field::{self, Empty};
use tracing_actix_web::{RequestId, RootSpanBuilder};

/// Makes the span of a request.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let id = request.extensions().get::<RequestId>().copied();
        tracing::info_span!(
            "HTTP request",
            request_id = id.map(field::display),
            http.method = %request.method(),
            http.route = request.match_pattern(),
            http.path = request.path(),
            http.status_code = Empty,
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, actix_web::Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("http.status_code", status.as_u16());
    }
}

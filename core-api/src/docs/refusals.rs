//! What operations refuse, by name. Most of it follows from what an operation takes: a
//! token, a body, a key, an id. What its feature refuses beyond that is said at the handler,
//! with the code between backticks, or in [`FURTHER`]. Each answer of the integration tests
//! is held against it, so that it says no less than what is true.

use shared::error::{ErrorCode, Refusal, Retry};
use utoipa::ToSchema as _;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Components, Ref, RefOr, Response, ResponseBuilder};

use super::further::{FURTHER, OF_A_ROOM, TO_A_ROOM};
use crate::http::{PROBLEM_JSON, Problem, is_counted};

/// Answers that are the same wherever they may come: their name, and their codes.
const SHARED: &[(&str, u16, &[ErrorCode])] = {
    use ErrorCode as E;
    &[
        ("NotSignedIn", 401, &[E::Unauthenticated, E::TokenExpired]),
        ("RequestTimeout", 408, &[E::RequestTimeout]),
        ("PayloadTooLarge", 413, &[E::PayloadTooLarge]),
        ("UnsupportedMediaType", 415, &[E::UnsupportedMediaType]),
        ("TooManyRequests", 429, &[E::RateLimited]),
        ("Internal", 500, &[E::Internal]),
        ("Unavailable", 503, &[E::Overloaded, E::DatabaseUnavailable]),
    ]
};

/// The codes, one a line, for the description of [`ErrorCode`].
pub(super) fn table() -> String {
    let line = |code: &ErrorCode| {
        let again = match code.retry() {
            Retry::No => "no",
            Retry::Later => "later",
        };
        format!("| `{code}` | {} | {again} | {} |\n", code.http_status(), code.title())
    };
    let lines: String = ErrorCode::ALL.iter().map(line).collect();
    format!("What was refused, by its stable name.\n\n| code | status | again? | |\n|---|---|---|---|\n{lines}")
}

/// What operations refer to.
pub(super) fn add_components(components: &mut Components) {
    for code in ErrorCode::ALL {
        let example = ExampleBuilder::new().summary(code.title()).value(Some(example(*code)));
        components.examples.insert(code.to_string(), RefOr::T(example.build()));
    }
    for (name, status, codes) in SHARED {
        let response = response(*status, codes, None);
        components.responses.insert((*name).to_owned(), RefOr::T(response));
    }
}

fn example(code: ErrorCode) -> serde_json::Value {
    let mut refusal = Refusal::from(code);
    if matches!(code, ErrorCode::InvalidBody) {
        refusal = Refusal::new(code, "must be at least 1").at("items.0.quantity");
    }
    if code.retry() == Retry::Later {
        refusal = refusal.retry_after_ms(1_000);
    }
    let request = "0193a000-0000-7000-8000-000000000001".to_owned();
    serde_json::to_value(Problem::of(&refusal, Some(request))).unwrap_or_default()
}

/// Adds what the operation at `path` refuses.
pub(super) fn add(method: &str, path: &str, operation: &mut Operation) {
    let mut codes = implied(path, operation);
    let is_it = |name: &str| name.split_once(' ') == Some((method, path));
    let further = FURTHER.iter().filter(|(name, _)| is_it(name));
    codes.extend(further.flat_map(|(_, codes)| codes.iter().copied()));
    if TO_A_ROOM.iter().any(|name| is_it(name)) {
        codes.extend(OF_A_ROOM);
    }
    for (status, response) in &operation.responses.responses {
        if let RefOr::T(response) = response
            && !status.starts_with(['2', '3'])
        {
            codes.extend(quoted(&response.description));
        }
    }
    let mut statuses: Vec<u16> = codes.iter().map(|code| code.http_status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let of_status = |code: &&ErrorCode| code.http_status() == status && codes.contains(code);
        let of_status: Vec<ErrorCode> = ErrorCode::ALL.iter().filter(of_status).copied().collect();
        let key = status.to_string();
        let told = match operation.responses.responses.get(&key) {
            Some(RefOr::T(response)) => Some(response.description.clone()),
            _ => None,
        };
        let shared = SHARED.iter().find(|(_, _, codes)| *codes == of_status.as_slice());
        let answer = match (shared, told) {
            (Some((name, _, _)), None) => RefOr::Ref(Ref::from_response_name(*name)),
            (_, told) => RefOr::T(response(status, &of_status, told)),
        };
        operation.responses.responses.insert(key, answer);
    }
}

/// What follows from what an operation takes.
fn implied(path: &str, operation: &Operation) -> Vec<ErrorCode> {
    use ErrorCode as E;
    let mut codes = vec![E::Internal, E::Overloaded, E::DatabaseUnavailable];
    let has = |place: &ParameterIn| {
        let parameters = operation.parameters.iter().flatten();
        { parameters }.any(|known| matches!(known, RefOr::T(known) if known.parameter_in == *place))
    };
    let mut parameters = operation.parameters.iter().flatten();
    let is_named = parameters.any(|known| matches!(known, RefOr::T(known) if known.name == "Idempotency-Key"));
    if is_counted(path) {
        codes.push(E::RateLimited);
    }
    if operation.security.is_some() {
        codes.extend([E::Unauthenticated, E::TokenExpired, E::AccountSuspended]);
    }
    if path.starts_with("/seller/") || path.starts_with("/admin/") {
        codes.push(E::Forbidden);
    }
    if has(&ParameterIn::Path) {
        codes.push(E::NotFound);
    }
    if has(&ParameterIn::Query) {
        codes.push(E::InvalidParameter);
    }
    if is_named {
        codes.extend([
            E::IdempotencyKeyMissing,
            E::InvalidParameter,
            E::RequestInFlight,
            E::RequestIdReused,
        ]);
    }
    if operation.request_body.is_some() {
        codes.extend([
            E::Malformed,
            E::RequestTimeout,
            E::PayloadTooLarge,
            E::UnsupportedMediaType,
            E::InvalidBody,
        ]);
    }
    codes
}

/// The codes that a description names between backticks.
fn quoted(description: &str) -> impl Iterator<Item = ErrorCode> {
    description
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(ErrorCode::from_name)
}

/// An answer with problem details whose code is one of these. `told` are the handler's own
/// words on some of them.
fn response(status: u16, codes: &[ErrorCode], told: Option<String>) -> Response {
    let told = told.unwrap_or_default();
    let rest = codes.iter().filter(|code| !quoted(&told).any(|said| said == **code));
    let rest = rest.map(|code| format!("`{code}`: {}", code.title()));
    let said = (!told.is_empty()).then(|| told.trim_end_matches('.').to_owned());
    let description: Vec<String> = said.into_iter().chain(rest).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    let content = codes.iter().fold(content, |content, code| {
        let name = code.to_string();
        let example = RefOr::Ref(Ref::new(format!("#/components/examples/{name}")));
        content.examples_from_iter([(name, example)])
    });
    let response = ResponseBuilder::new()
        .description(description.join(". "))
        .content(PROBLEM_JSON, content.build());
    headers(status)
        .fold(response, |response, (name, schema, description)| {
            let header = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(schema)))
                .description(Some(description));
            response.header(name, header.build())
        })
        .build()
}

/// What an answer with a status says in its headers.
fn headers(status: u16) -> impl Iterator<Item = (&'static str, Type, &'static str)> {
    let headers: &[_] = match status {
        401 => &[("WWW-Authenticate", Type::String, "`Bearer`")],
        429 => &[
            ("Retry-After", Type::Integer, "After how many seconds to try again"),
            (
                "RateLimit-Policy",
                Type::String,
                "The rate limit of the kind of request: `\"read\";q=1200;w=60`",
            ),
            (
                "RateLimit",
                Type::String,
                "What is left of it, and seconds until it is whole: `\"read\";r=1199;t=1`",
            ),
        ],
        _ => &[],
    };
    headers.iter().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_from_a_handlers_words() {
        let codes: Vec<_> = quoted("`conflict`: the slug is taken. `wrong_state`: it is `retired`").collect();
        assert_eq!(codes, [ErrorCode::Conflict, ErrorCode::WrongState]);
    }

    #[test]
    fn what_is_said_further_is_of_an_operation() {
        let api = super::super::openapi().expect("a description");
        let api = serde_json::to_value(api).expect("JSON");
        for name in FURTHER.iter().map(|(name, _)| name).chain(TO_A_ROOM) {
            let (method, path) = name.split_once(' ').expect("a method and a path");
            assert!(api["paths"][path][method.to_lowercase()].is_object(), "{name}");
        }
    }

    #[test]
    fn each_shared_answer_has_the_status_of_its_codes() {
        for (name, status, codes) in SHARED {
            assert!(codes.iter().all(|code| code.http_status() == *status), "{name}");
        }
    }
}

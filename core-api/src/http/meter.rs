//! Counts answers. What counts the answers of one route, method and status is looked up once
//! by each thread that answers, and kept: the lookup costs more than the counting. So the
//! collecting of metrics has to begin before the service does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Histogram, SharedString};

/// What counts the answers of one status to one method of a route.
struct Meter {
    method: &'static str,
    status: StatusCode,
    answers: Counter,
    seconds: Histogram,
}

thread_local! {
    /// By route: its pattern, of which there are as many as routes.
    static METERS: RefCell<HashMap<String, Vec<Meter>>> = RefCell::default();
}

impl Meter {
    fn new(method: &'static str, route: &str, status: StatusCode) -> Self {
        let labels = [
            ("method", SharedString::const_str(method)),
            ("route", SharedString::from(route.to_owned())),
            ("status", SharedString::from(status.as_str().to_owned())),
        ];
        Self {
            method,
            status,
            answers: metrics::counter!("http_requests_total", &labels),
            seconds: metrics::histogram!("http_request_seconds", &labels),
        }
    }
}

/// Counts one answer.
pub(super) fn count(method: &Method, route: String, status: StatusCode, started: Instant) {
    let method = label_of(method);
    METERS.with_borrow_mut(|routes| {
        let add = |meter: &Meter| {
            meter.answers.increment(1);
            meter.seconds.record(started.elapsed().as_secs_f64());
        };
        let is_it = |meter: &&Meter| meter.method == method && meter.status == status;
        if let Some(meter) = routes.get(&route).and_then(|meters| meters.iter().find(is_it)) {
            return add(meter);
        }
        let meter = Meter::new(method, &route, status);
        add(&meter);
        routes.entry(route).or_default().push(meter);
    });
}

/// Whatever a client calls its method, the labels stay few.
fn label_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

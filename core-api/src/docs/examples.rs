//! What operations are sent and answer, as it was: `examples.json` is written by the
//! authorisation matrix, which calls every operation on rows that exist
//! (`WRITE_EXAMPLES=1 cargo test -p core-api --test it -- every_operation_answers`).

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::content::Content;
use utoipa::openapi::path::Operation;

/// One exchange. What has no body has none here.
#[derive(Deserialize)]
struct Exchange {
    #[serde(default)]
    request: Option<Value>,
    #[serde(default)]
    response: Option<Value>,
}

/// The exchanges by method and path, whatever its parameters are called: `GET /orders/{}`.
pub(super) struct Examples(BTreeMap<String, Exchange>);

impl Examples {
    /// Those that are compiled in.
    pub(super) fn read() -> anyhow::Result<Self> {
        let exchanges = serde_json::from_str(include_str!("examples.json"));
        Ok(Self(exchanges.context("reading the examples")?))
    }

    /// Shows an operation's exchange at its body and at what it answers when it is done.
    pub(super) fn add(&self, method: &str, path: &str, operation: &mut Operation) {
        let Some(exchange) = self.0.get(&key(method, path)) else {
            return;
        };
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            show(body.content.iter_mut(), exchange.request.as_ref());
        }
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && status.starts_with('2')
            {
                show(response.content.iter_mut(), exchange.response.as_ref());
            }
        }
    }
}

fn show<'a>(contents: impl Iterator<Item = (&'a String, &'a mut RefOr<Content>)>, value: Option<&Value>) {
    for (media, content) in contents {
        if let RefOr::T(content) = content
            && is_text(media)
            && content.example.is_none()
            && content.examples.is_empty()
        {
            content.example = value.cloned();
        }
    }
}

/// Whether what is of a media type can be shown.
fn is_text(media: &str) -> bool {
    media == "application/json" || media.starts_with("text/")
}

fn key(method: &str, path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
}

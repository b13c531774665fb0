//! What the description of the API shows as examples: the first exchange of each operation
//! that succeeds, with whatever differs between two runs made the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::harness::Reply;

/// The file, from the crate's folder.
const FILE: &str = "src/docs/examples.json";
/// When everything in the examples happens.
const TODAY: &str = "2026-03-01T18:00:00Z";
/// Items of a list that are shown.
const SHOWN_ITEMS: usize = 2;
/// The body that stands for a picture.
const PICTURE: &str = "PNG";
/// A longer answer is no example.
const MAX_BYTES: usize = 20_000;

#[derive(Clone, Serialize)]
struct Exchange {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Value>,
}

/// Exchanges by operation, each with the line's text that it is of.
#[derive(Default)]
pub struct Examples(Mutex<BTreeMap<String, (&'static str, Exchange)>>);

impl Examples {
    /// Notes an exchange. Of several lines of one operation that with the longest body counts.
    pub fn note(&self, operation: String, line: &'static str, body: &str, reply: &Reply) {
        if reply.text.len() > MAX_BYTES || reply.header("content-type").starts_with("image/") {
            return;
        }
        let body = if line == PICTURE { "" } else { body };
        let mut same = Same::default();
        let exchange = Exchange {
            request: read(&body.replace("\\n", "\n")).map(|value| same.value("", value)),
            response: read(&reply.text).map(|value| same.value("", value)),
        };
        let mut noted = self.0.lock().expect("no writer has failed");
        let kept = noted
            .get(&operation)
            .is_some_and(|(kept, _)| (kept.len(), *kept) >= (line.len(), line));
        if !kept {
            noted.insert(operation, (line, exchange));
        }
    }

    /// Writes all of them to the file that the description reads.
    pub fn write(self) {
        let noted = self.0.into_inner().expect("no writer has failed");
        let noted: BTreeMap<_, _> = noted
            .into_iter()
            .map(|(name, (_, exchange))| (name, exchange))
            .collect();
        let text = serde_json::to_string_pretty(&noted).expect("JSON");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        std::fs::write(file, text + "\n").expect("the examples are written");
    }
}

/// A body: JSON, or text; `None`: it is empty.
fn read(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

/// Makes one exchange the same in every run; what is equal within it stays equal.
#[derive(Default)]
struct Same {
    ids: Vec<String>,
}

impl Same {
    fn value(&mut self, name: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.into_iter();
                fields
                    .map(|(name, value)| (name.clone(), self.value(&name, value)))
                    .collect()
            }
            Value::Array(items) => {
                let items = items.into_iter().take(SHOWN_ITEMS);
                items.map(|item| self.value(name, item)).collect()
            }
            Value::String(text) => self.text(name, &text).into(),
            other => other,
        }
    }

    fn text(&mut self, name: &str, text: &str) -> String {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return moment(at.to_utc());
        }
        let is_secret = matches!(name, "token" | "access_token" | "refresh_token" | "ticket");
        if is_secret && text.len() >= 32 {
            return format!("<{name}>");
        }
        if text.contains("@test.hawker.example") {
            return "somebody@shop.example".to_owned();
        }
        self.without_ids(text)
    }

    /// Every UUID in a text, with and without hyphens, by the order of its coming.
    fn without_ids(&mut self, text: &str) -> String {
        let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
        let mut told = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(is_id) {
            let end = rest[start..]
                .find(|c| !is_id(c))
                .map_or(rest.len(), |length| start + length);
            told.push_str(&rest[..start]);
            told.push_str(&self.id(&rest[start..end]));
            rest = &rest[end..];
        }
        told + rest
    }

    fn id(&mut self, text: &str) -> String {
        let lengths = [36, 32];
        let id = lengths.into_iter().find_map(|length| {
            let start = text.len().checked_sub(length)?;
            let id = uuid::Uuid::try_parse(&text[start..]).ok()?;
            Some((start, length, id.to_string()))
        });
        let Some((start, length, id)) = id else {
            return text.to_owned();
        };
        let known = self.ids.iter().position(|known| *known == id);
        let number = known.unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        let same = format!("0193a000-0000-7000-8000-{:012}", number + 1);
        let same = if length == 32 { format!("{}", number + 1) } else { same };
        format!("{}{same}", &text[..start])
    }
}

/// As far from the examples' day as it is from now, in whole minutes.
fn moment(at: DateTime<Utc>) -> String {
    let today: DateTime<Utc> = TODAY.parse().expect("a time");
    let minutes = (at - Utc::now()).as_seconds_f64() / 60.0;
    #[allow(clippy::cast_possible_truncation, reason = "minutes are few")]
    let minutes = minutes.round() as i64;
    let moment = today + TimeDelta::minutes(minutes);
    moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[test]
fn an_exchange_is_the_same_in_every_run() {
    let example = |id: &str, at: DateTime<Utc>| {
        let text = format!(
            r#"{{"id":"{id}","path":"/a/{id}","at":"{}","bio":"a bad cafe"}}"#,
            at.to_rfc3339()
        );
        Same::default().value("", read(&text).expect("JSON")).to_string()
    };
    let one = example("0194d2ba-9a6e-7c3b-9d3e-3c6a4b0f1a11", Utc::now());
    assert_eq!(one, example("0194d2bb-aaaa-7c3b-9d3e-3c6a4b0f1a11", Utc::now()));
    assert!(
        one.contains("/a/0193a000-0000-7000-8000-000000000001") && one.contains("a bad cafe"),
        "{one}"
    );
}

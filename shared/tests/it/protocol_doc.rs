//! docs/protocol.md and the types say the same: every command, message, result, error and
//! close code of one is in the other, and every example is a frame that the types read and
//! write back unchanged.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::error::{ErrorCode, Retry};
use shared::notification::NotificationKind;
use shared::protocol::{
    COMMANDS, ClientCommand, ClientFrame, Ephemeral, Format, MAX_CHAT_CHARS, MAX_CLIENT_FRAME_BYTES,
    MAX_REACTION_COUNT, Outcome, Private, REACTION_KINDS, RoomEvent, ServerFrame,
};

const PAGE: &str = include_str!("../../../docs/protocol.md");

type Names = BTreeSet<String>;

/// The part of the page under a heading of the second level.
fn section(heading: &str) -> &'static str {
    let start = PAGE
        .find(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("the page has no section {heading:?}"));
    let rest = &PAGE[start + 4..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The cells of each row of the section's tables whose header starts with `header`.
fn rows(section: &'static str, header: &str) -> Vec<Vec<&'static str>> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in section.lines() {
        if !line.starts_with('|') {
            inside = false;
        } else if line.starts_with(&format!("| {header} |")) {
            inside = true;
        } else if inside && !line.starts_with("|---") {
            found.push(line.trim_matches('|').split('|').map(str::trim).collect());
        }
    }
    assert!(!found.is_empty(), "no table starts with {header:?}");
    found
}

fn names(section: &'static str, header: &str) -> Names {
    let first = |row: Vec<&str>| row[0].trim_matches('`').to_owned();
    let rows = rows(section, header);
    let count = rows.len();
    let names: Names = rows.into_iter().map(first).collect();
    assert_eq!(names.len(), count, "something is listed twice under {header:?}");
    names
}

/// Every name that a tagged type knows, from serde itself: it lists them when it is given
/// one that it does not know.
fn known<T: DeserializeOwned>(tag: &str) -> Names {
    let unknown = format!(r#"{{"{tag}":"no such thing"}}"#);
    let Err(error) = serde_json::from_str::<T>(&unknown) else {
        panic!("nothing is called that");
    };
    let error = error.to_string();
    let (_, list) = error.split_once("expected").expect("serde says what it expected");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The examples, by who sends them.
fn examples(sender: &str) -> Vec<Value> {
    let fence = format!("```json {sender}\n");
    PAGE.split(&fence)
        .skip(1)
        .map(|rest| {
            let text = rest.split("```").next().expect("split yields something");
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
        })
        .collect()
}

/// Reads an example as `T` and writes it back, in both formats: a name that the type does
/// not know would be gone.
fn assert_is<T: DeserializeOwned + serde::Serialize>(example: &Value) {
    let read: T = serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{error}: {example}"));
    assert_eq!(&serde_json::to_value(&read).expect("written"), example);
    let packed = Format::MsgPack.encode(&read).expect("packed");
    let unpacked: T = Format::MsgPack.decode(&packed).expect("unpacked");
    assert_eq!(&serde_json::to_value(&unpacked).expect("written"), example);
}

fn tags(values: impl IntoIterator<Item = Value>, tag: &str) -> Names {
    let tag_of = |value: Value| value[tag].as_str().map(str::to_owned);
    values.into_iter().filter_map(tag_of).collect()
}

#[test]
fn every_command_is_documented_and_no_other() {
    let documented = names(section("Commands"), "`cmd`");
    let listed: Names = COMMANDS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(documented, listed);
    assert_eq!(documented, known::<ClientCommand>("cmd"));
}

#[test]
fn every_message_is_documented_and_no_other() {
    assert_eq!(names(section("Numbered events"), "`type`"), known::<RoomEvent>("type"));
    assert_eq!(
        names(section("Ephemeral messages"), "`type`"),
        known::<Ephemeral>("type")
    );
    assert_eq!(names(section("Private messages"), "`type`"), known::<Private>("type"));
    assert_eq!(
        names(section("Private messages"), "`result`"),
        known::<Outcome>("result")
    );
    let kinds: Names = NotificationKind::ALL
        .iter()
        .map(|kind| kind.as_str().to_owned())
        .collect();
    assert_eq!(names(section("Notifications"), "`kind`"), kinds);
}

#[test]
fn the_table_of_errors_is_the_one_in_the_code() {
    let documented: Vec<Vec<String>> = rows(section("Errors"), "`code`")
        .into_iter()
        .map(|row| row.into_iter().map(str::to_owned).collect())
        .collect();
    let in_code: Vec<Vec<String>> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let again = match code.retry() {
                Retry::No => "no",
                Retry::Later => "later",
            };
            vec![
                format!("`{code}`"),
                code.http_status().to_string(),
                again.to_owned(),
                code.close_code().map_or_else(String::new, |close| close.to_string()),
                code.title().to_owned(),
            ]
        })
        .collect();
    assert_eq!(documented, in_code);
}

#[test]
fn every_close_code_of_an_error_is_documented_and_no_other() {
    let documented: BTreeSet<(String, String)> = rows(section("Closing"), "code | `code`")
        .into_iter()
        .map(|row| (row[0].to_owned(), row[1].trim_matches('`').to_owned()))
        .collect();
    let in_code: BTreeSet<(String, String)> = ErrorCode::ALL
        .iter()
        .filter_map(|code| Some((code.close_code()?.to_string(), code.to_string())))
        .collect();
    assert_eq!(documented, in_code);
}

#[test]
fn every_example_is_a_frame() {
    for example in examples("client") {
        assert_is::<ClientFrame>(&example);
    }
    for example in examples("server") {
        assert_is::<ServerFrame>(&example);
    }
}

#[test]
fn everything_has_an_example() {
    assert_eq!(tags(examples("client"), "cmd"), known::<ClientCommand>("cmd"));
    let server = examples("server");
    assert_eq!(tags(server.clone(), "type"), known::<Private>("type"));
    assert_eq!(tags(server.clone(), "result"), known::<Outcome>("result"));
    let inside = server
        .into_iter()
        .filter_map(|frame| frame["m"].as_array().cloned())
        .flatten();
    let events: Names = &known::<RoomEvent>("type") | &known::<Ephemeral>("type");
    assert_eq!(tags(inside, "type"), events);
}

#[test]
fn limits_and_subprotocols_are_those_of_the_code() {
    for format in Format::ALL {
        assert!(section("Connecting").contains(&format!("| `{}` |", format.subprotocol())));
    }
    let limits = section("Limits");
    assert!(limits.contains(&format!("frame: {MAX_CLIENT_FRAME_BYTES} |")));
    assert!(limits.contains(&format!("message: {MAX_CHAT_CHARS} |")));
    assert!(limits.contains(&format!("`react`: {MAX_REACTION_COUNT} |")));
    let commands = section("Commands");
    for kind in REACTION_KINDS {
        assert!(commands.contains(&format!("`{kind}`")), "{kind}");
    }
}

//! The API's description against the API: it is whole, and no answer of any test is one
//! that it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use reqwest::Method;
use serde_json::{Value, json};
use shared::error::ErrorCode;

use crate::harness::{App, Reply};

/// The description, read once.
fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| {
        let api = core_api::openapi().expect("a description");
        serde_json::to_value(api).expect("JSON")
    })
}

/// Every operation: its method, its path, and what is said of it.
fn operations() -> impl Iterator<Item = (String, &'static str, &'static Value)> {
    let paths = description()["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations").iter();
        item.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    })
}

/// What a reference leads to, or the thing itself.
fn resolved(node: &'static Value) -> &'static Value {
    match node["$ref"].as_str() {
        Some(to) => description()
            .pointer(&to[1..])
            .expect("a reference that leads somewhere"),
        None => node,
    }
}

/// The operation that a request went to; a path without parameters goes before one with.
fn operation_of(method: &Method, path: &str) -> Option<&'static Value> {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |pattern: &str| {
        let pattern: Vec<&str> = pattern.split('/').collect();
        let same = pattern.iter().zip(&parts).all(|(a, b)| a.starts_with('{') || a == b);
        pattern.len() == parts.len() && same
    };
    let fitting = operations().filter(|(of, pattern, _)| of == method && fits(pattern));
    let best = fitting.min_by_key(|(_, pattern, _)| pattern.matches('{').count());
    best.map(|(_, _, operation)| operation)
}

/// Panics when the description does not know that this request can be answered so.
pub fn hold(method: &Method, path: &str, reply: &Reply) {
    let Some(operation) = operation_of(method, path) else {
        return;
    };
    let media = reply.header("content-type");
    let problem: Value = if media == "application/problem+json" {
        reply.value()
    } else {
        Value::Null
    };
    if problem["field"] == "content-encoding" {
        // Refused before anybody asks what the request is for.
        return;
    }
    let at = format!("{method} {path}");
    let answer = resolved(&operation["responses"][reply.status.as_str()]);
    let content = &answer["content"];
    let code = problem["code"].as_str();
    let known = match code {
        Some(code) => content[media]["examples"][code].is_object(),
        None if reply.text.is_empty() => answer.is_object(),
        None => content[media.split(';').next().unwrap_or_default()].is_object(),
    };
    let what = code.unwrap_or(media);
    assert!(
        known,
        "{at} answers {} {what}, which its description does not say: name it at the handler or in docs/further.rs",
        reply.status
    );
}

#[tokio::test]
async fn the_description_is_served_as_it_is() {
    let app = App::start().await;
    let api: Value = app.get("/openapi.json").send().await.ok();
    assert_eq!(&api, description());
    assert!(
        api["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    assert_eq!(api["info"]["title"], "Hawker");
    assert_eq!(api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(api["components"]["schemas"]["ErrorCode"]["enum"], json!(codes));
}

#[test]
fn every_reference_leads_somewhere() {
    fn follow(node: &'static Value) {
        if node.is_object() {
            resolved(node);
        }
        match node {
            Value::Object(fields) => fields.values().for_each(follow),
            Value::Array(items) => items.iter().for_each(follow),
            _ => {}
        }
    }
    follow(description());
}

#[test]
fn every_operation_says_what_it_takes() {
    let tags: Vec<&Value> = { description()["tags"].as_array().expect("tags").iter() }
        .map(|tag| &tag["name"])
        .collect();
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations() {
        let at = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{at} has no summary");
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name), "{at}: another operation is called {name} as well");
        let of_it = operation["tags"].as_array().expect("tags");
        assert!(
            of_it.iter().all(|tag| tags.contains(&tag)),
            "{at}: {of_it:?}: what is this tag?"
        );
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let named = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
        for segment in path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
            assert!(named(segment), "{at} has no parameter {segment}");
        }
        if path.starts_with("/seller/") || path.starts_with("/admin/") || path.starts_with("/users/") {
            assert!(operation["security"][0]["bearer"].is_array(), "{at}");
        }
    }
    let stock = &description()["paths"]["/seller/variants/{id}/stock"]["post"]["parameters"];
    let key = { stock.as_array().expect("parameters").iter() }.find(|p| p["name"] == "Idempotency-Key");
    assert_eq!(
        key.map(|key| (&key["in"], &key["required"])),
        Some((&json!("header"), &json!(true)))
    );
}

#[test]
fn every_operation_says_what_may_go_wrong() {
    for (method, path, operation) in operations() {
        let at = format!("{method} {path}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(
            !responses.contains_key("default"),
            "{at}: each status is said by itself"
        );
        let has = |status: &str| responses.contains_key(status);
        let is_probe = matches!(path, "/healthz" | "/readyz");
        assert!(has("500") && has("503"), "{at}");
        assert_ne!(has("429"), is_probe, "{at}");
        assert!(has("404") || !path.contains('{'), "{at}");
        if operation["security"][0].is_object() {
            assert!(has("401") && has("403"), "{at}");
        }
        if operation["requestBody"].is_object() {
            let missing = ["400", "408", "413", "415", "422"]
                .into_iter()
                .find(|status| !has(status));
            assert_eq!(missing, None, "{at}");
        }
        for (status, answer) in responses {
            let problem = &resolved(answer)["content"]["application/problem+json"];
            let is_refusal = status.starts_with(['4', '5']);
            assert_eq!(problem.is_object(), is_refusal, "{at} {status}");
            for code in problem["examples"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(code, _)| code)
            {
                let known = ErrorCode::from_name(code).expect("a code");
                assert_eq!(known.http_status().to_string(), *status, "{at}: {code}");
            }
        }
        if !is_probe {
            for name in ["Retry-After", "RateLimit", "RateLimit-Policy"] {
                assert!(resolved(&responses["429"])["headers"][name].is_object(), "{at}: {name}");
            }
        }
    }
}

#[test]
fn every_operation_has_an_example_of_what_it_takes_and_answers() {
    let mut missing = Vec::new();
    for (method, path, operation) in operations() {
        let bodies = operation.get("requestBody").map(|body| ("its body".to_owned(), body));
        let answers = operation["responses"].as_object().expect("responses").iter();
        let answers = answers.filter(|(status, _)| status.starts_with('2'));
        let answers = answers.map(|(status, answer)| (format!("its {status}"), answer));
        for (what, place) in bodies.into_iter().chain(answers) {
            for (media, content) in place["content"].as_object().into_iter().flatten() {
                let is_shown = content.get("example").is_some() || content.get("examples").is_some();
                if !is_shown && !media.starts_with("image/") && media != "multipart/form-data" {
                    missing.push(format!("{method} {path} has no example of {what}"));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{missing:#?}\nwrite them: WRITE_EXAMPLES=1 cargo test -p core-api --test it -- every_operation_answers"
    );
}

/// What a handler reads from the query is found by its annotation alone.
#[test]
fn every_query_is_in_the_description() {
    let mut missing = Vec::new();
    each_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |file, text| {
        for handler in text.split("#[utoipa::path(").skip(1) {
            let annotation = handler.split("\n#[").next().unwrap_or_default();
            let signature = handler.split(" {\n").next().unwrap_or_default();
            let queries = signature
                .split("web::Query<")
                .skip(1)
                .filter_map(|rest| rest.split('>').next());
            for query in queries.filter(|query| {
                !annotation.contains(&format!("{query}, ")) && !annotation.contains(&format!("{query})"))
            }) {
                missing.push(format!("{}: params({query})", file.display()));
            }
        }
    });
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Two types of one name would be described as one: the last that is found.
#[test]
fn no_two_types_have_the_same_name_in_the_description() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["src", "../shared/src"] {
        each_source(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut |file, text| {
                for item in text.split("#[derive(").skip(1).filter_map(described_type) {
                    names.entry(item).or_default().push(file.display().to_string());
                }
            },
        );
    }
    assert!(names.contains_key("Order"), "types are found");
    names.retain(|_, files| files.len() > 1);
    assert!(
        names.is_empty(),
        "give one of them another with #[schema(as = …)]: {names:#?}"
    );
}

fn each_source(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// The name in the description of the type that follows a `#[derive(`, if it has one.
fn described_type(text: &str) -> Option<String> {
    let (derives, rest) = text.split_once(")]")?;
    if !derives.contains("ToSchema") {
        return None;
    }
    let start = [" struct ", " enum "].iter().filter_map(|word| rest.find(word)).min()?;
    // A macro's type has no name yet.
    let word = |text: &str| {
        let name = text.split(|c: char| !c.is_alphanumeric()).next()?;
        (!name.is_empty()).then(|| name.to_owned())
    };
    match rest[..start].split_once("#[schema(as = ") {
        Some((_, other)) => word(other),
        None => word(rest[start..].trim_start().split_once(' ')?.1),
    }
}

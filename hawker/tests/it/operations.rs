//! What those who run Hawker are shown: the documented metrics and no others, from a
//! running program, and log lines of two processes that belong to one request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use shared::ids::{ProductId, RequestId};
use shared::metric::Metric;

use crate::program::{Program, client, scratch};
use crate::world::{OnAir, World};

const DEADLINE: Duration = Duration::from_secs(60);

fn metrics() -> impl Iterator<Item = &'static Metric> {
    let parts = [live_engine::METRICS, core_api::METRICS, shared::bus::METRICS];
    parts.into_iter().flatten()
}

/// A metric's line in the documentation.
fn line(metric: &Metric) -> String {
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    let (name, kind, unit) = (metric.name, metric.kind.as_str(), metric.unit.as_str());
    format!(
        "| `{name}` | {kind} | {unit} | {} | {} |",
        labels.join(", "),
        metric.help
    )
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let text = include_str!("../../../docs/operations.md");
    let (_, section) = text.split_once("\n## Metrics\n").expect("a section on metrics");
    let section = section.split("\n## ").next().unwrap_or(section);
    let documented: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = metrics().map(line).collect();
    assert!(
        documented == expected,
        "docs/operations.md is to have:\n{}",
        expected.join("\n")
    );
    let names: BTreeSet<_> = metrics().map(|metric| metric.name).collect();
    assert_eq!(names.len(), expected.len(), "each once");
}

/// The metrics of a scraped text, with their kinds and what is said of them.
fn scraped(text: &str) -> BTreeMap<&str, (&str, &str)> {
    let said = |word: &'static str| {
        let lines = text
            .lines()
            .filter_map(move |line| line.strip_prefix(word)?.trim().split_once(' '));
        lines.collect::<BTreeMap<_, _>>()
    };
    let (kinds, helps) = (said("# TYPE"), said("# HELP"));
    let help = |name| helps.get(name).copied().unwrap_or_default();
    kinds
        .into_iter()
        .map(|(name, kind)| (name, (kind, help(name))))
        .collect()
}

#[tokio::test]
async fn a_running_hawker_shows_every_documented_metric_and_no_other() {
    let dir = scratch();
    let program = Program::start(dir.path(), &["--show"]).await;
    let private = program.private();
    let read = async |path: &str| {
        let answer = client().get(format!("{private}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let public = program.get("/metrics").await;
    assert_eq!(public.status(), 404, "not on the public port");
    let expected: BTreeMap<_, _> = metrics().map(|m| (m.name, (m.kind.as_str(), m.help))).collect();
    let mut text = String::new();
    let is_busy = |text: &str| {
        let delivered = text.lines().filter(|line| line.starts_with("engine_deliveries_total"));
        delivered
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>()
            > 100
    };
    let waiting = async {
        while !is_busy(&text) || expected.keys().any(|name| !scraped(&text).contains_key(name)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            text = read("/metrics").await.1;
        }
    };
    // What is still missing then is seen below.
    let _ = tokio::time::timeout(DEADLINE, waiting).await;
    assert_eq!(scraped(&text), expected);
    let (status, told) = read("/readyz").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let parts = [
        &told["status"],
        &told["core-api"]["status"],
        &told["live-engine"]["status"],
    ];
    assert_eq!((status, parts), (200, [&json!("ok"); 3]));
    let rooms: Value = serde_json::from_str(&read("/debug/rooms").await.1).unwrap();
    assert_eq!(rooms["rooms"][0]["room"]["state"], "live", "{rooms}");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_can_be_followed_from_one_process_to_the_others_statements() {
    let mut world =
        World::start_apart_with(&[("HAWKER_LOG_FORMAT", "json"), ("RUST_LOG", "info,sqlx::query=debug")]).await;
    let OnAir { host, stream, .. } = world.on_air(1).await;
    let path = format!("/streams/{}/feature", stream.id);
    let body = json!({ "product": ProductId::new() });
    let refused = host
        .raw(reqwest::Method::POST, &path, Some(RequestId::new()), Some(&body))
        .await
        .unwrap();
    assert_eq!(
        refused.status, 404,
        "there is no such product, says the engine's database"
    );
    let request = refused.body["request_id"].as_str().expect("it is named").to_owned();
    let is_it = |line: &Value| {
        let spans = line["spans"].as_array().into_iter().flatten();
        let mut spans = spans.filter(|span| span["http_request"] == request);
        line["target"] == "sqlx::query" && spans.any(|span| span["stream"] == stream.id.to_string())
    };
    let of_core = |line: &Value| line["spans"].to_string().contains(&request);
    let waiting = async {
        while !world.processes().log("live-engine").iter().any(is_it) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("the engine's statements name the request");
    assert!(
        world.processes().log("core-api").iter().any(of_core),
        "and so do core-api's own"
    );
    world.stop().await;
}

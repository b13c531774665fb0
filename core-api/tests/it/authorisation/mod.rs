//! Who may do what: every operation by everybody, on rows that exist.

mod examples;
mod rows;
mod serve;
mod table;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;

use self::examples::Examples;
use self::table::TABLE;
use self::world::{ACTORS, Grounds, World, name_of};
use crate::harness::Reply;

/// What only admins do, and what moves money or says what becomes of it: whoever changes
/// something below these is in the audit log, with what was before and what is after.
const AUDITED: &[&str] = &[
    "/admin/",
    "/orders",
    "/seller/claims",
    "/seller/discount-codes",
    "/seller/orders",
    "/seller/payout-accounts",
    "/seller/payouts",
    "/seller/returns",
    "/seller/shipments",
];

/// But for these, and why.
const UNAUDITED: &[(&str, &str)] = &[
    ("POST /orders/checkout", "prices and holds; nothing is owed yet"),
    ("DELETE /orders/checkout/{}", "gives back what is held"),
    ("POST /orders", "the order itself, and its history, say who and what"),
    (
        "POST /orders/{}/payments/{}/confirm",
        "the outcome is the provider's, and audited without a person",
    ),
    (
        "POST /orders/{}/payments/{}/cancel",
        "the outcome is the provider's, and audited without a person",
    ),
];

/// Lines that are tried at once.
const AT_ONCE: usize = 4;

/// What an operation answers to each of [`ACTORS`].
struct Line {
    method: Method,
    path: &'static str,
    expected: [Answer; ACTORS.len()],
    body: &'static str,
    /// The row that a list has for those whose it is, with `$` before its name.
    shows: Option<&'static str>,
}

/// What somebody is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// A status, and no row that is somebody else's.
    Status(u16),
    /// 200, and the row that the list shows.
    Own,
}

impl Answer {
    fn status(self) -> u16 {
        match self {
            Self::Status(status) => status,
            Self::Own => 200,
        }
    }

    fn lets_in(self) -> bool {
        (200..300).contains(&self.status())
    }

    /// Whether an answer is this one; `shown` is the row of a list.
    fn is(self, reply: &Reply, shown: Option<&str>) -> bool {
        let has_row = shown.is_some_and(|row| reply.text.contains(row));
        let is_said_so = match self {
            Self::Status(401) => code(reply) == "unauthenticated",
            Self::Status(404) => code(reply) == "not_found",
            Self::Status(_) => !has_row,
            Self::Own => has_row,
        };
        reply.status.as_u16() == self.status() && is_said_so
    }
}

impl Line {
    fn read(text: &'static str) -> Self {
        let mut rest = text;
        let mut word = || {
            rest = rest.trim_start();
            let (word, after) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            rest = after;
            word
        };
        let (method, path) = (word(), word());
        let expected = std::array::from_fn(|_| match word() {
            "own" => Answer::Own,
            status => Answer::Status(status.parse().unwrap_or_else(|_| panic!("no status: {text}"))),
        });
        let shows = rest.trim().strip_prefix("shows ");
        Self {
            method: Method::from_str(method).expect("a method"),
            path,
            expected,
            body: if shows.is_some() { "" } else { rest.trim() },
            shows,
        }
    }

    /// As the description of the API names it, whatever it calls what varies.
    fn operation(&self) -> String {
        named(self.method.as_str(), self.path)
    }

    /// Whether whoever does it is to be found in the audit log.
    fn is_audited(&self) -> bool {
        let operation = self.operation();
        self.method != Method::GET
            && AUDITED.iter().any(|below| self.path.starts_with(below))
            && UNAUDITED.iter().all(|(name, _)| *name != operation)
    }

    /// The rows that it is about.
    fn names(&self) -> Vec<&'static str> {
        let texts = [self.path, self.body, self.shows.unwrap_or_default()];
        let names = texts.iter().flat_map(|text| text.split('$').skip(1).map(name_of));
        names.collect()
    }

    /// The others first, on the very rows of the first who is let in: that they exist, and
    /// that nobody before has touched them, is shown by what comes last. Each of the rest
    /// who is let in has rows of their own.
    async fn differences(&self, grounds: &Grounds, examples: &Examples) -> Vec<String> {
        let (let_in, refused): (Vec<usize>, Vec<usize>) =
            (0..ACTORS.len()).partition(|&actor| self.expected[actor].lets_in());
        let mut differences = Vec::new();
        let mut world = World::make(grounds, &self.names()).await;
        for actor in refused {
            let (_, difference) = self.difference(grounds, &world, actor).await;
            differences.extend(difference);
        }
        for (turn, actor) in let_in.into_iter().enumerate() {
            if turn > 0 {
                world = World::make(grounds, &self.names()).await;
            }
            let audited = world.audited(grounds, actor).await;
            let (reply, difference) = self.difference(grounds, &world, actor).await;
            if self.is_audited() && world.audited(grounds, actor).await == audited {
                let (who, what) = (ACTORS[actor], self.operation());
                differences.push(format!(
                    "{what} by {who} is not in the audit log with `before` and `after`; see UNAUDITED"
                ));
            }
            if turn == 0 && difference.is_none() {
                examples.note(self.operation(), self.body, &world.fill(self.body, actor), &reply);
            }
            differences.extend(difference);
        }
        differences
    }

    async fn difference(&self, grounds: &Grounds, world: &World, actor: usize) -> (Reply, Option<String>) {
        let (path, body) = (world.fill(self.path, actor), world.fill(self.body, actor));
        let shown = self.shows.map(|row| world.fill(row, actor));
        let reply = world.call(grounds, actor, self.method.clone(), &path, body).await;
        let expected = self.expected[actor];
        let difference = (!expected.is(&reply, shown.as_deref())).then(|| {
            let (who, what, got) = (ACTORS[actor], self.operation(), reply.status);
            format!("{what} by {who}: {got} instead of {expected:?}: {}", reply.text)
        });
        (reply, difference)
    }
}

/// Of problem details; empty when the answer is none.
fn code(reply: &Reply) -> String {
    let problem: Value = serde_json::from_str(&reply.text).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

fn named(method: &str, path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.chars().next() {
        Some('$' | '{') => "{}",
        _ => segment,
    });
    format!("{} {}", method.to_uppercase(), segments.collect::<Vec<_>>().join("/"))
}

fn lines() -> Vec<Line> {
    let lines = TABLE.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Line::read)
        .collect()
}

/// The operations of the API as it describes itself, and whether each demands a token.
fn described() -> BTreeMap<String, bool> {
    let api = serde_json::to_value(core_api::openapi().expect("a description")).expect("JSON");
    let mut operations = BTreeMap::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            if operation.is_object() {
                operations.insert(named(method, path), demands_token(&operation["security"]));
            }
        }
    }
    operations
}

#[test]
fn every_operation_has_its_line_in_the_matrix() {
    let (operations, lines) = (described(), lines());
    let listed: BTreeSet<String> = lines.iter().map(Line::operation).collect();
    let missing: Vec<_> = operations.keys().filter(|name| !listed.contains(*name)).collect();
    assert!(missing.is_empty(), "say who may do this: {missing:#?}");
    let superfluous: Vec<_> = listed.iter().filter(|name| !operations.contains_key(*name)).collect();
    assert!(superfluous.is_empty(), "there is no such operation: {superfluous:#?}");
    for line in &lines {
        let name = line.operation();
        assert!(
            line.expected.iter().any(|answer| answer.lets_in()),
            "nobody may: {name}"
        );
        let has_own = line.expected.contains(&Answer::Own);
        assert_eq!(has_own, line.shows.is_some(), "{name}: what is shown to whom?");
    }
    for (name, demands_token) in operations {
        let mut of_it = lines.iter().filter(|line| line.operation() == name);
        let is_refused = of_it.all(|line| line.expected[0].status() == 401);
        assert_eq!(demands_token, is_refused, "{name}: what its description says of tokens");
    }
}

/// Whether no alternative of an operation's security is to send nothing.
fn demands_token(security: &Value) -> bool {
    let alternatives = security.as_array().map_or(&[][..], Vec::as_slice);
    !alternatives.is_empty()
        && alternatives
            .iter()
            .all(|one| one.as_object().is_some_and(|o| !o.is_empty()))
}

#[test]
fn what_is_not_audited_is_an_operation_that_would_be() {
    let operations = described();
    for (name, why) in UNAUDITED {
        assert!(operations.contains_key(*name) && !why.is_empty(), "{name}");
        let path = name.split_once(' ').expect("a method and a path").1;
        assert!(AUDITED.iter().any(|below| path.starts_with(below)), "{name}");
    }
}

/// Also: what admins do, and what is done about money, is in the audit log.
#[tokio::test]
async fn every_operation_answers_everybody_as_the_matrix_says() {
    let grounds = Grounds::open().await;
    let lines = lines();
    let examples = Examples::default();
    let tried = stream::iter(&lines).map(|line| line.differences(&grounds, &examples));
    let differences: Vec<String> = tried.buffered(AT_ONCE).concat().await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    if std::env::var_os("WRITE_EXAMPLES").is_some() {
        examples.write();
    }
}

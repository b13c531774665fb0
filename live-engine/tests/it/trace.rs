//! A line of the log says where its work came from: connection, command and room, down to
//! the statement. Read from the program's own JSON log.

use serde_json::Value;
use shared::ids::RequestId;
use shared::protocol::{ClientCommand, Feature, Outcome, SaleOpen, SalePrice};
use shared::token::{Part, Viewer};
use sqlx::PgPool;
use testkit::TestDb;
use testkit::fixtures::{self, Shop};

use crate::harness::chat;
use crate::process::Process;

const STATEMENTS: (&str, &str) = ("RUST_LOG", "info,sqlx::query=debug");

async fn start() -> (TestDb, Shop, Process) {
    let db = testkit::database().await;
    let shop = fixtures::shop(&db.pool, 100, 1_900).await;
    let engine = Process::start(&db.url, &[STATEMENTS]).await;
    (db, shop, engine)
}

/// The span of this name that a line is in.
fn span<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line["spans"].as_array()?.iter().find(|span| span["name"] == name)
}

fn is_statement(line: &Value) -> bool {
    line["target"] == "sqlx::query"
}

/// Whether a line is in the span `name` of this act.
fn is_of(line: &Value, name: &str, act: RequestId) -> bool {
    span(line, name).is_some_and(|span| span["request_id"] == act.to_string())
}

fn owner(shop: &Shop) -> Viewer {
    Viewer::User {
        id: shop.owner,
        name: "Demo Host".into(),
    }
}

async fn break_it(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.expect("broken");
}

#[tokio::test]
async fn a_hosts_statement_says_which_connection_command_and_room_it_is_for() {
    let (db, shop, engine) = start().await;
    let mut host = engine.connect(owner(&shop), shop.stream, Part::Host).await;
    host.join(shop.stream, None).await.expect("joined");
    let act = RequestId::new();
    let feature = ClientCommand::Feature(Feature {
        product: shop.product,
        variant: None,
    });
    host.call_as(feature, act).await.expect("answered").expect("featured");
    let line = engine
        .says(|line| is_statement(line) && is_of(line, "command", act))
        .await;
    let names: Vec<_> = line["spans"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|span| &span["name"])
        .collect();
    assert_eq!(names, ["command", "room", "transaction"], "{line:#}");
    let command = span(&line, "command").expect("as above");
    assert_eq!(
        (&command["kind"], &command["stream"]),
        (&"feature".into(), &shop.stream.to_string().into())
    );
    assert!(
        command["conn"]
            .as_str()
            .is_some_and(|conn| conn.split('-').count() == 3),
        "{line:#}"
    );
    assert_eq!(span(&line, "room").expect("as above")["epoch"], 1);

    // One line is enough to know whose statement has failed.
    break_it(&db.pool, "alter table audit_log rename to audit_log_away").await;
    let act = RequestId::new();
    let refused = host.call_as(ClientCommand::Unfeature, act).await.expect("answered");
    assert!(refused.is_err());
    let line = engine
        .says(|line| line["level"] == "ERROR" && is_of(line, "command", act))
        .await;
    let command = span(&line, "command").expect("as above");
    assert_eq!(
        (&command["kind"], &command["stream"]),
        (&"unfeature".into(), &shop.stream.to_string().into())
    );
    assert!(command["conn"].is_string(), "{line:#}");
    assert!(
        line["fields"]["error"]
            .as_str()
            .is_some_and(|error| error.contains("audit_log")),
        "{line:#}"
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_stored_says_which_connection_and_command_it_came_with() {
    let (db, shop, engine) = start().await;
    let mut author = engine.join(&db, shop.stream, "Author").await;
    author.call(chat("before")).await.expect("answered").expect("said");
    break_it(
        &db.pool,
        "alter table stream_chat_messages add constraint wanted check (text <> 'unwanted')",
    )
    .await;
    let act = RequestId::new();
    author.send(chat("unwanted"), Some(act)).await.expect("sent");
    let is_it = |line: &Value| line["level"] == "ERROR" && is_of(line, "batch", act);
    let line = engine.says(is_it).await;
    let batch = span(&line, "batch").expect("as above");
    assert_eq!(
        (&batch["rows"], &batch["stream"]),
        (&1.into(), &shop.stream.to_string().into())
    );
    assert!(batch["conn"].is_string(), "{line:#}");
    assert_eq!((&line["fields"]["seq"], &batch["seq"]), (&2.into(), &2.into()));
}

#[tokio::test]
async fn the_call_for_holds_says_who_came_first() {
    let (db, shop, engine) = start().await;
    let mut host = engine.connect(owner(&shop), shop.stream, Part::Host).await;
    host.join(shop.stream, None).await.expect("joined");
    let open = ClientCommand::SaleOpen(SaleOpen {
        variant: shop.variant,
        quantity: 10,
        price: SalePrice::PriceMinor(900),
        per_buyer: 2,
        hold_seconds: 60,
        ends_in_seconds: 600,
        opens_in_seconds: None,
    });
    let opened = host.call(open).await.expect("answered").expect("opened");
    let Outcome::SaleOpened { sale, .. } = opened else {
        panic!("{opened:?}")
    };
    let mut buyer = engine.join(&db, shop.stream, "Buyer").await;
    let act = RequestId::new();
    let buy = ClientCommand::Buy { sale, quantity: 1 };
    buyer.call_as(buy, act).await.expect("answered").expect("held");
    let line = engine
        .says(|line| is_statement(line) && is_of(line, "holds", act))
        .await;
    let holds = span(&line, "holds").expect("as above");
    assert_eq!(
        (&holds["sale"], &holds["buyers"]),
        (&sale.to_string().into(), &1.into())
    );
    assert_eq!(holds["stream"], shop.stream.to_string());
    assert!(holds["conn"].is_string(), "{line:#}");
}

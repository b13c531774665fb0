//! The worked example of docs/money.md: it is played through the product, and every cell of
//! the document's tables is compared with what the database says then. A figure that is
//! changed in either turns this red.

use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::acts::{Act, Means, Sequence, Stall, Then};
use super::paper::{BackState, Bank};
use super::play::Play;
use super::sheet::{Off, Postage};

const DOCUMENT: &str = include_str!("../../../../docs/money.md");

type Table = Vec<Vec<String>>;

/// The cells of the table after `<!-- example: name -->`, without its head.
fn documented(name: &str) -> Table {
    let mark = format!("<!-- example: {name} -->");
    let (_, after) = DOCUMENT
        .split_once(&mark)
        .unwrap_or_else(|| panic!("docs/money.md has no {mark}"));
    let rows = after.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

fn euros(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.abs() / 100, minor.abs() % 100)
}

/// Nothing where there is nothing.
fn euros_or_none(minor: i64) -> String {
    if minor == 0 { String::new() } else { euros(minor) }
}

fn compare(name: &str, product: &Table) {
    let shown = |table: &Table| {
        let rows = table.iter().map(|row| format!("| {} |", row.join(" | ")));
        rows.collect::<Vec<_>>().join("\n").replace("|  |", "| |")
    };
    let document = documented(name);
    assert!(
        document == *product,
        "docs/money.md, table {name}, says\n{}\nthe product says\n{}",
        shown(&document),
        shown(product)
    );
}

/// Shops are called by letters.
struct Names(Vec<Uuid>);

impl Names {
    fn of(&self, shop: Uuid) -> &'static str {
        let nth = self.0.iter().position(|id| *id == shop);
        ["A", "B"][nth.expect("one of the shops")]
    }

    fn account(&self, kind: &str, shop: Option<Uuid>) -> String {
        shop.map_or_else(|| format!("`{kind}`"), |shop| format!("`{kind}` {}", self.of(shop)))
    }
}

async fn lines(db: &PgPool, names: &Names) -> Table {
    let rows = sqlx::query(
        "select i.*, e.amount_minor as earned from order_items i
           join seller_earnings e on e.order_item_id = i.id and e.kind = 'sale' order by i.id",
    );
    let rows = rows.fetch_all(db).await.expect("the lines");
    let line = |row: &sqlx::postgres::PgRow| {
        let cents = |column: &str| row.get::<i64, _>(column);
        let goods = cents("gross_minor") - cents("seller_discount_minor") - cents("platform_discount_minor");
        let mut cells = vec![
            names.of(row.get("seller_id")).to_owned(),
            row.get::<i32, _>("quantity").to_string(),
        ];
        cells.extend(
            [
                cents("gross_minor"),
                cents("platform_discount_minor"),
                goods,
                cents("shipping_minor"),
                cents("tax_minor"),
                cents("shipping_tax_minor"),
                cents("commission_minor"),
                cents("earned"),
            ]
            .map(euros),
        );
        cells
    };
    rows.iter().map(line).collect()
}

async fn moves(db: &PgPool, names: &Names) -> Table {
    let rows = sqlx::query(
        "select dense_rank() over (order by t.id) as nth, t.kind, a.kind as account, a.seller_id,
                sum(e.amount_minor)::bigint as cents
           from ledger_transactions t join ledger_entries e on e.transaction_id = t.id
           join ledger_accounts a on a.id = e.account_id
          group by t.id, t.kind, a.kind, a.seller_id, a.id
          order by t.id, sum(e.amount_minor) < 0, a.kind, a.id",
    );
    let rows = rows.fetch_all(db).await.expect("the ledger");
    let entry = |row: &sqlx::postgres::PgRow| {
        let (nth, kind, cents): (i64, &str, i64) = (row.get("nth"), row.get("kind"), row.get("cents"));
        let account = names.account(row.get("account"), row.get("seller_id"));
        let (debit, credit) = (euros_or_none(cents.max(0)), euros_or_none((-cents).max(0)));
        vec![nth.to_string(), format!("`{kind}`"), account, debit, credit]
    };
    rows.iter().map(entry).collect()
}

async fn statement(db: &PgPool, names: &Names) -> Table {
    let rows = sqlx::query("select * from earning_lines order by seller_id, id");
    let rows = rows.fetch_all(db).await.expect("the statement");
    let earning = |row: &sqlx::postgres::PgRow| {
        let cents = |column: &str| euros(row.get::<i64, _>(column));
        let text = |column: &str| format!("`{}`", row.get::<&str, _>(column));
        vec![
            names.of(row.get("seller_id")).to_owned(),
            text("because"),
            cents("base_minor"),
            cents("shipping_minor"),
            cents("commission_minor"),
            cents("amount_minor"),
            text("state"),
        ]
    };
    rows.iter().map(earning).collect()
}

async fn accounts(db: &PgPool, names: &Names) -> Table {
    let rows = sqlx::query(
        "select a.kind, a.seller_id, sum(e.amount_minor)::bigint as cents
           from ledger_accounts a join ledger_entries e on e.account_id = a.id
          group by a.id order by a.kind, a.id",
    );
    let rows = rows.fetch_all(db).await.expect("the accounts");
    let account = |row: &sqlx::postgres::PgRow| {
        let name = names.account(row.get("kind"), row.get("seller_id"));
        vec![name, euros(row.get("cents"))]
    };
    rows.iter().map(account).collect()
}

/// Two shops: bowls at 19.99, sent for 4.90 and 0.50 more for each further one, at the
/// platform's commission; and blankets at 34.50, sent for 5.90, at a commission of 12.5 %.
fn market() -> Sequence {
    let stall = |price, base, extra, rate| Stall {
        prices: [price, price],
        stock: 10,
        postage: Some(Postage {
            base,
            extra,
            free_from: None,
        }),
        rate,
        code: (Off::Percent(1), 0),
    };
    Sequence {
        stalls: [stall(1_999, 490, 50, None), stall(3_450, 590, 0, Some(1_250))],
        code: (Off::Percent(1_000), 0),
        steps: Vec::new(),
    }
}

/// What happens in it, in the order of the document.
fn happens() -> Vec<Act> {
    vec![
        Act::Buy {
            buyer: 0,
            units: vec![(0, 3), (2, 2)],
            code: Some(2),
            country: 1,
            then: Then::Placed,
        },
        Act::Pay {
            order: 0,
            means: Means::Good,
        },
        Act::Give {
            order: 0,
            units: vec![(0, 1)],
            shipping: false,
            restock: false,
        },
        Act::Send {
            order: 0,
            shop: 0,
            some: None,
        },
        Act::Send {
            order: 0,
            shop: 1,
            some: None,
        },
        Act::Arrive { order: 0 },
        Act::AskBack {
            order: 0,
            line: 1,
            units: 1,
        },
        Act::Answer {
            back: 0,
            to: BackState::Approved,
        },
        Act::Receive {
            back: 0,
            restocked: 1,
            shipping: false,
        },
        Act::Days { days: 4 },
        Act::Release,
        Act::Name {
            shop: 0,
            bank: Bank::Good,
        },
        Act::AskForPayout { shop: 0 },
        Act::Name {
            shop: 1,
            bank: Bank::Good,
        },
        Act::AskForPayout { shop: 1 },
        Act::Dispute { order: 0, quarters: 1 },
        Act::Judge { dispute: 0, won: false },
    ]
}

#[tokio::test]
async fn the_documents_example_is_what_the_product_does() {
    let (db, state, _folder) = super::market().await;
    let mut play = Play::begin(state, &market()).await;
    for act in happens() {
        play.step(&act, false).await.unwrap_or_else(|why| panic!("{why}"));
        assert!(play.last_was_done(), "{act:?} was refused");
    }
    let names = Names(play.world.seller_ids());
    compare("lines", &lines(&db.pool, &names).await);
    compare("moves", &moves(&db.pool, &names).await);
    compare("statement", &statement(&db.pool, &names).await);
    compare("accounts", &accounts(&db.pool, &names).await);
    super::broken(&db).await.unwrap_or_else(|why| panic!("{why}"));
}

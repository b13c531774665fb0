//! `hawker verify`: every promise that the database can be held to, as SQL.
//!
//! All checks read one snapshot, so they may run beside a live system: whatever is half
//! done in it is half done in a way that the invariants allow, or they are wrong. What
//! they cannot know is what was acknowledged to whom; clients that log their
//! acknowledgements compare those themselves.

mod books;
mod checks;
mod disputes;
mod fulfilment;
mod payouts;
mod purchases;
mod refunds;

use sqlx::{Connection, PgConnection, PgPool};

/// Every invariant, in the order in which they are reported.
fn invariants() -> impl Iterator<Item = &'static Invariant> {
    checks::CHECKS
        .iter()
        .chain(purchases::CHECKS)
        .chain(refunds::CHECKS)
        .chain(fulfilment::CHECKS)
        .chain(payouts::CHECKS)
        .chain(books::CHECKS)
        .chain(disputes::CHECKS)
}

/// One invariant.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// A short, stable name.
    pub name: &'static str,
    /// What holds when nothing is broken, as a sentence.
    pub proves: &'static str,
    /// A query of one row for each thing examined: `subject text, broken boolean`.
    sql: &'static str,
}

/// What became of one invariant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// The invariant's name.
    pub name: &'static str,
    /// What holds when nothing is broken.
    pub proves: &'static str,
    /// How many things were looked at.
    pub examined: i64,
    /// How many of them break it.
    pub broken: i64,
    /// Some of those, by id.
    pub sample: Vec<String>,
}

/// What a run of `verify` found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Every invariant, in order.
    pub checks: Vec<Check>,
    /// Rows that the database refused and the persister kept aside. Not broken, but
    /// somebody should look.
    pub rejected_rows: i64,
    /// Outbox rows not delivered yet.
    pub undelivered_notices: i64,
}

impl Report {
    /// Whether every invariant holds.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.checks.iter().all(|check| check.broken == 0)
    }

    /// The invariants that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.broken > 0)
    }
}

/// Runs every invariant on one snapshot.
///
/// # Errors
/// When the database fails.
pub async fn run(pool: &PgPool) -> Result<Report, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let mut tx = conn
        .begin_with("begin transaction isolation level repeatable read read only")
        .await?;
    // Large databases take longer than any request may.
    sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
    let mut checks = Vec::new();
    for invariant in invariants() {
        checks.push(examine(&mut tx, invariant).await?);
    }
    let (rejected_rows, undelivered_notices): (i64, i64) = sqlx::query_as(
        "select (select count(*) from persist_rejects where payload is not null), (select count(*) from outbox where delivered_at is null and stream_id is not null)",
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Report {
        checks,
        rejected_rows,
        undelivered_notices,
    })
}

async fn examine(conn: &mut PgConnection, invariant: &Invariant) -> Result<Check, sqlx::Error> {
    let sql = format!(
        "select count(*), count(*) filter (where broken),
                coalesce((array_agg(subject order by subject) filter (where broken))[1:3], '{{}}')
           from ({}) examined",
        invariant.sql
    );
    // The text is a constant of this module's files; nothing of it comes from outside.
    let (examined, broken, sample): (i64, i64, Vec<String>) =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(conn).await?;
    Ok(Check {
        name: invariant.name,
        proves: invariant.proves,
        examined,
        broken,
        sample,
    })
}

/// The name of every invariant, in the order in which they are reported.
pub fn names() -> impl Iterator<Item = &'static str> {
    invariants().map(|invariant| invariant.name)
}

/// Runs one invariant on what the connection sees, be it not committed; `None`: there is none
/// of this name.
///
/// # Errors
/// When the database fails.
pub async fn run_one(conn: &mut PgConnection, name: &str) -> Result<Option<Check>, sqlx::Error> {
    match invariants().find(|invariant| invariant.name == name) {
        Some(invariant) => examine(conn, invariant).await.map(Some),
        None => Ok(None),
    }
}

//! One database after another process: each dies where it is told to, and the next one goes on
//! with what it finds.

use std::future::Future;
use std::time::Duration;

use core_api::faults::{Edge, Step};
use core_api::webhooks::SIGNATURE;
use core_api::webhooks::signature::sign;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;
use tempfile::TempDir;
use testkit::TestDb;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::process::{CARRIER, DEADLINE, Process};
use crate::harness::{self, Call, Reply, Session};
use crate::market::{Buyer, disagreements};

/// How often it is looked whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Whatever waits for the reconcilers is due, and the test provider is through, but for what
/// comes too late for its order.
const TIME_PASSES: &str = "
    update payments set updated_at = now() - interval '1 hour' where status in ('created', 'processing');
    update refunds set updated_at = now() - interval '1 hour' where status in ('pending', 'submitted');
    update seller_payouts set updated_at = now() - interval '1 hour' where status in ('creating', 'processing');
    update webhook_inbox set not_before = now() where processed_at is null;
    update test_provider_intents set created_at = now() - interval '2 hours'
     where status = 'processing'
       and not exists (select from payments p join orders o on o.id = p.order_id
                        where p.id = payment_id and o.expires_at <= clock_timestamp());
    update test_provider_transfers set created_at = now() - interval '2 hours' where status = 'processing'";

/// Nothing is under way, and nothing is overdue.
const SETTLED: &str = "
    select not exists (select from payments where status in ('created', 'processing'))
       and not exists (select from refunds where status in ('pending', 'submitted'))
       and not exists (select from seller_payouts where status in ('creating', 'processing'))
       and not exists (select from orders where status = 'pending_payment' and expires_at <= clock_timestamp())
       and not exists (select from payout_accounts where disabled_at is null and next_at <= clock_timestamp())
       and not exists (select from webhook_inbox where processed_at is null)";

/// A database, and the process that works on it.
pub struct Lane {
    pub db: TestDb,
    process: Process,
    client: reqwest::Client,
    dir: TempDir,
}

impl Lane {
    pub async fn open() -> Self {
        let db = testkit::database().await;
        let dir = tempfile::tempdir().expect("a folder");
        Self {
            process: Process::start(&db.url, dir.path()).await,
            client: harness::client(),
            dir,
            db,
        }
    }

    /// Somebody who calls the process that runs now.
    pub fn by(&self, user: UserId) -> Session {
        Session::of(user, self.process.origin.clone(), self.client.clone())
    }

    /// The same as one who buys.
    pub fn buyer(&self, who: &Buyer) -> Buyer {
        Buyer {
            session: self.by(who.session.id),
            address: who.address,
        }
    }

    /// The process is to die there next.
    pub fn dies_at(&self, edge: Edge, step: Step) {
        self.process.dies_at(edge, step);
    }

    /// Waits until the process has died; by a job, for which time has to pass, if not before.
    pub async fn has_died(&mut self, by_a_job: bool) {
        let waiting = async {
            while !self.process.has_died() {
                if by_a_job {
                    self.time_passes().await;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("the point is reached");
    }

    /// The next process goes on.
    pub async fn starts_again(&mut self) {
        self.process = Process::start(&self.db.url, self.dir.path()).await;
    }

    async fn time_passes(&self) {
        let done = sqlx::raw_sql(TIME_PASSES).execute(&self.db.pool).await;
        done.expect("the statements are right");
    }

    /// Waits until the jobs have brought everything to an end, while time passes.
    pub async fn settles(&self) {
        let waiting = async {
            loop {
                self.time_passes().await;
                let settled = sqlx::query_scalar(SETTLED).fetch_one(&self.db.pool).await;
                if settled.expect("the query is right") {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(DEADLINE, waiting)
            .await
            .expect("everything comes to an end by itself");
    }

    /// Changes rows behind the service's back.
    pub async fn sql(&self, text: &'static str, id: Uuid) {
        let done = sqlx::query(text).bind(id).execute(&self.db.pool).await;
        assert_eq!(done.expect("the statement is right").rows_affected(), 1, "{text}");
    }

    /// One number about something.
    pub async fn number(&self, text: &'static str, id: Uuid) -> i64 {
        let number = sqlx::query_scalar(text).bind(id).fetch_one(&self.db.pool).await;
        number.expect("the query is right")
    }

    /// Every invariant holds, the provider's books agree, and nobody has anything to mend.
    pub fn is_sound(&self) -> impl Future<Output = ()> {
        let pool = self.db.pool.clone();
        async move {
            let report = shared::verify::run(&pool).await.expect("verified");
            let broken: Vec<_> = report.broken().collect();
            assert!(broken.is_empty(), "{broken:#?}");
            let differ = disagreements(&pool).await;
            assert!(differ.is_empty(), "{differ:?}");
            let given_up = "select count(*) from webhook_inbox where dead_at is not null";
            let given_up: i64 = sqlx::query_scalar(given_up).fetch_one(&pool).await.expect("a count");
            assert_eq!(given_up, 0);
        }
    }
}

/// Who asks for an act.
#[derive(Clone, Copy)]
pub enum Asker {
    Account(UserId),
    Carrier,
}

/// What somebody asks for, and asks for again in the same words until it is answered.
pub struct Act {
    pub by: Asker,
    pub path: String,
    pub body: Value,
    /// The same answer each time; without one, how things stand.
    pub key: Option<Uuid>,
    /// Where it is told how what was answered stands now.
    pub stands_at: fn(&Value) -> Option<String>,
}

impl Act {
    /// Asks for it of the process that runs now.
    pub async fn ask(&self, lane: &Lane) -> reqwest::Result<Reply> {
        let call = match self.by {
            Asker::Account(user) => lane.by(user).call(Method::POST, &self.path).json(&self.body),
            Asker::Carrier => {
                let body = self.body.to_string();
                let now = chrono::Utc::now().timestamp();
                let signed = sign(CARRIER.as_bytes(), now, body.as_bytes());
                let url = format!("{}{}", lane.process.origin, self.path);
                Call::of(lane.client.post(url))
                    .header(SIGNATURE, &signed)
                    .body("application/json", body)
            }
        };
        let call = match self.key {
            Some(key) => call.key(key),
            None => call,
        };
        call.try_send().await
    }

    /// How what was answered stands now.
    pub async fn stands(&self, lane: &Lane, answered: &Value) -> Option<Value> {
        let path = (self.stands_at)(answered)?;
        let Asker::Account(user) = self.by else { return None };
        Some(lane.by(user).get(&path).await.ok())
    }
}

/// An answer without what is another one each time: ids, times and numbers of orders.
pub fn shape(answer: &Value) -> Value {
    match answer {
        Value::String(text) if Uuid::try_parse(text).is_ok() => json!("an id"),
        Value::String(text) if chrono::DateTime::parse_from_rfc3339(text).is_ok() => json!("a time"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let shape = if name == "number" {
                    json!("a number")
                } else {
                    shape(value)
                };
                (name.clone(), shape)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

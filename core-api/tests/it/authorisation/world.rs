//! The people and the rows of one line of the matrix. Everything is new for each line, and
//! only what the line names is made.

use std::collections::BTreeMap;

use core_api::webhooks::{SIGNATURE, signature::sign};
use reqwest::Method;
use shared::bus::Requests;
use shared::config::Secret;
use shared::ids::SaleId;
use shared::live::{ROOM_REQUESTS, RoomReply, RoomRequest};
use shared::protocol::{HostCommand, Outcome};
use testkit::fixtures;
use uuid::Uuid;

use super::rows::{Rows, UNCONFIRMED, run};
use crate::harness::{App, Reply, Session};
use crate::market::still;
use crate::pictures::files::png;

/// Who calls, in the order of a line's statuses. `seller` has the rows of shops.
pub const ACTORS: [&str; 7] = [
    "nobody",
    "buyer",
    "other buyer",
    "seller",
    "other seller",
    "suspended seller",
    "admin",
];
const SUSPENDED: usize = 5;
/// What providers sign with.
const SECRET: &str = "whsec_of_every_provider";

/// A service whose rooms do all that they are told.
pub struct Grounds {
    app: App,
    /// Of [`crate::harness::PASSWORD`].
    password_hash: String,
}

impl Grounds {
    pub async fn open() -> Self {
        let app = App::start_with(|config| {
            config.commerce = still();
            config.webhooks.carrier = Some(Secret::new(SECRET.to_owned()));
            config.webhooks.test = Some(Secret::new(SECRET.to_owned()));
        })
        .await;
        let requests = app.bus.serve(ROOM_REQUESTS).await.expect("serving");
        tokio::spawn(obey(requests));
        let somebody = app.register("Somebody").await;
        let hash = sqlx::query_scalar("select password_hash from users where id = $1");
        let password_hash = hash.bind(somebody.id.0).fetch_one(&app.db.pool).await.expect("a hash");
        Self { app, password_hash }
    }

    /// Gives everybody who has none a password, so that whoever tries to sign in is heard.
    pub async fn give_passwords(&self) {
        let set = "update users set password_hash = $1 where password_hash = 'none'";
        let set = sqlx::query(set).bind(&self.password_hash).execute(&self.app.db.pool);
        set.await.expect("the passwords are set");
    }

    /// Where the service answers.
    pub fn origin(&self) -> String {
        self.app.origin()
    }
}

async fn obey(mut requests: Requests) {
    while let Some(request) = requests.next().await {
        let asked: RoomRequest = serde_json::from_slice(&request.message).expect("a room request");
        let reply: RoomReply = Ok(match asked.command {
            HostCommand::SaleOpen(_) => Outcome::SaleOpened { sale: SaleId::new() },
            _ => Outcome::Done,
        });
        request.reply(serde_json::to_vec(&reply).expect("JSON").into());
    }
}

/// The people and rows of a line, or of one turn of it.
pub struct World {
    /// By [`ACTORS`]; nobody has no session.
    people: Vec<Option<Session>>,
    rows: BTreeMap<String, String>,
    /// The same rows of the suspended seller's shop.
    suspended_rows: BTreeMap<String, String>,
}

impl World {
    /// Makes the rows of these names.
    pub async fn make(grounds: &Grounds, names: &[&str]) -> Self {
        let (app, pool) = (&grounds.app, &grounds.app.db.pool);
        let (shop, stranger, suspended) = (
            fixtures::shop(pool, 100, 1_000).await,
            fixtures::shop(pool, 100, 1_000).await,
            fixtures::shop(pool, 100, 1_000).await,
        );
        let buyer = fixtures::user(pool, "Test Buyer").await;
        let people = [
            buyer,
            fixtures::user(pool, "Other Buyer").await,
            shop.owner,
            stranger.owner,
            suspended.owner,
            fixtures::admin(pool).await,
        ];
        let ids: Vec<Uuid> = people.iter().map(|id| id.0).collect();
        let set = "update users set password_hash = $2, email_verified_at = case when $3 then now() end
                    where id = any($1)";
        let set = sqlx::query(set).bind(&ids).bind(&grounds.password_hash);
        let set = set.bind(!names.contains(&UNCONFIRMED));
        set.execute(pool).await.expect("the passwords are set");
        let buyer = app.session_of(buyer);
        let rows = Rows::of(app, shop, &buyer).make(names).await;
        let suspended_rows = Rows::of(app, suspended, &buyer).make(names).await;
        run(
            pool,
            "update sellers set status = 'suspended' where id = $1",
            &[suspended.seller.0],
        )
        .await;
        let sessions = people.map(|id| Some(app.session_of(id)));
        Self {
            people: std::iter::once(None).chain(sessions).collect(),
            rows,
            suspended_rows,
        }
    }

    /// Puts the rows that an actor means in the place of their names.
    pub fn fill(&self, text: &str, actor: usize) -> String {
        let rows = if actor == SUSPENDED {
            &self.suspended_rows
        } else {
            &self.rows
        };
        let mut parts = text.split('$');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let name = name_of(part);
            filled.push_str(&rows[name]);
            filled.push_str(&part[name.len()..]);
        }
        filled
    }

    /// How many entries of the audit log are an actor's and say what was before and after.
    pub async fn audited(&self, grounds: &Grounds, actor: usize) -> i64 {
        let Some(session) = &self.people[actor] else {
            return 0;
        };
        let entries = "select count(*) from audit_log where actor_id = $1 and detail ?& '{before,after}'";
        let entries = sqlx::query_scalar(entries).bind(session.id.0);
        entries.fetch_one(&grounds.app.db.pool).await.expect("a count")
    }

    /// An actor's token; nobody has none.
    pub fn token(&self, actor: usize) -> Option<&str> {
        self.people[actor].as_ref().map(|session| session.token.as_str())
    }

    /// An actor's call; what changes something carries a new key.
    pub async fn call(&self, grounds: &Grounds, actor: usize, method: Method, path: &str, body: String) -> Reply {
        let is_reading = method == Method::GET;
        let mut call = match &self.people[actor] {
            Some(session) => session.call(method, path),
            None => grounds.app.method(method, path),
        };
        if !is_reading {
            call = call.key(Uuid::now_v7());
        }
        if path.starts_with("/webhooks/") {
            let now = chrono::Utc::now().timestamp();
            call = call.header(SIGNATURE, &sign(SECRET.as_bytes(), now, body.as_bytes()));
        }
        match body.chars().next() {
            None => call.send().await,
            Some('P') => call.body("image/png", png(64, 64)).send().await,
            Some('{') => call.body("application/json", body).send().await,
            Some(_) => call.body("text/csv", body.replace("\\n", "\n")).send().await,
        }
    }
}

/// The name that a text begins with.
pub fn name_of(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

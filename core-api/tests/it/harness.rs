//! A running service with a database of its own, and people who call it.

#![allow(dead_code, reason = "each test module uses its part")]

mod calls;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Once;

use core_api::Config;
use core_api::identity;
use reqwest::Method;
use serde_json::{Value, json};
use shared::bus::{MemoryBus, SharedBus};
use shared::ids::{SellerId, UserId};
use testkit::TestDb;
use uuid::Uuid;

pub use calls::{Call, Reply, Session};

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse";

/// A service under test.
pub struct App {
    /// Its database, for a test's own looks.
    pub db: TestDb,
    /// What it is connected to.
    pub bus: SharedBus,
    service: core_api::Service,
    client: reqwest::Client,
    mail: tempfile::TempDir,
    /// Where its pictures are.
    pub media: tempfile::TempDir,
}

/// A letter that was sent.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its subject.
    pub subject: String,
    /// All of it.
    pub text: String,
}

/// A client that knows nobody yet.
pub fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("a client needs nothing")
}

/// Limits that no test reaches by accident.
fn lift(config: &mut Config) {
    let (plenty, limits) = (NonZeroU32::MAX, &mut config.limits);
    limits.reads_per_minute = plenty;
    limits.writes_per_minute = plenty;
    limits.money_per_minute = plenty;
    limits.register_per_minute = plenty;
    limits.login_per_minute = plenty;
    limits.login_per_email_per_minute = plenty;
    limits.refresh_per_minute = plenty;
    limits.tickets_per_minute = plenty;
    limits.mails_per_hour = plenty;
    limits.exports_per_hour = plenty;
    limits.order_exports_per_hour = plenty;
    limits.imports_per_hour = plenty;
    limits.media_per_minute = plenty;
    limits.webhooks_per_minute = plenty;
    config.media.uploads_per_hour = plenty;
    limits.password_wait = std::time::Duration::from_secs(60);
}

impl App {
    /// Starts with limits that no test reaches by accident.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts with another configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(MemoryBus::shared(), change).await
    }

    /// Starts on another bus.
    pub async fn start_on(bus: SharedBus, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(testkit::database().await, bus, change).await
    }

    /// Starts on a database.
    pub async fn start_at(db: TestDb, bus: SharedBus, change: impl FnOnce(&mut Config)) -> Self {
        let pool = shared::db::connect(&db.url, &testkit::db_options())
            .await
            .expect("the database answers");
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::new(bind, testkit::token_key(), "ws://127.0.0.1:1/ws".to_owned());
        config.workers = 2;
        config.cookie_secure = false;
        lift(&mut config);
        let mail = tempfile::tempdir().expect("a folder");
        config.mail.folder = Some(mail.path().to_owned());
        let media = tempfile::tempdir().expect("a folder");
        config.media.folder = Some(media.path().join("files"));
        change(&mut config);
        let service = core_api::start(config, pool, bus.clone(), None)
            .await
            .expect("the service starts");
        Self {
            db,
            bus,
            service,
            client: client(),
            mail,
            media,
        }
    }

    /// Another process over the same database, on a bus of its own choice.
    pub async fn twin(&self, bus: SharedBus) -> Twin {
        let pool = shared::db::connect(&self.db.url, &testkit::db_options())
            .await
            .expect("the database answers");
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::new(bind, testkit::token_key(), "ws://127.0.0.1:1/ws".to_owned());
        config.workers = 1;
        lift(&mut config);
        let service = core_api::start(config, pool, bus, None)
            .await
            .expect("the service starts");
        Twin {
            service,
            client: self.client.clone(),
        }
    }

    /// Where it answers: `http://127.0.0.1:port`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.service.addr())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.service.addr()
    }

    /// Stops it and waits; the database is left.
    pub async fn stop(self) -> TestDb {
        self.service.stop().await;
        self.db
    }

    fn request(&self, method: Method, path: &str) -> Call {
        let url = format!("{}{path}", self.origin());
        Call(self.client.request(method, url))
    }

    /// A call by nobody in particular.
    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    /// A call by nobody in particular.
    pub fn post(&self, path: &str) -> Call {
        self.request(Method::POST, path)
    }

    /// A call by nobody in particular.
    pub fn method(&self, method: Method, path: &str) -> Call {
        self.request(method, path)
    }

    /// Somebody new whose address is confirmed, signed in.
    pub async fn register(&self, name: &str) -> Session {
        let session = self.register_unconfirmed(name).await;
        sqlx::query("update users set email_verified_at = now() where id = $1")
            .bind(session.id.0)
            .execute(&self.db.pool)
            .await
            .expect("confirmed");
        session
    }

    /// The letters to an address, the oldest first. To be asked once they are sent.
    pub fn letters(&self, to: &str) -> Vec<Letter> {
        let mut files: Vec<_> = std::fs::read_dir(self.mail.path())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        files.sort();
        let line = |text: &str, name: &str| {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.unwrap_or_default().to_owned()
        };
        files
            .iter()
            .map(|path| std::fs::read_to_string(path).expect("a letter"))
            .filter(|text| line(text, "To") == to)
            .map(|text| Letter {
                subject: line(&text, "Subject"),
                text,
            })
            .collect()
    }

    /// Waits for a letter to an address whose subject begins so: the newest.
    pub async fn letter(&self, to: &str, subject: &str) -> Letter {
        let looking = async {
            let mut turns = tokio::time::interval(std::time::Duration::from_millis(10));
            loop {
                turns.tick().await;
                let letters = self.letters(to).into_iter().rev();
                if let Some(letter) = { letters }.find(|letter| letter.subject.starts_with(subject)) {
                    return letter;
                }
            }
        };
        let deadline = std::time::Duration::from_secs(30);
        let found = tokio::time::timeout(deadline, looking).await;
        found.unwrap_or_else(|_| panic!("no letter {subject:?} to {to}"))
    }

    /// Waits until every letter that was queued is sent or given up.
    pub async fn mail_is_done(&self) {
        self.wait_for(
            "select count(*) = 0 from outbox where topic = 'mail' and delivered_at is null and dead_at is null",
        )
        .await;
    }

    /// Waits until the database says so.
    pub async fn wait_for(&self, sql: &'static str) {
        let looking = async {
            let mut turns = tokio::time::interval(std::time::Duration::from_millis(10));
            loop {
                turns.tick().await;
                if sqlx::query_scalar(sql)
                    .fetch_one(&self.db.pool)
                    .await
                    .expect("an answer")
                {
                    return;
                }
            }
        };
        let deadline = std::time::Duration::from_secs(30);
        let done = tokio::time::timeout(deadline, looking).await;
        done.unwrap_or_else(|_| panic!("not in time: {sql}"));
    }

    /// Somebody new, signed in, who has not confirmed their address.
    pub async fn register_unconfirmed(&self, name: &str) -> Session {
        let email = format!("{}@test.hawker.example", Uuid::now_v7().simple());
        let body = json!({"email": email, "password": PASSWORD, "display_name": name});
        let opened: identity::Session = self.post("/auth/register").json(&body).send().await.created();
        self.session(opened)
    }

    /// A session as its holder has it.
    pub fn session(&self, opened: identity::Session) -> Session {
        Session {
            origin: self.origin(),
            client: self.client.clone(),
            id: opened.user.id,
            email: opened.user.email,
            token: opened.access_token,
            refresh: opened.refresh_token.unwrap_or_default(),
        }
    }

    /// A session of an account that [`testkit::fixtures`] made, which has no password.
    pub fn session_of(&self, user: UserId) -> Session {
        Session::of(user, self.origin(), self.client.clone())
    }

    /// Waits until somebody in the test's database waits for a lock.
    pub async fn somebody_waits(&self) {
        self.so_many_wait(1).await;
    }

    /// Waits until so many transactions wait for locks.
    pub async fn so_many_wait(&self, many: i64) {
        let looking = async {
            let mut turns = tokio::time::interval(std::time::Duration::from_millis(5));
            loop {
                turns.tick().await;
                let waiting: i64 = sqlx::query_scalar(
                    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
                )
                .fetch_one(&self.db.pool)
                .await
                .expect("a count");
                if waiting >= many {
                    return;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), looking)
            .await
            .expect("they wait");
    }

    /// A new admin, signed in.
    pub async fn admin(&self) -> Session {
        self.session_of(testkit::fixtures::admin(&self.db.pool).await)
    }

    /// A new approved shop in EUR, and its owner signed in.
    pub async fn seller(&self, shop_name: &str) -> (Session, SellerId) {
        let owner = self.register("Shop Owner").await;
        let application = json!({"shop_name": shop_name, "country": "DE", "currency": "EUR"});
        let shop: Value = owner.post("/sellers/apply", &application).await.created();
        let id = shop["id"].as_str().expect("an id").to_owned();
        let approve = format!("/admin/sellers/{id}/approve");
        self.admin().await.post(&approve, &json!({})).await.ok::<Value>();
        (owner, id.parse().expect("an id"))
    }
}

impl Session {
    /// A session of an account that [`testkit::fixtures`] made, with whoever answers there.
    pub fn of(user: UserId, origin: String, client: reqwest::Client) -> Self {
        let access = shared::token::Access {
            sub: user,
            sid: Uuid::now_v7(),
        };
        let now = chrono::Utc::now().timestamp();
        Self {
            origin,
            client,
            id: user,
            email: String::new(),
            token: testkit::token_key().sign(access, now).expect("signed"),
            refresh: String::new(),
        }
    }
}

/// Another service over an app's database.
pub struct Twin {
    service: core_api::Service,
    client: reqwest::Client,
}

impl Twin {
    /// A call by nobody in particular.
    pub async fn get(&self, path: &str) -> Reply {
        let url = format!("http://{}{path}", self.service.addr());
        Call(self.client.get(url)).send().await
    }
}

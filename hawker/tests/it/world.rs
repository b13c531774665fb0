//! A running Hawker for tests, on a database of the test's own: both services in this
//! process over one bus, or as two processes with a Redis between them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;

use core_api::Service;
use live_engine::Engine;
use loadtest::programs::{Apart, Binaries, Place};
use loadtest::rest::{NewProduct, NewStream, NewVariant, Product, RestClient, Session, Stream};
use loadtest::show::Credentials;
use shared::bus::MemoryBus;
use shared::config::Settings;
use shared::ids::RequestId;
use shared::status::ProductStatus;
use tempfile::TempDir;
use testkit::{Redis, TestDb};

/// Both services and their database.
pub struct World {
    /// The database.
    pub db: TestDb,
    /// The API, signed in as nobody.
    pub rest: RestClient,
    services: Services,
}

enum Services {
    Here {
        core: Box<Service>,
        engine: Engine,
        /// Where uploaded pictures are.
        media: TempDir,
    },
    Apart(Box<TwoProcesses>),
}

/// Both services as processes, and what they need.
pub struct TwoProcesses {
    /// The processes.
    pub apart: Apart,
    /// What is between them.
    pub redis: Redis,
    /// Where their logs are, for as long as they write.
    dir: TempDir,
}

impl TwoProcesses {
    /// What one of them has logged, where that is JSON.
    pub fn log(&self, name: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).expect("a log");
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// A shop with one product on air.
pub struct OnAir {
    /// REST as its host.
    pub host: RestClient,
    /// Its host's account.
    pub credentials: Credentials,
    /// Its product.
    pub product: Product,
    /// Its show.
    pub stream: Stream,
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl World {
    /// Starts both services on free ports.
    pub async fn start() -> Self {
        let db = testkit::database().await;
        let bus = MemoryBus::shared();
        let mut settings = Settings::from_pairs([
            ("live", "127.0.0.1:0"),
            ("live_workers", "2"),
            ("database_url", db.url.as_str()),
            ("allow_unsafe_database", "true"),
            ("token_secret", testkit::TOKEN_SECRET),
        ]);
        let config = live_engine::Config::read(&mut settings);
        let config = settings.finish(config).expect("the engine's settings are right");
        let engine = live_engine::start(config, bus.clone())
            .await
            .expect("the engine starts");

        let live_url = format!("ws://{}/ws", engine.addr());
        let mut config = core_api::Config::new(ANY_PORT, testkit::token_key(), live_url);
        config.workers = 2;
        let media = TempDir::new().expect("a folder");
        config.media.folder = Some(media.path().to_owned());
        config.limits.reads_per_minute = NonZeroU32::MAX;
        config.limits.writes_per_minute = NonZeroU32::MAX;
        config.limits.money_per_minute = NonZeroU32::MAX;
        config.limits.register_per_minute = NonZeroU32::MAX;
        config.limits.login_per_minute = NonZeroU32::MAX;
        config.limits.login_per_email_per_minute = NonZeroU32::MAX;
        let pool = shared::db::connect(&db.url, &testkit::db_options())
            .await
            .expect("the database answers");
        let core = core_api::start(config, pool, bus, None).await.expect("core-api starts");
        let rest = RestClient::new(&format!("http://{}", core.addr())).expect("a client");
        let core = Box::new(core);
        let services = Services::Here { core, engine, media };
        Self { db, rest, services }
    }

    /// Starts both services as processes over a Redis of their own.
    pub async fn start_apart() -> Self {
        Self::start_apart_with(&[]).await
    }

    /// The same with further settings.
    pub async fn start_apart_with(settings: &[(&str, &str)]) -> Self {
        let (db, redis) = (testkit::database().await, Redis::start().await);
        let dir = crate::program::scratch();
        let place = Place {
            binaries: Binaries::beside(Path::new(env!("CARGO_BIN_EXE_hawker"))),
            dir: dir.path().to_owned(),
            database_url: db.url.clone(),
            database_forgets: true,
            redis_url: redis.url(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        };
        let apart = Apart::start(place).await.expect("both start");
        let rest = RestClient::new(&apart.base_url()).expect("a client");
        let services = Services::Apart(Box::new(TwoProcesses { apart, redis, dir }));
        Self { db, rest, services }
    }

    /// The processes, where the services are some.
    pub fn processes(&mut self) -> &mut TwoProcesses {
        match &mut self.services {
            Services::Apart(processes) => processes,
            Services::Here { .. } => panic!("both services are in this process"),
        }
    }

    /// Makes an account.
    pub async fn register(&self, name: &str) -> (RestClient, Session, Credentials) {
        let credentials = Credentials {
            email: format!("{}@example.com", RequestId::new()),
            password: RequestId::new().to_string(),
        };
        let (client, session) = self
            .rest
            .register(&credentials.email, &credentials.password, name)
            .await
            .expect("registered");
        (client, session, credentials)
    }

    /// Makes an admin, as `hawker admin create` does.
    pub async fn admin(&self) -> (RestClient, Credentials) {
        let (client, session, credentials) = self.register("Admin").await;
        sqlx::query("update users set role = 'admin' where id = $1")
            .bind(session.user.id.0)
            .execute(&self.db.pool)
            .await
            .expect("raised");
        (client, credentials)
    }

    /// Puts an approved shop with one product on air, all over REST.
    pub async fn on_air(&self, on_hand: i32) -> OnAir {
        let (host, session, credentials) = self.register("Demo Host").await;
        let (admin, _) = self.admin().await;
        admin.confirm_email(session.user.id).await.expect("confirmed");
        let shop = host
            .apply_as_seller("Harbour Lane Ceramics", "DE", "EUR")
            .await
            .expect("applied");
        admin.approve_seller(shop.id).await.expect("approved");
        let variant = |sku: &str, price_minor| NewVariant {
            sku: sku.into(),
            options: BTreeMap::from([("glaze".into(), sku.to_lowercase())]),
            price_minor,
            on_hand,
        };
        let product = NewProduct {
            title: "Stoneware mug".into(),
            description: "Holds tea.".into(),
            status: ProductStatus::Active,
            variants: vec![variant("TIDE", 2_400), variant("EMBER", 2_600)],
        };
        let product = host.create_product(&product).await.expect("a product");
        let stream = NewStream {
            title: "Mugs tonight".into(),
            product_ids: vec![product.id],
            start: true,
        };
        let stream = host.create_stream(&stream).await.expect("on air");
        OnAir {
            host,
            credentials,
            product,
            stream,
        }
    }

    /// Stops both services in order, and proves what the database says.
    pub async fn stop(self) {
        match self.services {
            Services::Here { core, engine, media } => {
                engine.stop().await;
                core.stop().await;
                drop(media);
            }
            Services::Apart(processes) => processes.apart.stop().await.expect("both stop in order"),
        }
        let report = shared::verify::run(&self.db.pool).await.expect("verified");
        let broken: Vec<_> = report.broken().collect();
        assert!(broken.is_empty(), "{broken:#?}");
        assert_eq!(report.rejected_rows, 0);
    }
}

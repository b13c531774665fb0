//! A world for a test: its own database with one shop and a show on air, an engine on a
//! free port, and people with tickets.

use std::net::SocketAddr;
use std::time::Duration;

use live_engine::{Config, Drain, Engine, Limits, ShowRules};
use loadtest::live::{Auth, Joined, LiveClient};
use shared::bus::{MemoryBus, SharedBus};
use shared::config::Secret;
use shared::ids::{GuestId, RequestId, StreamId, UserId};
use shared::live::{ROOM_REQUESTS, RoomReply, RoomRequest};
use shared::protocol::{ClientCommand, Feature, Format, HostCommand, RoomEvent, SaleOpen, SalePrice};
use shared::token::{Part, Ticket, Viewer};
use testkit::TestDb;
use testkit::fixtures::{self, Shop};
use uuid::Uuid;

/// See the module.
pub struct World {
    pub db: TestDb,
    pub shop: Shop,
    pub bus: SharedBus,
    pub engine: Engine,
    pub url: String,
}

/// What tests tell an engine, but for what they change.
pub fn config(db: &TestDb) -> Config {
    Config {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 2,
        node: None,
        database_url: Secret::new(db.url.clone()),
        db: testkit::db_options(),
        token_key: testkit::token_key(),
        allowed_origins: vec!["https://shop.example".into()],
        trusted_proxies: Vec::new(),
        moderation: None,
        compression: true,
        drain: Drain::default(),
        show: ShowRules::default(),
        limits: Limits::default(),
    }
}

impl World {
    /// A shop with 100 units of one product at 19.00, a show on air, an engine.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with another configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(MemoryBus::shared(), change).await
    }

    /// The same on another bus.
    pub async fn start_on(bus: SharedBus, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(testkit::database().await, bus, change).await
    }

    /// The same in a database that is there.
    pub async fn start_in(db: TestDb, bus: SharedBus, change: impl FnOnce(&mut Config)) -> Self {
        let shop = fixtures::shop(&db.pool, 100, 1900).await;
        let mut config = config(&db);
        change(&mut config);
        let engine = live_engine::start(config, bus.clone())
            .await
            .expect("the engine starts");
        let url = format!("ws://{}/ws", engine.addr());
        Self {
            db,
            shop,
            bus,
            engine,
            url,
        }
    }

    /// The same with another shop in front: one that was there before.
    pub fn with_shop(self, shop: Shop) -> Self {
        Self { shop, ..self }
    }

    /// Stops the engine and starts another one on the same database.
    pub async fn restart(self) -> Self {
        self.engine.stop().await;
        let bus = MemoryBus::shared();
        let engine = live_engine::start(config(&self.db), bus.clone())
            .await
            .expect("the engine starts again");
        let url = format!("ws://{}/ws", engine.addr());
        Self {
            bus,
            engine,
            url,
            ..self
        }
    }

    /// A person with an account.
    pub async fn person(&self, name: &str) -> Viewer {
        let id = fixtures::user(&self.db.pool, name).await;
        Viewer::User { id, name: name.into() }
    }

    /// The show's host.
    pub fn owner(&self) -> Viewer {
        Viewer::User {
            id: self.shop.owner,
            name: "Demo Host".into(),
        }
    }

    /// A connected person, as a viewer.
    pub async fn viewer(&self, name: &str) -> LiveClient {
        let person = self.person(name).await;
        self.connect(person, Part::Viewer, Format::Json).await
    }

    /// A connected person who has joined.
    pub async fn joined(&self, name: &str) -> LiveClient {
        let mut client = self.viewer(name).await;
        self.join(&mut client).await;
        client
    }

    /// The host, joined.
    pub async fn host(&self) -> LiveClient {
        let mut host = self.connect(self.owner(), Part::Host, Format::MsgPack).await;
        self.join(&mut host).await;
        host
    }

    /// Somebody without an account, joined.
    pub async fn guest(&self) -> LiveClient {
        let guest = Viewer::Guest { id: GuestId::new() };
        let mut client = self.connect(guest, Part::Viewer, Format::Json).await;
        self.join(&mut client).await;
        client
    }

    /// Connects somebody with a fresh ticket.
    pub async fn connect(&self, viewer: Viewer, part: Part, format: Format) -> LiveClient {
        let ticket = ticket(viewer, self.shop.stream, part);
        LiveClient::connect(&self.url, format, Auth::Ticket(ticket))
            .await
            .expect("the ticket is good")
    }

    /// Joins the show.
    pub async fn join(&self, client: &mut LiveClient) -> Joined {
        client.join(self.shop.stream, None).await.expect("joined")
    }

    /// A host's command the way core-api sends it.
    pub async fn over_the_bus(&self, user: UserId, request_id: RequestId, command: HostCommand) -> RoomReply {
        let request = RoomRequest {
            stream: self.shop.stream,
            user,
            request_id,
            command,
            http_request: None,
        };
        let message = serde_json::to_vec(&request).expect("a request is JSON").into();
        let reply = self.bus.request(ROOM_REQUESTS, message, Duration::from_secs(10)).await;
        serde_json::from_slice(&reply.expect("the engine answers")).expect("a reply is JSON")
    }

    /// What shows the shop's one product.
    pub fn feature(&self) -> Feature {
        Feature {
            product: self.shop.product,
            variant: Some(self.shop.variant),
        }
    }

    /// A flash sale of `quantity` units, two a buyer, at 9.00 for ten minutes.
    pub fn flash_sale(&self, quantity: u32) -> SaleOpen {
        SaleOpen {
            variant: self.shop.variant,
            quantity,
            price: SalePrice::PriceMinor(900),
            per_buyer: 2,
            hold_seconds: 60,
            ends_in_seconds: 600,
            opens_in_seconds: None,
        }
    }
}

/// A fresh ticket.
pub fn ticket(viewer: Viewer, stream: StreamId, part: Part) -> String {
    let claims = Ticket {
        jti: Uuid::now_v7(),
        viewer,
        session: None,
        stream,
        part,
    };
    let now = chrono::Utc::now().timestamp();
    testkit::token_key().sign(claims, now).expect("a ticket can be signed")
}

/// Says something.
pub fn chat(text: &str) -> ClientCommand {
    ClientCommand::Chat {
        text: text.into(),
        reply_to: None,
    }
}

/// Waits for the message with this text.
pub async fn hears(client: &mut LiveClient, text: &str) {
    let heard = client.event(|event| match event {
        RoomEvent::Chat(message) if message.text == text => Some(()),
        _ => None,
    });
    heard
        .await
        .unwrap_or_else(|error| panic!("{text:?} was not heard: {error:#}"));
}

//! A sale desk with its sale, for tests of flash-buy without rooms and sockets.

use std::time::Duration;

use live_engine::db::Db;
use live_engine::sale::{HoldRequest, ReleaseRequest, SaleDesk, UnwaitRequest};
use live_engine::types::SaleProgress;
use shared::error::Refusal;
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::protocol::{Outcome, Reservation, SaleCard, Waiting};
use sqlx::PgPool;
use testkit::TestDb;
use testkit::fixtures::{self, Shop};

use crate::ears::{DEADLINE, Ears, conn, listen};

/// What a test's sale is like.
#[derive(Clone, Copy)]
pub struct Terms {
    pub quantity: i32,
    pub per_buyer: i32,
    pub hold_seconds: i32,
    pub ends_in_seconds: i32,
}

pub const TERMS: Terms = Terms {
    quantity: 1,
    per_buyer: 1,
    hold_seconds: 60,
    ends_in_seconds: 600,
};

/// Opens a sale as the room's store does.
pub async fn open(pool: &PgPool, shop: &Shop, terms: Terms) -> SaleId {
    let sale = SaleId::new();
    let opened: bool = sqlx::query_scalar(
        "select open_flash_sale($1, $2, $3, $4, $5, 90, $6, $7, clock_timestamp(),
                                clock_timestamp() + make_interval(secs => $8))",
    )
    .bind(sale.0)
    .bind(shop.stream.0)
    .bind(shop.seller.0)
    .bind(shop.variant.0)
    .bind(terms.quantity)
    .bind(terms.per_buyer)
    .bind(terms.hold_seconds)
    .bind(f64::from(terms.ends_in_seconds))
    .fetch_one(pool)
    .await
    .expect("asked");
    assert!(opened, "the shop has the units");
    sale
}

/// Accounts, all at once.
pub async fn users(pool: &PgPool, count: usize) -> Vec<UserId> {
    let ids: Vec<UserId> = (0..count).map(|_| UserId::new()).collect();
    let raw: Vec<_> = ids.iter().map(|id| id.0).collect();
    sqlx::query(
        "insert into users (id, email, password_hash) select i, i || '@test.hawker.example', 'none' from unnest($1) i",
    )
    .bind(raw)
    .execute(pool)
    .await
    .expect("the users are new");
    ids
}

/// A desk, a shop and its sale.
pub struct World {
    pub base: TestDb,
    pub desk: SaleDesk,
    pub ears: Ears,
    pub shop: Shop,
    pub sale: SaleId,
    pub db: Db,
    asked: u64,
}

pub async fn world(terms: Terms) -> World {
    let base = testkit::database().await;
    let url = base.url.clone();
    world_at(base, &url, terms).await
}

pub async fn world_at(base: TestDb, url: &str, terms: Terms) -> World {
    let shop = fixtures::shop(&base.pool, 1000, 100).await;
    let sale = open(&base.pool, &shop, terms).await;
    let db = Db::start(url, testkit::db_options())
        .await
        .expect("the database is there");
    let (sink, ears) = listen();
    let desk = SaleDesk::start(&db, sink);
    World {
        base,
        desk,
        ears,
        shop,
        sale,
        db,
        asked: 0,
    }
}

impl World {
    pub fn request(&mut self, user: UserId, request_id: RequestId, quantity: u32) -> HoldRequest {
        self.asked += 1;
        HoldRequest {
            conn: conn(0),
            id: self.asked,
            stream: self.shop.stream,
            sale: self.sale,
            user,
            request_id,
            quantity,
            waits: false,
        }
    }

    /// Asks and waits for the answer, wherever it comes from.
    pub async fn buy(&mut self, user: UserId, request_id: RequestId, quantity: u32) -> Result<Reservation, Refusal> {
        let request = self.request(user, request_id, quantity);
        self.desk.reserve(request)?;
        self.answer(request.id).await
    }

    /// Asks for a place in line, or for the hold that there is.
    pub async fn wait(&mut self, user: UserId, request_id: RequestId, quantity: u32) -> Result<Outcome, Refusal> {
        let request = HoldRequest {
            waits: true,
            ..self.request(user, request_id, quantity)
        };
        self.desk.reserve(request)?;
        self.outcome(request.id).await
    }

    /// Asks for a place in line, where there is nothing to be had.
    pub async fn in_line(&mut self, user: UserId, quantity: u32) -> Waiting {
        match self.wait(user, RequestId::new(), quantity).await {
            Ok(Outcome::Waiting(place)) => place,
            other => panic!("{other:?}"),
        }
    }

    /// The answer to a `buy`.
    pub async fn answer(&mut self, id: u64) -> Result<Reservation, Refusal> {
        self.outcome(id).await.map(held)
    }

    pub async fn outcome(&mut self, id: u64) -> Result<Outcome, Refusal> {
        self.ears
            .answers
            .until(|answer| (answer.id == id).then(|| answer.result.clone()))
            .await
    }

    pub async fn unwait(&mut self, user: UserId, request_id: RequestId) -> Result<Outcome, Refusal> {
        self.asked += 1;
        let id = self.asked;
        self.desk.unwait(UnwaitRequest {
            conn: conn(0),
            id,
            user,
            sale: self.sale,
            request_id,
        })?;
        self.outcome(id).await
    }

    pub async fn release(&mut self, user: UserId, reservation: ReservationId) -> Result<Outcome, Refusal> {
        self.asked += 1;
        let id = self.asked;
        self.desk.release(ReleaseRequest {
            conn: conn(0),
            id,
            user,
            reservation,
        })?;
        self.outcome(id).await
    }

    pub fn watch(&self) {
        self.desk.watch(self.shop.stream, &card(self.sale, &self.shop), None);
    }

    pub async fn progress(&mut self, pick: impl Fn(&SaleProgress) -> bool) -> SaleProgress {
        let stream = self.shop.stream;
        self.ears
            .progress
            .until(|(of, progress)| (*of == stream && pick(progress)).then(|| progress.clone()))
            .await
    }

    /// (quantity, held, sold, returned) of the sale, and what its variant has reserved.
    pub async fn counters(&self) -> ((i32, i32, i32, i32), i32) {
        let sale = sqlx::query_as("select quantity, held, sold, returned from flash_sales where id = $1")
            .bind(self.sale.0)
            .fetch_one(&self.base.pool)
            .await
            .expect("read");
        let reserved = sqlx::query_scalar("select reserved from product_variants where id = $1")
            .bind(self.shop.variant.0)
            .fetch_one(&self.base.pool)
            .await
            .expect("read");
        (sale, reserved)
    }

    /// Keeps everybody else from the sale.
    pub async fn lock_sale(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut tx = self.base.pool.begin().await.expect("a transaction");
        let lock = sqlx::query("select 1 from flash_sales where id = $1 for update").bind(self.sale.0);
        lock.execute(&mut *tx).await.expect("locked");
        tx
    }

    /// Waits until somebody in the test's database waits for a lock.
    pub async fn somebody_waits_for_a_lock(&self) {
        self.so_many_wait_for_a_lock(1).await;
    }

    /// Waits until so many in the test's database wait for a lock.
    pub async fn so_many_wait_for_a_lock(&self, many: i64) {
        let looking = async {
            let mut turns = tokio::time::interval(Duration::from_millis(5));
            let waiting = "select count(*) from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock'";
            loop {
                turns.tick().await;
                let count: i64 = sqlx::query_scalar(waiting)
                    .fetch_one(&self.base.pool)
                    .await
                    .expect("a count");
                if count >= many {
                    return;
                }
            }
        };
        let waits = tokio::time::timeout(DEADLINE, looking).await;
        waits.expect("somebody waits in time");
    }

    pub async fn verify(&self) {
        let report = shared::verify::run(&self.base.pool).await.expect("verified");
        assert!(report.is_clean(), "{:?}", report.broken().collect::<Vec<_>>());
    }
}

/// The hold of an answer that is one.
pub fn held(outcome: Outcome) -> Reservation {
    match outcome {
        Outcome::Held(hold) => hold,
        other => panic!("{other:?}"),
    }
}

pub fn card(sale: SaleId, shop: &Shop) -> SaleCard {
    SaleCard {
        id: sale,
        product: shop.product,
        variant: shop.variant,
        title: String::new(),
        image_url: String::new(),
        price_minor: 90,
        usual_price_minor: 100,
        percent_off: None,
        currency: "EUR".into(),
        quantity: 0,
        remaining: 0,
        per_buyer: 0,
        hold_seconds: 0,
        opens_at: 0,
        ends_at: 0,
        version: 0,
    }
}

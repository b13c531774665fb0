//! Flash-buy from the desk's side: what is granted is committed, nobody gets too much,
//! and everybody is answered.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use live_engine::db::Db;
use live_engine::sale::{HoldRequest, ReleaseRequest, SaleDesk};
use live_engine::types::{HoldAnswer, SaleProgress};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::protocol::{Reservation, SaleCard};
use shared::status::{ReservationStatus, SaleStatus};
use sqlx::PgPool;
use testkit::TestDb;
use testkit::fixtures::{self, Shop};

use crate::ears::{Ears, conn, listen, refused};
use crate::proxy::{Line, Proxy};

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

struct World {
    base: TestDb,
    desk: SaleDesk,
    ears: Ears,
    shop: Shop,
    sale: SaleId,
    db: Db,
    asked: u64,
}

async fn world(terms: Terms) -> World {
    let base = testkit::database().await;
    let url = base.url.clone();
    world_at(base, &url, terms).await
}

async fn world_at(base: TestDb, url: &str, terms: Terms) -> World {
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
    fn request(&mut self, user: UserId, request_id: RequestId, quantity: u32) -> HoldRequest {
        self.asked += 1;
        HoldRequest {
            conn: conn(0),
            id: self.asked,
            stream: self.shop.stream,
            sale: self.sale,
            user,
            request_id,
            quantity,
        }
    }

    /// Asks and waits for the answer, wherever it comes from.
    async fn buy(&mut self, user: UserId, request_id: RequestId, quantity: u32) -> Result<Reservation, Refusal> {
        let request = self.request(user, request_id, quantity);
        self.desk.reserve(request)?;
        self.answer(request.id).await
    }

    async fn answer(&mut self, id: u64) -> Result<Reservation, Refusal> {
        self.ears
            .answers
            .until(|answer| (answer.id == id).then(|| answer.result.clone()))
            .await
    }

    async fn release(&mut self, user: UserId, reservation: ReservationId) -> Result<Reservation, Refusal> {
        self.asked += 1;
        let id = self.asked;
        self.desk.release(ReleaseRequest {
            conn: conn(0),
            id,
            user,
            reservation,
        })?;
        self.answer(id).await
    }

    fn watch(&self) {
        self.desk.watch(self.shop.stream, &card(self.sale, &self.shop), None);
    }

    async fn progress(&mut self, pick: impl Fn(&SaleProgress) -> bool) -> SaleProgress {
        let stream = self.shop.stream;
        self.ears
            .progress
            .until(|(of, progress)| (*of == stream && pick(progress)).then(|| progress.clone()))
            .await
    }

    /// (quantity, held, sold, returned) of the sale, and what its variant has reserved.
    async fn counters(&self) -> ((i32, i32, i32, i32), i32) {
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

    async fn verify(&self) {
        let report = shared::verify::run(&self.base.pool).await.expect("verified");
        assert!(report.is_clean(), "{:?}", report.broken().collect::<Vec<_>>());
    }
}

fn card(sale: SaleId, shop: &Shop) -> SaleCard {
    SaleCard {
        id: sale,
        product: shop.product,
        variant: shop.variant,
        title: String::new(),
        image_url: String::new(),
        price_minor: 90,
        usual_price_minor: 100,
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

#[tokio::test]
async fn five_hundred_buyers_on_fifty_units_get_exactly_fifty() {
    let mut world = world(Terms {
        quantity: 50,
        per_buyer: 2,
        ..TERMS
    })
    .await;
    let buyers = users(&world.base.pool, 500).await;
    let mut first: HashMap<u64, HoldRequest> = HashMap::new();
    for (n, buyer) in buyers.iter().cycle().take(1500).enumerate() {
        let request = world.request(*buyer, RequestId::new(), 1 + u32::from(n % 7 == 0));
        if world.desk.reserve(request).is_ok() {
            first.insert(request.id, request);
        }
    }
    let mut granted: HashMap<u64, Reservation> = HashMap::new();
    for _ in 0..first.len() {
        let HoldAnswer { id, result, .. } = world.ears.answers.next().await;
        match result {
            Ok(hold) => assert!(granted.insert(id, hold).is_none(), "answered twice"),
            Err(refusal) => assert!(
                matches!(
                    refusal.code,
                    ErrorCode::SoldOut | ErrorCode::NotEnoughLeft | ErrorCode::PurchaseLimitReached
                ),
                "{refusal}"
            ),
        }
    }
    assert_eq!(granted.values().map(|hold| hold.quantity).sum::<u32>(), 50);
    let mut units: HashMap<UserId, u32> = HashMap::new();
    for (id, hold) in &granted {
        *units.entry(first[id].user).or_default() += hold.quantity;
    }
    assert!(units.values().all(|units| *units <= 2), "above the limit per buyer");
    let (counters, _) = world.counters().await;
    assert_eq!(counters, (50, 50, 0, 0));
    // Whoever sends the same request again hears what they heard, winner or not.
    for (id, request) in &first {
        let again = world.buy(request.user, request.request_id, request.quantity).await;
        match granted.get(id) {
            Some(hold) => assert_eq!(again.as_ref(), Ok(hold)),
            None => assert!(again.is_err()),
        }
    }
    let last = world
        .ears
        .progress
        .so_far()
        .into_iter()
        .map(|(_, progress)| progress)
        .collect::<Vec<_>>();
    assert!(last.is_sorted_by_key(|progress| progress.version));
    assert_eq!(
        last.last().map(|progress| (progress.remaining, progress.status)),
        Some((0, SaleStatus::Open))
    );
    world.verify().await;
}

#[tokio::test]
async fn many_wishes_of_one_buyer_at_once_stay_within_the_limit() {
    let mut world = world(Terms {
        quantity: 1000,
        per_buyer: 3,
        ..TERMS
    })
    .await;
    let buyers = users(&world.base.pool, 20).await;
    for _ in 0..10 {
        for buyer in &buyers {
            let request = world.request(*buyer, RequestId::new(), 1);
            world.desk.reserve(request).expect("queued");
        }
    }
    let mut codes: HashMap<Option<ErrorCode>, usize> = HashMap::new();
    for _ in 0..200 {
        *codes
            .entry(refused(&world.ears.answers.next().await.result))
            .or_default() += 1;
    }
    assert_eq!(
        codes,
        HashMap::from([(None, 60), (Some(ErrorCode::PurchaseLimitReached), 140)])
    );
    world.verify().await;
}

#[tokio::test]
async fn one_request_sent_twice_at_once_is_one_hold() {
    let mut world = world(Terms {
        quantity: 10,
        per_buyer: 5,
        ..TERMS
    })
    .await;
    let (buyer, request_id) = (users(&world.base.pool, 1).await[0], RequestId::new());
    let mut holds = HashSet::new();
    for _ in 0..20 {
        let request = world.request(buyer, request_id, 2);
        world.desk.reserve(request).expect("queued");
    }
    for _ in 0..20 {
        holds.insert(world.ears.answers.next().await.result.expect("granted").reservation);
    }
    assert_eq!(holds.len(), 1);
    let other = world.buy(buyer, request_id, 1).await;
    assert_eq!(refused(&other), Some(ErrorCode::RequestIdReused));
    assert_eq!(world.counters().await.0, (10, 2, 0, 0));
}

#[tokio::test]
async fn an_expired_hold_is_told_to_its_owner_and_sold_again() {
    let mut world = world(Terms {
        hold_seconds: 2,
        ..TERMS
    })
    .await;
    let buyers = users(&world.base.pool, 2).await;
    world.watch();
    let hold = world.buy(buyers[0], RequestId::new(), 1).await.expect("granted");
    let refusal = world.buy(buyers[1], RequestId::new(), 1).await;
    assert_eq!(refused(&refusal), Some(ErrorCode::SoldOut));
    let (_, owner, lapsed) = world.ears.holds.next().await;
    assert_eq!(owner, buyers[0]);
    assert_eq!(
        lapsed,
        Reservation {
            status: ReservationStatus::Expired,
            ..hold
        }
    );
    world.progress(|progress| progress.remaining == 1).await;
    // No memory of the empty shelf outlives the expiry.
    world.buy(buyers[1], RequestId::new(), 1).await.expect("sold again");
    world.verify().await;
}

#[tokio::test]
async fn being_sold_out_costs_the_database_nothing() {
    let mut world = world(TERMS).await;
    let buyers = users(&world.base.pool, 300).await;
    let (winner, won) = (buyers[0], RequestId::new());
    let hold = world.buy(winner, won, 1).await.expect("granted");
    // Until memory answers: the holders are read after the answer that says sold out.
    let began = Instant::now();
    let mut next = buyers[1..].iter().cycle();
    loop {
        let request = world.request(*next.next().expect("a cycle"), RequestId::new(), 1);
        match world.desk.reserve(request) {
            Ok(()) => assert_eq!(refused(&world.answer(request.id).await), Some(ErrorCode::SoldOut)),
            Err(refusal) => break assert_eq!(refusal.code, ErrorCode::SoldOut),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "never remembered");
    }
    // A resend of the one who has the unit is answered truly, even now.
    assert_eq!(world.buy(winner, won, 1).await, Ok(hold));
    let remembered = Instant::now();
    world.db.pool().close().await;
    for buyer in &buyers[1..] {
        let request = world.request(*buyer, RequestId::new(), 1);
        let refusal = world
            .desk
            .reserve(request)
            .expect_err("from memory, without a database");
        assert_eq!(refusal.code, ErrorCode::SoldOut);
    }
    assert!(
        remembered.elapsed() < Duration::from_secs(1),
        "the machine is too slow for this test"
    );
}

#[tokio::test]
async fn the_end_of_a_sale_gives_the_shop_back_what_is_neither_sold_nor_held() {
    let mut world = world(Terms {
        quantity: 10,
        per_buyer: 5,
        hold_seconds: 4,
        ends_in_seconds: 1,
    })
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    world.watch();
    world.buy(buyer, RequestId::new(), 3).await.expect("granted");
    assert_eq!(world.counters().await, ((10, 3, 0, 0), 10));
    let closed = world.progress(|progress| progress.status == SaleStatus::Closed).await;
    assert_eq!(closed.remaining, 0);
    assert_eq!(world.counters().await, ((10, 3, 0, 7), 3));
    world.verify().await;
    let late = world.buy(buyer, RequestId::new(), 1).await;
    assert_eq!(refused(&late), Some(ErrorCode::SaleClosed));
    let (_, _, lapsed) = world.ears.holds.next().await;
    assert_eq!(lapsed.status, ReservationStatus::Expired);
    assert_eq!(world.counters().await, ((10, 0, 0, 10), 0));
    let told: i64 = sqlx::query_scalar("select count(*) from outbox where topic = 'product_changed'")
        .fetch_one(&world.base.pool)
        .await
        .expect("read");
    assert_eq!(told, 2, "rooms hear of units that are free again, twice");
    world.verify().await;
}

#[tokio::test]
async fn a_hold_given_up_is_free_at_once() {
    let mut world = world(TERMS).await;
    let buyers = users(&world.base.pool, 2).await;
    let hold = world.buy(buyers[0], RequestId::new(), 1).await.expect("granted");
    let stranger = world.release(buyers[1], hold.reservation).await;
    assert_eq!(
        refused(&stranger),
        Some(ErrorCode::NotFound),
        "somebody else's hold is not there"
    );
    let released = Reservation {
        status: ReservationStatus::Released,
        ..hold.clone()
    };
    assert_eq!(world.release(buyers[0], hold.reservation).await, Ok(released.clone()));
    world.progress(|progress| progress.remaining == 1).await;
    world.buy(buyers[1], RequestId::new(), 1).await.expect("free again");
    assert_eq!(
        world.release(buyers[0], hold.reservation).await,
        Ok(released),
        "twice is once"
    );
    assert_eq!(world.counters().await.0, (1, 1, 0, 0));
    world.verify().await;
}

#[tokio::test]
async fn a_silent_database_keeps_nobody_waiting_and_a_resend_learns_the_truth() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(base, &proxy.url, Terms { quantity: 100, ..TERMS }).await;
    let buyers = users(&world.base.pool, 40).await;
    world.buy(buyers[0], RequestId::new(), 1).await.expect("granted");
    proxy.set(Line::Silent);
    let began = Instant::now();
    let mut sent = Vec::new();
    for buyer in &buyers[1..] {
        let request = world.request(*buyer, RequestId::new(), 1);
        world.desk.reserve(request).expect("queued");
        sent.push(request);
    }
    for _ in &sent {
        let code = refused(&world.ears.answers.next().await.result);
        assert!(
            matches!(code, Some(ErrorCode::DatabaseUnavailable | ErrorCode::Overloaded)),
            "{code:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    proxy.set(Line::Open);
    let mut holds = HashSet::new();
    for request in &sent {
        holds.insert(
            world
                .buy(request.user, request.request_id, 1)
                .await
                .expect("granted")
                .reservation,
        );
    }
    assert_eq!(holds.len(), sent.len());
    assert_eq!(world.counters().await.0, (100, 40, 0, 0), "nobody has two");
    // Whoever was told that the outcome is open is told when it turns out well.
    let told: Vec<_> = world
        .ears
        .holds
        .so_far()
        .into_iter()
        .map(|(_, _, hold)| hold.reservation)
        .collect();
    assert!(
        !told.is_empty() && told.iter().all(|hold| holds.contains(hold)),
        "{told:?}"
    );
    world.verify().await;
}

#[tokio::test]
async fn a_grant_whose_answer_is_lost_is_granted_once() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(
        base,
        &proxy.url,
        Terms {
            quantity: 100,
            per_buyer: 100,
            ..TERMS
        },
    )
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    for n in 1..=5 {
        let request_id = RequestId::new();
        // The statement names the request; by then it is prepared and goes out as bytes.
        proxy.set(Line::LosesAnswerTo(request_id.0.as_bytes().to_vec()));
        world
            .buy(buyer, request_id, 1)
            .await
            .expect("asked again within its time");
        proxy.until(Line::Open).await;
        assert_eq!(world.counters().await.0, (100, n, 0, 0));
    }
    world.verify().await;
}

#[tokio::test]
async fn a_database_that_comes_back_in_time_is_no_refusal() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(
        base,
        &proxy.url,
        Terms {
            quantity: 100,
            per_buyer: 100,
            ..TERMS
        },
    )
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    for _ in 0..10 {
        let request = world.request(buyer, RequestId::new(), 1);
        world.desk.reserve(request).expect("queued");
        proxy.set(Line::Cut);
        proxy.set(Line::Open);
        world.answer(request.id).await.expect("tried again within its time");
    }
    assert_eq!(world.counters().await.0, (100, 10, 0, 0));
    world.verify().await;
}

#[tokio::test]
async fn one_impossible_request_does_not_spoil_the_batch() {
    let mut world = world(Terms { quantity: 100, ..TERMS }).await;
    let mut buyers = users(&world.base.pool, 30).await;
    let nobody = UserId::new();
    buyers.insert(11, nobody);
    let mut nobodys = 0;
    for buyer in buyers {
        let request = world.request(buyer, RequestId::new(), 1);
        world.desk.reserve(request).expect("queued");
        if buyer == nobody {
            nobodys = request.id;
        }
    }
    for _ in 0..31 {
        let HoldAnswer { id, result, .. } = world.ears.answers.next().await;
        let expected = (id == nobodys).then_some(ErrorCode::Internal);
        assert_eq!(refused(&result), expected, "request {id}");
    }
    assert_eq!(world.counters().await.0, (100, 30, 0, 0));
}

#[tokio::test]
async fn a_sale_that_nobody_tends_is_swept_all_the_same() {
    let mut world = world(Terms {
        quantity: 5,
        hold_seconds: 1,
        ends_in_seconds: 1,
        ..TERMS
    })
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    world.buy(buyer, RequestId::new(), 1).await.expect("granted");
    world
        .progress(|progress| progress.status == SaleStatus::Closed && progress.next_expiry.is_none())
        .await;
    assert_eq!(world.counters().await, ((5, 0, 0, 5), 0));
    world.verify().await;
}

#[tokio::test]
async fn the_desk_refuses_what_cannot_be() {
    let mut world = world(TERMS).await;
    let buyer = users(&world.base.pool, 1).await[0];
    for quantity in [0, 1001] {
        let refusal = world.buy(buyer, RequestId::new(), quantity).await;
        assert_eq!(refused(&refusal), Some(ErrorCode::InvalidBody));
    }
    let own = world.buy(world.shop.owner, RequestId::new(), 1).await;
    assert_eq!(refused(&own), Some(ErrorCode::OwnShop));
    let request = HoldRequest {
        sale: SaleId::new(),
        ..world.request(buyer, RequestId::new(), 1)
    };
    world.desk.reserve(request).expect("queued");
    assert_eq!(refused(&world.answer(request.id).await), Some(ErrorCode::NotFound));
}

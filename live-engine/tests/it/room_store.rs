//! A room's lease, rows and host commands, straight against the database.

use std::time::Duration;

use live_engine::db::Error;
use live_engine::room::host_watch::{HostPatience, HostStep};
use live_engine::room::store::chat::{Held, hold};
use live_engine::room::store::host::{HostAct, HostDone, carry_out};
use live_engine::room::store::lease::{Lease, acquire_lease, release_lease, renew_leases};
use live_engine::room::store::{load, unattended};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, NodeId, ProductId, RequestId, SaleId, StreamId, UserId, VariantId};
use shared::live::RoomNotice;
use shared::protocol::{Author, Feature, HeldFor, HeldMessage, HostCommand, Outcome, RoomEvent, SaleOpen, SalePrice};
use shared::status::{ReservationStatus, SaleStatus, StreamStatus};
use sqlx::PgPool;
use testkit::TestDb;
use testkit::fixtures::{self, Shop};

const TTL: Duration = Duration::from_secs(10);

async fn world() -> (TestDb, Shop) {
    let base = testkit::database().await;
    let shop = fixtures::shop(&base.pool, 100, 1000).await;
    (base, shop)
}

fn act(shop: &Shop, command: HostCommand) -> HostAct {
    HostAct {
        stream: shop.stream,
        user: shop.owner,
        request_id: RequestId::new(),
        command,
    }
}

fn sale(shop: &Shop, quantity: u32) -> HostCommand {
    HostCommand::SaleOpen(SaleOpen {
        variant: shop.variant,
        quantity,
        price: SalePrice::PriceMinor(900),
        per_buyer: 2,
        hold_seconds: 60,
        ends_in_seconds: 600,
        opens_in_seconds: None,
    })
}

fn feature(product: ProductId, variant: Option<VariantId>) -> HostCommand {
    HostCommand::Feature(Feature { product, variant })
}

async fn done(pool: &PgPool, act: &HostAct) -> HostDone {
    carry_out(pool, act).await.expect("done")
}

async fn refused(pool: &PgPool, act: &HostAct) -> Refusal {
    match carry_out(pool, act).await {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.expect("counted")
}

async fn reserved(pool: &PgPool, shop: &Shop) -> i32 {
    let sql = "select reserved from product_variants where id = $1";
    sqlx::query_scalar(sql)
        .bind(shop.variant.0)
        .fetch_one(pool)
        .await
        .expect("read")
}

#[tokio::test]
async fn a_command_sent_twice_is_carried_out_once() {
    let (base, shop) = world().await;
    let open = act(&shop, sale(&shop, 30));
    let first = done(&base.pool, &open).await;
    let again = done(&base.pool, &open).await;
    assert_eq!(first.outcome, again.outcome);
    assert_eq!((first.events.len(), again.events.len()), (1, 0), "told once");
    assert_eq!(reserved(&base.pool, &shop).await, 30);
    let other = HostAct {
        command: sale(&shop, 31),
        ..open.clone()
    };
    assert_eq!(refused(&base.pool, &other).await.code, ErrorCode::RequestIdReused);
    let other = HostAct {
        command: HostCommand::End,
        ..open
    };
    assert_eq!(refused(&base.pool, &other).await.code, ErrorCode::RequestIdReused);
    for (what, sql) in [
        ("sale", "select count(*) from flash_sales"),
        ("event", "select count(*) from outbox where topic = 'happened'"),
        (
            "audit entry",
            "select count(*) from audit_log where action = 'room.sale_open'",
        ),
        (
            "key",
            "select count(*) from idempotency_keys where operation = 'room.sale_open'",
        ),
    ] {
        assert_eq!(count(&base.pool, sql).await, 1, "one {what}");
    }
}

#[tokio::test]
async fn a_command_sent_many_times_at_once_is_carried_out_once() {
    let (base, shop) = world().await;
    let open = act(&shop, sale(&shop, 10));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (pool, open) = (base.pool.clone(), open.clone());
        tasks.spawn(async move { carry_out(&pool, &open).await });
    }
    let mut outcomes = Vec::new();
    for result in tasks.join_all().await {
        match result {
            Ok(done) => outcomes.push(done.outcome),
            Err(Error::Refused(refusal)) => assert_eq!(refusal.code, ErrorCode::RequestInFlight),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!outcomes.is_empty());
    outcomes.dedup();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(reserved(&base.pool, &shop).await, 10);
}

#[tokio::test]
async fn a_refusal_changes_nothing_and_may_be_tried_again() {
    let (base, shop) = world().await;
    let open = act(&shop, sale(&shop, 101));
    let refusal = refused(&base.pool, &open).await;
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (ErrorCode::InsufficientStock, Some("quantity"))
    );
    assert_eq!(count(&base.pool, "select count(*) from audit_log").await, 0);
    sqlx::query("update product_variants set on_hand = 101")
        .execute(&base.pool)
        .await
        .expect("restocked");
    done(&base.pool, &open).await;
}

#[tokio::test]
async fn only_the_shows_seller_commands_it() {
    let (base, shop) = world().await;
    let stranger = fixtures::user(&base.pool, "Demo Viewer").await;
    let rival = fixtures::shop(&base.pool, 1, 100).await;
    for user in [stranger, rival.owner, UserId::new()] {
        let act = HostAct {
            user,
            ..act(&shop, HostCommand::End)
        };
        assert_eq!(refused(&base.pool, &act).await.code, ErrorCode::Forbidden);
    }
    // Nor does a seller reach into another's shelf.
    let theirs = act(&shop, feature(rival.product, None));
    assert_eq!(refused(&base.pool, &theirs).await.code, ErrorCode::NotFound);
    let theirs = act(&shop, sale(&rival, 1));
    assert_eq!(refused(&base.pool, &theirs).await.code, ErrorCode::NotFound);
    let theirs = done(&base.pool, &act(&rival, sale(&rival, 1))).await;
    let Outcome::SaleOpened { sale } = theirs.outcome else {
        panic!("{theirs:?}")
    };
    let close = act(&shop, HostCommand::SaleClose { sale });
    assert_eq!(refused(&base.pool, &close).await.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_suspended_shop_stops_and_does_not_start() {
    let (base, shop) = world().await;
    sqlx::query("update sellers set status = 'suspended'")
        .execute(&base.pool)
        .await
        .expect("suspended");
    assert_eq!(
        refused(&base.pool, &act(&shop, sale(&shop, 1))).await.code,
        ErrorCode::Forbidden
    );
    done(&base.pool, &act(&shop, HostCommand::End)).await;
}

#[tokio::test]
async fn a_show_starts_once_and_ends_once_and_takes_its_sales_with_it() {
    let (base, shop) = world().await;
    sqlx::query("update streams set status = 'scheduled', started_at = null")
        .execute(&base.pool)
        .await
        .expect("not yet on air");
    assert_eq!(
        refused(&base.pool, &act(&shop, HostCommand::End)).await.code,
        ErrorCode::WrongState
    );
    assert_eq!(
        refused(&base.pool, &act(&shop, sale(&shop, 1))).await.code,
        ErrorCode::StreamNotLive
    );
    let started = done(&base.pool, &act(&shop, HostCommand::Start)).await;
    assert_eq!(
        started.events[0].event,
        RoomEvent::StreamStatus {
            status: StreamStatus::Live
        }
    );
    assert_eq!(
        refused(&base.pool, &act(&shop, HostCommand::Start)).await.code,
        ErrorCode::WrongState
    );
    done(&base.pool, &act(&shop, feature(shop.product, Some(shop.variant)))).await;
    done(&base.pool, &act(&shop, sale(&shop, 30))).await;
    done(&base.pool, &act(&shop, sale(&shop, 20))).await;
    assert_eq!(reserved(&base.pool, &shop).await, 50);
    let ended = done(&base.pool, &act(&shop, HostCommand::End)).await;
    let kinds: Vec<_> = ended.events.iter().map(|happened| happened.event.kind()).collect();
    assert_eq!(kinds, ["sale_closed", "sale_closed", "stream_status"]);
    assert_eq!(reserved(&base.pool, &shop).await, 0);
    assert_eq!(
        refused(&base.pool, &act(&shop, feature(shop.product, None))).await.code,
        ErrorCode::WrongState
    );
    let report = shared::verify::run(&base.pool).await.expect("verified");
    assert!(report.is_clean(), "{:?}", report.broken().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_happened_stays_in_the_outbox_until_it_is_told() {
    let (base, shop) = world().await;
    let shown = done(&base.pool, &act(&shop, feature(shop.product, None))).await;
    let opened = done(&base.pool, &act(&shop, sale(&shop, 10))).await;
    let mut conn = base.pool.acquire().await.expect("connected");
    let room = load::load_room(&mut conn, shop.stream, 50)
        .await
        .expect("read")
        .expect("there");
    for done in [&shown, &opened] {
        for happened in &done.events {
            let notice = RoomNotice::Happened {
                no: happened.no,
                event: Box::new(happened.event.clone()),
            };
            assert!(room.notices.contains(&(happened.row, notice)), "{happened:?}");
        }
    }
    assert!(
        room.notices
            .iter()
            .any(|(_, n)| *n == RoomNotice::ProductChanged { product: shop.product })
    );
    let featured = room.featured.expect("shown");
    assert_eq!(featured.variants[0].available, 90, "the sale's units are set aside");
    assert_eq!((room.sales.len(), room.sales[0].0.remaining), (1, 10));
    assert_eq!((room.host, room.stream.status), (shop.owner, StreamStatus::Live));
    let Outcome::SaleOpened { sale } = opened.outcome else {
        panic!("{opened:?}")
    };
    done(&base.pool, &act(&shop, HostCommand::SaleClose { sale })).await;
    let (card, status, _) = load::sale_card(&mut conn, sale).await.expect("read").expect("there");
    assert_eq!((card.remaining, status), (0, SaleStatus::Closed));
    let closed_again = done(&base.pool, &act(&shop, HostCommand::SaleClose { sale })).await;
    assert_eq!((closed_again.outcome, closed_again.events.len()), (Outcome::Done, 0));
    let gone = done(&base.pool, &act(&shop, HostCommand::Unfeature)).await;
    assert_eq!(gone.events[0].event, RoomEvent::Unfeatured);
}

#[tokio::test]
async fn what_was_said_last_is_read_without_the_rest_however_much_was_said_just_now() {
    let (base, shop) = world().await;
    let mut tx = base.pool.begin().await.expect("begun");
    // In one transaction, so that the planner can know nothing of these rows.
    sqlx::query(
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, body_hash, text, created_at)
         select gen_random_uuid(), $1, 1, n, $2, gen_random_uuid(), n, 'a message', now()
           from generate_series(1, 30000) n",
    )
    .bind(shop.stream.0)
    .bind(shop.owner.0)
    .execute(&mut *tx)
    .await
    .expect("said");
    let fetched = "select idx_tup_fetch from pg_stat_xact_user_tables where relname = 'stream_chat_messages'";
    let before: i64 = sqlx::query_scalar(fetched).fetch_one(&mut *tx).await.expect("counted");
    let room = load::load_room(&mut tx, shop.stream, 50)
        .await
        .expect("read")
        .expect("there");
    let after: i64 = sqlx::query_scalar(fetched).fetch_one(&mut *tx).await.expect("counted");
    assert_eq!((room.chat.len(), room.said_before.is_some()), (50, true));
    let read = usize::try_from(after - before).expect("a count");
    assert!(read <= room.said.len() + room.chat.len() + 10, "{read} rows were read");
}

#[tokio::test]
async fn one_node_at_a_time_owns_a_room_and_no_epoch_comes_twice() {
    let (base, shop) = world().await;
    let mut conn = base.pool.acquire().await.expect("connected");
    let [a, b] = [NodeId::new(), NodeId::new()];
    let take = async |conn: &mut _, node, ttl| acquire_lease(conn, shop.stream, node, ttl).await.expect("asked");
    assert_eq!(take(&mut conn, a, TTL).await, Lease::Taken { epoch: 1 });
    let Lease::Elsewhere { node, expires_in } = take(&mut conn, b, TTL).await else {
        panic!("taken twice")
    };
    assert!(node == a && expires_in <= TTL && expires_in > TTL / 2);
    assert_eq!(
        take(&mut conn, a, Duration::ZERO).await,
        Lease::Taken { epoch: 2 },
        "its own again, anew"
    );
    assert_eq!(
        take(&mut conn, b, TTL).await,
        Lease::Taken { epoch: 3 },
        "the first one's time was over"
    );
    let ours = [(shop.stream, 2)];
    assert!(
        renew_leases(&mut conn, a, &ours, TTL).await.expect("asked").is_empty(),
        "too late"
    );
    release_lease(&mut conn, shop.stream, a, 2).await.expect("asked");
    let ours = [(shop.stream, 3)];
    assert_eq!(
        renew_leases(&mut conn, b, &ours, TTL).await.expect("asked"),
        [shop.stream]
    );
    release_lease(&mut conn, shop.stream, b, 3).await.expect("given back");
    assert_eq!(take(&mut conn, a, TTL).await, Lease::Taken { epoch: 4 });
    let nowhere = acquire_lease(&mut conn, StreamId::new(), a, TTL).await;
    assert!(matches!(nowhere, Err(Error::Refused(refusal)) if refusal.code == ErrorCode::NotFound));
}

#[tokio::test]
async fn a_room_that_another_owner_has_taken_holds_no_message() {
    let (base, shop) = world().await;
    let mut conn = base.pool.acquire().await.expect("connected");
    let take = async |conn: &mut _, ttl| {
        acquire_lease(conn, shop.stream, NodeId::new(), ttl)
            .await
            .expect("asked")
    };
    assert_eq!(take(&mut conn, Duration::ZERO).await, Lease::Taken { epoch: 1 });
    assert_eq!(take(&mut conn, TTL).await, Lease::Taken { epoch: 2 });
    let author = Author {
        id: fixtures::user(&base.pool, "Author").await,
        name: "Author".into(),
        host: false,
        moderator: false,
    };
    let held = |epoch| Held {
        stream: shop.stream,
        epoch,
        request_id: RequestId::new(),
        body: 1,
        reply_to: None,
        message: HeldMessage {
            message: MessageId::new(),
            author: author.clone(),
            text: "cheaper".into(),
            cause: HeldFor::Word,
            detail: String::new(),
            at: 0,
        },
    };
    let late = hold(&mut conn, &held(1)).await;
    assert!(matches!(late, Err(Error::Refused(refusal)) if refusal.code == ErrorCode::RoomUnavailable));
    assert_eq!(count(&base.pool, "select count(*) from chat_reviews").await, 0);
    hold(&mut conn, &held(2)).await.expect("held");
}

#[tokio::test]
async fn a_show_ends_without_its_host_by_the_databases_clock_alone() {
    let (base, shop) = world().await;
    let mut conn = base.pool.acquire().await.expect("connected");
    let lease = acquire_lease(&mut conn, shop.stream, NodeId::new(), TTL).await;
    assert_eq!(lease.expect("asked"), Lease::Taken { epoch: 1 });
    let patience = HostPatience {
        grace: Duration::from_secs(10),
        ends_after: Duration::from_secs(60),
    };
    let step = async |step| {
        let happened = unattended::carry_out(&base.pool, shop.stream, 1, patience, step).await;
        let kinds = happened.expect("asked").into_iter();
        kinds.map(|happened| happened.event.kind()).collect::<Vec<_>>()
    };
    // Whatever a room's own clock says, nobody is given up who was not noted as missing.
    assert_eq!(step(HostStep::End).await, [""; 0]);
    assert_eq!(step(HostStep::Away(Duration::from_secs(10))).await, ["host_away"]);
    let missing = "select extract(epoch from clock_timestamp() - host_away_since)::bigint from streams";
    assert_eq!(count(&base.pool, missing).await, 10);
    assert_eq!(step(HostStep::End).await, [""; 0], "50 seconds are left");
    sqlx::query("update streams set host_away_since = host_away_since - interval '50 seconds'")
        .execute(&base.pool)
        .await
        .expect("time passes");
    assert_eq!(step(HostStep::End).await, ["stream_status"]);
}

#[tokio::test]
async fn a_person_finds_their_own_open_holds_and_orders() {
    let (base, shop) = world().await;
    let buyer = fixtures::user(&base.pool, "Demo Buyer").await;
    let opened = done(&base.pool, &act(&shop, sale(&shop, 10))).await;
    let Outcome::SaleOpened { sale } = opened.outcome else {
        panic!("{opened:?}")
    };
    let mut held = Vec::new();
    for status in ["held", "paying", "expired", "converted"] {
        let id = shared::ids::ReservationId::new();
        sqlx::query(
            "insert into reservations (id, sale_id, user_id, request_id, quantity, status, sale_version, expires_at)
             values ($1, $2, $3, gen_random_uuid(), 1, $4, 2, now() + interval '1 min')",
        )
        .bind(id.0)
        .bind(sale.0)
        .bind(buyer.0)
        .bind(status)
        .execute(&base.pool)
        .await
        .expect("held");
        held.push(id);
    }
    let mut conn = base.pool.acquire().await.expect("connected");
    let asked = [(buyer, shop.stream), (shop.owner, shop.stream), (buyer, shop.stream)];
    let owns = live_engine::own::open_business(&mut conn, &asked).await.expect("read");
    let [own, stranger, again] = owns.try_into().expect("one for each who asked");
    assert_eq!(own, again);
    let statuses: Vec<_> = own.reservations.iter().map(|hold| hold.status).collect();
    assert_eq!(statuses, [ReservationStatus::Held, ReservationStatus::Paying]);
    assert_eq!(stranger, live_engine::types::Own::default());
    let named = load::holds(&mut conn, buyer, &held).await.expect("read");
    assert_eq!(named.len(), 4);
    assert!(load::sale_card(&mut conn, SaleId::new()).await.expect("read").is_none());
}

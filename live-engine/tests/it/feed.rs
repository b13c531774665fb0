//! The feed and the tickets: what must come comes until it is done, and a ticket works once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use live_engine::db::Db;
use live_engine::feed::Feed;
use live_engine::tickets::Tickets;
use shared::bus::{MemoryBus, SharedBus};
use shared::error::ErrorCode;
use shared::ids::{GuestId, ProductId, StreamId};
use shared::live::{OUTBOX_HINTS, RoomNotice};
use shared::outbox;
use shared::token::{Part, Ticket, Viewer};
use sqlx::PgPool;
use testkit::TestDb;
use testkit::fixtures;
use uuid::Uuid;

use crate::ears::{Ears, listen};

struct World {
    base: TestDb,
    feed: Feed,
    ears: Ears,
    bus: SharedBus,
    stream: StreamId,
    other: StreamId,
    _db: Db,
}

async fn world() -> World {
    let base = testkit::database().await;
    let stream = fixtures::shop(&base.pool, 1, 100).await.stream;
    let other = fixtures::shop(&base.pool, 1, 100).await.stream;
    let db = Db::start(&base.url, testkit::db_options())
        .await
        .expect("the database is there");
    let (sink, ears) = listen();
    let bus = MemoryBus::shared();
    let feed = Feed::start(&db, bus.clone(), sink);
    World {
        base,
        feed,
        ears,
        bus,
        stream,
        other,
        _db: db,
    }
}

async fn push(pool: &PgPool, stream: StreamId) -> RoomNotice {
    let notice = RoomNotice::ProductChanged {
        product: ProductId::new(),
    };
    let mut conn = pool.acquire().await.expect("connected");
    outbox::push(&mut conn, stream, &notice).await.expect("pushed");
    notice
}

async fn lease(pool: &PgPool, stream: StreamId, epoch: i64) {
    sqlx::query(
        "insert into room_leases (stream_id, epoch, node_id, expires_at) values ($1, $2, $3, now())
         on conflict (stream_id) do update set epoch = excluded.epoch",
    )
    .bind(stream.0)
    .bind(epoch)
    .bind(Uuid::now_v7())
    .execute(pool)
    .await
    .expect("the lease is taken");
}

#[tokio::test]
async fn a_rooms_notices_come_until_they_are_marked() {
    let mut world = world().await;
    lease(&world.base.pool, world.stream, 5).await;
    let notice = push(&world.base.pool, world.stream).await;
    push(&world.base.pool, world.other).await;
    world.feed.own(world.stream);
    let (stream, id, told) = world.ears.notices.next().await;
    assert_eq!((stream, &told), (world.stream, &notice));
    assert_eq!(
        world.ears.notices.next().await,
        (stream, id, notice.clone()),
        "and again"
    );
    // An owner that was replaced marks nothing.
    world.feed.mark_delivered(stream, 4, [id]);
    assert_eq!(world.ears.notices.next().await, (stream, id, notice));
    world.feed.mark_delivered(stream, 5, [id]);
    let last = push(&world.base.pool, world.stream).await;
    outbox::hint(&*world.bus).await;
    // What comes after the mark is the new row alone, from a look that came after it.
    let newest = world
        .ears
        .notices
        .until(|(_, other, _)| (*other != id).then_some(*other))
        .await;
    world.ears.notices.so_far();
    assert_eq!(world.ears.notices.next().await, (stream, newest, last));
    let delivered: Vec<Uuid> = sqlx::query_scalar("select id from outbox where delivered_at is not null")
        .fetch_all(&world.base.pool)
        .await
        .expect("read");
    assert_eq!(delivered, [id]);
}

#[tokio::test]
async fn a_hint_brings_a_notice_at_once() {
    let mut world = world().await;
    world.feed.own(world.stream);
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let notice = push(&world.base.pool, world.stream).await;
        let pushed = Instant::now();
        world.bus.publish(OUTBOX_HINTS, Bytes::new()).await.expect("hinted");
        world
            .ears
            .notices
            .until(|(_, _, told)| (*told == notice).then_some(()))
            .await;
        fastest = fastest.min(pushed.elapsed());
    }
    assert!(
        fastest < Duration::from_millis(500),
        "{fastest:?}: that was the poll, not the hint"
    );
}

#[tokio::test]
async fn a_ticket_works_once() {
    let base = testkit::database().await;
    let db = Db::start(&base.url, testkit::db_options())
        .await
        .expect("the database is there");
    let tickets = Tickets::start(&db);
    let expires_at = Utc::now() + chrono::Duration::seconds(30);
    let shop = fixtures::shop(&base.pool, 1, 1).await;
    let (once, of_show) = (Uuid::now_v7(), shop.stream);
    let ticket = move |jti| Ticket {
        jti,
        viewer: Viewer::Guest { id: GuestId::new() },
        session: None,
        stream: of_show,
        part: Part::Viewer,
    };
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..2000 {
        let tickets = tickets.clone();
        // The others come first, so that many of the one meet in a batch.
        let id = if n < 1000 { Uuid::now_v7() } else { once };
        tasks.spawn(async move { (id == once, tickets.spend(&ticket(id), expires_at).await) });
    }
    let spent = tasks.join_all().await;
    assert_eq!(spent.iter().filter(|(same, fresh)| *same && fresh.is_ok()).count(), 1);
    assert!(
        spent
            .iter()
            .all(|(same, fresh)| *same || *fresh == Ok(Some(shop.seller)))
    );
    let again = tickets.spend(&ticket(once), expires_at).await.expect_err("spent");
    assert_eq!(again.code, ErrorCode::TicketInvalid);
    db.pool().close().await;
    tickets
        .spend(&ticket(Uuid::now_v7()), expires_at)
        .await
        .expect_err("nobody comes in unseen");
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_not_in_the_way_of_the_others() {
    let mut world = world().await;
    sqlx::query(
        r#"insert into outbox (id, topic, stream_id, payload)
           select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'new', $1, '{"notice": "of_tomorrow"}'
             from generate_series(1, 1200) n"#,
    )
    .bind(world.stream.0)
    .execute(&world.base.pool)
    .await
    .expect("pushed");
    let notice = push(&world.base.pool, world.stream).await;
    world.feed.own(world.stream);
    world
        .ears
        .notices
        .until(|(_, _, heard)| (*heard == notice).then_some(()))
        .await;
    let left: i64 = sqlx::query_scalar("select count(*) from outbox where topic = 'new' and delivered_at is null")
        .fetch_one(&world.base.pool)
        .await
        .expect("read");
    assert_eq!(left, 1200, "they stay for the version that can read them");
}

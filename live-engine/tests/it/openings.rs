//! What is late or left half-way when a room or a sale opens: it shows nothing old, and
//! no lease stays with nobody.

use std::time::Instant;

use loadtest::live::LiveClient;
use shared::protocol::{ClientCommand, Outcome, RoomEvent, SaleCard};
use uuid::Uuid;

use crate::ears::DEADLINE;
use crate::harness::{World, chat};

/// Opens a sale of five; as it was then.
async fn open(world: &World, host: &mut LiveClient) -> SaleCard {
    let opened = host.call(ClientCommand::SaleOpen(world.flash_sale(5))).await;
    opened.expect("answered").expect("opened");
    let card = host.event(|event| match event {
        RoomEvent::SaleOpened { sale } => Some(sale.clone()),
        _ => None,
    });
    card.await.expect("told")
}

/// The outbox row of an opening, as a node leaves it that dies before it has told it.
async fn leave(world: &World, sale: SaleCard) -> Uuid {
    let event = RoomEvent::SaleOpened { sale };
    let mut conn = world.db.pool.acquire().await.expect("connected");
    shared::outbox::push_happened(&mut conn, world.shop.stream, event)
        .await
        .expect("noted")
        .row
}

async fn is_delivered(world: &World, row: Uuid) {
    let by = Instant::now() + DEADLINE;
    loop {
        let done: bool =
            sqlx::query_scalar("select not exists (select from outbox where id = $1 and delivered_at is null)")
                .bind(row)
                .fetch_one(&world.db.pool)
                .await
                .expect("the database answers");
        if done {
            return;
        }
        assert!(Instant::now() < by, "the row stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_opening_that_is_told_late_shows_what_is_left_by_now() {
    let world = World::start().await;
    let mut host = world.host().await;
    let stale = open(&world, &mut host).await;
    let mut buyer = world.joined("Buyer").await;
    let bought = buyer
        .call(ClientCommand::Buy {
            sale: stale.id,
            quantity: 2,
        })
        .await;
    assert!(matches!(bought.expect("answered"), Ok(Outcome::Held(_))));
    leave(&world, stale.clone()).await;
    let told = buyer.event(|event| match event {
        RoomEvent::SaleOpened { sale } => Some((sale.id, sale.remaining)),
        _ => None,
    });
    assert_eq!(told.await.expect("told"), (stale.id, 3));
    let mut late = world.viewer("Late").await;
    let snapshot = world.join(&mut late).await.snapshot.expect("a snapshot");
    let shown: Vec<_> = snapshot.sales.iter().map(|sale| (sale.id, sale.remaining)).collect();
    assert_eq!(shown, [(stale.id, 3)]);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_sale_that_is_over_is_not_opened_by_word_of_its_opening() {
    let world = World::start().await;
    let mut host = world.host().await;
    let stale = open(&world, &mut host).await;
    let closed = host.call(ClientCommand::SaleClose { sale: stale.id }).await;
    closed.expect("answered").expect("closed");
    let mut viewer = world.joined("Viewer").await;
    let row = leave(&world, stale).await;
    is_delivered(&world, row).await;
    host.call(chat("what is there?"))
        .await
        .expect("answered")
        .expect("said");
    let heard = viewer.event(|event| match event {
        RoomEvent::Chat(_) | RoomEvent::SaleOpened { .. } => Some(event.kind()),
        _ => None,
    });
    assert_eq!(heard.await.expect("heard"), "chat", "nothing has opened");
    let mut late = world.viewer("Late").await;
    let snapshot = world.join(&mut late).await.snapshot.expect("a snapshot");
    assert_eq!(snapshot.sales, []);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_sale_that_closed_while_nobody_had_the_room_is_told_once_by_the_next_owner() {
    let world = World::start().await;
    let mut host = world.host().await;
    let sale = open(&world, &mut host).await.id;
    drop(host);
    let mut world = world.restart().await;
    // By a clock, a suspension, a last payment: no room hears of it.
    sqlx::query("select close_flash_sale($1)")
        .bind(sale.0)
        .execute(&world.db.pool)
        .await
        .expect("closed");
    for _ in 0..2 {
        let mut late = world.viewer("Late").await;
        let snapshot = world.join(&mut late).await.snapshot.expect("a snapshot");
        assert_eq!(snapshot.sales, []);
        // What comes after it in the same epoch is stored after it.
        late.call(chat("is it over?")).await.expect("answered").expect("said");
        drop(late);
        world = world.restart().await;
    }
    let told = "select kind from stream_events where kind like 'sale%' order by epoch, seq";
    let told: Vec<String> = sqlx::query_scalar(told).fetch_all(&world.db.pool).await.expect("read");
    assert_eq!(told, ["sale_opened", "sale_closed"]);
    world.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_closes_while_it_opens_gives_its_lease_back() {
    let world = World::start().await;
    let mut viewer = world.viewer("Viewer").await;
    // The lease can be taken, and then the room cannot be read.
    let mut lock = world.db.pool.begin().await.expect("connected");
    sqlx::query("lock table flash_sales in access exclusive mode")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let join = ClientCommand::Join {
        stream: world.shop.stream,
        since: None,
    };
    viewer.send(join, None).await.expect("sent");
    let taken = "select expires_at > clock_timestamp() from room_leases where stream_id = $1";
    let by = Instant::now() + DEADLINE;
    loop {
        let taken: Option<bool> = sqlx::query_scalar(taken)
            .bind(world.shop.stream.0)
            .fetch_optional(&world.db.pool)
            .await
            .expect("the database answers");
        if taken == Some(true) {
            break;
        }
        assert!(Instant::now() < by, "no lease is taken");
        tokio::task::yield_now().await;
    }
    let World { db, engine, shop, .. } = world;
    let stopping = tokio::spawn(engine.stop());
    viewer.closed().await.expect("sent away");
    lock.rollback().await.expect("unlocked");
    stopping.await.expect("stopped");
    let free: bool = sqlx::query_scalar("select expires_at <= clock_timestamp() from room_leases where stream_id = $1")
        .bind(shop.stream.0)
        .fetch_one(&db.pool)
        .await
        .expect("the database answers");
    assert!(free, "nobody has the room, and it is not free");
}

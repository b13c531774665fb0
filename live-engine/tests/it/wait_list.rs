//! Flash-buy over sockets, what happens once a sale is sold out: the line, its order, and
//! sales that go on or end whoever is there.

use std::time::Duration;

use loadtest::live::LiveClient;
use shared::error::ErrorCode;
use shared::ids::{RequestId, SaleId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{ClientCommand, Format, Outcome, Private, Reservation, RoomEvent, SaleOpen, SalePrice, Waiting};
use shared::status::{ReservationStatus, WaitStatus};
use shared::token::{Part, Viewer};
use testkit::fixtures;

use crate::ears::DEADLINE;
use crate::flash_buy::{buy, open};
use crate::harness::{World, config};
use crate::proxy::{Line, Proxy};

/// Stands in line, where there is nothing to be had.
async fn wait(client: &mut LiveClient, sale: SaleId, act: RequestId) -> Waiting {
    match client.call_as(ClientCommand::Wait { sale, quantity: 1 }, act).await {
        Ok(Ok(Outcome::Waiting(place))) => place,
        other => panic!("{other:?}"),
    }
}

/// The hold that the line brings.
async fn turn(client: &mut LiveClient) -> Reservation {
    let offered = client.private(|message| match message {
        Private::Reservation(hold) if hold.offered => Some(hold.clone()),
        _ => None,
    });
    offered.await.expect("the turn comes")
}

async fn give_up(client: &mut LiveClient, hold: &Reservation) {
    let reservation = hold.reservation;
    let released = client.call(ClientCommand::Release { reservation }).await;
    assert_eq!(released.expect("answered"), Ok(Outcome::Done));
}

async fn verify(world: &World) {
    let report = shared::verify::run(&world.db.pool).await.expect("verified");
    assert!(report.is_clean(), "{:?}", report.broken().collect::<Vec<_>>());
}

#[tokio::test]
async fn of_two_buyers_the_one_in_line_gets_the_unit_that_comes_free() {
    let world = World::start().await;
    let mut host = world.host().await;
    let (mut holder, mut patient, mut hasty) = (
        world.joined("Holder").await,
        world.joined("Patient").await,
        world.joined("Hasty").await,
    );
    let sale = open(&mut host, world.flash_sale(1)).await;
    let hold = buy(&mut holder, sale, RequestId::new()).await.expect("held");
    let place = wait(&mut patient, sale, RequestId::new()).await;
    assert_eq!((place.position, place.status), (1, WaitStatus::Waiting));
    give_up(&mut holder, &hold).await;
    let late = buy(&mut hasty, sale, RequestId::new()).await;
    assert_eq!(late.expect_err("it is the other's").code, ErrorCode::SoldOut);
    let offered = turn(&mut patient).await;
    assert_eq!((offered.status, offered.quantity), (ReservationStatus::Held, 1));
    // A join tells of it too, and of places.
    let mut again = world.joined("Somebody").await;
    let place = wait(&mut again, sale, RequestId::new()).await;
    let user = again.hello().user.expect("an account");
    let viewer = Viewer::User {
        id: user,
        name: "Somebody".into(),
    };
    let mut elsewhere = world.connect(viewer, Part::Viewer, Format::MsgPack).await;
    let snapshot = world.join(&mut elsewhere).await.snapshot.expect("a snapshot");
    assert_eq!(snapshot.waiting, [place]);
    let left = elsewhere.call(ClientCommand::Unwait { sale }).await.expect("answered");
    assert_eq!(left, Ok(Outcome::Done));
    verify(&world).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn guests_and_the_shop_itself_stand_in_no_line() {
    let world = World::start().await;
    let (mut host, mut guest) = (world.host().await, world.guest().await);
    let sale = open(&mut host, world.flash_sale(1)).await;
    let line = ClientCommand::Wait { sale, quantity: 1 };
    let code = |answer: Result<Outcome, shared::error::Refusal>| answer.expect_err("refused").code;
    let refused = guest.call(line.clone()).await.expect("answered");
    assert_eq!(code(refused), ErrorCode::Unauthenticated);
    let refused = host.call(line.clone()).await.expect("answered");
    assert_eq!(code(refused), ErrorCode::OwnShop);
    let id = guest.send(line, None).await.expect("sent");
    assert!(guest.answer(id).await.expect("answered").is_err());
    world.engine.stop().await;
}

#[tokio::test]
async fn the_line_keeps_its_order_across_a_restart() {
    let mut world = World::start().await;
    let mut host = world.host().await;
    let mut holder = world.joined("Holder").await;
    let sale = open(&mut host, world.flash_sale(1)).await;
    let hold = buy(&mut holder, sale, RequestId::new()).await.expect("held");
    let mut people = Vec::new();
    for n in 1..=5 {
        let person = world.person(&format!("Person {n}")).await;
        let mut client = world.connect(person.clone(), Part::Viewer, Format::Json).await;
        world.join(&mut client).await;
        let act = RequestId::new();
        assert_eq!(wait(&mut client, sale, act).await.position, n);
        people.push((person, act));
    }
    world = world.restart().await;
    let mut line = Vec::new();
    // They come back in another order than they stand in.
    for (n, (person, act)) in (1..6).zip(&people).rev() {
        let mut client = world.connect(person.clone(), Part::Viewer, Format::Json).await;
        let snapshot = world.join(&mut client).await.snapshot.expect("a snapshot");
        assert_eq!(
            snapshot.waiting.iter().map(|place| place.position).collect::<Vec<_>>(),
            [n]
        );
        assert_eq!(wait(&mut client, sale, *act).await.position, n, "a resend is answered");
        line.insert(0, client);
    }
    let holder = Viewer::User {
        id: holder.hello().user.expect("an account"),
        name: "Holder".into(),
    };
    let mut holder = world.connect(holder, Part::Viewer, Format::Json).await;
    world.join(&mut holder).await;
    give_up(&mut holder, &hold).await;
    for client in &mut line {
        let hold = turn(client).await;
        give_up(client, &hold).await;
    }
    verify(&world).await;
    let order = offered_in_order(&world).await;
    let people: Vec<_> = people.iter().map(|(person, _)| person.user()).collect();
    assert_eq!(order.into_iter().map(Some).collect::<Vec<_>>(), people);
    world.engine.stop().await;
}

/// To whom the line's units went, in the order of the sale's versions.
async fn offered_in_order(world: &World) -> Vec<UserId> {
    let order = "select r.user_id from reservations r join reservation_waitlist w on w.id = r.id
                  where r.origin = 'line' order by r.sale_version, w.place";
    sqlx::query_scalar(order).fetch_all(&world.db.pool).await.expect("read")
}

#[tokio::test]
async fn five_hundred_buyers_on_fifty_units_drain_a_line_of_four_hundred_and_fifty_in_order() {
    let world = World::start_with(|config| config.limits.connections_per_address = 1_000).await;
    let mut host = world.host().await;
    let buyers = crate::desk::users(&world.db.pool, 500).await;
    let mut crowd = Vec::new();
    for (n, id) in buyers.iter().enumerate() {
        let viewer = Viewer::User {
            id: *id,
            name: format!("Buyer {n}"),
        };
        let mut client = world.connect(viewer, Part::Viewer, Format::ALL[n % 2]).await;
        world.join(&mut client).await;
        crowd.push((*id, client));
    }
    let sale = SaleOpen {
        per_buyer: 1,
        ..world.flash_sale(50)
    };
    let sale = open(&mut host, sale).await;
    // All press at once; who gets nothing stands in line.
    let mut tasks = tokio::task::JoinSet::new();
    for (user, mut client) in crowd {
        tasks.spawn(async move {
            let wish = ClientCommand::Wait { sale, quantity: 1 };
            let answer = client.call(wish).await.expect("answered").expect("held or in line");
            (user, client, answer)
        });
    }
    let (mut holders, mut line) = (Vec::new(), Vec::new());
    for (user, client, answer) in tasks.join_all().await {
        match answer {
            Outcome::Held(hold) => holders.push((client, hold)),
            Outcome::Waiting(place) => line.push((place.position, user, client)),
            other => panic!("{other:?}"),
        }
    }
    line.sort_unstable_by_key(|(position, ..)| *position);
    let positions: Vec<u32> = line.iter().map(|(position, ..)| *position).collect();
    assert_eq!((holders.len(), positions), (50, (1..=450).collect()));
    let order: Vec<UserId> = line.iter().map(|(_, user, _)| *user).collect();
    // Everybody gives up what they have as soon as they have it, all at the same time.
    let mut tasks = tokio::task::JoinSet::new();
    for (mut client, hold) in holders {
        tasks.spawn(async move { give_up(&mut client, &hold).await });
    }
    for (_, _, mut client) in line {
        tasks.spawn(async move {
            let hold = turn(&mut client).await;
            give_up(&mut client, &hold).await;
        });
    }
    tokio::time::timeout(DEADLINE * 3, tasks.join_all())
        .await
        .expect("the line drains");
    assert_eq!(
        offered_in_order(&world).await,
        order,
        "in exactly the order of the line"
    );
    let left: (i32, i32, i32) = sqlx::query_as("select held, sold, waiting from flash_sales where id = $1")
        .bind(sale.0)
        .fetch_one(&world.db.pool)
        .await
        .expect("read");
    assert_eq!(left, (0, 0, 0));
    verify(&world).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_percentage_off_is_computed_once_and_stays() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    let sale = SaleOpen {
        // 1900 less 33 % is 1273.
        price: SalePrice::PercentOff(33),
        opens_in_seconds: Some(600),
        ..world.flash_sale(3)
    };
    let sale = open(&mut host, sale).await;
    let card = viewer.event(|event| match event {
        RoomEvent::SaleOpened { sale: card } => Some(card.clone()),
        _ => None,
    });
    let card = card.await.expect("told");
    assert_eq!(
        (card.price_minor, card.usual_price_minor, card.percent_off),
        (1273, 1900, Some(33))
    );
    let early = buy(&mut viewer, sale, RequestId::new()).await.expect_err("too early");
    assert_eq!(early.code, ErrorCode::SaleNotOpen);
    let wait = early.retry_after_ms.expect("the time to wait");
    assert!((500_000..=600_000).contains(&wait), "{wait}");
    sqlx::query("update product_variants set price_minor = 5000")
        .execute(&world.db.pool)
        .await
        .expect("dearer");
    let mut late = world.viewer("Late").await;
    let snapshot = world.join(&mut late).await.snapshot.expect("a snapshot");
    assert_eq!(snapshot.sales, [card]);
    // Half a cent is rounded up, once.
    sqlx::query("update product_variants set price_minor = 1050")
        .execute(&world.db.pool)
        .await
        .expect("another price");
    let half = SaleOpen {
        price: SalePrice::PercentOff(15),
        ..world.flash_sale(1)
    };
    let half = open(&mut host, half).await;
    let price: i64 = sqlx::query_scalar("select price_minor from flash_sales where id = $1")
        .bind(half.0)
        .fetch_one(&world.db.pool)
        .await
        .expect("read");
    assert_eq!(price, 893, "892.5");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_sale_opens_when_it_was_said_and_not_before() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    let sale = SaleOpen {
        opens_in_seconds: Some(1),
        ..world.flash_sale(1)
    };
    let sale = open(&mut host, sale).await;
    let act = RequestId::new();
    let early = buy(&mut viewer, sale, act).await.expect_err("too early");
    let wait = early.retry_after_ms.expect("the time to wait");
    tokio::time::sleep(Duration::from_millis(wait)).await;
    buy(&mut viewer, sale, act).await.expect("after as long as was said");
    world.engine.stop().await;
}

#[tokio::test]
async fn everybody_hears_that_the_last_unit_is_sold_and_the_sale_over() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    let mut patient = world.joined("Patient").await;
    let sale = open(&mut host, world.flash_sale(1)).await;
    let hold = buy(&mut viewer, sale, RequestId::new()).await.expect("held");
    wait(&mut patient, sale, RequestId::new()).await;
    // As a payment does it.
    let mut tx = world.db.pool.begin().await.expect("a transaction");
    for statement in [
        "select flash_holds_start_paying($1)::text",
        "select flash_holds_convert($1)::text",
    ] {
        let pay = sqlx::query(statement).bind(vec![hold.reservation.0]).execute(&mut *tx);
        pay.await.expect("paid");
    }
    let notice = RoomNotice::SaleChanged { sale };
    shared::outbox::push(&mut tx, world.shop.stream, &notice)
        .await
        .expect("told");
    tx.commit().await.expect("committed");
    let closed = |event: &RoomEvent| matches!(event, RoomEvent::SaleClosed { sale: of } if *of == sale).then_some(());
    viewer.event(closed).await.expect("told");
    let ended = patient.private(|message| match message {
        Private::Waiting(place) if place.status == WaitStatus::Ended => Some(place.position),
        _ => None,
    });
    assert_eq!(ended.await.expect("told"), 0);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_sale_ends_on_time_though_its_host_and_its_engine_are_gone() {
    let db = testkit::database().await;
    let proxy = Proxy::before(&db.url).await;
    let shop = fixtures::shop(&db.pool, 100, 1900).await;
    let bus = shared::bus::MemoryBus::shared();
    let mut told = config(&db);
    told.database_url = shared::config::Secret::new(proxy.url.clone());
    let engine = live_engine::start(told, bus.clone()).await.expect("the engine starts");
    let url = format!("ws://{}/ws", engine.addr());
    let world = World {
        db,
        shop,
        bus,
        engine,
        url,
    };
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    let short = SaleOpen {
        ends_in_seconds: 1,
        ..world.flash_sale(10)
    };
    let first = open(&mut host, short.clone()).await;
    let second = SaleOpen {
        ends_in_seconds: 4,
        hold_seconds: 1,
        ..short
    };
    let second = open(&mut host, second).await;
    buy(&mut viewer, second, RequestId::new()).await.expect("held");
    // The host's connection is cut; the room goes on without.
    drop(host);
    let closed = |event: &RoomEvent| matches!(event, RoomEvent::SaleClosed { sale } if *sale == first).then_some(());
    viewer.event(closed).await.expect("told");
    // The engine is gone, as far as the database can tell, and another one starts, in
    // which nobody enters the room.
    proxy.set(Line::Cut);
    let heir = live_engine::start(config(&world.db), shared::bus::MemoryBus::shared())
        .await
        .expect("another engine starts");
    let late = tokio::time::timeout(DEADLINE, async {
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        let late = "select extract(epoch from closed_at - ends_at)::float8 from flash_sales
                     where id = $1 and status = 'closed' and held = 0 and returned = 10";
        loop {
            turns.tick().await;
            let late: Option<f64> = sqlx::query_scalar(late)
                .bind(second.0)
                .fetch_optional(&world.db.pool)
                .await
                .expect("read");
            if let Some(late) = late {
                return late;
            }
        }
    });
    let late = late.await.expect("it is closed and everything is the shop's again");
    assert!((0.0..6.0).contains(&late), "{late} s after its end");
    verify(&world).await;
    heir.stop().await;
    drop(proxy);
}

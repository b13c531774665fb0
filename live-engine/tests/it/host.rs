//! Running the show: over the socket and over the bus, by its host and nobody else, and
//! what commerce changes meanwhile.

use shared::error::ErrorCode;
use shared::ids::{OrderId, RequestId};
use shared::live::RoomNotice;
use shared::protocol::{ChatRules, ClientCommand, HostCommand, Outcome, Private, RoomEvent};
use shared::status::{OrderStatus, StreamStatus};
use shared::token::Part;

use crate::harness::{World, chat};

#[tokio::test]
async fn viewers_see_what_the_host_does() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    let done = host
        .call(ClientCommand::Feature(world.feature()))
        .await
        .expect("answered");
    assert_eq!(done, Ok(Outcome::Done));
    let card = viewer.event(|event| match event {
        RoomEvent::Featured { product } => Some(product.clone()),
        _ => None,
    });
    let card = card.await.expect("shown");
    assert_eq!(
        (card.id, card.featured_variant),
        (world.shop.product, Some(world.shop.variant))
    );
    let late = world.join(&mut world.viewer("Late").await).await;
    assert_eq!(
        late.snapshot.and_then(|s| s.featured).map(|p| p.id),
        Some(world.shop.product)
    );

    let opened = host
        .call(ClientCommand::SaleOpen(world.flash_sale(5)))
        .await
        .expect("answered");
    let Ok(Outcome::SaleOpened { sale }) = opened else {
        panic!("{opened:?}");
    };
    let card = viewer.event(|event| match event {
        RoomEvent::SaleOpened { sale } => Some(sale.clone()),
        _ => None,
    });
    assert_eq!(card.await.expect("opened").remaining, 5);
    let bought = viewer
        .call(ClientCommand::Buy { sale, quantity: 2 })
        .await
        .expect("answered");
    assert!(matches!(bought, Ok(Outcome::Held(_))), "{bought:?}");
    let remaining = host.event(|event| match event {
        RoomEvent::SaleUpdated { remaining, .. } => Some(*remaining),
        _ => None,
    });
    assert_eq!(remaining.await.expect("told"), 3);
    let snapshot = world
        .join(&mut world.viewer("Later").await)
        .await
        .snapshot
        .expect("a snapshot");
    assert_eq!(snapshot.sales.first().map(|sale| sale.remaining), Some(3));

    host.call(ClientCommand::SaleClose { sale })
        .await
        .expect("answered")
        .expect("closed");
    let closed = viewer.event(|event| matches!(event, RoomEvent::SaleClosed { .. }).then_some(()));
    closed.await.expect("told");
    host.call(ClientCommand::Unfeature)
        .await
        .expect("answered")
        .expect("done");
    host.call(ClientCommand::End).await.expect("answered").expect("ended");
    let status = viewer.event(|event| match event {
        RoomEvent::StreamStatus { status } => Some(*status),
        _ => None,
    });
    assert_eq!(status.await.expect("told"), StreamStatus::Ended);
    let refusal = viewer
        .call(chat("too late"))
        .await
        .expect("answered")
        .expect_err("over");
    assert_eq!(refusal.code, ErrorCode::StreamNotLive);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_sale_that_runs_out_says_so_and_holds_come_back_with_a_join() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    let opened = host
        .call(ClientCommand::SaleOpen(world.flash_sale(2)))
        .await
        .expect("answered");
    let Ok(Outcome::SaleOpened { sale }) = opened else {
        panic!("{opened:?}");
    };
    let act = RequestId::new();
    let buy = ClientCommand::Buy { sale, quantity: 2 };
    let first = viewer.call_as(buy.clone(), act).await.expect("answered").expect("held");
    let sold_out = host.event(|event| matches!(event, RoomEvent::SaleSoldOut { .. }).then_some(()));
    sold_out.await.expect("told");
    let again = viewer
        .call_as(buy, act)
        .await
        .expect("answered")
        .expect("the same hold");
    assert_eq!(first, again);
    viewer
        .call(ClientCommand::Leave)
        .await
        .expect("answered")
        .expect("left");
    let snapshot = world.join(&mut viewer).await.snapshot.expect("a snapshot");
    let Outcome::Held(hold) = first else {
        panic!("{first:?}")
    };
    assert_eq!(snapshot.reservations, std::slice::from_ref(&hold));
    let release = ClientCommand::Release {
        reservation: hold.reservation,
    };
    assert_eq!(viewer.call(release).await.expect("answered"), Ok(Outcome::Done));
    let remaining = host.event(|event| match event {
        RoomEvent::SaleUpdated { remaining, .. } => Some(*remaining),
        _ => None,
    });
    assert_eq!(remaining.await.expect("told"), 2);
    world.engine.stop().await;
}

#[tokio::test]
async fn host_commands_of_a_viewer_are_refused() {
    let world = World::start().await;
    let mut viewer = world.joined("Visitor").await;
    // A forged part does not help: the room knows whose show it is.
    let person = world.person("Pretender").await;
    let mut pretender = world.connect(person, Part::Host, shared::protocol::Format::Json).await;
    world.join(&mut pretender).await;
    // Nor does the owner who watches as a viewer run the show.
    let owner = world.owner();
    let mut watching = world.connect(owner, Part::Viewer, shared::protocol::Format::Json).await;
    world.join(&mut watching).await;
    for client in [&mut viewer, &mut pretender, &mut watching] {
        for command in [
            ClientCommand::End,
            ClientCommand::Feature(world.feature()),
            ClientCommand::SaleOpen(world.flash_sale(1)),
        ] {
            let refusal = client.call(command).await.expect("answered").expect_err("refused");
            assert_eq!(refusal.code, ErrorCode::Forbidden);
        }
    }
    let stranger = viewer.hello().user.expect("an account");
    let refusal = world
        .over_the_bus(stranger, RequestId::new(), HostCommand::End)
        .await
        .expect_err("refused");
    assert_eq!(refusal.code, ErrorCode::Forbidden);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_command_over_the_bus_opens_the_room_and_reaches_viewers() {
    let world = World::start().await;
    // Nobody is in the room yet.
    let act = RequestId::new();
    let command = HostCommand::Feature(world.feature());
    let reply = world.over_the_bus(world.shop.owner, act, command.clone()).await;
    assert_eq!(reply, Ok(Outcome::Done));
    let mut viewer = world.viewer("Visitor").await;
    let snapshot = world.join(&mut viewer).await.snapshot.expect("a snapshot");
    assert_eq!(snapshot.featured.map(|product| product.id), Some(world.shop.product));
    assert_eq!(
        world.over_the_bus(world.shop.owner, act, command).await,
        Ok(Outcome::Done),
        "a resend"
    );
    let reply = world
        .over_the_bus(world.shop.owner, RequestId::new(), HostCommand::Unfeature)
        .await;
    assert_eq!(reply, Ok(Outcome::Done));
    let gone = viewer.event(|event| matches!(event, RoomEvent::Unfeatured).then_some(()));
    gone.await.expect("told");
    let again = viewer
        .drain()
        .into_iter()
        .filter(|frame| format!("{frame:?}").contains("Featured"));
    assert_eq!(again.count(), 0, "a resend is told once");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_resent_command_gets_the_first_answer() {
    let world = World::start().await;
    let mut host = world.host().await;
    let (act, open) = (RequestId::new(), ClientCommand::SaleOpen(world.flash_sale(5)));
    let first = host
        .call_as(open.clone(), act)
        .await
        .expect("answered")
        .expect("opened");
    assert_eq!(host.call_as(open, act).await.expect("answered"), Ok(first));
    let refusal = host
        .call_as(ClientCommand::End, act)
        .await
        .expect("answered")
        .expect_err("another");
    assert_eq!(refusal.code, ErrorCode::RequestIdReused);
    let sales: Option<i64> = sqlx::query_scalar("select count(*) from flash_sales")
        .fetch_one(&world.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(sales, Some(1));
    let end = RequestId::new();
    host.call_as(ClientCommand::End, end)
        .await
        .expect("answered")
        .expect("ended");
    assert_eq!(
        host.call_as(ClientCommand::End, end).await.expect("answered"),
        Ok(Outcome::Done)
    );
    let refusal = host
        .call(ClientCommand::End)
        .await
        .expect("answered")
        .expect_err("over already");
    assert_eq!(refusal.code, ErrorCode::WrongState);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_committed_change_reaches_viewers_and_its_row_is_marked() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    host.call(ClientCommand::Feature(world.feature()))
        .await
        .expect("answered")
        .expect("shown");
    let user = viewer.hello().user.expect("an account");
    sqlx::query("update profiles set show_purchases = true where user_id = $1")
        .bind(user.0)
        .execute(&world.db.pool)
        .await
        .expect("opted in");
    let order = OrderId::new();
    let mut tx = world.db.pool.begin().await.expect("a transaction");
    sqlx::query("update product_variants set price_minor = 1500 where id = $1")
        .bind(world.shop.variant.0)
        .execute(&mut *tx)
        .await
        .expect("a new price");
    sqlx::query("update products set version = version + 1 where id = $1")
        .bind(world.shop.product.0)
        .execute(&mut *tx)
        .await
        .expect("a new version");
    shared::outbox::push_product_changed(&mut tx, world.shop.product)
        .await
        .expect("noted");
    for notice in [
        RoomNotice::OrderChanged {
            user,
            order,
            status: OrderStatus::Paid,
        },
        RoomNotice::Purchased {
            buyer: Some(user),
            name: None,
            title: "Bowl".into(),
            quantity: 1,
        },
    ] {
        shared::outbox::push(&mut tx, world.shop.stream, &notice)
            .await
            .expect("noted");
    }
    tx.commit().await.expect("committed");
    shared::outbox::hint(&*world.bus).await;
    let price = viewer.event(|event| match event {
        RoomEvent::ProductUpdated { product } => product.variants.first().map(|variant| variant.price_minor),
        _ => None,
    });
    assert_eq!(price.await.expect("told"), 1500);
    let bought = viewer.event(|event| match event {
        RoomEvent::Purchase { name, buyer, .. } => Some((name.clone(), *buyer)),
        _ => None,
    });
    assert_eq!(bought.await.expect("told"), (Some("Visitor".to_owned()), None));
    let told = viewer.private(|message| match message {
        Private::Order { order, status } => Some((*order, *status)),
        _ => None,
    });
    assert_eq!(told.await.expect("told"), (order, OrderStatus::Paid));
    let by = tokio::time::Instant::now() + loadtest::live::DEADLINE;
    loop {
        let left: Option<i64> = sqlx::query_scalar("select count(*) from outbox where delivered_at is null")
            .fetch_one(&world.db.pool)
            .await
            .expect("the database answers");
        if left == Some(0) {
            break;
        }
        assert!(tokio::time::Instant::now() < by, "{left:?} rows are not marked");
        tokio::task::yield_now().await;
    }
    let purchases = viewer
        .drain()
        .into_iter()
        .filter(|frame| format!("{frame:?}").contains("Purchase"));
    assert_eq!(purchases.count(), 0, "told once");
    world.engine.stop().await;
    // The log keeps who it was and not what they are called.
    let kept: serde_json::Value = sqlx::query_scalar("select payload from stream_events where kind = 'purchase'")
        .fetch_one(&world.db.pool)
        .await
        .expect("stored");
    let bought = serde_json::json!({"type": "purchase", "buyer": user, "title": "Bowl", "quantity": 1});
    assert_eq!(kept, bought);
}

/// An event of a command whose row nobody meets yet.
async fn committed_unseen(world: &World, event: RoomEvent) -> uuid::Uuid {
    let mut tx = world.db.pool.begin().await.expect("a transaction");
    let happened = shared::outbox::push_happened(&mut tx, world.shop.stream, event)
        .await
        .expect("pushed");
    sqlx::query("update outbox set delivered_at = now() where id = $1")
        .bind(happened.row)
        .execute(&mut *tx)
        .await
        .expect("hidden");
    tx.commit().await.expect("committed");
    happened.row
}

#[tokio::test]
async fn a_command_that_is_met_late_does_not_undo_a_newer_one() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    host.call(ClientCommand::Feature(world.feature()))
        .await
        .expect("answered")
        .expect("done");
    let featured = viewer.event(|event| match event {
        RoomEvent::Featured { product } => Some(product.clone()),
        _ => None,
    });
    let product = featured.await.expect("shown");
    let slow = ChatRules {
        slow_seconds: 60,
        ..ChatRules::default()
    };
    let rows = [
        committed_unseen(&world, RoomEvent::Featured { product }).await,
        committed_unseen(&world, RoomEvent::ChatRules(slow)).await,
    ];
    host.call(ClientCommand::Unfeature)
        .await
        .expect("answered")
        .expect("done");
    host.call(ClientCommand::SlowMode { seconds: 5 })
        .await
        .expect("answered")
        .expect("done");
    // Their rows come now, after those of newer commands.
    for row in rows {
        sqlx::query("update outbox set delivered_at = null where id = $1")
            .bind(row)
            .execute(&world.db.pool)
            .await
            .expect("shown");
    }
    shared::outbox::hint(&*world.bus).await;
    let marked = async {
        while sqlx::query_scalar::<_, i64>("select count(*) from outbox where delivered_at is null")
            .fetch_one(&world.db.pool)
            .await
            .expect("read")
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), marked)
        .await
        .expect("they are dealt with");
    let late = world.join(&mut world.viewer("Late").await).await;
    let snapshot = late.snapshot.expect("a snapshot");
    assert_eq!((snapshot.featured, snapshot.rules.slow_seconds), (None, 5));
    world.engine.stop().await;
}

//! Flash-buy over sockets: the crowd, the room and the one who was too slow.

use std::collections::{HashMap, HashSet};

use loadtest::live::LiveClient;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, SaleId, UserId};
use shared::protocol::{ClientCommand, Format, Outcome, Private, Reservation, RoomEvent, SaleOpen};
use shared::status::ReservationStatus;
use shared::token::{Part, Viewer};

use crate::harness::World;

pub async fn open(host: &mut LiveClient, sale: SaleOpen) -> SaleId {
    match host.call(ClientCommand::SaleOpen(sale)).await.expect("answered") {
        Ok(Outcome::SaleOpened { sale }) => sale,
        other => panic!("{other:?}"),
    }
}

pub async fn buy(client: &mut LiveClient, sale: SaleId, act: RequestId) -> Result<Reservation, Refusal> {
    let bought = client.call_as(ClientCommand::Buy { sale, quantity: 1 }, act).await;
    bought.expect("answered").map(|outcome| match outcome {
        Outcome::Held(hold) => hold,
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn five_hundred_sockets_on_fifty_units_get_exactly_fifty() {
    let world = World::start_with(|config| config.limits.connections_per_address = 1_000).await;
    let mut host = world.host().await;
    let buyers = crate::desk::users(&world.db.pool, 250).await;
    // Two sockets a buyer, who may have two units.
    let mut crowd = Vec::new();
    for (n, id) in buyers.iter().chain(&buyers).enumerate() {
        let viewer = Viewer::User {
            id: *id,
            name: format!("Buyer {n}"),
        };
        let format = Format::ALL[n % 2];
        let mut client = world.connect(viewer, Part::Viewer, format).await;
        world.join(&mut client).await;
        crowd.push((*id, client));
    }
    let sale = open(&mut host, world.flash_sale(50)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (user, mut client) in crowd {
        tasks.spawn(async move {
            let act = RequestId::new();
            let first = buy(&mut client, sale, act).await;
            // Everybody hears the end of it, and asks again to be sure.
            let end = client.event(|event| matches!(event, RoomEvent::SaleSoldOut { .. }).then_some(()));
            end.await.expect("told");
            let again = buy(&mut client, sale, act).await;
            (user, first, again)
        });
    }
    let (mut holds, mut units) = (HashSet::new(), HashMap::<UserId, u32>::new());
    for (user, first, again) in tasks.join_all().await {
        match first {
            Ok(hold) => {
                assert_eq!(again.as_ref(), Ok(&hold), "a resend gets the first answer");
                assert!(holds.insert(hold.reservation));
                *units.entry(user).or_default() += hold.quantity;
            }
            Err(refusal) => {
                assert_eq!(refusal.code, ErrorCode::SoldOut);
                assert_eq!(again.expect_err("as before").code, ErrorCode::SoldOut);
            }
        }
    }
    assert_eq!((holds.len(), units.values().sum::<u32>()), (50, 50));
    assert!(units.values().all(|units| *units <= 2));
    let report = shared::verify::run(&world.db.pool).await.expect("verified");
    assert!(report.is_clean(), "{:?}", report.broken().collect::<Vec<_>>());
    world.engine.stop().await;
}

#[tokio::test]
async fn a_hold_that_lapses_is_told_to_its_owner_and_sold_to_the_next() {
    let world = World::start().await;
    let mut host = world.host().await;
    let (mut slow, mut quick) = (world.joined("Slow").await, world.joined("Quick").await);
    let sale = SaleOpen {
        hold_seconds: 2,
        ..world.flash_sale(1)
    };
    let sale = open(&mut host, sale).await;
    let hold = buy(&mut slow, sale, RequestId::new()).await.expect("held");
    assert_eq!(
        buy(&mut quick, sale, RequestId::new()).await.expect_err("gone").code,
        ErrorCode::SoldOut
    );
    let lapsed = slow.private(|message| match message {
        Private::Reservation(hold) => Some(hold.clone()),
        _ => None,
    });
    let expected = Reservation {
        status: ReservationStatus::Expired,
        ..hold
    };
    assert_eq!(lapsed.await.expect("told"), expected);
    let free = quick.event(|event| match event {
        RoomEvent::SaleUpdated { remaining, .. } => Some(*remaining),
        _ => None,
    });
    assert_eq!(free.await.expect("told"), 1);
    let hold = buy(&mut quick, sale, RequestId::new()).await.expect("sold again");
    let released = quick
        .call(ClientCommand::Release {
            reservation: hold.reservation,
        })
        .await
        .expect("answered");
    assert_eq!(released, Ok(Outcome::Done));
    world.engine.stop().await;
}

#[tokio::test]
async fn a_sale_ends_by_itself_and_its_units_are_the_shops_again() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    host.call(ClientCommand::Feature(world.feature()))
        .await
        .expect("answered")
        .expect("shown");
    let sale = SaleOpen {
        ends_in_seconds: 1,
        ..world.flash_sale(40)
    };
    let sale = open(&mut host, sale).await;
    let stock = |left: u32| {
        move |event: &RoomEvent| match event {
            RoomEvent::ProductUpdated { product } if product.variants[0].available == left => Some(()),
            _ => None,
        }
    };
    viewer.event(stock(60)).await.expect("the sale's units are set aside");
    let closed = viewer.event(|event| matches!(event, RoomEvent::SaleClosed { sale: s } if *s == sale).then_some(()));
    closed.await.expect("told");
    viewer.event(stock(100)).await.expect("free again");
    assert_eq!(
        buy(&mut viewer, sale, RequestId::new()).await.expect_err("over").code,
        ErrorCode::SaleClosed
    );
    world.engine.stop().await;
}

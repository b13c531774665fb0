//! The whole path of a sale through both services, as a seller and two viewers walk it.

use loadtest::live::{Auth, LiveClient};
use loadtest::rest::{NewAddress, NewCheckout, RestClient};
use loadtest::show::{DemoOptions, Host, Progress, SimulateOptions, demo, simulate};
use shared::error::ErrorCode;
use shared::ids::{ProductId, RequestId, SaleId, StreamId, VariantId};
use shared::protocol::{ClientCommand, Feature, Format, Outcome, Private, Reservation, RoomEvent, SaleOpen, SalePrice};
use shared::status::{OrderStatus, PaymentStatus, ReservationStatus, StreamStatus};

use tokio_util::sync::CancellationToken;

use crate::world::{OnAir, World};

async fn enter(client: &RestClient, stream: StreamId, format: Format) -> LiveClient {
    let ticket = client.ticket(stream).await.expect("a ticket");
    let mut live = LiveClient::connect(&ticket.url, format, Auth::Ticket(ticket.ticket))
        .await
        .expect("connected");
    let joined = live.join(stream, None).await.expect("joined");
    let snapshot = joined.snapshot.expect("a snapshot");
    assert_eq!(snapshot.stream.status, StreamStatus::Live);
    assert_eq!(snapshot.at, joined.at);
    live
}

async fn remaining(live: &mut LiveClient, of: SaleId) -> u32 {
    let seen = live.event(|event| match event {
        RoomEvent::SaleUpdated { sale, remaining, .. } if *sale == of => Some(*remaining),
        _ => None,
    });
    seen.await.expect("the room hears what is left")
}

async fn buy_and_pay(client: &RestClient, stream: StreamId, hold: &Reservation, pays_minor: i64) {
    let address = NewAddress {
        recipient: "Test Buyer".into(),
        line1: "1 Quay Street".into(),
        city: "Hamburg".into(),
        postal_code: "20457".into(),
        country: "DE".into(),
    };
    let address = client.add_address(&address).await.expect("an address");
    let checkout = NewCheckout {
        items: Vec::new(),
        reservations: vec![hold.reservation],
        address_id: address.id,
        stream_id: Some(stream),
    };
    let checkout = client.checkout(&checkout, RequestId::new()).await.expect("a checkout");
    let order = client
        .place_order(checkout.id, RequestId::new())
        .await
        .expect("an order");
    assert_eq!(order.status, OrderStatus::PendingPayment);
    assert_eq!(order.items[0].unit_price.minor, pays_minor);
    assert!(client.receipt(order.id).await.is_err(), "no receipt before it is paid");

    let declined = client
        .pay(order.id, "test_decline", RequestId::new())
        .await
        .expect("a decline is an answer");
    assert_eq!(declined.status, PaymentStatus::Failed);
    let key = RequestId::new();
    let paid = client.pay(order.id, "test_success", key).await.expect("paid");
    assert_eq!((paid.status, paid.amount), (PaymentStatus::Captured, order.total));
    let again = client.pay(order.id, "test_success", key).await.expect("answered again");
    assert_eq!(again.id, paid.id, "the same key pays once");
    assert_eq!(client.order(order.id).await.expect("it").status, OrderStatus::Paid);
    client.receipt(order.id).await.expect("a receipt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_goes_from_the_shop_to_the_receipt() {
    from_the_shop_to_the_receipt(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_goes_from_the_shop_to_the_receipt_between_two_processes() {
    from_the_shop_to_the_receipt(World::start_apart().await).await;
}

async fn from_the_shop_to_the_receipt(world: World) {
    let OnAir {
        host, product, stream, ..
    } = world.on_air(10).await;
    let (stream, variant) = (stream.id, &product.variants[0]);
    let (first, session, _) = world.register("amber-otter").await;
    let (second, _, _) = world.register("teal-heron").await;
    let mut json = enter(&first, stream, Format::Json).await;
    let mut msgpack = enter(&second, stream, Format::MsgPack).await;

    // Chat: both hear the same, and its author's acknowledgement is a committed row.
    let say = ClientCommand::Chat {
        text: "good evening, ¡buenas noches!".into(),
        reply_to: None,
    };
    let said = json.call(say).await.expect("answered").expect("said");
    let Outcome::Said { message, .. } = said else {
        panic!("{said:?}");
    };
    let chat = |event: &RoomEvent| matches!(event, RoomEvent::Chat(_)).then(|| event.clone());
    let heard = json.event(chat).await.expect("its author hears it");
    assert_eq!(msgpack.event(chat).await.expect("the other hears it"), heard);
    let history = first.chat_history(stream).await.expect("history").items;
    assert_eq!(history[0].id, message);

    show_product(&host, &mut json, &mut msgpack, stream, product.id, variant.id).await;
    let sale = open_sale(&host, &mut json, &mut msgpack, stream, variant.id).await;
    let held = hold_over_both(&mut json, &mut msgpack, &second, sale).await;

    buy_and_pay(&first, stream, &held, 1_200).await;
    for live in [&mut json, &mut msgpack] {
        let bought = live.event(|event| match event {
            RoomEvent::Purchase {
                name, title, quantity, ..
            } => Some((name.clone(), title.clone(), *quantity)),
            _ => None,
        });
        // Nobody is named who did not ask for it.
        assert_eq!(
            bought.await.expect("the room hears of it"),
            (None, "Stoneware mug".into(), 1)
        );
    }
    json.private(|message| match message {
        Private::Order { status, .. } => (*status == OrderStatus::Paid).then_some(()),
        _ => None,
    })
    .await
    .expect("the buyer is told of the paid order");

    host.end_stream(stream).await.expect("ended");
    let ended = |event: &RoomEvent| {
        let over = StreamStatus::Ended;
        matches!(event, RoomEvent::StreamStatus { status } if *status == over).then_some(())
    };
    json.event(ended).await.expect("heard");
    msgpack.event(ended).await.expect("heard");
    assert_eq!(json.hello().user, Some(session.user.id));
    json.close().await;
    msgpack.close().await;
    world.stop().await;
}

/// The host shows the product over REST, and both formats say the same of it.
async fn show_product(
    host: &RestClient,
    json: &mut LiveClient,
    msgpack: &mut LiveClient,
    stream: StreamId,
    product: ProductId,
    variant: VariantId,
) {
    let feature = Feature {
        product,
        variant: Some(variant),
    };
    host.feature(stream, &feature).await.expect("featured");
    let featured = |event: &RoomEvent| match event {
        RoomEvent::Featured { product } => Some(product.clone()),
        _ => None,
    };
    let card = json.event(featured).await.expect("heard");
    assert_eq!(msgpack.event(featured).await.expect("heard"), card);
    assert_eq!((card.id, card.featured_variant), (product, Some(variant)));
    assert_eq!(card.variants[0].available, 10);
}

/// A flash sale of three units at half the price, of which the room hears.
async fn open_sale(
    host: &RestClient,
    json: &mut LiveClient,
    msgpack: &mut LiveClient,
    stream: StreamId,
    variant: VariantId,
) -> SaleId {
    let sale = SaleOpen {
        variant,
        quantity: 3,
        price: SalePrice::PriceMinor(1_200),
        per_buyer: 1,
        hold_seconds: 120,
        ends_in_seconds: 600,
        opens_in_seconds: None,
    };
    let sale = host.open_sale(stream, &sale).await.expect("opened").sale;
    for live in [json, msgpack] {
        let opened = live.event(|event| match event {
            RoomEvent::SaleOpened { sale } => Some(sale.clone()),
            _ => None,
        });
        let opened = opened.await.expect("heard");
        assert_eq!((opened.id, opened.remaining, opened.price_minor), (sale, 3, 1_200));
    }
    sale
}

/// The first viewer buys over the socket, the second over REST; the room hears both.
async fn hold_over_both(
    json: &mut LiveClient,
    msgpack: &mut LiveClient,
    second: &RestClient,
    sale: SaleId,
) -> Reservation {
    let buy = ClientCommand::Buy { sale, quantity: 1 };
    let request = RequestId::new();
    let held = json.call_as(buy.clone(), request).await.expect("answered");
    let Ok(Outcome::Held(held)) = held else {
        panic!("{held:?}");
    };
    assert_eq!((held.quantity, held.status), (1, ReservationStatus::Held));
    let again = json.call_as(buy.clone(), request).await.expect("answered");
    assert_eq!(again, Ok(Outcome::Held(held.clone())), "a resend gets the first answer");
    let greedy = json.call(buy).await.expect("answered").expect_err("refused");
    assert_eq!(greedy.code, ErrorCode::PurchaseLimitReached);
    assert_eq!(remaining(msgpack, sale).await, 2);

    let hold = second.hold(sale, 1, RequestId::new()).await.expect("held over REST");
    assert_eq!(remaining(json, sale).await, 2);
    assert_eq!(remaining(json, sale).await, 1);
    assert_eq!(remaining(msgpack, sale).await, 1);
    second.release(sale, hold.reservation).await.expect("given back");
    assert_eq!(remaining(json, sale).await, 2);
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_demo_show_keeps_every_promise() {
    a_demo_show_keeps_every_promise(World::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_demo_show_keeps_every_promise_between_two_processes() {
    a_demo_show_keeps_every_promise(World::start_apart().await).await;
}

async fn a_demo_show_keeps_every_promise(world: World) {
    let (_, admin) = world.admin().await;
    let options = DemoOptions {
        base_url: world.rest.base().to_owned(),
        viewers: 20,
        seconds: 3,
        chat_per_second: 15,
        host: Host::Fresh { admin },
        database_url: Some(world.db.url.clone()),
        keep_going: false,
    };
    let report = demo(options, Progress::Hidden).await.expect("the show ran");
    assert!(report.failures.is_empty(), "{report}");
    let figures = &report.figures;
    assert_eq!((figures.accounts, figures.guests), (16, 4), "{report}");
    assert_eq!(figures.sent, figures.acknowledged, "{report}");
    assert_eq!(figures.granted, figures.units, "fewer units than buyers: {report}");
    assert_eq!(figures.paid as u64, figures.granted, "{report}");
    assert!(figures.delivered >= figures.acknowledged * 20, "{report}");
    assert!(report.verify.is_some_and(|verify| verify.is_clean()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_show_features_chats_and_sells_until_it_is_told_to_stop() {
    let world = World::start().await;
    let OnAir {
        credentials, stream, ..
    } = world.on_air(100).await;
    let mut guest = enter(&world.rest, stream.id, Format::Json).await;
    let cancel = CancellationToken::new();
    let options = SimulateOptions {
        base_url: world.rest.base().to_owned(),
        host: credentials,
        stream: None,
        viewers: 8,
    };
    let show = tokio::spawn(simulate(options, cancel.clone()));
    let kind = |wanted: &'static str| move |event: &RoomEvent| (event.kind() == wanted).then_some(());
    guest.event(kind("featured")).await.expect("a product is shown");
    guest.event(kind("sale_opened")).await.expect("a sale opens");
    guest.event(kind("chat")).await.expect("somebody says something");
    guest.event(kind("sale_updated")).await.expect("somebody buys");
    guest.close().await;
    cancel.cancel();
    show.await.expect("it stops").expect("without trouble");
    world.stop().await;
}

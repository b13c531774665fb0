//! The room's rules one by one; what stays true whatever happens is in `properties`.

mod properties;

use std::collections::BTreeMap;

use shared::ids::{StreamId, VariantId};
use shared::protocol::{HostCommand, MAX_LINE_UP, SaleOpen, SalePrice, VariantCard};
use shared::status::SaleStatus;
use uuid::Uuid;

use super::goods::listed;
use super::*;

const NOW: Millis = 1_000_000;

pub fn room(host: UserId) -> RoomState {
    let stream = StreamCard {
        id: StreamId::new(),
        title: "Bowls".into(),
        shop: "Harbour Lane Ceramics".into(),
        cover_url: String::new(),
        status: StreamStatus::Live,
        scheduled_at: 0,
        started_at: Some(1),
        ended_at: None,
        host_away: None,
    };
    RoomState::new(Beginning {
        stream,
        host,
        featured: None,
        sales: vec![],
        line_up: vec![listed(&product(1, 1, 5)), listed(&product(2, 1, 5))],
        rules: ChatRules::default(),
        chat: vec![],
        pinned: None,
    })
}

fn say(text: &str) -> Command {
    Command::Say {
        message: MessageId::new(),
        user: UserId::new(),
        name: "Somebody".into(),
        moderator: false,
        text: text.into(),
        reply_to: None,
        quote: None,
    }
}

pub fn product(n: u128, version: i64, price_minor: i64) -> ProductCard {
    ProductCard {
        id: ProductId(Uuid::from_u128(n)),
        title: "Bowl".into(),
        image_url: String::new(),
        currency: "EUR".into(),
        version,
        variants: vec![VariantCard {
            id: VariantId(Uuid::from_u128(n)),
            options: BTreeMap::new(),
            price_minor,
            available: 3,
        }],
        featured_variant: None,
    }
}

fn reading(product: ProductCard) -> Command {
    Command::Product(ProductReading::OnSale(product))
}

fn sale(n: u128, remaining: u32) -> SaleCard {
    SaleCard {
        id: SaleId(Uuid::from_u128(n)),
        product: ProductId(Uuid::from_u128(n)),
        variant: VariantId(Uuid::from_u128(n)),
        title: "Bowl".into(),
        image_url: String::new(),
        price_minor: 900,
        usual_price_minor: 1900,
        percent_off: None,
        currency: "EUR".into(),
        quantity: 10,
        remaining,
        per_buyer: 1,
        hold_seconds: 60,
        opens_at: NOW,
        ends_at: NOW + 60_000,
        version: 1,
    }
}

fn progress(n: u128, remaining: u32, version: i64, status: SaleStatus) -> Command {
    Command::Progress(SaleProgress {
        sale: SaleId(Uuid::from_u128(n)),
        remaining,
        version,
        status,
        next_expiry: None,
    })
}

fn apply(room: &mut RoomState, command: Command) -> Vec<RoomEvent> {
    let events = room.decide(command, NOW).expect("allowed");
    for event in &events {
        room.evolve(event, NOW);
    }
    events
}

#[test]
fn the_hosts_messages_are_marked() {
    let host = UserId::new();
    let mut room = room(host);
    let mut command = say("hello");
    if let Command::Say { user, .. } = &mut command {
        *user = host;
    }
    let RoomEvent::Chat(message) = &apply(&mut room, command)[0] else {
        panic!("not chat");
    };
    assert!(message.author.host);
    let RoomEvent::Chat(message) = &apply(&mut room, say("hi"))[0] else {
        panic!("not chat");
    };
    assert!(!message.author.host);
}

#[test]
fn an_opening_that_comes_late_never_brings_units_back() {
    let mut room = room(UserId::new());
    let opened = |sale| Command::Committed(RoomEvent::SaleOpened { sale });
    apply(&mut room, opened(sale(1, 10)));
    apply(&mut room, progress(1, 4, 5, SaleStatus::Open));
    let fresh = room.sale(sale(1, 0).id).expect("open").clone();
    assert_eq!((fresh.remaining, fresh.version), (4, 5));
    let told = apply(&mut room, opened(sale(1, 10)));
    assert_eq!(told, [RoomEvent::SaleOpened { sale: fresh.clone() }]);
    assert_eq!(room.sale(fresh.id), Some(&fresh));
}

#[test]
fn a_sale_is_closed_once_whoever_says_so_first() {
    let closed = || RoomEvent::SaleClosed { sale: sale(1, 0).id };
    let by_hand = || Command::Committed(closed());
    let by_clock = || progress(1, 0, 9, SaleStatus::Closed);
    for (first, second) in [(by_hand(), by_clock()), (by_clock(), by_hand())] {
        let mut room = room(UserId::new());
        apply(
            &mut room,
            Command::Committed(RoomEvent::SaleOpened { sale: sale(1, 10) }),
        );
        assert_eq!(apply(&mut room, first), [closed()]);
        assert_eq!(apply(&mut room, second), []);
    }
}

#[test]
fn nobody_speaks_after_the_end() {
    let mut room = room(UserId::new());
    apply(
        &mut room,
        Command::Committed(RoomEvent::StreamStatus {
            status: StreamStatus::Ended,
        }),
    );
    let refusal = room.decide(say("hello"), NOW).expect_err("over");
    assert_eq!(refusal.code, ErrorCode::StreamNotLive);
}

#[test]
fn a_sale_opens_only_within_bounds() {
    assert_eq!(RoomState::check(&HostCommand::Start), Ok(()));
    let open = HostCommand::SaleOpen(SaleOpen {
        variant: VariantId::new(),
        quantity: 0,
        price: SalePrice::PriceMinor(1),
        per_buyer: 1,
        hold_seconds: 60,
        ends_in_seconds: 60,
        opens_in_seconds: None,
    });
    let refusal = RoomState::check(&open).expect_err("no units");
    assert_eq!(refusal.field.as_deref(), Some("quantity"));
    for (percent, field) in [
        (0, Some("percent_off")),
        (1, None),
        (100, None),
        (101, Some("percent_off")),
    ] {
        let HostCommand::SaleOpen(open) = &open else {
            panic!("{open:?}")
        };
        let open = HostCommand::SaleOpen(SaleOpen {
            quantity: 1,
            price: SalePrice::PercentOff(percent),
            ..open.clone()
        });
        let refused = RoomState::check(&open).err();
        assert_eq!(
            refused.and_then(|refusal| refusal.field),
            field.map(Into::into),
            "{percent} %"
        );
    }
}

#[test]
fn a_sale_counts_only_forwards() {
    let mut room = room(UserId::new());
    apply(
        &mut room,
        Command::Committed(RoomEvent::SaleOpened { sale: sale(1, 10) }),
    );
    let events = apply(&mut room, progress(1, 4, 5, SaleStatus::Open));
    assert_eq!(events[0].kind(), "sale_updated");
    assert!(
        apply(&mut room, progress(1, 9, 3, SaleStatus::Open)).is_empty(),
        "older"
    );
    assert!(
        apply(&mut room, progress(2, 9, 9, SaleStatus::Open)).is_empty(),
        "unknown"
    );
    assert_eq!(
        apply(&mut room, progress(1, 0, 6, SaleStatus::Open))[0].kind(),
        "sale_sold_out"
    );
    assert_eq!(
        apply(&mut room, progress(1, 1, 7, SaleStatus::Open))[0].kind(),
        "sale_updated"
    );
    assert_eq!(
        apply(&mut room, progress(1, 0, 8, SaleStatus::Closed))[0].kind(),
        "sale_closed"
    );
    assert!(apply(&mut room, progress(1, 0, 9, SaleStatus::Closed)).is_empty());
}

fn kinds(events: &[RoomEvent]) -> Vec<&'static str> {
    events.iter().map(RoomEvent::kind).collect()
}

#[test]
fn a_product_is_updated_where_it_is_shown_and_the_variant_held_up_stays() {
    let mut room = room(UserId::new());
    let mut shown = product(1, 2, 5);
    shown.featured_variant = Some(shown.variants[0].id);
    apply(&mut room, Command::Committed(RoomEvent::Featured { product: shown }));
    assert!(
        apply(&mut room, reading(product(3, 9, 5))).is_empty(),
        "not in the line-up"
    );
    assert_eq!(kinds(&apply(&mut room, reading(product(2, 9, 5)))), ["line_up_updated"]);
    assert!(
        apply(&mut room, reading(product(2, 8, 4))).is_empty(),
        "older in the line-up"
    );
    assert_eq!(
        kinds(&apply(&mut room, reading(product(1, 1, 4)))),
        ["line_up_updated"],
        "older than the one in front"
    );
    let events = apply(&mut room, reading(product(1, 3, 4)));
    assert_eq!(kinds(&events), ["line_up_updated", "product_updated"]);
    let RoomEvent::ProductUpdated { product } = &events[1] else {
        panic!("{events:?}");
    };
    assert!(product.featured_variant.is_some());
    assert!(apply(&mut room, reading(self::product(1, 3, 4))).is_empty(), "no news");
}

#[test]
fn a_product_that_is_on_sale_no_more_is_shown_nowhere() {
    let mut room = room(UserId::new());
    let gone = |n| Command::Product(ProductReading::Gone(ProductId(Uuid::from_u128(n))));
    apply(
        &mut room,
        Command::Committed(RoomEvent::Featured {
            product: product(1, 2, 5),
        }),
    );
    assert_eq!(kinds(&apply(&mut room, gone(1))), ["unfeatured", "line_up"]);
    assert_eq!(
        (room.featured(), room.lists(ProductId(Uuid::from_u128(1)))),
        (None, false)
    );
    assert!(apply(&mut room, gone(1)).is_empty());
    let back = vec![listed(&product(1, 3, 5)), listed(&product(2, 1, 5))];
    assert_eq!(kinds(&apply(&mut room, Command::LineUp(back))), ["line_up"]);
    assert!(room.lists(ProductId(Uuid::from_u128(1))));
}

#[test]
fn another_cover_is_told_once_and_shown_to_who_comes_later() {
    let mut room = room(UserId::new());
    let cover = |url: &str| Command::Cover(url.into());
    assert!(apply(&mut room, cover("")).is_empty(), "it has none");
    assert_eq!(kinds(&apply(&mut room, cover("/media/red.jpg"))), ["cover"]);
    assert!(apply(&mut room, cover("/media/red.jpg")).is_empty(), "no news");
    assert_eq!(room.stream().cover_url, "/media/red.jpg");
    assert_eq!(kinds(&apply(&mut room, cover(""))), ["cover"]);
    assert_eq!(room.stream().cover_url, "");
}

#[test]
fn a_line_up_that_was_read_late_brings_back_nothing_old() {
    let mut room = room(UserId::new());
    apply(
        &mut room,
        Command::Committed(RoomEvent::Featured {
            product: product(2, 1, 5),
        }),
    );
    apply(&mut room, reading(product(1, 7, 9)));
    let late = vec![listed(&product(1, 1, 5)), listed(&product(2, 1, 5))];
    assert!(apply(&mut room, Command::LineUp(late)).is_empty());
    let without = vec![listed(&product(1, 7, 9))];
    assert_eq!(
        kinds(&apply(&mut room, Command::LineUp(without))),
        ["unfeatured", "line_up"],
        "only what is in the line-up is shown"
    );
}

#[test]
fn an_order_names_each_product_once() {
    let product = ProductId::new();
    let order = |products| HostCommand::Reorder(shared::protocol::LineUpOrder { products });
    assert_eq!(RoomState::check(&order(vec![product])), Ok(()));
    for wrong in [vec![product, product], vec![ProductId::new(); MAX_LINE_UP + 1]] {
        let refusal = RoomState::check(&order(wrong)).expect_err("no order");
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::InvalidBody, Some("products"))
        );
    }
}

#[test]
fn a_committed_event_that_time_has_overtaken_is_not_told() {
    let mut room = room(UserId::new());
    let mut over = sale(1, 3);
    over.ends_at = NOW;
    assert!(apply(&mut room, Command::Committed(RoomEvent::SaleOpened { sale: over })).is_empty());
    let ended = RoomEvent::StreamStatus {
        status: StreamStatus::Ended,
    };
    apply(&mut room, Command::Committed(ended));
    let live = RoomEvent::StreamStatus {
        status: StreamStatus::Live,
    };
    assert!(apply(&mut room, Command::Committed(live)).is_empty());
}

#[test]
fn what_is_quoted_of_a_deleted_message_goes_however_far_back_that_stands() {
    let mut room = room(UserId::new());
    let far_back = MessageId::new();
    let mut answer = say("Is it?");
    if let Command::Say { reply_to, quote, .. } = &mut answer {
        *reply_to = Some(far_back);
        *quote = Some(Quote {
            author: UserId::new(),
            name: "Somebody".into(),
            text: "It is not".into(),
        });
    }
    apply(&mut room, answer);
    let deleted = RoomEvent::MessageDeleted {
        message: far_back,
        by: shared::protocol::DeletedBy::Author,
    };
    apply(&mut room, Command::Committed(deleted));
    assert_eq!(room.chat.back().map(|message| message.quote.is_some()), Some(false));
}

#[test]
fn nothing_is_shown_or_sold_again_after_the_end() {
    let mut room = room(UserId::new());
    let ended = RoomEvent::StreamStatus {
        status: StreamStatus::Ended,
    };
    apply(&mut room, Command::Committed(ended));
    let featured = RoomEvent::Featured {
        product: product(1, 1, 5),
    };
    for late in [featured, RoomEvent::SaleOpened { sale: sale(1, 3) }] {
        assert!(apply(&mut room, Command::Committed(late)).is_empty());
    }
}

#[test]
fn a_sale_that_two_close_is_told_to_be_closed_once() {
    let mut room = room(UserId::new());
    apply(
        &mut room,
        Command::Committed(RoomEvent::SaleOpened { sale: sale(1, 3) }),
    );
    let closed = || RoomEvent::SaleClosed {
        sale: SaleId(Uuid::from_u128(1)),
    };
    assert_eq!(apply(&mut room, progress(1, 0, 5, SaleStatus::Closed)), [closed()]);
    assert!(apply(&mut room, Command::Committed(closed())).is_empty());
}

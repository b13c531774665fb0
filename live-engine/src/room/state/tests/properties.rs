//! What stays true of a room whatever happens in whatever order, and that whoever hears the
//! same events has the same room, from wherever they begin.

use proptest::prelude::*;
use shared::protocol::{ChatAudience, DeletedBy, HostAway, Links};

use super::*;

/// Few enough that they meet again.
fn person(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

fn message(n: u128) -> MessageId {
    MessageId(Uuid::from_u128(n))
}

/// Something that is said; what it answers is quoted if it is known.
fn say_as(n: u128, user: u128, answers: Option<u128>, text: &str) -> Command {
    let reply_to = answers.map(message);
    Command::Say {
        message: message(n),
        user: person(user),
        name: "Somebody".into(),
        moderator: false,
        text: text.into(),
        reply_to,
        quote: reply_to.map(|_| Quote {
            author: person(user.wrapping_add(1)),
            name: "Somebody".into(),
            text: "as it was".into(),
        }),
    }
}

fn pinned(n: u128, user: u128) -> ChatMessage {
    ChatMessage {
        id: message(n),
        author: Author {
            id: person(user),
            name: "Somebody".into(),
            host: false,
            moderator: false,
        },
        text: "pinned".into(),
        reply_to: None,
        quote: None,
        at: NOW,
    }
}

fn any_chat() -> impl Strategy<Value = Command> {
    let deleted = (0..40_u128).prop_map(|n| RoomEvent::MessageDeleted {
        message: message(n),
        by: DeletedBy::Moderator,
    });
    let rules = (0..100_u32, any::<bool>(), 1..500_u32).prop_map(|(slow_seconds, open, max_chars)| {
        RoomEvent::ChatRules(ChatRules {
            slow_seconds,
            audience: if open {
                ChatAudience::Everyone
            } else {
                ChatAudience::Buyers
            },
            links: if open { Links::Allow } else { Links::Moderators },
            max_chars,
        })
    });
    prop_oneof![
        12 => (0..40_u128, 0..6_u128, prop::option::of(0..40_u128), ".{0,20}")
            .prop_map(|(n, user, answers, text)| say_as(n, user, answers, &text)),
        3 => deleted.prop_map(Command::Committed),
        1 => (0..40_u128, 0..6_u128).prop_map(|(n, user)| {
            Command::Committed(RoomEvent::Pinned { message: pinned(n, user) })
        }),
        1 => Just(Command::Committed(RoomEvent::Unpinned)),
        1 => (0..6_u128).prop_map(|user| Command::Committed(RoomEvent::Moderation { user: person(user) })),
        1 => (0..6_u128).prop_map(|user| Command::Banned(person(user))),
        1 => rules.prop_map(Command::Committed),
    ]
}

fn any_goods() -> impl Strategy<Value = Command> {
    let status = prop_oneof![9 => Just(SaleStatus::Open), 1 => Just(SaleStatus::Closed)];
    // Each product once.
    let lists = prop::collection::btree_map(0..3_u128, (0..9_i64, 0..9_i64), 0..3);
    prop_oneof![
        2 => (0..3_u128, 0..9_i64, 0..9_i64).prop_map(|(n, v, p)| reading(product(n, v, p))),
        1 => (0..3_u128).prop_map(|n| Command::Product(ProductReading::Gone(ProductId(Uuid::from_u128(n))))),
        1 => lists.prop_map(|cards| {
            Command::LineUp(cards.into_iter().map(|(n, (v, p))| listed(&product(n, v, p))).collect())
        }),
        2 => (0..3_u128, 0..9_i64, 0..9_i64)
            .prop_map(|(n, v, p)| Command::Committed(RoomEvent::Featured { product: product(n, v, p) })),
        1 => "[ab]?".prop_map(Command::Cover),
        1 => Just(Command::Committed(RoomEvent::Unfeatured)),
        2 => (0..3_u128, 0..9_u32).prop_map(|(n, left)| {
            Command::Committed(RoomEvent::SaleOpened { sale: sale(n, left) })
        }),
        1 => (0..3_u128).prop_map(|n| {
            Command::Committed(RoomEvent::SaleClosed { sale: SaleId(Uuid::from_u128(n)) })
        }),
        4 => (0..3_u128, 0..9_u32, 0..20_i64, status).prop_map(|(n, left, v, s)| progress(n, left, v, s)),
        1 => (1..9_u32).prop_map(|quantity| Command::Purchased { buyer: None, name: None, title: "Bowl".into(), quantity }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let stream = prop_oneof![
        2 => Just(StreamStatus::Live),
        1 => Just(StreamStatus::Ended),
        1 => Just(StreamStatus::Scheduled),
        1 => Just(StreamStatus::Cancelled),
    ];
    let host = prop_oneof![
        Just(RoomEvent::HostBack),
        Just(RoomEvent::HostAway(HostAway {
            since: NOW,
            ends_at: NOW + 1
        })),
    ];
    prop_oneof![
        20 => any_chat(),
        16 => any_goods(),
        1 => host.prop_map(Command::Committed),
        1 => stream.prop_map(|status| Command::Committed(RoomEvent::StreamStatus { status })),
    ]
}

fn shown(room: &RoomState) -> Snapshot {
    let at = Position { epoch: 1, seq: 0 };
    room.snapshot(at, NOW, Watching::default(), Own::default(), Standing::default())
}

/// The room as somebody has it who is shown it now.
fn copied(room: &RoomState) -> RoomState {
    let seen = shown(room);
    RoomState::new(Beginning {
        stream: seen.stream,
        host: room.host(),
        featured: seen.featured,
        sales: seen.sales,
        line_up: seen.line_up,
        rules: seen.rules,
        chat: seen.chat,
        pinned: seen.pinned,
    })
}

/// What holds for a room at any time.
fn check(room: &RoomState, gone: &BTreeSet<MessageId>) -> Result<(), TestCaseError> {
    let seen = shown(room);
    prop_assert!(seen.chat.len() <= SNAPSHOT_MESSAGES);
    for said in seen.chat.iter().chain(&seen.pinned) {
        prop_assert!(!gone.contains(&said.id), "{said:?} was taken out of view");
        let quotes = said.quote.is_some() && said.reply_to.is_some_and(|answered| gone.contains(&answered));
        prop_assert!(!quotes, "{said:?} quotes what was taken out of view");
    }
    for sale in &seen.sales {
        prop_assert!(sale.remaining <= sale.quantity);
    }
    if seen.stream.status.is_final() {
        prop_assert!(seen.featured.is_none() && seen.sales.is_empty() && seen.stream.host_away.is_none());
        prop_assert!(seen.stream.ended_at.is_some());
    }
    prop_assert!(seen.stream.status != StreamStatus::Live || seen.stream.started_at.is_some());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_copy_that_hears_the_same_events_is_the_same_room(
        commands in prop::collection::vec(any_command(), 0..120),
        comes_at in 0..120_usize,
    ) {
        let mut owner = room(person(0));
        let mut copy = owner.clone();
        let mut late = None;
        let mut versions: BTreeMap<SaleId, i64> = BTreeMap::new();
        for (index, command) in commands.into_iter().enumerate() {
            if index == comes_at {
                late = Some(copied(&owner));
            }
            let at = NOW + i64::try_from(index).expect("small");
            let before = owner.status();
            let is_said = matches!(command, Command::Say { .. });
            let Ok(events) = owner.decide(command, at) else { continue };
            prop_assert!(!(is_said && before.is_final()), "somebody speaks after the end");
            for event in &events {
                owner.evolve(event, at);
                match event {
                    RoomEvent::SaleOpened { sale } => { versions.insert(sale.id, sale.version); }
                    RoomEvent::SaleUpdated { sale, version, .. } | RoomEvent::SaleSoldOut { sale, version } => {
                        let known = versions.insert(*sale, *version).expect("opened before");
                        prop_assert!(*version > known, "versions rise");
                    }
                    RoomEvent::StreamStatus { status } => {
                        prop_assert!(before == *status || before.may_become(*status), "{before} becomes {status}");
                    }
                    _ => {}
                }
            }
            for listener in std::iter::once(&mut copy).chain(&mut late) {
                for event in &events {
                    listener.evolve(event, at);
                }
                prop_assert_eq!(&*listener, &owner);
            }
        }
    }

    #[test]
    fn what_is_taken_out_of_view_stays_out_and_the_end_ends_everything(
        commands in prop::collection::vec(any_command(), 0..120),
    ) {
        let mut room = room(person(0));
        // What is gone, until something else is said under its id.
        let mut gone = BTreeSet::new();
        for (index, command) in commands.into_iter().enumerate() {
            let at = NOW + i64::try_from(index).expect("small");
            // An answer to what is gone quotes nothing: whoever looks it up finds nothing.
            let command = match command {
                Command::Say { message, user, name, moderator, text, reply_to, quote } => {
                    let quote = quote.filter(|_| reply_to.is_none_or(|answered| !gone.contains(&answered)));
                    Command::Say { message, user, name, moderator, text, reply_to, quote }
                }
                command => command,
            };
            let seen = shown(&room);
            let Ok(events) = room.decide(command, at) else { continue };
            for event in &events {
                match event {
                    RoomEvent::MessageDeleted { message, .. } => { gone.insert(*message); }
                    RoomEvent::Moderation { user } => {
                        let theirs = seen.chat.iter().chain(&seen.pinned).filter(|said| said.author.id == *user);
                        gone.extend(theirs.map(|said| said.id));
                    }
                    RoomEvent::Chat(said) | RoomEvent::Pinned { message: said } => { gone.remove(&said.id); }
                    _ => {}
                }
                room.evolve(event, at);
            }
            check(&room, &gone)?;
        }
    }

    #[test]
    fn what_is_told_once_more_changes_nothing(
        commands in prop::collection::vec(any_goods(), 0..60),
        again in any_goods(),
    ) {
        let mut room = room(person(0));
        for command in commands {
            for event in room.decide(command, NOW).unwrap_or_default() {
                room.evolve(&event, NOW);
            }
        }
        let is_a_reading = matches!(
            again,
            Command::Product(_) | Command::LineUp(_) | Command::Progress(_)
        );
        for event in room.decide(again.clone(), NOW).unwrap_or_default() {
            room.evolve(&event, NOW);
        }
        if is_a_reading {
            let events = room.decide(again, NOW).expect("readings are never refused");
            prop_assert!(events.is_empty(), "a reading that brings nothing new is told: {events:?}");
        }
    }
}

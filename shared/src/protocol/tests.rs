//! Both formats carry every frame, and a bad frame says what is wrong with it.

use serde::{Deserialize, Serialize};

use super::*;
use crate::error::ErrorCode;
use crate::ids::{GuestId, MessageId, ProductId, RequestId, ReservationId, SaleId, StreamId, UserId};
use crate::status::ReservationStatus;

fn roundtrip<T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug>(value: &T) {
    for format in Format::ALL {
        let bytes = format.encode(value).expect("encodes");
        assert_eq!(&format.decode::<T>(&bytes).expect("decodes"), value, "{format:?}");
    }
}

#[test]
fn commands_read_the_same_in_both_formats() {
    for command in [
        ClientCommand::Join {
            stream: StreamId::new(),
            since: Some(Position { epoch: 3, seq: 9 }),
        },
        ClientCommand::Leave,
        ClientCommand::Chat {
            text: "hello".into(),
            reply_to: Some(MessageId::new()),
        },
        ClientCommand::Buy {
            sale: SaleId::new(),
            quantity: 2,
        },
        ClientCommand::Feature(Feature {
            product: ProductId::new(),
            variant: None,
        }),
        ClientCommand::End,
        ClientCommand::Ban(Ban {
            who: Person::Guest(GuestId::new()),
            seconds: Some(60),
            reason: "spam".into(),
        }),
        ClientCommand::Unban(Unban {
            who: Person::User(UserId::new()),
        }),
        ClientCommand::Timeout(Mute {
            user: UserId::new(),
            seconds: 60,
            reason: String::new(),
        }),
    ] {
        roundtrip(&ClientFrame {
            id: 7,
            request_id: Some(RequestId::new()),
            command,
        });
    }
}

#[test]
fn frames_are_told_apart_by_their_fields() {
    let reservation = Reservation {
        reservation: ReservationId::new(),
        sale: SaleId::new(),
        quantity: 1,
        status: ReservationStatus::Held,
        expires_at: 5,
        offered: true,
    };
    for frame in [
        ServerFrame::Numbered(NumberedFrame {
            epoch: 1,
            from: 1,
            to: 1,
            now: 0,
            m: vec![RoomEvent::Unfeatured],
        }),
        ServerFrame::Ephemeral(EphemeralFrame {
            now: 0,
            m: vec![Ephemeral::Time],
        }),
        ServerFrame::Private(Private::Reply {
            id: 1,
            outcome: Outcome::Held(reservation.clone()),
        }),
        ServerFrame::Private(Private::Reply {
            id: 1,
            outcome: Outcome::Joined(Position { epoch: 1, seq: 0 }),
        }),
        ServerFrame::Private(Private::Reservation(reservation)),
        ServerFrame::Private(Private::Resynced),
        ServerFrame::Private(Private::Error {
            id: None,
            refusal: ErrorCode::SoldOut.into(),
        }),
    ] {
        roundtrip(&frame);
    }
}

#[test]
fn a_bad_frame_says_what_is_wrong_with_it() {
    let read = |text: &str| read_client_frame(Format::Json, text.as_bytes()).expect_err("refused");
    assert_eq!(read("{").1.code, ErrorCode::Malformed);
    assert_eq!(read("[]").1.code, ErrorCode::Malformed);
    let (id, refusal) = read(r#"{"id":4,"cmd":"fly"}"#);
    assert_eq!((id, refusal.code), (Some(4), ErrorCode::UnknownCommand));
    let (id, refusal) = read(r#"{"id":5,"cmd":"buy","quantity":1}"#);
    assert_eq!((id, refusal.code), (Some(5), ErrorCode::InvalidBody));
    assert!(refusal.detail.contains("sale"), "{}", refusal.detail);
}

#[test]
fn unknown_fields_are_ignored() {
    let frame = read_client_frame(Format::Json, br#"{"id":1,"cmd":"leave","later":true}"#);
    assert_eq!(frame.expect("read").command, ClientCommand::Leave);
    let user = UserId::new();
    let unban = format!(r#"{{"id":1,"cmd":"unban","later":true,"user":"{user}"}}"#);
    let frame = read_client_frame(Format::Json, unban.as_bytes());
    let who = Person::User(user);
    assert_eq!(frame.expect("read").command, ClientCommand::Unban(Unban { who }));
}

#[test]
fn every_command_is_listed() {
    for cmd in COMMANDS {
        let frame = format!(r#"{{"id":1,"cmd":"{cmd}"}}"#);
        let Err((_, refusal)) = read_client_frame(Format::Json, frame.as_bytes()) else {
            continue;
        };
        assert_eq!(
            refusal.code,
            ErrorCode::InvalidBody,
            "{cmd} is a command, its fields are missing"
        );
    }
}

/// On a thread with the stack of a worker, which an overflow would take down with the
/// whole process.
#[test]
fn frames_that_nest_deep_are_refused_and_run_no_stack_over() {
    let read = || {
        let known = b"\x83\xa2id\x01\xa3cmd\xa5leave\xa1x".as_slice();
        let frame = |level: &[u8], end: &[u8]| [known, &level.repeat(5_000), end].concat();
        for deep in [
            frame(b"\x91", b"\xc0"),
            frame(b"\x81\xa1k", b"\xc0"),
            b"\x91".repeat(16_000),
        ] {
            assert!(read_client_frame(Format::MsgPack, &deep).is_err());
        }
        let deep = format!("{{\"id\":1,\"cmd\":\"leave\",\"x\":{}", "[".repeat(16_000));
        assert!(read_client_frame(Format::Json, deep.as_bytes()).is_err());
    };
    let worker = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(read);
    worker.expect("a thread").join().expect("no panic");
}

//! One name for one act: a request id stands for a person's act of one kind. Used for
//! another kind it is refused or names an act of its own; it is never answered with what
//! became of the first.

use shared::error::ErrorCode;
use shared::ids::RequestId;
use shared::protocol::{ClientCommand, Outcome, ReportReason};

use crate::harness::{World, chat};

#[tokio::test]
async fn what_one_kind_of_act_was_answered_never_answers_another() {
    let world = World::start().await;
    let mut host = world.host().await;
    let opened = host.call(ClientCommand::SaleOpen(world.flash_sale(50))).await;
    let Outcome::SaleOpened { sale } = opened.expect("answered").expect("opened") else {
        panic!("no sale");
    };
    let said = host.call(chat("hello")).await.expect("answered").expect("said");
    let Outcome::Said { message, .. } = said else {
        panic!("{said:?}");
    };
    let report = ClientCommand::Report {
        message,
        reason: ReportReason::Spam,
        note: String::new(),
    };
    let buy = ClientCommand::Buy { sale, quantity: 1 };
    let wait = ClientCommand::Wait { sale, quantity: 1 };
    let acts = [chat("mine"), buy, report, wait];
    for (i, first) in acts.iter().enumerate() {
        // With a limit of their own.
        let mut viewer = world.joined("Viewer").await;
        let act = RequestId::new();
        let answered = viewer.call_as(first.clone(), act).await.expect("answered");
        for (j, other) in acts.iter().enumerate().filter(|(j, _)| *j != i) {
            match viewer.call_as(other.clone(), act).await.expect("answered") {
                Ok(outcome) => assert!(is_of_its_kind(j, &outcome), "{first:?}, then {other:?}: {outcome:?}"),
                Err(refusal) => assert_eq!(refusal.code, ErrorCode::RequestIdReused, "{first:?}, then {other:?}"),
            }
        }
        // And the first is answered as it was.
        let again = viewer.call_as(first.clone(), act).await.expect("answered");
        assert_eq!(again, answered, "{first:?}");
    }
    let mut viewer = world.joined("Viewer").await;
    // Of another person, the same id is another act.
    let mut other = world.joined("Other").await;
    let act = RequestId::new();
    let mine = viewer
        .call_as(chat("same words"), act)
        .await
        .expect("answered")
        .expect("said");
    let theirs = other
        .call_as(chat("same words"), act)
        .await
        .expect("answered")
        .expect("said");
    assert_ne!(mine, theirs);
    world.engine.stop().await;
}

/// Whether an act of [`what_one_kind_of_act_was_answered_never_answers_another`] can come to this.
fn is_of_its_kind(act: usize, outcome: &Outcome) -> bool {
    match act {
        0 => matches!(outcome, Outcome::Said { .. }),
        1 => matches!(outcome, Outcome::Held(_)),
        2 => matches!(outcome, Outcome::Done),
        _ => matches!(outcome, Outcome::Held(_) | Outcome::Waiting(_)),
    }
}

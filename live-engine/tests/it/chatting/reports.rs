//! Reports of messages.

use shared::error::ErrorCode;
use shared::ids::{MessageId, RequestId};
use shared::protocol::{ClientCommand, Outcome, Private, ReportReason};

use super::{count, done, refused, say};
use crate::harness::World;

fn report(message: MessageId, reason: ReportReason, note: &str) -> ClientCommand {
    ClientCommand::Report {
        message,
        reason,
        note: note.into(),
    }
}

#[tokio::test]
async fn who_runs_the_show_is_told_of_a_report_and_nobody_else() {
    let world = World::start().await;
    let (mut host, mut author) = (world.host().await, world.joined("Author").await);
    let (mut reporter, mut other) = (world.joined("Reporter").await, world.joined("Other").await);
    let message = say(&mut author, "send me your card").await;
    done(&mut reporter, report(message, ReportReason::Scam, "  asks for cards ")).await;
    let told = host.private(|message| match message {
        Private::Reported(reported) => Some(reported.clone()),
        _ => None,
    });
    let told = told.await.expect("told");
    assert_eq!(
        (told.message, told.reason, told.note.as_str(), told.text.as_str()),
        (message, ReportReason::Scam, "asks for cards", "send me your card")
    );
    // Once a person and message, whatever is sent.
    done(&mut reporter, report(message, ReportReason::Other, "")).await;
    done(&mut other, report(message, ReportReason::Spam, "")).await;
    let second = host.private(|message| match message {
        Private::Reported(reported) => Some(reported.reason),
        _ => None,
    });
    assert_eq!(second.await.expect("told"), ReportReason::Spam);
    assert_eq!(count(&world, "select count(*) from chat_reports").await, 2);
    // The text stays as it was, also when the message is taken back.
    done(&mut author, ClientCommand::DeleteMessage { message }).await;
    let kept = "select count(*) from chat_reports where text = 'send me your card'";
    assert_eq!(count(&world, kept).await, 2);
    let told = format!("{:?}{:?}", author.drain(), other.drain());
    assert!(!told.contains("Reported"), "{told}");
    world.engine.stop().await;
}

#[tokio::test]
async fn only_what_is_there_and_somebody_elses_can_be_reported_and_not_too_often() {
    let world = World::start_with(|config| config.limits.reports = "1/4".parse().expect("a rate")).await;
    let (mut author, mut reporter) = (world.joined("Author").await, world.joined("Reporter").await);
    let (message, deleted) = (say(&mut author, "hello").await, say(&mut author, "oops").await);
    done(&mut author, ClientCommand::DeleteMessage { message: deleted }).await;
    let spam = |message| report(message, ReportReason::Spam, "");
    assert_eq!(refused(&mut author, spam(message)).await, ErrorCode::Conflict);
    for missing in [deleted, MessageId::new()] {
        assert_eq!(refused(&mut reporter, spam(missing)).await, ErrorCode::NotFound);
    }
    let long = report(message, ReportReason::Other, &"x".repeat(201));
    assert_eq!(refused(&mut reporter, long).await, ErrorCode::InvalidBody);
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(
            reporter
                .call(spam(message))
                .await
                .expect("answered")
                .err()
                .map(|refusal| refusal.code),
        );
    }
    assert!(codes.contains(&Some(ErrorCode::RateLimited)), "{codes:?}");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_report_sent_again_is_one_act() {
    let world = World::start().await;
    let (mut author, mut reporter) = (world.joined("Author").await, world.joined("Reporter").await);
    let message = say(&mut author, "hello").await;
    let act = RequestId::new();
    for _ in 0..2 {
        let outcome = reporter
            .call_as(report(message, ReportReason::Spam, ""), act)
            .await
            .expect("answered");
        assert_eq!(outcome, Ok(Outcome::Done));
    }
    let another = reporter
        .call_as(report(message, ReportReason::Scam, ""), act)
        .await
        .expect("answered");
    assert_eq!(another.expect_err("another body").code, ErrorCode::RequestIdReused);
    world.engine.stop().await;
}

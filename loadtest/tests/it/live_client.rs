//! What the live client promises its tests: it drops nothing and passes over no gap.

use loadtest::live::{ABNORMAL_CLOSE, Auth, LiveClient, LiveError};
use shared::error::ErrorCode;
use shared::ids::StreamId;
use shared::protocol::{
    ClientCommand, Ephemeral, EphemeralFrame, Format, NumberedFrame, Outcome, Position, Private, RoomEvent, ServerFrame,
};

use crate::fake_server::{Peer, hello, listen};

fn numbered(from: u64, titles: &[&str]) -> ServerFrame {
    let m: Vec<_> = titles
        .iter()
        .map(|title| RoomEvent::Purchase {
            buyer: None,
            name: None,
            title: (*title).into(),
            quantity: 1,
        })
        .collect();
    ServerFrame::Numbered(NumberedFrame {
        epoch: 1,
        from,
        to: from + m.len() as u64 - 1,
        now: 0,
        m,
    })
}

fn titled(wanted: &'static str) -> impl Fn(&RoomEvent) -> Option<()> {
    move |event| matches!(event, RoomEvent::Purchase { title, .. } if title == wanted).then_some(())
}

fn reply(id: u64, outcome: Outcome) -> ServerFrame {
    ServerFrame::Private(Private::Reply { id, outcome })
}

#[tokio::test]
async fn what_comes_before_an_answer_is_kept_for_later() {
    for format in Format::ALL {
        let (listener, url) = listen().await;
        let server = tokio::spawn(async move {
            let mut peer = Peer::accept(&listener).await;
            let asked = peer.receive().await;
            assert_eq!(asked.command, ClientCommand::Leave);
            peer.send(&numbered(5, &["a", "b", "c"])).await;
            let time = vec![Ephemeral::Time];
            peer.send(&ServerFrame::Ephemeral(EphemeralFrame { now: 7, m: time }))
                .await;
            peer.send(&reply(asked.id, Outcome::Done)).await;
            peer.close(4502).await;
        });
        let mut client = LiveClient::connect(&url, format, Auth::None).await.unwrap();
        let answer = client.call(ClientCommand::Leave).await.unwrap();
        assert_eq!(answer, Ok(Outcome::Done));
        client.event(titled("b")).await.unwrap();
        assert_eq!(client.next().await.unwrap(), numbered(5, &["a"]));
        assert_eq!(client.next().await.unwrap(), numbered(7, &["c"]));
        assert!(matches!(client.next().await.unwrap(), ServerFrame::Ephemeral(_)));
        assert_eq!(client.closed().await.unwrap().code, 4502);
        assert_eq!(client.close_code(), Some(4502));
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_gap_in_the_numbers_is_an_error() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        peer.send(&numbered(1, &["a"])).await;
        peer.send(&numbered(3, &["c"])).await;
    });
    let mut client = LiveClient::connect(&url, Format::Json, Auth::None).await.unwrap();
    client.event(titled("a")).await.unwrap();
    let error = client.event(titled("c")).await.unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(LiveError::Gap { from: 3, .. })),
        "{error:#}"
    );
    server.await.unwrap();
}

#[tokio::test]
async fn a_resumed_join_goes_on_where_it_was() {
    let (listener, url) = listen().await;
    let stream = StreamId::new();
    let since = Position { epoch: 1, seq: 8 };
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        let asked = peer.receive().await;
        assert!(matches!(asked.command, ClientCommand::Resume { token } if token == "token"));
        peer.send(&hello(Some("next token"))).await;
        let asked = peer.receive().await;
        let join = ClientCommand::Join {
            stream,
            since: Some(since),
        };
        assert_eq!(asked.command, join);
        peer.send(&reply(asked.id, Outcome::Joined(since))).await;
        peer.send(&numbered(9, &["missed"])).await;
    });
    let auth = Auth::Resume("token".into());
    let mut client = LiveClient::connect(&url, Format::MsgPack, auth).await.unwrap();
    assert_eq!(client.hello().resume.as_deref(), Some("next token"));
    let joined = client.join(stream, Some(since)).await.unwrap();
    assert!(!joined.resynced && joined.snapshot.is_none());
    client.event(titled("missed")).await.unwrap();
    assert_eq!(client.position(), Some(Position { epoch: 1, seq: 9 }));
    server.await.unwrap();
}

#[tokio::test]
async fn a_refused_join_says_why() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        let id = Some(peer.receive().await.id);
        let refusal = ErrorCode::NotFound.into();
        peer.send(&ServerFrame::Private(Private::Error { id, refusal })).await;
    });
    let mut client = LiveClient::connect(&url, Format::Json, Auth::None).await.unwrap();
    let error = client.join(StreamId::new(), None).await.unwrap_err();
    let refused =
        matches!(error.downcast_ref(), Some(LiveError::Refused(refusal)) if refusal.code == ErrorCode::NotFound);
    assert!(refused, "{error:#}");
    server.await.unwrap();
    assert_eq!(client.closed().await.unwrap().code, ABNORMAL_CLOSE);
}

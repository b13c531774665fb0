//! A viewer against a server that loses things.

use shared::ids::MessageId;
use shared::protocol::{ChatRules, ClientCommand, NumberedFrame, RoomEvent, Snapshot, Standing, StreamCard};
use shared::status::StreamStatus;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::rest::Ticket;

#[path = "../../../tests/it/fake_server.rs"]
mod fake_server;

use fake_server::{Peer, hello, listen};

const JOINED: Position = Position { epoch: 1, seq: 5 };

fn numbered(from: u64, to: u64) -> ServerFrame {
    ServerFrame::Numbered(NumberedFrame {
        epoch: 1,
        from,
        to,
        now: 0,
        m: (from..=to).map(|_| RoomEvent::Unfeatured).collect(),
    })
}

fn snapshot(stream: StreamId) -> ServerFrame {
    ServerFrame::Private(Private::Snapshot(Box::new(Snapshot {
        at: JOINED,
        now: 0,
        stream: StreamCard {
            id: stream,
            title: "show".into(),
            shop: "shop".into(),
            cover_url: String::new(),
            status: StreamStatus::Live,
            scheduled_at: 0,
            started_at: None,
            ended_at: None,
            host_away: None,
        },
        featured: None,
        sales: Vec::new(),
        line_up: Vec::new(),
        viewers: 1,
        people: 1,
        rules: ChatRules::default(),
        chat: Vec::new(),
        pinned: None,
        standing: Standing::default(),
        reservations: Vec::new(),
        waiting: Vec::new(),
        orders: Vec::new(),
    })))
}

fn reply(id: u64, outcome: Outcome) -> ServerFrame {
    ServerFrame::Private(Private::Reply { id, outcome })
}

/// Lets somebody in for the first time.
async fn first_visit(listener: &TcpListener) -> Peer {
    let mut peer = Peer::accept(listener).await;
    let asked = peer.receive().await;
    let ClientCommand::Join { stream, since: None } = asked.command else {
        panic!("{asked:?}");
    };
    peer.send(&reply(asked.id, Outcome::Joined(JOINED))).await;
    peer.send(&snapshot(stream)).await;
    peer
}

/// Lets somebody in who was here until `seq`.
async fn return_visit(listener: &TcpListener, seq: u64) -> Peer {
    let mut peer = Peer::accept(listener).await;
    let asked = peer.receive().await;
    assert!(matches!(asked.command, ClientCommand::Resume { token } if token == "token"));
    peer.send(&hello(Some("token"))).await;
    let asked = peer.receive().await;
    let at = Position { epoch: 1, seq };
    assert!(matches!(asked.command, ClientCommand::Join { since: Some(since), .. } if since == at));
    peer.send(&reply(asked.id, Outcome::Joined(at))).await;
    peer
}

struct Visit {
    hall: Arc<Hall>,
    acts: mpsc::Sender<Act>,
    curtain: CancellationToken,
    seat: JoinHandle<Seat>,
}

async fn visit(url: String) -> Visit {
    let (grants, _) = mpsc::channel(1);
    let hall = Arc::new(Hall {
        stream: StreamId::new(),
        record: Record::default(),
        tally: Tally::new(),
        reached: vec![AtomicU64::new(0)],
        open: AtomicI64::new(0),
        over: AtomicBool::new(false),
        grants,
    });
    let ticket = Ticket {
        ticket: "once".into(),
        url,
    };
    let viewer = Viewer::enter(hall.clone(), 0, None, ticket, Format::MsgPack)
        .await
        .expect("entered");
    let (acts, asked) = mpsc::channel(4);
    let curtain = CancellationToken::new();
    let seat = tokio::spawn(viewer.run(asked, curtain.clone()));
    Visit {
        hall,
        acts,
        curtain,
        seat,
    }
}

async fn until_reached(hall: &Hall, seq: u64) {
    let reached = async {
        while hall.reached[0].load(Ordering::Acquire) < seq {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::socket::DEADLINE, reached)
        .await
        .expect("reached in time");
}

#[tokio::test]
async fn a_viewer_that_misses_an_event_says_so() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let mut peer = first_visit(&listener).await;
        peer.send(&numbered(6, 6)).await;
        peer.send(&numbered(8, 8)).await;
        let mut again = return_visit(&listener, 6).await;
        again.send(&numbered(7, 8)).await;
        (peer, again)
    });
    let visit = visit(url).await;
    until_reached(&visit.hall, 8).await;
    visit.curtain.cancel();
    let seat = visit.seat.await.expect("left");
    assert!(!seat.whole);
    assert_eq!(visit.hall.tally.faults().len(), 1, "{:?}", visit.hall.tally.faults());
    server.await.expect("served");
}

#[tokio::test]
async fn a_lost_connection_costs_neither_an_event_nor_an_answer() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let mut peer = first_visit(&listener).await;
        peer.send(&numbered(6, 7)).await;
        let lost = peer.receive().await;
        drop(peer);
        let mut again = return_visit(&listener, 7).await;
        let asked = again.receive().await;
        assert_eq!(asked.request_id, lost.request_id, "the same act");
        assert_eq!(asked.command, lost.command);
        let said = Outcome::Said {
            message: MessageId::new(),
            epoch: 1,
            seq: 8,
        };
        again.send(&reply(asked.id, said)).await;
        again.send(&numbered(8, 9)).await;
        again
    });
    let visit = visit(url).await;
    until_reached(&visit.hall, 7).await;
    visit.hall.open.fetch_add(1, Ordering::AcqRel);
    visit.acts.send(Act::Say("hello".into())).await.expect("asked");
    until_reached(&visit.hall, 9).await;
    visit.curtain.cancel();
    let seat = visit.seat.await.expect("left");
    assert_eq!((seat.whole, seat.joined, seat.reached.seq), (true, JOINED, 9));
    let tally = &visit.hall.tally;
    assert!(tally.faults().is_empty(), "{:?}", tally.faults());
    assert_eq!(tally.acknowledged().len(), 1);
    assert_eq!(tally.resumed.load(Ordering::Relaxed), 1);
    assert_eq!(visit.hall.open.load(Ordering::Acquire), 0);
    server.await.expect("served");
}

//! Workers whose neighbours are played by the test.

use shared::error::{ErrorCode, Refusal};
use std::net::SocketAddr;
use std::time::Duration;

use loadtest::live::{Auth, LiveClient};
use shared::bus::MemoryBus;
use shared::config::Secret;
use shared::ids::{GuestId, StreamId};
use shared::protocol::{ClientCommand, Format};
use shared::token::{Part, Ticket, Viewer};
use uuid::Uuid;

use super::*;
use crate::Limits;

const DEADLINE: Duration = Duration::from_secs(20);

/// Two workers of which only the first runs, and a stream whose home is the other.
struct Half {
    url: String,
    stream: StreamId,
    shared: Arc<Shared>,
    home: Inbox,
    worker: JoinHandle<()>,
    _db: testkit::TestDb,
}

impl Half {
    async fn start() -> Self {
        let test_db = testkit::database().await;
        let config = Config {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: 2,
            node: None,
            database_url: Secret::new(test_db.url.clone()),
            db: testkit::db_options(),
            token_key: testkit::token_key(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            moderation: None,
            compression: true,
            drain: crate::config::Drain::default(),
            show: crate::config::ShowRules::default(),
            limits: Limits::default(),
        };
        let db = Db::start(config.database_url.expose(), config.db.clone())
            .await
            .expect("the database is there");
        let listener = listener::open(config.bind, 1)
            .expect("a free port")
            .pop()
            .expect("a listener");
        let addr = listener.local_addr().expect("an address");
        let (shared, mut inboxes) = Shared::new(config, db, MemoryBus::shared()).expect("everything starts");
        let home = inboxes.pop().expect("the second worker");
        let inbox = inboxes.pop().expect("the first worker");
        let others = shared.clone();
        let worker = std::thread::spawn(move || {
            let run = worker::run(0, others, listener, inbox);
            actix::System::new().block_on(run).expect("the worker runs");
        });
        let stream = std::iter::repeat_with(StreamId::new).find(|stream| shared.router.home(*stream) == 1);
        let stream = stream.expect("every second one");
        let shop = testkit::fixtures::shop(&test_db.pool, 1, 1).await;
        let insert = "insert into streams (id, seller_id, title, scheduled_at) values ($1, $2, 'Show', now())";
        let insert = sqlx::query(insert).bind(stream.0).bind(shop.seller.0);
        insert.execute(&test_db.pool).await.expect("the show is new");
        Self {
            url: format!("ws://{addr}/ws"),
            stream,
            shared,
            home,
            worker,
            _db: test_db,
        }
    }

    async fn guest(&self) -> LiveClient {
        let ticket = Ticket {
            jti: Uuid::now_v7(),
            viewer: Viewer::Guest { id: GuestId::new() },
            session: None,
            stream: self.stream,
            part: Part::Viewer,
        };
        let now = chrono::Utc::now().timestamp();
        let ticket = testkit::token_key().sign(ticket, now).expect("signed");
        LiveClient::connect(&self.url, Format::Json, Auth::Ticket(ticket))
            .await
            .expect("connected")
    }

    /// The next question for the room.
    async fn asked(&mut self) -> bool {
        let message = tokio::time::timeout(DEADLINE, self.home.messages.recv()).await;
        let message = message.expect("a question in time").expect("the router is there");
        matches!(message, ToWorker::Attach { stream, worker: 0 } if stream == self.stream)
    }

    async fn stop(self) {
        self.shared
            .router
            .send_when_possible(0, ToWorker::Stop(crate::router::Stop::at_once()))
            .await;
        let worker = self.worker;
        let joined = tokio::task::spawn_blocking(move || worker.join().is_ok()).await;
        assert!(joined.expect("not cancelled"), "the worker ended well");
        self.shared.db.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_has_not_answered_is_asked_for_again() {
    let mut half = Half::start().await;
    let mut guest = half.guest().await;
    let join = ClientCommand::Join {
        stream: half.stream,
        since: None,
    };
    let id = guest.send(join, None).await.expect("sent");
    assert!(half.asked().await, "the first question, which is lost");
    assert!(half.asked().await, "the second one");
    let refusal = Refusal::from(ErrorCode::NotFound);
    let report = ToWorker::Unavailable(half.stream, refusal.clone());
    assert!(half.shared.router.send(0, report).is_ok());
    assert_eq!(guest.answer(id).await.expect("answered"), Err(refusal));
    half.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_sends_to_whom_nobody_listens_is_told_so() {
    let mut half = Half::start().await;
    let batch = crate::room::batch::Batch::encode(
        1,
        1,
        vec![(shared::protocol::RoomEvent::Unfeatured, 1)],
        vec![],
        crate::room::state::Watching::default(),
        1,
        std::time::Instant::now(),
    );
    let batch = Arc::new(batch.expect("encodes"));
    assert!(half.shared.router.send(0, ToWorker::Batch(half.stream, batch)).is_ok());
    let message = tokio::time::timeout(DEADLINE, half.home.messages.recv()).await;
    let told = message.expect("told in time").expect("the router is there");
    assert!(matches!(told, ToWorker::Detach { stream, worker: 0 } if stream == half.stream));
    half.stop().await;
}

/// A room that has ended already.
async fn ended_room(shared: &Arc<Shared>) -> actix::Addr<crate::room::Room> {
    let (give, room) = oneshot::channel();
    let shared = shared.clone();
    std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            // There is no such stream, so it gives up.
            let opened = crate::room::open(shared, StreamId::new());
            let _ = give.send(opened.room.clone());
            while opened.room.connected() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    });
    let room = room.await.expect("a room");
    let ends = async {
        while room.connected() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ends).await.expect("it ends");
    room
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_room_that_ended_unheard_are_sent_away() {
    let mut half = Half::start().await;
    let mut guest = half.guest().await;
    let join = ClientCommand::Join {
        stream: half.stream,
        since: None,
    };
    let id = guest.send(join, None).await.expect("sent");
    assert!(half.asked().await, "for the room");
    let mirror = crate::room::mirror::tests::mirror(1);
    let attached = crate::router::Attached {
        stream: half.stream,
        seller: shared::ids::SellerId::new(),
        room: ended_room(&half.shared).await,
        load: crate::router::Load::new(2, crate::room::tick::Tempo::default()),
        news: crate::own::News::new(std::time::Instant::now()),
        mirror,
    };
    assert!(
        half.shared
            .router
            .send(0, ToWorker::Attached(Box::new(attached)))
            .is_ok()
    );
    assert!(matches!(guest.answer(id).await, Ok(Ok(_))), "joined");
    while guest.next().await.is_ok() {}
    assert_eq!(guest.close_code(), Some(4000));
    half.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_too_busy_to_answer_is_listed_as_such() {
    let half = Half::start().await;
    let (shared, stream) = (half.shared.clone(), half.stream);
    let (opened, room) = oneshot::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    // Its thread does nothing but wait for us: a room in a very long turn.
    let busy = std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let room = crate::room::open(shared, stream).room;
            assert!(opened.send(room).is_ok(), "the test waits");
            held.recv().expect("released");
        });
    });
    let entry = crate::router::RoomEntry {
        room: room.await.expect("it is open"),
        mail: Arc::default(),
        news: crate::own::News::new(Instant::now()),
    };
    half.shared.router.opened(stream, entry);
    let operations = Operations::new(half.shared.clone(), CancellationToken::new());
    let began = Instant::now();
    let page = operations
        .rooms(&std::collections::BTreeMap::new())
        .await
        .expect("a page");
    assert!(
        began.elapsed() < DEADLINE / 4,
        "it waits for nobody: {:?}",
        began.elapsed()
    );
    let silent = serde_json::json!([{ "stream": stream, "answered": false }]);
    assert_eq!((&page["open"], &page["rooms"]), (&1.into(), &silent));
    release.send(()).expect("it waits");
    busy.join().expect("it ends");
    half.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_takes_many_messages_before_it_has_run() {
    let half = Half::start().await;
    let (shared, stream) = (half.shared.clone(), half.stream);
    let taken = tokio::task::spawn_blocking(move || {
        actix::System::new().block_on(async move {
            // Nothing is awaited, so the actor has not begun.
            let opened = crate::room::open(shared, stream);
            let attach = |_: &u32| opened.room.try_send(crate::room::Attach { worker: 0 }).is_ok();
            (0..1000).take_while(attach).count()
        })
    });
    assert_eq!(taken.await.expect("no panic"), 1000);
    half.stop().await;
}

//! The persister: what it says is stored is stored, in order, whatever happens to the
//! database meanwhile.

mod reactions;

use std::collections::HashSet;

use chrono::Utc;
use live_engine::db::Db;
use live_engine::persist::{ChatAct, Entry, Persister, Row};
use live_engine::types::{ConnId, PersistReport};
use shared::ids::{MessageId, RequestId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{Author, ChatMessage, RoomEvent};
use sqlx::PgPool;
use testkit::TestDb;
use testkit::fixtures;
use uuid::Uuid;

use crate::ears::{DEADLINE, Ears, listen};
use crate::proxy::{Line, Proxy};

/// The connection of all messages here.
const NOBODY: ConnId = ConnId {
    worker: 0,
    slot: 0,
    generation: 0,
};

struct World {
    base: TestDb,
    persister: Persister,
    ears: Ears,
    stream: StreamId,
    user: UserId,
    db: Db,
}

async fn world() -> World {
    let base = testkit::database().await;
    let url = base.url.clone();
    world_at(base, &url).await
}

async fn world_at(base: TestDb, url: &str) -> World {
    let stream = fixtures::shop(&base.pool, 10, 1000).await.stream;
    let user = fixtures::user(&base.pool, "Demo Viewer").await;
    lease(&base.pool, stream, 1).await;
    let db = Db::start(url, testkit::db_options())
        .await
        .expect("the database is there");
    let (sink, ears) = listen();
    let persister = Persister::start(&db, sink);
    World {
        base,
        persister,
        ears,
        stream,
        user,
        db,
    }
}

async fn lease(pool: &PgPool, stream: StreamId, epoch: i64) {
    sqlx::query(
        "insert into room_leases (stream_id, epoch, node_id, expires_at) values ($1, $2, $3, now() + interval '1 h')
         on conflict (stream_id) do update set epoch = excluded.epoch",
    )
    .bind(stream.0)
    .bind(epoch)
    .bind(Uuid::now_v7())
    .execute(pool)
    .await
    .expect("the lease is taken");
}

impl World {
    fn entry(&self, epoch: i64, seq: u64, row: Row) -> Entry {
        Entry {
            stream: self.stream,
            epoch,
            seq,
            at: Utc::now(),
            row,
            outbox: Vec::new(),
        }
    }

    fn chat(&self, epoch: i64, seq: u64, text: &str) -> Entry {
        let author = Author {
            id: self.user,
            name: "Demo Viewer".into(),
            host: false,
            moderator: false,
        };
        let message = ChatMessage {
            id: MessageId::new(),
            author,
            text: text.into(),
            reply_to: None,
            quote: None,
            at: 0,
        };
        self.entry(
            epoch,
            seq,
            Row::Chat {
                message,
                act: Some(ChatAct {
                    request_id: RequestId::new(),
                    body: 1,
                    conn: NOBODY,
                }),
            },
        )
    }

    fn event(&self, epoch: i64, seq: u64) -> Entry {
        self.entry(epoch, seq, Row::Event(RoomEvent::Unfeatured))
    }

    /// Chat and events, turn by turn.
    fn mixed(&self, epoch: i64, seqs: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        let entry = |seq: u64| match seq % 2 {
            0 => self.event(epoch, seq),
            _ => self.chat(epoch, seq, &format!("message {seq}")),
        };
        seqs.map(entry).collect()
    }

    async fn flush(&self) {
        let flushed = tokio::time::timeout(DEADLINE, self.persister.flush()).await;
        flushed.expect("flushed before the deadline");
    }

    async fn stored(&self, epoch: i64) -> Vec<i64> {
        sqlx::query_scalar(
            "select seq from stream_chat_messages where stream_id = $1 and epoch = $2
             union all select seq from stream_events where stream_id = $1 and epoch = $2 order by 1",
        )
        .bind(self.stream.0)
        .bind(epoch)
        .fetch_all(&self.base.pool)
        .await
        .expect("read")
    }

    async fn verify(&self) {
        let report = shared::verify::run(&self.base.pool).await.expect("verified");
        assert!(report.is_clean(), "{:?}", report.broken().collect::<Vec<_>>());
    }

    async fn until_committed(&mut self, seq: u64) {
        self.ears
            .persisted
            .until(|report| match report {
                PersistReport::Committed { up_to, .. } if *up_to >= seq => Some(()),
                _ => None,
            })
            .await;
    }
}

fn up_to(last: i64) -> Vec<i64> {
    (1..=last).collect()
}

#[tokio::test]
async fn events_are_stored_in_order_and_told_once_committed() {
    let mut world = world().await;
    for first in (1..=3000).step_by(7) {
        let entries = world.mixed(1, first..=(first + 6).min(3000));
        world.persister.offer(entries).expect("there is room");
    }
    world.flush().await;
    assert_eq!(world.stored(1).await, up_to(3000));
    assert_eq!(world.persister.backlog_bytes(), 0);
    let mut last = 0;
    for report in world.ears.persisted.so_far() {
        let PersistReport::Committed { stream, epoch, up_to } = report else {
            panic!("{report:?}");
        };
        assert_eq!((stream, epoch), (world.stream, 1));
        assert!(up_to > last, "in order");
        last = up_to;
    }
    assert_eq!(last, 3000);
    world.verify().await;
}

#[tokio::test]
async fn a_report_comes_after_its_commit() {
    let mut world = world().await;
    for stored in 1..=20_i64 {
        let seq = stored.unsigned_abs();
        world
            .persister
            .offer(vec![world.chat(1, seq, "hello")])
            .expect("there is room");
        world.until_committed(seq).await;
        assert_eq!(world.stored(1).await, up_to(stored));
    }
}

#[tokio::test]
async fn a_room_that_has_moved_on_stores_nothing_more() {
    let mut world = world().await;
    let other = fixtures::shop(&world.base.pool, 1, 100).await.stream;
    lease(&world.base.pool, other, 1).await;
    world.persister.offer(world.mixed(1, 1..=10)).expect("there is room");
    world.until_committed(10).await;
    lease(&world.base.pool, world.stream, 2).await;
    let caused = push_notice(&world.base.pool, world.stream).await;
    let mut entries = world.mixed(1, 11..=20);
    entries[0].outbox.push(caused);
    // Another room in the same batch is none the worse for it.
    entries.push(Entry {
        stream: other,
        ..world.event(1, 1)
    });
    entries.extend(world.mixed(2, 1..=3));
    world.persister.offer(entries).expect("there is room");
    world.flush().await;
    assert_eq!(world.stored(1).await, up_to(10));
    assert_eq!(world.stored(2).await, up_to(3));
    assert!(
        !delivered(&world.base.pool, caused).await,
        "its new owner must still hear of it"
    );
    let reports: HashSet<String> = world.ears.persisted.so_far().iter().map(|r| format!("{r:?}")).collect();
    let stream = world.stream;
    for report in [
        PersistReport::Fenced { stream, epoch: 1 },
        PersistReport::Committed {
            stream,
            epoch: 2,
            up_to: 3,
        },
        PersistReport::Committed {
            stream: other,
            epoch: 1,
            up_to: 1,
        },
    ] {
        assert!(reports.contains(&format!("{report:?}")), "{report:?} in {reports:?}");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_refused_row_is_set_aside_and_the_rest_goes_on() {
    let mut world = world().await;
    let mut entries = world.mixed(1, 1..=100);
    entries[16] = world.chat(1, 17, "a NUL \0 is no text");
    entries[40] = world.chat(1, 41, &"x".repeat(501));
    let mut stranger = world.chat(1, 73, "from nobody");
    if let Row::Chat { message, .. } = &mut stranger.row {
        message.author.id = UserId::new();
    }
    let caused = push_notice(&world.base.pool, world.stream).await;
    stranger.outbox.push(caused);
    entries[72] = stranger;
    world.persister.offer(entries).expect("there is room");
    world.persister.offer(world.mixed(1, 101..=110)).expect("there is room");
    world.flush().await;
    let expected: Vec<i64> = up_to(110)
        .into_iter()
        .filter(|seq| ![17, 41, 73].contains(seq))
        .collect();
    assert_eq!(world.stored(1).await, expected);
    let kept: Vec<(i64, serde_json::Value, String)> =
        sqlx::query_as("select seq, payload, error from persist_rejects order by seq")
            .fetch_all(&world.base.pool)
            .await
            .expect("read");
    assert_eq!(kept.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), [17, 41, 73]);
    assert_eq!(kept[0].1["message"]["text"], "a NUL \u{fffd} is no text");
    assert!(
        kept[1].2.contains("check constraint") && kept[2].2.contains("foreign key"),
        "{kept:?}"
    );
    assert!(delivered(&world.base.pool, caused).await, "it would be tried for ever");
    // Everything is told in order, the refused rows in their places.
    let mut last = 0;
    let mut rejected = Vec::new();
    for report in world.ears.persisted.so_far() {
        match report {
            PersistReport::Committed { up_to, .. } => {
                assert!(up_to > last);
                last = up_to;
            }
            PersistReport::Rejected { seq, .. } => {
                assert_eq!(seq, last + 1);
                last = seq;
                rejected.push(seq);
            }
            PersistReport::Fenced { .. } => panic!("{report:?}"),
        }
    }
    assert_eq!((last, rejected), (110, vec![17, 41, 73]));
    world.verify().await;
}

#[tokio::test]
async fn what_was_offered_while_the_database_was_away_is_stored_when_it_is_back() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(base, &proxy.url).await;
    world.persister.offer(world.mixed(1, 1..=50)).expect("there is room");
    world.until_committed(50).await;
    proxy.set(Line::Cut);
    for first in (51..=2050).step_by(100) {
        world
            .persister
            .offer(world.mixed(1, first..=first + 99))
            .expect("there is room");
    }
    assert!(world.persister.backlog_bytes() > 0);
    world
        .db
        .call(live_engine::db::Purpose::Command, None, |pool| async move {
            Ok(sqlx::query("select 1").execute(&pool).await?)
        })
        .await
        .expect_err("away");
    assert_eq!(world.stored(1).await, up_to(50));
    proxy.set(Line::Open);
    world.flush().await;
    assert_eq!(world.stored(1).await, up_to(2050));
    assert_eq!(world.persister.backlog_bytes(), 0);
    world.verify().await;
}

#[tokio::test]
async fn a_connection_killed_by_the_server_loses_nothing() {
    let world = world().await;
    for round in 0..20_u64 {
        world
            .persister
            .offer(world.mixed(1, round * 50 + 1..=round * 50 + 50))
            .expect("there is room");
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid() and application_name = 'hawker'",
        )
        .execute(&world.base.pool)
        .await
        .expect("killed");
    }
    world.flush().await;
    assert_eq!(world.stored(1).await, up_to(1000));
    world.verify().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_repeated_without_harm() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(base, &proxy.url).await;
    world.persister.offer(world.mixed(1, 1..=10)).expect("there is room");
    world.until_committed(10).await;
    proxy.set(Line::LosesAnswerTo(b"COMMIT".to_vec()));
    world.persister.offer(world.mixed(1, 11..=40)).expect("there is room");
    proxy.until(Line::Open).await;
    world.persister.offer(world.mixed(1, 41..=50)).expect("there is room");
    world.flush().await;
    assert_eq!(world.stored(1).await, up_to(50));
    let rejects: i64 = sqlx::query_scalar("select count(*) from persist_rejects")
        .fetch_one(&world.base.pool)
        .await
        .expect("read");
    assert_eq!(rejects, 0);
    world.verify().await;
}

#[tokio::test]
async fn a_notice_is_marked_with_the_event_that_it_caused() {
    let world = world().await;
    let [caused, other] = [
        push_notice(&world.base.pool, world.stream).await,
        push_notice(&world.base.pool, world.stream).await,
    ];
    let mut entry = world.event(1, 1);
    entry.outbox.push(caused);
    world.persister.offer(vec![entry]).expect("there is room");
    world.flush().await;
    assert!(delivered(&world.base.pool, caused).await);
    assert!(!delivered(&world.base.pool, other).await);
}

/// Waits until a statement waits for a lock.
async fn until_blocked(pool: &PgPool) {
    let blocked = async {
        loop {
            let waits: bool = sqlx::query_scalar(
                "select exists (select from pg_stat_activity
                  where datname = current_database() and wait_event_type = 'Lock')",
            )
            .fetch_one(pool)
            .await
            .expect("read");
            if waits {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, blocked).await.expect("it waits");
}

async fn push_notice(pool: &PgPool, stream: StreamId) -> Uuid {
    let notice = RoomNotice::Happened {
        no: 1,
        event: Box::new(RoomEvent::Unfeatured),
    };
    sqlx::query_scalar("insert into outbox (id, topic, stream_id, payload) values ($1, $2, $3, $4) returning id")
        .bind(Uuid::now_v7())
        .bind(notice.topic())
        .bind(stream.0)
        .bind(serde_json::to_value(&notice).expect("JSON"))
        .fetch_one(pool)
        .await
        .expect("pushed")
}

async fn delivered(pool: &PgPool, id: Uuid) -> bool {
    sqlx::query_scalar("select delivered_at is not null from outbox where id = $1")
        .bind(id)
        .fetch_one(pool)
        .await
        .expect("read")
}

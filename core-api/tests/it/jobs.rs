//! What is cleared away when it is of no use any more.

use shared::ids::StreamId;
use uuid::Uuid;

use crate::market::Market;

/// A show of the shop's with a status, over for so many minutes if it is over.
async fn show(market: &Market, status: &str, ended_minutes_ago: Option<i32>) -> StreamId {
    let id = StreamId::new();
    sqlx::query(
        "insert into streams (id, seller_id, title, status, scheduled_at, started_at, ended_at)
         values ($1, $2, 'Another Show', $3, now(), case when $3 in ('live', 'ended') then now() end,
                 now() - make_interval(mins => $4))",
    )
    .bind(id.0)
    .bind(market.shop.seller.0)
    .bind(status)
    .bind(ended_minutes_ago)
    .execute(&market.app.db.pool)
    .await
    .expect("the show is new");
    id
}

/// A row that was written and, maybe, delivered so many minutes ago.
async fn row(market: &Market, stream: StreamId, written: i32, delivered: Option<i32>) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into outbox (id, topic, stream_id, payload, created_at, delivered_at)
         values ($1, 'test', $2, '{}', now() - make_interval(mins => $3), now() - make_interval(mins => $4))",
    )
    .bind(id)
    .bind(stream.0)
    .bind(written)
    .bind(delivered)
    .execute(&market.app.db.pool)
    .await
    .expect("the row is new");
    id
}

async fn pruned(market: &Market, limit: u32) -> u64 {
    core_api::jobs::prune_outbox(&market.app.db.pool, limit)
        .await
        .expect("pruned")
}

#[tokio::test]
async fn the_outbox_forgets_what_was_delivered_and_what_nobody_will_take() {
    const DAY: i32 = 24 * 60;
    let market = Market::open(1, 100).await;
    let live = market.shop.stream;
    let (over, just_over) = (
        show(&market, "ended", Some(70)).await,
        show(&market, "ended", Some(50)).await,
    );
    let (called_off, to_come) = (
        show(&market, "cancelled", None).await,
        show(&market, "scheduled", None).await,
    );
    let kept = [
        row(&market, live, DAY + 20, Some(DAY - 10)).await,
        row(&market, live, DAY + 20, None).await,
        row(&market, to_come, DAY + 20, None).await,
        row(&market, just_over, 70, None).await,
        row(&market, over, 50, None).await,
        row(&market, over, 70, Some(60)).await,
        row(&market, called_off, 50, None).await,
    ];
    row(&market, live, DAY + 20, Some(DAY + 10)).await;
    row(&market, live, DAY + 20, Some(DAY + 10)).await;
    row(&market, over, 70, None).await;
    row(&market, called_off, 70, None).await;

    assert_eq!(pruned(&market, 1).await, 2, "a batch of each kind");
    assert_eq!(pruned(&market, 100).await, 2);
    assert_eq!(pruned(&market, 100).await, 0);
    let left: Vec<Uuid> = sqlx::query_scalar("select id from outbox order by id")
        .fetch_all(&market.app.db.pool)
        .await
        .expect("the outbox");
    assert_eq!(left, kept);
}

#[tokio::test]
async fn what_a_refused_row_said_is_forgotten_and_its_place_stays() {
    let market = Market::open(1, 100).await;
    let pool = &market.app.db.pool;
    for (seq, days) in [(1_i64, 29), (2, 31), (3, 40)] {
        sqlx::query(
            "insert into persist_rejects (id, stream_id, epoch, seq, payload, error, created_at)
             values (gen_random_uuid(), $1, 1, $2, '{\"text\": \"hello\"}', 'why', now() - make_interval(days => $3))",
        )
        .bind(market.shop.stream.0)
        .bind(seq)
        .bind(days)
        .execute(pool)
        .await
        .expect("kept");
        sqlx::query(
            "insert into reaction_writers values (gen_random_uuid(), 1, now() - make_interval(days => $1 - 30))",
        )
        .bind(days)
        .execute(pool)
        .await
        .expect("noted");
    }
    let prune = async || core_api::jobs::prune_rejects(pool, 1).await.expect("pruned");
    assert_eq!(
        [prune().await, prune().await, prune().await],
        [2, 2, 0],
        "a batch of each kind"
    );
    let said: Vec<(i64, bool)> = sqlx::query_as("select seq, payload is not null from persist_rejects order by seq")
        .fetch_all(pool)
        .await
        .expect("read");
    assert_eq!(said, [(1, true), (2, false), (3, false)]);
}

#[tokio::test]
async fn what_a_moderator_decided_about_a_month_ago_is_emptied_and_the_decision_stays() {
    let market = Market::open(1, 100).await;
    let pool = &market.app.db.pool;
    for (text, days) in [
        ("waits", None),
        ("lately", Some(29)),
        ("long ago", Some(31)),
        ("longer ago", Some(40)),
    ] {
        sqlx::query(
            "insert into chat_reviews (message_id, stream_id, user_id, request_id, body_hash, text, cause, detail,
                                       status, decided_by, decided_at, created_at)
             select gen_random_uuid(), $1, $2, gen_random_uuid(), 1, $3, 'word', 'the word ' || $3,
                    case when $4::int is null then 'waiting' else 'rejected' end,
                    case when $4 is not null then $2 end, now() - make_interval(days => $4),
                    now() - interval '50 days'",
        )
        .bind(market.shop.stream.0)
        .bind(market.shop.owner.0)
        .bind(text)
        .bind(days)
        .execute(pool)
        .await
        .expect("held");
    }
    let prune = async |limit| core_api::jobs::prune_rejects(pool, limit).await.expect("pruned");
    let decided = async || {
        let rows = sqlx::query_as("select text, detail, status from chat_reviews order by decided_at nulls last");
        rows.fetch_all(pool).await.expect("read")
    };
    let row = |text: &str, detail: &str, status: &str| (text.to_owned(), detail.to_owned(), status.to_owned());
    let (lately, waits) = (
        row("lately", "the word lately", "rejected"),
        row("waits", "the word waits", "waiting"),
    );
    let gone = row("", "", "rejected");

    assert_eq!(prune(1).await, 1, "a batch, the oldest first");
    let long_ago = row("long ago", "the word long ago", "rejected");
    let left: Vec<(String, String, String)> = decided().await;
    assert_eq!(left, [gone.clone(), long_ago, lately.clone(), waits.clone()]);
    assert_eq!([prune(100).await, prune(100).await], [1, 0]);
    assert_eq!(decided().await, [gone.clone(), gone, lately, waits]);
}

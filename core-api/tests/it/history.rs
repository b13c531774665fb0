//! What shows leave behind: numbered events, replay, chat with its word, summaries.

use chrono::{DateTime, TimeDelta, Utc};
use core_api::checkout::model::Checkout;
use core_api::history::model::{EventsPage, PublicSummary, ReplayPage};
use core_api::orders::model::Order;
use core_api::streams::model::{ChatPage, Place};
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::live::RoomNotice;
use shared::protocol::ShowSummary;
use shared::status::OrderStatus;

use crate::market::Market;

/// When the show began.
fn began() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_399_200, 0).expect("a time")
}

fn at(ms: i64) -> DateTime<Utc> {
    began() + TimeDelta::milliseconds(ms)
}

/// A show whose room has had epochs; rows as the engine writes them.
struct Past {
    market: Market,
    buyer: UserId,
}

impl Past {
    async fn new() -> Self {
        let market = Market::open(5, 100).await;
        let buyer = market.buyer().await.session.id;
        let past = Self { market, buyer };
        past.run("update streams set started_at = $2 where id = $1", |q| q.bind(began()))
            .await;
        past
    }

    async fn run<'q>(
        &self,
        sql: &'static str,
        bind: impl FnOnce(
            sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
        ) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) {
        let query = bind(sqlx::query(sql).bind(self.market.shop.stream.0));
        query.execute(&self.market.app.db.pool).await.expect("written");
    }

    async fn owned(&self, epoch: i64) {
        let sql = "insert into room_leases values ($1, $2, gen_random_uuid(), now())
                   on conflict (stream_id) do update set epoch = excluded.epoch";
        self.run(sql, |q| q.bind(epoch)).await;
    }

    async fn said(&self, epoch: i64, seq: i64, ms: i64) {
        let sql = "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, text, created_at)
                   values (gen_random_uuid(), $1, $2, $3, $4, gen_random_uuid(), 'said ' || $2 || '.' || $3, $5)";
        self.run(sql, |q| q.bind(epoch).bind(seq).bind(self.buyer.0).bind(at(ms)))
            .await;
    }

    async fn happened(&self, epoch: i64, seq: i64, ms: i64) {
        let sql = "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at)
                   values ($1, $2, $3, 'unfeatured', '{\"type\": \"unfeatured\"}', $4)";
        self.run(sql, |q| q.bind(epoch).bind(seq).bind(at(ms))).await;
    }

    async fn refused(&self, epoch: i64, seq: i64) {
        let sql = "insert into persist_rejects (id, stream_id, epoch, seq, payload, error)
                   values (gen_random_uuid(), $1, $2, $3, '{}', 'no')";
        self.run(sql, |q| q.bind(epoch).bind(seq)).await;
    }

    async fn deleted(&self, epoch: i64, seq: i64) {
        let sql = "update stream_chat_messages set deleted_at = now(), deleted_by = user_id, deleted_as = 'author'
                    where stream_id = $1 and epoch = $2 and seq = $3";
        self.run(sql, |q| q.bind(epoch).bind(seq)).await;
    }

    async fn reacted(&self, kind: &'static str, minute: i64, count: i64) {
        let sql = "insert into stream_reactions values ($1, $2, $3, $4)";
        self.run(sql, |q| q.bind(kind).bind(at(minute * 60_000)).bind(count))
            .await;
    }

    fn path(&self, tail: &str) -> String {
        format!("/streams/{}/{tail}", self.market.shop.stream)
    }

    async fn events(&self, query: &str) -> EventsPage {
        self.market
            .app
            .get(&self.path(&format!("events{query}")))
            .send()
            .await
            .ok()
    }
}

fn seqs(page: &EventsPage) -> Vec<u64> {
    page.items.iter().map(|item| item.seq).collect()
}

#[tokio::test]
async fn numbered_events_are_read_in_pages_without_a_gap_and_up_to_a_known_number() {
    let past = Past::new().await;
    let empty = past.events("").await;
    assert_eq!((empty.epoch, empty.complete_to, empty.items.len()), (1, 0, 0));
    past.owned(4).await;
    for (epoch, seq) in [(2, 1), (2, 3), (3, 2)] {
        past.said(epoch, seq, 100 * seq).await;
    }
    for (epoch, seq) in [(2, 2), (2, 5), (3, 1)] {
        past.happened(epoch, seq, 100 * seq).await;
    }
    past.refused(2, 4).await;
    past.said(3, 3, 900).await;
    past.deleted(3, 3).await;

    let first = past.events("?limit=2").await;
    assert_eq!(
        (first.epoch, seqs(&first)),
        (2, vec![1, 2]),
        "the first epoch that is there"
    );
    assert_eq!(
        (first.complete_to, first.next_after_seq, first.next_epoch),
        (5, Some(2), Some(3))
    );
    let chat = first.items[0].event.as_ref().expect("shown");
    assert_eq!((&chat["type"], &chat["text"]), (&json!("chat"), &json!("said 2.1")));
    assert_eq!(
        (&chat["author"]["name"], &chat["at"]),
        (&json!("Test Buyer"), &json!(at(100).timestamp_millis()))
    );
    assert_eq!(first.items[1].event, Some(json!({"type": "unfeatured"})));
    let second = past.events("?epoch=2&after_seq=2&limit=2").await;
    assert_eq!((seqs(&second), second.next_after_seq), (vec![3, 4], Some(4)));
    assert_eq!(
        second.items[1].event, None,
        "a refused row keeps its place and shows nothing"
    );
    let third = past.events("?epoch=2&after_seq=4").await;
    assert_eq!(
        (seqs(&third), third.next_after_seq, third.next_epoch),
        (vec![5], None, Some(3))
    );
    let next = past.events("?epoch=3").await;
    assert_eq!((seqs(&next), next.complete_to), (vec![1, 2, 3], 3));
    assert_eq!(next.items[2].event, None, "a deleted message is shown no more");
    assert_eq!(next.next_epoch, Some(4), "somebody owns the room in a later one");
    let last = past.events("?epoch=4").await;
    assert_eq!((last.complete_to, last.next_epoch), (0, None), "it may still go on");
    for wrong in [
        "?epoch=5",
        "?epoch=0",
        "?after_seq=-1",
        "?limit=101",
        "?after_seq=9999999999999999999",
    ] {
        let call = past.market.app.get(&past.path(&format!("events{wrong}")));
        call.send().await.refused(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_show_is_played_again_by_time_across_epochs() {
    let past = Past::new().await;
    past.owned(2).await;
    past.said(1, 1, -5_000).await;
    past.said(1, 2, 1_000).await;
    past.happened(1, 3, 1_000).await;
    past.reacted("heart", 1, 7).await;
    past.reacted("fire", 1, 2).await;
    past.said(2, 1, 61_000).await;
    past.happened(2, 2, 125_000).await;
    past.said(2, 3, 62_000).await;
    past.deleted(2, 3).await;
    let read = async |query: &str| -> ReplayPage {
        past.market
            .app
            .get(&past.path(&format!("replay{query}")))
            .send()
            .await
            .ok()
    };
    let all = read("?limit=100").await;
    let places: Vec<_> = all.items.iter().map(|i| (i.at_ms, i.epoch, i.seq)).collect();
    let expected = [
        (1_000, Some(1), Some(2)),
        (1_000, Some(1), Some(3)),
        (60_000, None, None),
        (61_000, Some(2), Some(1)),
        (125_000, Some(2), Some(2)),
    ];
    assert_eq!(places, expected);
    assert_eq!(
        all.items[2].event,
        json!({"type": "reactions", "counts": {"heart": 7, "fire": 2}})
    );
    assert_eq!((all.complete_to_ms, all.over, all.next_cursor), (125_000, false, None));
    let early = read("?from_ms=-10000&limit=1").await;
    assert_eq!(
        (early.items[0].at_ms, early.items[0].seq),
        (-5_000, Some(1)),
        "the waiting room"
    );
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = read(&format!("?limit=1{cursor}")).await;
        paged.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all.items, "page by page nothing is missed and nothing twice");
    assert_eq!(read("?from_ms=61000").await.items.len(), 2);
    for wrong in [
        "?cursor=1",
        "?cursor=-8000000000000000000.1.1",
        "?from_ms=9223372036854775807",
        "?from_ms=-1000000000000000",
        "?limit=0",
    ] {
        let call = past.market.app.get(&past.path(&format!("replay{wrong}")));
        call.send().await.refused(400, "invalid_parameter");
    }
    let show: Value = past
        .market
        .owner()
        .post("/streams", &json!({"title": "To come"}))
        .await
        .created();
    let path = format!("/streams/{}/replay", show["id"].as_str().expect("an id"));
    past.market.app.get(&path).send().await.refused(409, "wrong_state");
}

#[tokio::test]
async fn a_pin_shows_its_message_only_as_long_as_that_is_shown() {
    let past = Past::new().await;
    past.owned(1).await;
    for seq in 1..=3 {
        past.said(1, seq, 100 * seq).await;
    }
    past.run(
        "update stream_chat_messages m set reply_to = q.id from stream_chat_messages q
          where m.stream_id = $1 and m.seq = 2 and q.stream_id = $1 and q.seq = 1",
        |q| q,
    )
    .await;
    // As the engine writes it: which message, and nothing of it.
    past.run(
        "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at)
         select stream_id, 1, 2 + seq, 'pinned', jsonb_build_object('type', 'pinned', 'message', id),
                created_at + interval '1 second'
           from stream_chat_messages where stream_id = $1 and seq in (2, 3)",
        |q| q,
    )
    .await;
    let replayed = async || -> Vec<Value> {
        let page: ReplayPage = past.market.app.get(&past.path("replay")).send().await.ok();
        page.items.into_iter().map(|item| item.event).collect()
    };
    let pin = past.events("").await.items[3].event.clone().expect("shown");
    assert_eq!(
        (&pin["type"], &pin["message"]["text"]),
        (&json!("pinned"), &json!("said 1.2"))
    );
    assert_eq!(pin["message"]["author"]["name"], json!("Test Buyer"));
    assert_eq!(pin["message"]["quote"]["text"], json!("said 1.1"));
    assert!(replayed().await.contains(&pin));
    past.deleted(1, 1).await;
    let pin = past.events("").await.items[3].event.clone().expect("shown");
    assert_eq!(pin["message"].get("quote"), None, "what it answers is deleted");
    past.deleted(1, 2).await;
    let page = past.events("").await;
    assert_eq!((seqs(&page), &page.items[3].event), (vec![1, 2, 3, 4, 5], &None));
    let shown = json!([page.items, replayed().await]).to_string();
    assert!(!shown.contains("said 1.2") && !shown.contains("said 1.1"), "{shown}");
    assert_eq!(replayed().await.len(), 2, "the third message, and that it was pinned");
}

#[tokio::test]
async fn chat_says_up_to_where_it_is_complete() {
    let past = Past::new().await;
    let read = async || -> ChatPage { past.market.app.get(&past.path("chat")).send().await.ok() };
    assert_eq!(read().await.complete_to, None);
    past.said(1, 1, 0).await;
    past.happened(1, 2, 0).await;
    past.said(1, 3, 0).await;
    past.deleted(1, 3).await;
    let page = read().await;
    assert_eq!(page.complete_to, Some(Place { epoch: 1, seq: 3 }));
    assert_eq!(page.items.len(), 1, "what was deleted is not shown");
    assert_eq!(page.items[0].place, Place { epoch: 1, seq: 1 });
}

#[tokio::test]
async fn a_show_that_is_over_is_counted_once_and_told_to_its_shop() {
    let past = Past::new().await;
    let (market, stream) = (&past.market, past.market.shop.stream);
    let own = format!("/seller/streams/{stream}/summary");
    market.owner().get(&own).await.refused(409, "wrong_state");
    past.said(1, 1, 0).await;
    past.said(1, 2, 0).await;
    past.said(1, 4, 0).await;
    past.deleted(1, 4).await;
    past.reacted("heart", 0, 7).await;
    past.reacted("heart", 1, 8).await;
    past.run(
        "insert into stream_viewers values ($1, $2, 9, 8, 4, 10), ($1, $2 + interval '1 minute', 4, 4, 2, 5)",
        |q| q.bind(began()),
    )
    .await;
    past.run(
        "insert into stream_attendance values ($1, gen_random_uuid(), true), ($1, gen_random_uuid(), false),
                                              ($1, gen_random_uuid(), false)",
        |q| q,
    )
    .await;
    past.run(
        "update streams set status = 'ended', ended_at = now() - interval '2 minutes' where id = $1",
        |q| q,
    )
    .await;
    let problem = market.owner().get(&own).await.refused(409, "wrong_state");
    assert!(problem["retry_after_ms"].is_number(), "being counted: {problem}");
    let pool = &market.app.db.pool;
    assert_eq!(core_api::history::summarise_left_behind(pool, 10).await.ok(), Some(1));
    past.said(1, 3, 0).await;
    assert_eq!(
        core_api::history::summarise_left_behind(pool, 10).await.ok(),
        Some(0),
        "once"
    );

    let summary: ShowSummary = market.owner().get(&own).await.ok();
    let audience = &summary.audience;
    assert_eq!(
        (audience.peak_viewers, audience.average_viewers),
        (9, 3),
        "15 in 6 samples, rounded"
    );
    assert_eq!((audience.accounts, audience.guests), (1, 2));
    assert_eq!((audience.chat_messages, audience.chatters), (2, 1));
    assert_eq!(audience.reactions.get("heart"), Some(&15));
    assert_eq!(summary.started_at, began().timestamp_millis());
    assert_eq!(
        market
            .number("select peak_viewers::bigint from streams where summarised")
            .await,
        9
    );
    let public: PublicSummary = market.app.get(&past.path("summary")).send().await.ok();
    assert_eq!((public.peak_viewers, public.chat_messages), (9, 2));
    let text = market.app.get(&past.path("summary")).send().await.text;
    assert!(!text.contains("revenue") && !text.contains("accounts"), "{text}");

    let stranger = testkit::fixtures::shop(pool, 1, 1).await.owner;
    let stranger = market.app.session_of(stranger);
    stranger.get(&own).await.refused(404, "not_found");
    market.app.get(&own).send().await.refused(401, "unauthenticated");
    assert_eq!(core_api::history::prune_attendance(pool, 10).await.ok(), Some(3));
}

#[tokio::test]
async fn what_a_show_has_sold_is_its_own_goods_as_the_rows_are_now() {
    let past = Past::new().await;
    let market = &past.market;
    let buyer = market.buyer().await;
    let other = testkit::fixtures::shop(&market.app.db.pool, 1, 1_000).await;
    let mut basket = buyer.basket(&[(market.shop.variant, 2), (other.variant, 1)], &[]);
    basket["stream_id"] = json!(market.shop.stream);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    let told = market.notices().await;
    let waits = |notice: &RoomNotice| {
        matches!(notice, RoomNotice::OrderChanged { order: id, status, .. }
            if *id == order.id && *status == OrderStatus::PendingPayment)
    };
    assert!(
        told.iter().any(waits),
        "the room hears of an order that waits for payment: {told:?}"
    );
    let sale = market.sale(2, 50, 2).await;
    buyer.hold(sale, 2).await;
    past.run(
        "update streams set status = 'ended', ended_at = now() - interval '2 minutes' where id = $1",
        |q| q,
    )
    .await;
    core_api::history::summarise_left_behind(&market.app.db.pool, 10)
        .await
        .expect("counted");
    let own = format!("/seller/streams/{}/summary", market.shop.stream);
    let sold = async || market.owner().get(&own).await.ok::<ShowSummary>().commerce;
    let before = sold().await;
    assert_eq!((before.orders, before.paid_orders, before.sold_units), (1, 0, 0));
    assert_eq!((before.sales, before.holds, before.held_units), (1, 1, 2));
    assert!(before.revenue_minor.is_empty());
    buyer.pay(order.id, "test_success").await;
    let after = sold().await;
    assert_eq!((after.orders, after.paid_orders, after.sold_units), (1, 1, 2));
    assert_eq!(after.revenue_minor.get("EUR"), Some(&200));
}

//! That `verify` complains: each invariant that time or a defect may break is broken by
//! hand.

use shared::ids::RequestId;
use shared::verify;
use sqlx::PgPool;

use crate::desk::{TERMS, Terms, users, world};

/// The invariants that do not hold.
async fn broken(pool: &PgPool) -> Vec<&'static str> {
    let report = verify::run(pool).await.expect("verified");
    report.broken().map(|check| check.name).collect()
}

/// Breaks something in a sound world, and hears `verify` name it.
async fn breaks(pool: &PgPool, name: &str, sql: &[&'static str]) {
    assert!(broken(pool).await.is_empty(), "before {name} is broken");
    for statement in sql {
        sqlx::query(*statement).execute(pool).await.expect(statement);
    }
    assert!(broken(pool).await.contains(&name), "{name}: {:?}", broken(pool).await);
}

#[tokio::test]
async fn what_is_overdue_is_noticed() {
    let mut world = world(Terms { quantity: 5, ..TERMS }).await;
    let buyer = users(&world.base.pool, 1).await[0];
    world.buy(buyer, RequestId::new(), 1).await.expect("granted");
    world.db.stop().await;
    let pool = &world.base.pool;
    let cases: [(&str, [&'static str; 1], &'static str); 6] = [
        (
            "holds_lapse",
            [
                "update reservations set expires_at = now() - interval '11 minutes', created_at = now() - interval '1 hour'",
            ],
            "update reservations set expires_at = now() + interval '5 seconds', created_at = now()",
        ),
        (
            "sales_end",
            ["update flash_sales set opens_at = now() - interval '1 hour', ends_at = now() - interval '11 minutes'"],
            "update flash_sales set opens_at = now(), ends_at = now() + interval '1 minute'",
        ),
        (
            "sales_end",
            ["update streams set status = 'ended', ended_at = now()"],
            "update streams set status = 'live', ended_at = null",
        ),
        (
            "sale_entries",
            ["update flash_sales set entries = entries + 1"],
            "update flash_sales set entries = entries - 1",
        ),
        (
            "epochs_in_turn",
            [
                "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at)
              select s.id, e, 1, 'unfeatured', '{}', now() - make_interval(mins => 5 * (e - 1))
                from streams s, generate_series(1, 2) e",
            ],
            "delete from stream_events",
        ),
        (
            "rooms_are_told",
            ["with leased as (
                insert into room_leases (stream_id, epoch, node_id, expires_at)
                select id, 3, gen_random_uuid(), now() + interval '1 minute' from streams)
              insert into outbox (id, topic, stream_id, payload, created_at)
              select gen_random_uuid(), 'happened', id, '{}', now() - interval '11 minutes' from streams"],
            "delete from outbox where payload = '{}'",
        ),
    ];
    for (name, sql, mended) in cases {
        breaks(pool, name, &sql).await;
        sqlx::query(mended).execute(pool).await.expect(mended);
        if name == "sales_end" || name == "rooms_are_told" {
            assert!(!broken(pool).await.contains(&name), "{name} is mended");
        }
    }
}

#[tokio::test]
async fn what_is_there_twice_or_too_long_is_noticed() {
    let world = world(TERMS).await;
    world.db.stop().await;
    let pool = &world.base.pool;
    sqlx::query(
        "insert into room_leases (stream_id, epoch, node_id, expires_at)
         select id, 1, gen_random_uuid(), now() from streams",
    )
    .execute(pool)
    .await
    .expect("leased");
    breaks(
        pool,
        "held_messages_said_once",
        &[
            "insert into chat_reviews (message_id, stream_id, user_id, request_id, body_hash, text, cause)
             select gen_random_uuid(), s.id, l.user_id, gen_random_uuid(), 1, 'held', 'word'
               from streams s join sellers l on l.id = s.seller_id",
            "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, body_hash, text, created_at)
             select gen_random_uuid(), stream_id, 1, 1, user_id, request_id, 1, text, now() from chat_reviews",
        ],
    )
    .await;
    sqlx::query("update stream_chat_messages set request_id = null")
        .execute(pool)
        .await
        .expect("mended");
    breaks(
        pool,
        "held_messages_said_once",
        &["update stream_chat_messages set id = (select message_id from chat_reviews)"],
    )
    .await;
    sqlx::query("update chat_reviews set status = 'approved', decided_at = now(), decided_by = user_id")
        .execute(pool)
        .await
        .expect("mended");
    sqlx::query("update flash_sales set status = 'closed', closed_at = now(), returned = quantity")
        .execute(pool)
        .await
        .expect("closed");
    sqlx::query("update product_variants set reserved = 0")
        .execute(pool)
        .await
        .expect("given back");
    breaks(
        pool,
        "ended_shows_feature_nothing",
        &["update streams set status = 'ended', ended_at = now(), featured_product_id = (select id from products)"],
    )
    .await;
}

//! What shows came to, and which of them are still to be counted.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::ids::StreamId;
use shared::protocol::{Audience, Commerce};
use sqlx::PgConnection;

/// How long a show is over before others than its room count it.
const LEFT_BEHIND_SECONDS: f64 = 60.0;

/// Who watched, once the show is counted.
pub async fn audience(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Option<Audience>> {
    let row = sqlx::query!(
        "select peak_viewers, average_viewers, accounts, guests, chat_messages, chatters, reactions
           from stream_summaries where stream_id = $1",
        stream.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Audience {
        peak_viewers: u64::try_from(row.peak_viewers).unwrap_or(0),
        average_viewers: u64::try_from(row.average_viewers).unwrap_or(0),
        accounts: unsigned(row.accounts),
        guests: unsigned(row.guests),
        chat_messages: unsigned(row.chat_messages),
        chatters: unsigned(row.chatters),
        reactions: sums(row.reactions),
    }))
}

/// What was sold, as it is now.
pub async fn commerce(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Commerce> {
    let row = sqlx::query!(
        r#"select sales as "sales!", holds as "holds!", held_units as "held_units!", orders as "orders!",
                  paid_orders as "paid_orders!", sold_units as "sold_units!", revenue_minor as "revenue_minor!"
             from stream_commerce where stream_id = $1"#,
        stream.0
    )
    .fetch_one(conn)
    .await?;
    Ok(Commerce {
        sales: unsigned(row.sales),
        holds: unsigned(row.holds),
        held_units: unsigned(row.held_units),
        orders: unsigned(row.orders),
        paid_orders: unsigned(row.paid_orders),
        sold_units: unsigned(row.sold_units),
        revenue_minor: sums(row.revenue_minor),
    })
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A JSON object of whole numbers, as the functions of the schema make them.
fn sums<T: serde::de::DeserializeOwned>(value: Value) -> BTreeMap<String, T> {
    serde_json::from_value(value).unwrap_or_default()
}

/// Shows that nobody has counted.
pub async fn unsummarised(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<StreamId>> {
    sqlx::query_scalar!(
        r#"select id as "id: StreamId" from streams
            where status = 'ended' and not summarised and ended_at < now() - make_interval(secs => $1)
            order by ended_at limit $2"#,
        LEFT_BEHIND_SECONDS,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Counts a show that is over; false when that is done already.
pub async fn summarise(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select summarise_show($1) as "done!""#, stream.0)
        .fetch_one(conn)
        .await
}

/// Forgets who was in shows that are counted, so many rows at most.
pub async fn delete_attendance(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from stream_attendance where (stream_id, person_id) in (
             select a.stream_id, a.person_id from stream_attendance a join streams s on s.id = a.stream_id
              where s.summarised limit $1 for update of a skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

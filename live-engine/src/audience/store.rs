//! The SQL of who watches, and of what a show came to.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use shared::ids::StreamId;
use shared::protocol::{Audience, Commerce, ShowSummary};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Minute, Sample};
use crate::types::Attendee;

fn whole<T: TryInto<i32>>(count: T) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

/// Adds to rooms' minutes, and notes peaks and hosts with the shows. In key order, so that
/// two nodes cannot lock each other out.
pub(super) async fn add_minutes(conn: &mut PgConnection, minutes: &HashMap<Minute, Sample>) -> Result<(), sqlx::Error> {
    let (mut streams, mut times, mut peaks, mut people) = (vec![], vec![], vec![], vec![]);
    let (mut samples, mut sums, mut hosts) = (vec![], vec![], vec![]);
    for ((stream, minute), sample) in minutes {
        streams.push(stream.0);
        times.push(*minute);
        peaks.push(whole(sample.peak));
        people.push(whole(sample.peak_people));
        samples.push(whole(sample.samples));
        sums.push(i64::try_from(sample.viewers_sum).unwrap_or(i64::MAX));
        hosts.push(sample.has_host);
    }
    sqlx::query!(
        "insert into stream_viewers as v (stream_id, minute, peak, peak_people, samples, viewers_sum)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::int[], $5::int[], $6::bigint[])
          order by 1, 2
         on conflict (stream_id, minute) do update
            set peak = greatest(v.peak, excluded.peak), peak_people = greatest(v.peak_people, excluded.peak_people),
                samples = v.samples + excluded.samples, viewers_sum = v.viewers_sum + excluded.viewers_sum",
        &streams,
        &times,
        &peaks,
        &people,
        &samples,
        &sums
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "with seen as (
             select t.id, max(t.peak) as peak, bool_or(t.host) as host
               from unnest($1::uuid[], $2::int[], $3::bool[]) as t (id, peak, host) group by t.id
         ), news as (
             select s.id, n.peak, n.host from streams s join seen n on n.id = s.id
              where s.peak_viewers < n.peak
                 or n.host and (s.host_seen_at is null or s.host_seen_at < now() - interval '30 seconds')
              order by s.id for no key update of s
         )
         update streams s
            set peak_viewers = greatest(s.peak_viewers, n.peak),
                host_seen_at = case when n.host then now() else s.host_seen_at end
           from news n where s.id = n.id",
        &streams,
        &peaks,
        &hosts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes who was there, each once.
pub(super) async fn add_people(conn: &mut PgConnection, people: &[(StreamId, Attendee)]) -> Result<(), sqlx::Error> {
    let streams: Vec<Uuid> = people.iter().map(|(stream, _)| stream.0).collect();
    let persons: Vec<Uuid> = people.iter().map(|(_, attendee)| attendee.person).collect();
    let accounts: Vec<bool> = people.iter().map(|(_, attendee)| attendee.account).collect();
    sqlx::query!(
        "insert into stream_attendance (stream_id, person_id, account)
         select * from unnest($1::uuid[], $2::uuid[], $3::bool[]) order by 1, 2
         on conflict (stream_id, person_id) do nothing",
        &streams,
        &persons,
        &accounts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts a show that is over; false when that is done already.
pub(super) async fn summarise(conn: &mut PgConnection, stream: StreamId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select summarise_show($1) as "done!""#, stream.0)
        .fetch_one(conn)
        .await
}

/// What a show came to, once it is counted.
pub(super) async fn summary(conn: &mut PgConnection, stream: StreamId) -> Result<Option<ShowSummary>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.started_at as "started_at!", s.ended_at as "ended_at!", t.peak_viewers, t.average_viewers,
                  t.accounts, t.guests, t.chat_messages, t.chatters, t.reactions,
                  c.sales as "sales!", c.holds as "holds!", c.held_units as "held_units!", c.orders as "orders!",
                  c.paid_orders as "paid_orders!", c.sold_units as "sold_units!", c.revenue_minor as "revenue_minor!"
             from streams s
             join stream_summaries t on t.stream_id = s.id
             join stream_commerce c on c.stream_id = s.id
            where s.id = $1"#,
        stream.0
    )
    .fetch_optional(conn)
    .await?;
    let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(row.map(|row| ShowSummary {
        stream,
        started_at: row.started_at.timestamp_millis(),
        ended_at: row.ended_at.timestamp_millis(),
        audience: Audience {
            peak_viewers: unsigned(row.peak_viewers.into()),
            average_viewers: unsigned(row.average_viewers.into()),
            accounts: unsigned(row.accounts),
            guests: unsigned(row.guests),
            chat_messages: unsigned(row.chat_messages),
            chatters: unsigned(row.chatters),
            reactions: sums(row.reactions),
        },
        commerce: Commerce {
            sales: unsigned(row.sales),
            holds: unsigned(row.holds),
            held_units: unsigned(row.held_units),
            orders: unsigned(row.orders),
            paid_orders: unsigned(row.paid_orders),
            sold_units: unsigned(row.sold_units),
            revenue_minor: sums(row.revenue_minor),
        },
    }))
}

/// A JSON object of whole numbers, as the schema's functions make them.
fn sums<T: serde::de::DeserializeOwned>(value: Value) -> BTreeMap<String, T> {
    serde_json::from_value(value).unwrap_or_default()
}

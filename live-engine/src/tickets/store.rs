//! The SQL of spent tickets.

use std::collections::HashMap;

use shared::ids::SellerId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Asked;

/// A ticket that nobody had spent before, and its bearer's standing.
pub(super) struct Spent {
    /// Whose show it is for; none: there is no such show.
    pub(super) seller: Option<SellerId>,
    pub(super) suspended: bool,
    pub(super) signed_out: bool,
    pub(super) banned: bool,
    /// Why they are banned.
    pub(super) reason: String,
    /// For how long, in ms; none: for good.
    pub(super) left_ms: Option<i64>,
}

/// Spends tickets; those that nobody had spent before.
pub(super) async fn spend(conn: &mut PgConnection, asked: &[Asked]) -> Result<HashMap<Uuid, Spent>, sqlx::Error> {
    let column = |of: fn(&Asked) -> Option<Uuid>| -> Vec<Option<Uuid>> { asked.iter().map(of).collect() };
    let ids: Vec<_> = asked.iter().map(|ticket| ticket.id).collect();
    let expiries: Vec<_> = asked.iter().map(|ticket| ticket.expires_at).collect();
    let streams: Vec<_> = asked.iter().map(|ticket| ticket.stream.0).collect();
    let rows = sqlx::query!(
        r#"with asked as (
             select * from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[])
                      as t (id, expires_at, stream_id, user_id, guest_id, session_id)),
           spent as (
             insert into spent_tickets (id, expires_at) select id, expires_at from asked order by id
             on conflict (id) do nothing returning id)
           select a.id as "id!", s.seller_id as "seller?: SellerId",
                  u.suspended_at is not null as "suspended!", t.revoked_at is not null as "signed_out!",
                  b.id is not null as "banned!", coalesce(b.reason, '') as "reason!",
                  (extract(epoch from b.until - now()) * 1000)::bigint as left_ms
             from spent join asked a on a.id = spent.id
             left join streams s on s.id = a.stream_id
             left join users u on u.id = a.user_id
             left join refresh_tokens t on t.id = a.session_id
             left join banned_viewers b on b.seller_id = s.seller_id and (b.until is null or b.until > now())
                                       and (b.user_id = a.user_id or b.guest_id = a.guest_id)"#,
        &ids,
        &expiries,
        &streams,
        &column(|ticket| ticket.user.map(|user| user.0)) as &[Option<Uuid>],
        &column(|ticket| ticket.guest.map(|guest| guest.0)) as &[Option<Uuid>],
        &column(|ticket| ticket.session) as &[Option<Uuid>]
    )
    .fetch_all(conn)
    .await?;
    let spent = rows.into_iter().map(|row| {
        let spent = Spent {
            seller: row.seller,
            suspended: row.suspended,
            signed_out: row.signed_out,
            banned: row.banned,
            reason: row.reason,
            left_ms: row.left_ms,
        };
        (row.id, spent)
    });
    Ok(spent.collect())
}

/// Forgets ids whose tickets are refused for their age anyway, clocks a minute apart included.
pub(super) async fn forget_expired(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from spent_tickets where expires_at < now() - interval '2 minutes'")
        .execute(conn)
        .await?;
    Ok(())
}

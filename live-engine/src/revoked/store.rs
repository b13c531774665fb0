//! Reading `revocations`.

use shared::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

/// A row, and where the reading stands.
pub(super) struct RevocationRow {
    /// The oldest transaction under way: everything before it is in this reading.
    pub(super) horizon: String,
    pub(super) id: Option<Uuid>,
    pub(super) xid: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) user_id: Option<Uuid>,
    pub(super) session_id: Option<Uuid>,
    pub(super) seller_id: Option<Uuid>,
    pub(super) guest_id: Option<Uuid>,
    pub(super) in_force: Option<bool>,
    /// How long it is in force, in ms from now by the database's clock.
    pub(super) left_ms: Option<i64>,
    pub(super) reason: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    /// How old it is, in ms.
    pub(super) age_ms: Option<i64>,
}

/// Rows after the place `(xid, id)` that are not older than `seconds`. One row without an
/// id when there is none.
pub(super) async fn after(
    conn: &mut PgConnection,
    place: &(String, Uuid),
    seconds: i32,
    limit: i64,
) -> Result<Vec<RevocationRow>, sqlx::Error> {
    sqlx::query_as!(
        RevocationRow,
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text as "horizon!", r.id as "id?", r.xid::text as "xid?",
                  r.subject as "subject?", r.user_id as "user_id?", r.session_id as "session_id?",
                  r.seller_id as "seller_id?", r.guest_id as "guest_id?", r.in_force as "in_force?",
                  (extract(epoch from r.until - clock_timestamp()) * 1000)::bigint as "left_ms?",
                  r.reason as "reason?", r.created_at as "created_at?",
                  (extract(epoch from clock_timestamp() - r.created_at) * 1000)::bigint as "age_ms?"
             from (select 1) one
             left join lateral (
                select * from revocations
                 where (xid, id) > ($1::text::xid8, $2::uuid) and created_at > now() - make_interval(secs => $3)
                 order by xid, id limit $4) r on true
            order by r.xid, r.id"#,
        place.0,
        place.1,
        f64::from(seconds),
        limit
    )
    .fetch_all(conn)
    .await
}

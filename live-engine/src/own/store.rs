//! The SQL of what people have open.

use shared::ids::{OrderId, ReservationId, SaleId, StreamId, UserId};
use shared::protocol::Waiting;
use shared::status::{ReservationStatus, WaitStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::room::store::load::hold;
use crate::types::Own;

/// What each of these people has open in a show, in their order.
///
/// # Errors
/// When the database fails.
pub async fn open_business(conn: &mut PgConnection, people: &[(UserId, StreamId)]) -> Result<Vec<Own>, sqlx::Error> {
    let (users, streams): (Vec<Uuid>, Vec<Uuid>) = people.iter().map(|(user, stream)| (user.0, stream.0)).unzip();
    let mut owns = vec![Own::default(); people.len()];
    let holds = sqlx::query!(
        r#"select t.place as "place!", r.id as "id: ReservationId", r.sale_id as "sale: SaleId", r.quantity,
                  r.expires_at, r.status as "status: ReservationStatus", r.origin = 'line' as "offered!"
             from unnest($1::uuid[], $2::uuid[]) with ordinality as t (user_id, stream_id, place)
             join reservations r on r.user_id = t.user_id
              and (r.status = 'paying' or (r.status = 'held' and r.expires_at > now()))
             join flash_sales s on s.id = r.sale_id and s.stream_id = t.stream_id
            order by r.id"#,
        &users,
        &streams
    )
    .fetch_all(&mut *conn)
    .await?;
    for row in holds {
        if let Some(own) = nth(&mut owns, row.place) {
            own.reservations.push(hold(
                row.id,
                row.sale,
                row.quantity,
                row.status,
                row.expires_at,
                row.offered,
            ));
        }
    }
    let waiting = sqlx::query!(
        r#"select t.place as "place!", w.sale_id as "sale: SaleId", w.quantity, w.position as "position!"
             from (select w.id, w.sale_id, s.stream_id, w.user_id, w.quantity,
                          row_number() over (partition by w.sale_id order by w.place) as position
                     from flash_sales s join reservation_waitlist w on w.sale_id = s.id and w.status = 'waiting'
                    where s.stream_id = any($2) and s.status = 'open' and s.waiting > 0) w
             join unnest($1::uuid[], $2::uuid[]) with ordinality as t (user_id, stream_id, place)
               on t.user_id = w.user_id and t.stream_id = w.stream_id
            order by w.id"#,
        &users,
        &streams
    )
    .fetch_all(&mut *conn)
    .await?;
    for row in waiting {
        if let Some(own) = nth(&mut owns, row.place) {
            own.waiting.push(Waiting {
                sale: row.sale,
                quantity: u32::try_from(row.quantity).unwrap_or(0),
                status: WaitStatus::Waiting,
                position: u32::try_from(row.position).unwrap_or(u32::MAX),
            });
        }
    }
    let orders = sqlx::query!(
        r#"select t.place as "place!", o.id as "id: OrderId"
             from unnest($1::uuid[], $2::uuid[]) with ordinality as t (user_id, stream_id, place)
             join orders o on o.user_id = t.user_id and o.stream_id = t.stream_id
              and o.status = 'pending_payment' and o.expires_at > now()
            order by o.id"#,
        &users,
        &streams
    )
    .fetch_all(conn)
    .await?;
    for row in orders {
        if let Some(own) = nth(&mut owns, row.place) {
            own.orders.push(row.id);
        }
    }
    Ok(owns)
}

/// Places are counted from one.
fn nth(owns: &mut [Own], place: i64) -> Option<&mut Own> {
    let index = usize::try_from(place).ok()?.checked_sub(1)?;
    owns.get_mut(index)
}

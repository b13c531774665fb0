//! SQL of `shipments` and `shipment_items`, and of what they count in `order_items`.

use std::collections::HashMap;

use shared::Timestamp;
use shared::ids::{OrderId, OrderItemId, SellerId, ShipmentId, UserId};
use shared::status::OrderStatus;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{DeliveredBy, Left, Shipment, ShippedItem};

struct Row {
    id: ShipmentId,
    order_id: OrderId,
    seller_id: SellerId,
    carrier: String,
    tracking: String,
    items: Json<Vec<ShippedItem>>,
    shipped_at: Timestamp,
    delivered_at: Option<Timestamp>,
    delivered_by: Option<DeliveredBy>,
}

impl From<Row> for Shipment {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            order_id: row.order_id,
            seller_id: row.seller_id,
            carrier: row.carrier,
            tracking: row.tracking,
            items: row.items.0,
            shipped_at: row.shipped_at,
            delivered_at: row.delivered_at,
            delivered_by: row.delivered_by,
        }
    }
}

/// The parcels of these orders, of one shop where one is given, oldest first.
pub async fn of_orders(
    conn: &mut PgConnection,
    orders: &[Uuid],
    seller: Option<SellerId>,
) -> sqlx::Result<HashMap<OrderId, Vec<Shipment>>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select s.id as "id: ShipmentId", s.order_id as "order_id: OrderId", s.seller_id as "seller_id: SellerId",
                  s.carrier, s.tracking, s.shipped_at, s.delivered_at, s.delivered_by as "delivered_by: DeliveredBy",
                  (select coalesce(jsonb_agg(jsonb_build_object('order_item_id', i.order_item_id, 'quantity', i.quantity)
                                             order by i.order_item_id), '[]')
                     from shipment_items i where i.shipment_id = s.id) as "items!: Json<Vec<ShippedItem>>"
             from shipments s where s.order_id = any($1) and ($2::uuid is null or s.seller_id = $2) order by s.id"#,
        orders,
        seller.map(|seller| seller.0)
    )
    .fetch_all(conn)
    .await?;
    let mut shipments: HashMap<OrderId, Vec<Shipment>> = HashMap::new();
    for row in rows {
        shipments.entry(row.order_id).or_default().push(row.into());
    }
    Ok(shipments)
}

/// A parcel of this shop's.
pub async fn get(conn: &mut PgConnection, id: ShipmentId, seller: SellerId) -> sqlx::Result<Option<Shipment>> {
    let row = sqlx::query_as!(
        Row,
        r#"select s.id as "id: ShipmentId", s.order_id as "order_id: OrderId", s.seller_id as "seller_id: SellerId",
                  s.carrier, s.tracking, s.shipped_at, s.delivered_at, s.delivered_by as "delivered_by: DeliveredBy",
                  (select coalesce(jsonb_agg(jsonb_build_object('order_item_id', i.order_item_id, 'quantity', i.quantity)
                                             order by i.order_item_id), '[]')
                     from shipment_items i where i.shipment_id = s.id) as "items!: Json<Vec<ShippedItem>>"
             from shipments s where s.id = $1 and s.seller_id = $2"#,
        id.0,
        seller.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// What is left of a shop's lines in a locked order.
pub async fn left(conn: &mut PgConnection, order: OrderId, seller: SellerId) -> sqlx::Result<Vec<Left>> {
    sqlx::query_as!(
        Left,
        r#"select id as "item: OrderItemId", quantity - cancelled - shipped as "units!"
             from order_items where order_id = $1 and seller_id = $2 order by id"#,
        order.0,
        seller.0
    )
    .fetch_all(conn)
    .await
}

/// A parcel to be written.
pub struct NewRow<'a> {
    pub id: ShipmentId,
    pub order: OrderId,
    pub seller: SellerId,
    pub carrier: &'a str,
    pub tracking: &'a str,
    pub items: &'a [ShippedItem],
}

/// Writes a parcel and counts its units as sent; false: another one of the carrier's has
/// its number.
pub async fn insert(conn: &mut PgConnection, new: &NewRow<'_>) -> sqlx::Result<bool> {
    let items: Vec<Uuid> = new.items.iter().map(|item| item.order_item_id.0).collect();
    let quantities: Vec<i32> = new.items.iter().map(|item| item.quantity).collect();
    let done = sqlx::query!(
        "with parcel as (
             insert into shipments (id, order_id, seller_id, carrier, tracking, tracking_since, shipped_at)
             values ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp())
             on conflict (carrier, tracking) where tracking <> '' do nothing returning id
         ), units as (
             insert into shipment_items (shipment_id, order_item_id, quantity)
             select p.id, t.item, t.quantity from parcel p, unnest($6::uuid[], $7::int[]) t (item, quantity)
             returning order_item_id, quantity
         )
         update order_items i set shipped = i.shipped + u.quantity
           from units u where i.id = u.order_item_id and i.order_id = $2 and i.seller_id = $3",
        new.id.0,
        new.order.0,
        new.seller.0,
        new.carrier,
        new.tracking,
        &items,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == new.items.len() as u64)
}

/// What became of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changed {
    Done,
    /// The parcel has arrived, or is none of the shop's.
    Closed,
    /// Another parcel of the carrier's has the number.
    Taken,
}

/// Changes what a parcel on its way is called by.
pub async fn change(
    conn: &mut PgConnection,
    id: ShipmentId,
    seller: SellerId,
    carrier: Option<&str>,
    tracking: Option<&str>,
) -> sqlx::Result<Changed> {
    let done = sqlx::query!(
        "update shipments
            set carrier = coalesce($3, carrier), tracking = coalesce($4, tracking),
                tracking_since = case when (coalesce($3, carrier), coalesce($4, tracking)) = (carrier, tracking)
                                      then tracking_since else clock_timestamp() end
          where id = $1 and seller_id = $2 and delivered_at is null",
        id.0,
        seller.0,
        carrier,
        tracking
    )
    .execute(conn)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(Changed::Done),
        Ok(_) => Ok(Changed::Closed),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some("shipments_tracking_key") => Ok(Changed::Taken),
        Err(error) => Err(error),
    }
}

/// A parcel that has just arrived, and whose goods it had.
pub struct Arrived {
    pub id: ShipmentId,
    pub seller: SellerId,
    pub owner: UserId,
}

/// Marks parcels of a locked order as arrived, one or all that are on their way, and counts
/// their units. What had arrived before is left as it is.
pub async fn arrive(
    conn: &mut PgConnection,
    order: OrderId,
    only: Option<ShipmentId>,
    by: DeliveredBy,
) -> sqlx::Result<Vec<Arrived>> {
    sqlx::query_as!(
        Arrived,
        r#"with arrived as (
               update shipments set delivered_at = clock_timestamp(), delivered_by = $3
                where order_id = $1 and ($2::uuid is null or id = $2) and delivered_at is null
               returning id, seller_id
           ), units as (
               select u.order_item_id, sum(u.quantity) as quantity
                 from shipment_items u join arrived a on a.id = u.shipment_id group by u.order_item_id
           ), counted as (
               update order_items i set delivered = i.delivered + u.quantity
                 from units u where i.id = u.order_item_id
           )
           select a.id as "id: ShipmentId", a.seller_id as "seller: SellerId", s.user_id as "owner: UserId"
             from arrived a join sellers s on s.id = a.seller_id order by a.id"#,
        order.0,
        only.map(|id| id.0),
        by.as_str()
    )
    .fetch_all(conn)
    .await
}

/// Whether an order has a parcel: this one, or any.
pub async fn has_parcel(conn: &mut PgConnection, order: OrderId, only: Option<ShipmentId>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from shipments where order_id = $1 and ($2::uuid is null or id = $2)) as "e!""#,
        order.0,
        only.map(|id| id.0)
    )
    .fetch_one(conn)
    .await
}

/// A parcel by the number that its carrier gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tracked {
    pub id: ShipmentId,
    pub order: OrderId,
    /// Since when it is called so.
    pub since: Timestamp,
}

/// The parcel that a carrier calls so.
pub async fn by_tracking(conn: &mut PgConnection, carrier: &str, tracking: &str) -> sqlx::Result<Option<Tracked>> {
    sqlx::query_as!(
        Tracked,
        r#"select id as "id: ShipmentId", order_id as "order: OrderId", tracking_since as since from shipments
            where carrier = $1 and tracking = $2 and tracking <> ''"#,
        carrier,
        tracking
    )
    .fetch_optional(conn)
    .await
}

/// Orders of which something may be paid out from now on, not locked.
pub async fn releasable(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select i.order_id from order_items i
          where i.released_at is null and i.release_after <= clock_timestamp()
            and not earnings_are_disputed(i.order_id) and not has_open_return(i.id) and not has_open_claim(i.id)
          group by i.order_id order by min(i.release_after) limit $1",
        limit
    )
    .fetch_all(conn)
    .await
}

/// Locks orders of which something may be paid out from now on, at most `limit`, or one of
/// them alone. Whoever else is at one of them is not waited for.
pub async fn lock_releasable(
    conn: &mut PgConnection,
    only: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<(OrderId, OrderStatus)>> {
    let rows = sqlx::query!(
        r#"select o.id as "id: OrderId", o.status as "status: OrderStatus"
             from orders o
            where o.id in (select i.order_id from order_items i
                            where i.released_at is null and i.release_after <= clock_timestamp()
                              and ($2::uuid is null or i.order_id = $2)
                              and not earnings_are_disputed(i.order_id)
                              and not has_open_return(i.id) and not has_open_claim(i.id)
                            order by i.release_after limit $1)
            order by o.id for no key update of o skip locked"#,
        limit,
        only
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.status)).collect())
}

/// Releases what lines of locked orders earned, where it is time and nothing is open. A
/// return, claim or dispute may have been opened before the lock was ours: so it is asked again.
pub async fn release(conn: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<OrderItemId>> {
    sqlx::query_scalar!(
        r#"update order_items i set released_at = clock_timestamp()
            where i.order_id = any($1) and i.released_at is null and i.release_after <= clock_timestamp()
              and not earnings_are_disputed(i.order_id) and not has_open_return(i.id) and not has_open_claim(i.id)
           returning i.id as "id: OrderItemId""#,
        orders
    )
    .fetch_all(conn)
    .await
}

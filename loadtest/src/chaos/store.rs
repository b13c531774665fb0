//! What the database holds after all: all SQL of the checker. Everything in it came from
//! the run, so nothing is filtered by whose it is.

use serde_json::Value;
use shared::ids::{
    CheckoutId, MessageId, OrderId, PaymentId, ProductId, RequestId, ReservationId, SaleId, UserId, VariantId,
};
use sqlx::{PgConnection, PgPool};

/// A stored message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The epoch.
    pub epoch: i64,
    /// The seq.
    pub seq: i64,
    /// Its id.
    pub id: MessageId,
    /// Its author.
    pub user: UserId,
    /// The author's name for it.
    pub request: RequestId,
    /// What was said.
    pub text: String,
}

/// A stored event other than chat.
#[derive(Clone, Debug)]
pub struct Event {
    /// The epoch.
    pub epoch: i64,
    /// The seq.
    pub seq: i64,
    /// As it was sent.
    pub payload: Value,
}

/// A stored hold.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Its id.
    pub id: ReservationId,
    /// The sale.
    pub sale: SaleId,
    /// The buyer.
    pub user: UserId,
    /// The buyer's name for it.
    pub request: RequestId,
    /// Units.
    pub quantity: i32,
    /// Its status.
    pub status: String,
}

/// A stored checkout.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// Its id.
    pub id: CheckoutId,
    /// Its status.
    pub status: String,
    /// What it costs now: lines that lapsed cost nothing.
    pub total_minor: i64,
}

/// A stored order.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Where it came from.
    pub checkout: CheckoutId,
    /// The buyer.
    pub user: UserId,
    /// Its status.
    pub status: String,
    /// What it costs.
    pub total_minor: i64,
}

/// A stored attempt to pay.
#[derive(Clone, Debug)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// What for.
    pub order: OrderId,
    /// Its status.
    pub status: String,
    /// How much.
    pub amount_minor: i64,
}

/// A stored flash sale.
#[derive(Clone, Debug)]
pub struct Sale {
    /// Its id.
    pub id: SaleId,
    /// Units.
    pub quantity: i32,
    /// Its status.
    pub status: String,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Chat.
    pub messages: Vec<Message>,
    /// Numbered events other than chat.
    pub events: Vec<Event>,
    /// Holds.
    pub holds: Vec<Hold>,
    /// Checkouts.
    pub checkouts: Vec<Checkout>,
    /// Orders.
    pub orders: Vec<Order>,
    /// Payments.
    pub payments: Vec<Payment>,
    /// Sales.
    pub sales: Vec<Sale>,
    /// Reactions of each kind.
    pub reactions: Vec<(String, i64)>,
    /// Prices.
    pub prices: Vec<(VariantId, i64)>,
    /// The sum and the number of the adjustments of each variant's stock.
    pub adjustments: Vec<(VariantId, i64, i64)>,
    /// What the show shows.
    pub featured: Option<ProductId>,
}

/// Reads everything in one snapshot.
///
/// # Errors
/// When the database fails.
pub async fn read(pool: &PgPool) -> Result<Stored, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query!("set transaction isolation level repeatable read, read only")
        .execute(&mut *tx)
        .await?;
    let mut stored = Stored::default();
    read_show(&mut tx, &mut stored).await?;
    read_trade(&mut tx, &mut stored).await?;
    read_shop(&mut tx, &mut stored).await?;
    tx.commit().await?;
    Ok(stored)
}

async fn read_show(conn: &mut PgConnection, stored: &mut Stored) -> Result<(), sqlx::Error> {
    stored.messages = sqlx::query_as!(
        Message,
        r#"select epoch, seq, id as "id: MessageId", user_id as "user: UserId",
                  request_id as "request!: RequestId", text
             from stream_chat_messages order by stream_id, epoch, seq"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.events = sqlx::query_as!(
        Event,
        "select epoch, seq, payload from stream_events order by stream_id, epoch, seq"
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.holds = sqlx::query_as!(
        Hold,
        r#"select id as "id: ReservationId", sale_id as "sale: SaleId", user_id as "user: UserId",
                  request_id as "request: RequestId", quantity, status
             from reservations order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.sales = sqlx::query_as!(
        Sale,
        r#"select id as "id: SaleId", quantity, status from flash_sales order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let reactions = sqlx::query!(
        r#"select kind, sum(count)::bigint as "count!" from stream_reactions group by kind order by kind"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.reactions = reactions.into_iter().map(|row| (row.kind, row.count)).collect();
    Ok(())
}

async fn read_trade(conn: &mut PgConnection, stored: &mut Stored) -> Result<(), sqlx::Error> {
    stored.checkouts = sqlx::query_as!(
        Checkout,
        r#"select id as "id: CheckoutId", status, total_minor from checkouts order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.orders = sqlx::query_as!(
        Order,
        r#"select id as "id: OrderId", checkout_id as "checkout: CheckoutId", user_id as "user: UserId",
                  status, total_minor
             from orders order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.payments = sqlx::query_as!(
        Payment,
        r#"select id as "id: PaymentId", order_id as "order: OrderId", status, amount_minor
             from payments order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    Ok(())
}

async fn read_shop(conn: &mut PgConnection, stored: &mut Stored) -> Result<(), sqlx::Error> {
    let prices = sqlx::query!(r#"select id as "id: VariantId", price_minor from product_variants order by id"#)
        .fetch_all(&mut *conn)
        .await?;
    stored.prices = prices.into_iter().map(|row| (row.id, row.price_minor)).collect();
    let adjustments = sqlx::query!(
        r#"select variant_id as "variant: VariantId", sum(on_hand)::bigint as "sum!", count(*) as "count!"
             from inventory_movements where reason = 'adjustment' group by variant_id order by variant_id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.adjustments = adjustments
        .into_iter()
        .map(|row| (row.variant, row.sum, row.count))
        .collect();
    stored.featured = sqlx::query_scalar!(r#"select featured_product_id as "id: ProductId" from streams"#)
        .fetch_one(&mut *conn)
        .await?;
    Ok(())
}

/// Payments that have no outcome yet.
///
/// # Errors
/// When the database fails.
pub async fn unsettled_payments(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from payments where status in ('created', 'processing', 'requires_action')"#
    )
    .fetch_one(pool)
    .await
}

/// Makes an account an administrator, as `hawker admin create` does.
///
/// # Errors
/// When the database fails.
pub async fn make_admin(pool: &PgPool, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!("update users set role = 'admin' where id = $1", user.0)
        .execute(pool)
        .await?;
    Ok(())
}

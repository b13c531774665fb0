//! What the database holds after all: all SQL of the checker. Everything in it came from
//! the run, so nothing is filtered by whose it is.

use serde_json::Value;
use shared::ids::{
    CheckoutId, MessageId, OrderId, PaymentId, ProductId, RequestId, ReservationId, SaleId, StreamId, UserId, VariantId,
};
use shared::protocol::Position;
use sqlx::{PgConnection, PgPool};

/// A stored message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The show.
    pub stream: StreamId,
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
    /// The show.
    pub stream: StreamId,
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
    /// What it was asked by, or that it came down the line.
    pub origin: String,
}

/// A stored place in line.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its id, and that of the hold that it became.
    pub id: ReservationId,
    /// Whose.
    pub user: UserId,
    /// Their name for it.
    pub request: RequestId,
    /// The sale.
    pub sale: SaleId,
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
    /// Places in line.
    pub places: Vec<Place>,
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
    /// The epoch of whoever has the show's room now.
    pub epoch: i64,
    /// Every show with its status.
    pub shows: Vec<(StreamId, String)>,
    /// What the show shows.
    pub featured: Option<ProductId>,
    /// The longest message.
    pub max_chars: i32,
    /// The pinned message.
    pub pinned: Option<MessageId>,
    /// Deleted messages.
    pub deleted: Vec<MessageId>,
    /// Who may not chat.
    pub muted: Vec<UserId>,
    /// Who may not come in.
    pub banned: Vec<UserId>,
}

/// Reads everything in one snapshot.
///
/// # Errors
/// When the database fails.
pub async fn read(pool: &PgPool, stream: StreamId) -> Result<Stored, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query!("set transaction isolation level repeatable read, read only")
        .execute(&mut *tx)
        .await?;
    let mut stored = Stored::default();
    read_chat(&mut tx, &mut stored).await?;
    read_sales(&mut tx, &mut stored).await?;
    read_show(&mut tx, &mut stored, stream).await?;
    read_trade(&mut tx, &mut stored).await?;
    read_shop(&mut tx, &mut stored).await?;
    tx.commit().await?;
    Ok(stored)
}

async fn read_chat(conn: &mut PgConnection, stored: &mut Stored) -> Result<(), sqlx::Error> {
    stored.messages = sqlx::query_as!(
        Message,
        r#"select stream_id as "stream: StreamId", epoch, seq, id as "id: MessageId", user_id as "user: UserId",
                  request_id as "request!: RequestId", text
             from stream_chat_messages order by stream_id, epoch, seq"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.events = sqlx::query_as!(
        Event,
        r#"select stream_id as "stream: StreamId", epoch, seq, payload from stream_events
            order by stream_id, epoch, seq"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let reactions = sqlx::query!(
        r#"select kind, sum(count)::bigint as "count!" from stream_reactions group by kind order by kind"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.reactions = reactions.into_iter().map(|row| (row.kind, row.count)).collect();
    stored.deleted =
        sqlx::query_scalar!(r#"select id as "id: MessageId" from stream_chat_messages where deleted_at is not null"#)
            .fetch_all(&mut *conn)
            .await?;
    Ok(())
}

async fn read_sales(conn: &mut PgConnection, stored: &mut Stored) -> Result<(), sqlx::Error> {
    stored.holds = sqlx::query_as!(
        Hold,
        r#"select id as "id: ReservationId", sale_id as "sale: SaleId", user_id as "user: UserId",
                  request_id as "request: RequestId", quantity, status, origin
             from reservations order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.places = sqlx::query_as!(
        Place,
        r#"select id as "id: ReservationId", user_id as "user: UserId", request_id as "request: RequestId",
                  sale_id as "sale: SaleId", quantity, status
             from reservation_waitlist order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.sales = sqlx::query_as!(
        Sale,
        r#"select id as "id: SaleId", quantity, status from flash_sales order by id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    Ok(())
}

async fn read_show(conn: &mut PgConnection, stored: &mut Stored, stream: StreamId) -> Result<(), sqlx::Error> {
    let shows = sqlx::query!(r#"select id as "id: StreamId", status from streams order by id"#)
        .fetch_all(&mut *conn)
        .await?;
    stored.shows = shows.into_iter().map(|row| (row.id, row.status)).collect();
    let show = sqlx::query!(
        r#"select s.featured_product_id as "featured: ProductId", s.chat_max_chars,
                  (select m.id from stream_chat_messages m
                    where m.id = s.pinned_message_id and m.deleted_at is null) as "pinned: MessageId", l.epoch
             from streams s join room_leases l on l.stream_id = s.id where s.id = $1"#,
        stream.0
    )
    .fetch_one(&mut *conn)
    .await?;
    (stored.featured, stored.max_chars, stored.pinned) = (show.featured, show.chat_max_chars, show.pinned);
    stored.epoch = show.epoch;
    stored.muted = sqlx::query_scalar!(
        r#"select user_id as "id: UserId" from muted_viewers where stream_id = $1 and until > now()"#,
        stream.0
    )
    .fetch_all(&mut *conn)
    .await?;
    stored.banned =
        sqlx::query_scalar!(r#"select user_id as "id!: UserId" from banned_viewers where user_id is not null"#)
            .fetch_all(&mut *conn)
            .await?;
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
    Ok(())
}

/// How far a room has come with what it owes.
#[derive(Clone, Copy, Debug)]
pub struct Owed {
    /// Outbox rows that it has not told.
    pub untold: i64,
    /// The last number that is stored of its owner's epoch.
    pub stored: Position,
    /// Reactions of the kind that was asked about.
    pub reactions: i64,
}

/// What a show's room owes, and how many reactions of `kind` it has stored.
///
/// # Errors
/// When the database fails.
pub async fn owed(pool: &PgPool, stream: StreamId, kind: &str) -> Result<Owed, sqlx::Error> {
    let row = sqlx::query!(
        r#"select l.epoch,
                  (select count(*) from outbox o where o.stream_id = $1 and o.delivered_at is null) as "untold!",
                  greatest((select coalesce(max(m.seq), 0) from stream_chat_messages m
                             where m.stream_id = $1 and m.epoch = l.epoch),
                           (select coalesce(max(e.seq), 0) from stream_events e
                             where e.stream_id = $1 and e.epoch = l.epoch)) as "seq!",
                  (select coalesce(sum(r.count), 0)::bigint from stream_reactions r
                    where r.stream_id = $1 and r.kind = $2) as "reactions!"
             from room_leases l where l.stream_id = $1"#,
        stream.0,
        kind
    )
    .fetch_one(pool)
    .await?;
    Ok(Owed {
        untold: row.untold,
        stored: Position {
            epoch: row.epoch,
            seq: u64::try_from(row.seq).unwrap_or(0),
        },
        reactions: row.reactions,
    })
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

//! What the database holds of one show: all SQL of the audit.

use serde_json::Value;
use shared::ids::{MessageId, OrderId, RequestId, ReservationId, SaleId, StreamId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

/// A stored chat message.
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
    pub request_id: RequestId,
    /// What was said.
    pub text: String,
}

/// A stored event other than chat.
pub struct Event {
    /// The epoch.
    pub epoch: i64,
    /// The seq.
    pub seq: i64,
    /// As it was sent.
    pub payload: Value,
}

/// A stored hold.
#[derive(Clone)]
pub struct Hold {
    /// Its id.
    pub id: ReservationId,
    /// The sale.
    pub sale: SaleId,
    /// The buyer.
    pub user: UserId,
    /// The buyer's name for it.
    pub request_id: RequestId,
    /// Units.
    pub quantity: i32,
    /// Its status.
    pub status: String,
}

/// A stored order.
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Its status.
    pub status: String,
    /// What it costs.
    pub total_minor: i64,
    /// What was captured for it.
    pub captured_minor: i64,
    /// The holds it came from.
    pub reservations: Vec<Uuid>,
}

/// What a show moved on one account of the ledger.
pub struct Account {
    /// The account's kind.
    pub kind: String,
    /// The shop, for a seller's account.
    pub shop: Option<String>,
    /// The currency.
    pub currency: String,
    /// Debits less credits.
    pub balance_minor: i64,
}

/// A show's chat.
pub async fn messages(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<Message>, sqlx::Error> {
    sqlx::query_as!(
        Message,
        r#"select epoch, seq, id as "id: MessageId", user_id as "user: UserId",
                  coalesce(request_id, id) as "request_id!: RequestId", text
             from stream_chat_messages where stream_id = $1"#,
        stream.0
    )
    .fetch_all(conn)
    .await
}

/// A show's other numbered events.
pub async fn events(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<Event>, sqlx::Error> {
    sqlx::query_as!(
        Event,
        "select epoch, seq, payload from stream_events where stream_id = $1",
        stream.0
    )
    .fetch_all(conn)
    .await
}

/// All holds of a show's sales.
pub async fn holds(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<Hold>, sqlx::Error> {
    sqlx::query_as!(
        Hold,
        r#"select r.id as "id: ReservationId", r.sale_id as "sale: SaleId", r.user_id as "user: UserId",
                  r.request_id as "request_id: RequestId", r.quantity, r.status
             from reservations r join flash_sales s on s.id = r.sale_id
            where s.stream_id = $1"#,
        stream.0
    )
    .fetch_all(conn)
    .await
}

/// All orders of a show.
pub async fn orders(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<Order>, sqlx::Error> {
    sqlx::query_as!(
        Order,
        r#"select o.id as "id: OrderId", o.user_id as "user: UserId", o.status, o.total_minor,
                  (select coalesce(sum(p.amount_minor), 0)::bigint from payments p
                    where p.order_id = o.id and p.status = 'captured') as "captured_minor!",
                  (select coalesce(array_agg(i.reservation_id), '{}') from order_items i
                    where i.order_id = o.id and i.reservation_id is not null) as "reservations!: Vec<Uuid>"
             from orders o where o.stream_id = $1"#,
        stream.0
    )
    .fetch_all(conn)
    .await
}

/// What a show's payments moved, by account.
pub async fn ledger(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"select a.kind, max(s.shop_name) as shop, a.currency, sum(e.amount_minor)::bigint as "balance_minor!"
             from ledger_entries e
             join ledger_accounts a on a.id = e.account_id
             left join sellers s on s.id = a.seller_id
            where e.transaction_id in (
                    select t.id from ledger_transactions t join orders o on o.id = t.order_id where o.stream_id = $1)
            group by a.id
            order by a.kind, shop"#,
        stream.0
    )
    .fetch_all(conn)
    .await
}

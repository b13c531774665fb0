//! Reading what a room shows. Names join when read. Everything is read as it is now:
//! versions and idempotent notices put in order what commits in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::Timestamp;
use shared::ids::{MessageId, ProductId, ReservationId, SaleId, SellerId, StreamId, UserId, VariantId};
use shared::live::RoomNotice;
use shared::protocol::{
    Author, ChatMessage, ChatRules, LineUpCard, Muted, ProductCard, Quote, Reservation, SaleCard, StreamCard,
    VariantCard,
};
use shared::rights::Rights;
use shared::status::{ReservationStatus, SaleStatus, StreamStatus};
use shared::words::WordFilter;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::said::{self, Said};
use super::{chat, people};
use crate::db::Error;
use crate::room::state::ProductReading;

/// A room from its rows.
#[derive(Clone, PartialEq, Debug)]
pub struct LoadedRoom {
    /// The show.
    pub stream: StreamCard,
    /// Whose show it is.
    pub host: UserId,
    /// Whose shop's.
    pub seller: SellerId,
    /// Who moderates it, and what they may do.
    pub moderators: Vec<(UserId, Rights)>,
    /// Who may not chat in it.
    pub mutes: Vec<(UserId, Muted)>,
    /// The message pinned above its chat.
    pub pinned: Option<ChatMessage>,
    /// Since when the host's connection is lost, and how long that is; by the database's clock.
    pub host_away: Option<(Timestamp, Duration)>,
    /// Whether the host has ever been in the room.
    pub host_was_here: bool,
    /// The product shown.
    pub featured: Option<ProductCard>,
    /// The line-up's products that are on sale, in order.
    pub line_up: Vec<LineUpCard>,
    /// Sales that are open or about to, and those that closed while nobody had the room and
    /// that the log still says are open; with their earliest expiry.
    pub sales: Vec<(SaleCard, SaleStatus, Option<Timestamp>)>,
    /// The last messages, oldest first.
    pub chat: Vec<ChatMessage>,
    /// What holds for the chat.
    pub rules: ChatRules,
    /// The words that its shop does not want.
    pub filter: Arc<WordFilter>,
    /// What was said or held last, oldest first, by its author's name for the act.
    pub said: Vec<Said>,
    /// More was said before: what is older than this message.
    pub said_before: Option<MessageId>,
    /// The last of its commands that everything else was read with; what is newer may be
    /// in it too.
    pub command_no: i64,
    /// Undelivered outbox rows, oldest first.
    pub notices: Vec<(Uuid, RoomNotice)>,
}

/// Reads a room, with the last `messages` of its chat. None: no such stream.
///
/// # Errors
/// When the database fails.
pub async fn load_room(
    conn: &mut PgConnection,
    stream: StreamId,
    messages: usize,
) -> Result<Option<LoadedRoom>, Error> {
    let row = sqlx::query!(
        r#"select s.title, s.cover_url, s.status as "status: StreamStatus", s.scheduled_at, s.started_at, s.ended_at,
                  s.host_away_since,
                  (extract(epoch from clock_timestamp() - s.host_away_since) * 1000)::bigint as away_ms, s.host_seen_at is not null as "host_was_here!", s.command_no,
                  s.featured_product_id as "featured: ProductId", l.shop_name, l.user_id as "host: UserId",
                  l.id as "seller: SellerId"
             from streams s join sellers l on l.id = s.seller_id where s.id = $1"#,
        stream.0
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let featured = match row.featured {
        Some(product) => featured_card(conn, stream, product).await?,
        None => None,
    };
    let moderators = people::moderators(conn, stream).await?;
    let line_up = line_up(conn, stream).await?;
    let (chat, (said, said_before)) = lately(conn, stream, row.host, &moderators, messages).await?;
    Ok(Some(LoadedRoom {
        stream: StreamCard {
            id: stream,
            title: row.title,
            shop: row.shop_name,
            cover_url: row.cover_url,
            status: row.status,
            scheduled_at: row.scheduled_at.timestamp_millis(),
            started_at: row.started_at.map(|at| at.timestamp_millis()),
            ended_at: row.ended_at.map(|at| at.timestamp_millis()),
            host_away: None,
        },
        host: row.host,
        host_away: row
            .host_away_since
            .zip(row.away_ms)
            .map(|(since, ms)| (since, from_ms(ms))),
        host_was_here: row.host_was_here,
        command_no: row.command_no,
        featured,
        line_up,
        sales: shown_sales(conn, stream).await?,
        chat,
        pinned: pinned(conn, stream).await?,
        mutes: people::mutes(conn, stream).await?,
        moderators,
        rules: chat::rules(conn, stream).await?,
        filter: chat::words(conn, stream).await?,
        said,
        said_before,
        seller: row.seller,
        notices: notices(conn, stream).await?,
    }))
}

fn from_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The last messages, and the acts of those said lately. Read from the young end of their
/// indexes, whatever the planner believes: its statistics are a minute old, and in a show
/// that is taken over in that minute it would sort half a million messages.
async fn lately(
    conn: &mut PgConnection,
    stream: StreamId,
    host: UserId,
    moderators: &[(UserId, Rights)],
    messages: usize,
) -> Result<(Vec<ChatMessage>, (Vec<Said>, Option<MessageId>)), sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::query("set local enable_sort = off").execute(&mut *tx).await?;
    let last = last_messages(&mut tx, stream, host, moderators, messages).await?;
    let said = said::said_lately(&mut tx, stream).await?;
    tx.commit().await?;
    Ok((last, said))
}

async fn last_messages(
    conn: &mut PgConnection,
    stream: StreamId,
    host: UserId,
    moderators: &[(UserId, Rights)],
    count: usize,
) -> Result<Vec<ChatMessage>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select m.id as "id: MessageId", m.user_id as "user: UserId", m.text,
                  m.reply_to as "reply_to: MessageId", m.created_at, p.display_name as "name?",
                  q.user_id as "quoted_user?: UserId", q.text as "quoted_text?", coalesce(qp.display_name, '') as "quoted_name!"
             from stream_chat_messages m
             left join profiles p on p.user_id = m.user_id
             left join stream_chat_messages q
               on q.id = m.reply_to and q.stream_id = m.stream_id and q.deleted_at is null
             left join profiles qp on qp.user_id = q.user_id
            where m.stream_id = $1 and m.deleted_at is null order by m.epoch desc, m.seq desc limit $2"#,
        stream.0,
        i64::try_from(count).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await?;
    let message = rows.into_iter().rev().map(|row| ChatMessage {
        id: row.id,
        author: Author {
            id: row.user,
            name: row.name.unwrap_or_default(),
            host: row.user == host,
            moderator: moderators.iter().any(|(user, _)| *user == row.user),
        },
        text: row.text,
        reply_to: row.reply_to,
        quote: row
            .quoted_user
            .zip(row.quoted_text)
            .map(|(author, text)| Box::new(Quote::of(author, &row.quoted_name, &text))),
        at: row.created_at.timestamp_millis(),
    });
    Ok(message.collect())
}

/// The message pinned above a show's chat.
///
/// # Errors
/// When the database fails.
pub async fn pinned(conn: &mut PgConnection, stream: StreamId) -> Result<Option<ChatMessage>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select m.id as "id: MessageId", m.user_id as "user: UserId", m.text, m.reply_to as "reply_to: MessageId",
                  m.created_at, p.display_name as "name?", l.user_id = m.user_id as "host!",
                  moderator_rights(s.id, m.user_id) as "rights!",
                  q.user_id as "quoted_user?: UserId", q.text as "quoted_text?", coalesce(qp.display_name, '') as "quoted_name!"
             from streams s
             join sellers l on l.id = s.seller_id
             join stream_chat_messages m on m.id = s.pinned_message_id and m.deleted_at is null
             left join profiles p on p.user_id = m.user_id
             left join stream_chat_messages q
               on q.id = m.reply_to and q.stream_id = m.stream_id and q.deleted_at is null
             left join profiles qp on qp.user_id = q.user_id
            where s.id = $1"#,
        stream.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| ChatMessage {
        id: row.id,
        author: Author {
            id: row.user,
            name: row.name.unwrap_or_default(),
            host: row.host,
            moderator: !row.host && !Rights::of_names(&row.rights).is_empty(),
        },
        text: row.text,
        reply_to: row.reply_to,
        quote: row
            .quoted_user
            .zip(row.quoted_text)
            .map(|(author, text)| Box::new(Quote::of(author, &row.quoted_name, &text))),
        at: row.created_at.timestamp_millis(),
    }))
}

async fn notices(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<(Uuid, RoomNotice)>, Error> {
    let rows = sqlx::query!(
        r#"select id, outbox_as_read(topic, payload) as "payload!" from outbox
            where stream_id = $1 and delivered_at is null order by id limit 500"#,
        stream.0
    )
    .fetch_all(conn)
    .await?;
    // What this version cannot read stays for the one that can, as in the feed.
    let read = |(id, payload): (Uuid, Value)| Some((id, serde_json::from_value(payload).ok()?));
    Ok(rows.into_iter().filter_map(|row| read((row.id, row.payload))).collect())
}

/// A show's line-up: its products that are on sale, in order.
///
/// # Errors
/// When the database fails.
pub async fn line_up(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<LineUpCard>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select p.id as "id: ProductId", p.title, p.image_url, p.currency, p.version,
                  v.from_minor as "from_minor!", v.available as "available!"
             from stream_products sp
             join products p on p.id = sp.product_id and p.status = 'active'
             join sellers l on l.id = p.seller_id and l.status = 'approved'
            cross join lateral (
                  select coalesce(min(price_minor), 0) as from_minor, coalesce(sum(on_hand - reserved), 0) as available
                    from product_variants where product_id = p.id) v
            where sp.stream_id = $1 order by sp.position, sp.product_id"#,
        stream.0
    )
    .fetch_all(conn)
    .await?;
    let card = rows.into_iter().map(|row| LineUpCard {
        id: row.id,
        title: row.title,
        image_url: row.image_url,
        currency: row.currency,
        from_minor: row.from_minor,
        available: u32::try_from(row.available).unwrap_or(u32::MAX),
        version: row.version,
    });
    Ok(card.collect())
}

/// A show's cover as it is now; empty: it has none.
///
/// # Errors
/// When the database fails.
pub async fn cover(conn: &mut PgConnection, stream: StreamId) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!("select cover_url from streams where id = $1", stream.0)
        .fetch_one(conn)
        .await
}

/// A product as it is now, for a notice that it has changed.
///
/// # Errors
/// When the database fails.
pub async fn product_reading(conn: &mut PgConnection, product: ProductId) -> Result<ProductReading, sqlx::Error> {
    let card = product_card(conn, product).await?;
    Ok(card.map_or(ProductReading::Gone(product), ProductReading::OnSale))
}

/// A product with its variants, as rooms show it. None: there is none such on sale.
///
/// # Errors
/// When the database fails.
pub async fn product_card(conn: &mut PgConnection, product: ProductId) -> Result<Option<ProductCard>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select p.title, p.image_url, p.currency, p.version, v.id as "variant?: VariantId",
                  v.options as "options?", v.price_minor as "price_minor?", v.on_hand - v.reserved as "available?"
             from products p
             join sellers l on l.id = p.seller_id and l.status = 'approved'
             left join product_variants v on v.product_id = p.id
            where p.id = $1 and p.status = 'active' order by v.position, v.id"#,
        product.0
    )
    .fetch_all(conn)
    .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(ProductCard {
        id: product,
        title: first.title.clone(),
        image_url: first.image_url.clone(),
        currency: first.currency.clone(),
        version: first.version,
        variants: rows
            .iter()
            .filter_map(|row| {
                Some(VariantCard {
                    id: row.variant?,
                    options: options(row.options.as_ref()?),
                    price_minor: row.price_minor?,
                    available: u32::try_from(row.available?).unwrap_or(0),
                })
            })
            .collect(),
        featured_variant: None,
    }))
}

/// The product that a show presents, with the variant held up.
///
/// # Errors
/// When the database fails.
pub(super) async fn featured_card(
    conn: &mut PgConnection,
    stream: StreamId,
    product: ProductId,
) -> Result<Option<ProductCard>, sqlx::Error> {
    let variant = sqlx::query_scalar!(
        r#"select featured_variant_id as "variant: VariantId" from streams where id = $1 and featured_product_id = $2"#,
        stream.0,
        product.0
    )
    .fetch_optional(&mut *conn)
    .await?;
    let card = product_card(conn, product).await?;
    Ok(card.map(|card| ProductCard {
        featured_variant: variant.flatten(),
        ..card
    }))
}

/// Option names and values; one that is no text is shown as JSON.
fn options(value: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A sale as its room shows it, with its status and earliest expiry. None: no such sale.
///
/// # Errors
/// When the database fails.
pub async fn sale_card(
    conn: &mut PgConnection,
    sale: SaleId,
) -> Result<Option<(SaleCard, SaleStatus, Option<Timestamp>)>, sqlx::Error> {
    let mut sales = sale_cards(conn, &[sale.0]).await?;
    Ok(sales.pop())
}

async fn shown_sales(
    conn: &mut PgConnection,
    stream: StreamId,
) -> Result<Vec<(SaleCard, SaleStatus, Option<Timestamp>)>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "with told as (
             select coalesce(e.payload #>> '{sale,id}', e.payload ->> 'sale') as sale,
                    bool_or(e.kind = 'sale_closed') as closed
               from stream_events e
              where e.stream_id = $1 and e.kind in ('sale_opened', 'sale_closed') group by 1
         )
         select s.id from flash_sales s left join told t on t.sale = s.id::text
          where s.stream_id = $1 and (s.status = 'open' or not t.closed) order by s.id",
        stream.0
    )
    .fetch_all(&mut *conn)
    .await?;
    sale_cards(conn, &ids).await
}

async fn sale_cards(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<(SaleCard, SaleStatus, Option<Timestamp>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.id as "id: SaleId", s.product_id as "product: ProductId", s.variant_id as "variant: VariantId",
                  p.title, p.image_url, s.price_minor, s.usual_price_minor, s.percent_off, s.currency, s.quantity,
                  case when s.status = 'open' then s.quantity - s.held - s.sold else 0 end as "remaining!",
                  s.per_buyer, s.hold_seconds, s.opens_at, s.ends_at, s.version, s.status as "status: SaleStatus",
                  (select min(r.expires_at) from reservations r
                    where r.sale_id = s.id and r.status = 'held') as next_expiry
             from flash_sales s
             join products p on p.id = s.product_id
            where s.id = any($1) order by s.id"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    let unsigned = |n: i32| u32::try_from(n).unwrap_or(0);
    let card = rows.into_iter().map(|row| {
        let card = SaleCard {
            id: row.id,
            product: row.product,
            variant: row.variant,
            title: row.title,
            image_url: row.image_url,
            price_minor: row.price_minor,
            usual_price_minor: row.usual_price_minor,
            percent_off: row.percent_off.and_then(|percent| u8::try_from(percent).ok()),
            currency: row.currency,
            quantity: unsigned(row.quantity),
            remaining: unsigned(row.remaining),
            per_buyer: unsigned(row.per_buyer),
            hold_seconds: unsigned(row.hold_seconds),
            opens_at: row.opens_at.timestamp_millis(),
            ends_at: row.ends_at.timestamp_millis(),
            version: row.version,
        };
        (card, row.status, row.next_expiry)
    });
    Ok(card.collect())
}

/// Holds of one person by their ids, as they are now: for a notice that they changed.
///
/// # Errors
/// When the database fails.
pub async fn holds(
    conn: &mut PgConnection,
    user: UserId,
    ids: &[ReservationId],
) -> Result<Vec<Reservation>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select id as "id: ReservationId", sale_id as "sale: SaleId", quantity, expires_at,
                  status as "status: ReservationStatus", origin = 'line' as "offered!"
             from reservations where user_id = $1 and id = any($2) order by id"#,
        user.0,
        &ids
    )
    .fetch_all(conn)
    .await?;
    let holds = rows
        .into_iter()
        .map(|row| hold(row.id, row.sale, row.quantity, row.status, row.expires_at, row.offered));
    Ok(holds.collect())
}

/// A hold as its owner sees it.
pub(crate) fn hold(
    reservation: ReservationId,
    sale: SaleId,
    quantity: i32,
    status: ReservationStatus,
    expires_at: Timestamp,
    offered: bool,
) -> Reservation {
    Reservation {
        reservation,
        sale,
        quantity: u32::try_from(quantity).unwrap_or(0),
        status,
        expires_at: expires_at.timestamp_millis(),
        offered,
    }
}

//! Commands of those who run a show, carried out: each in one transaction with its idempotency key, its
//! audit entry and the outbox row of the event it causes. What the room then tells its
//! viewers is committed; if the room dies before it tells, its next owner finds the row.

mod sales;

use std::collections::BTreeSet;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, RequestId, SaleId, SellerId, StreamId, UserId, VariantId};
use shared::notification::{Announcement, announce};
use shared::outbox::{self, Happened};
use shared::protocol::{Feature, HostCommand, LineUpOrder, Outcome, Private, RoomEvent};
use shared::rights::{Right, Rights};
use shared::status::{Machine, SellerStatus, StreamStatus};
use sqlx::{Connection, PgConnection, PgPool};
use tracing::Instrument as _;
use uuid::Uuid;

use super::moderate::{self, MuteChange};
use super::{chat, load};
use crate::db::Error;
use crate::once;
use crate::room::powers;
use crate::trace;

/// A host's command to a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostAct {
    /// Whose room.
    pub stream: StreamId,
    /// Who commands.
    pub user: UserId,
    /// The act, the same when it is resent.
    pub request_id: RequestId,
    /// What to do.
    pub command: HostCommand,
}

/// What it brought.
#[derive(Clone, PartialEq, Debug)]
pub struct HostDone {
    /// The answer; of a resend, the first one.
    pub outcome: Outcome,
    /// What happened, in order. Nothing for a resend: it was told the first time.
    pub events: Vec<Happened>,
    /// Who else is to be told what, in private.
    pub told: Vec<(Whom, Private)>,
    /// Who may chat again or not any more.
    pub muted: Option<MuteChange>,
    /// Somebody was banned or let in again: sockets everywhere are to be looked at.
    pub banned: bool,
    /// The account that was banned.
    pub turned_out: Option<UserId>,
}

/// Who is told something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// One person.
    Person(UserId),
    /// The host, and the moderators who have a right.
    Moderators(Right),
}

/// What a command has brought, before it is committed.
pub(super) struct Brought {
    pub(super) outcome: Outcome,
    pub(super) events: Vec<RoomEvent>,
    pub(super) told: Vec<(Whom, Private)>,
    /// Whether the audit log has it.
    pub(super) is_audited: bool,
}

impl Brought {
    /// Nothing but an answer.
    pub(super) const fn only(outcome: Outcome) -> Self {
        Self {
            outcome,
            events: Vec::new(),
            told: Vec::new(),
            is_audited: true,
        }
    }
}

impl From<Done> for Brought {
    fn from((outcome, events): Done) -> Self {
        Self {
            events,
            ..Self::only(outcome)
        }
    }
}

/// Carries a command out, once however often it is asked for.
///
/// # Errors
/// `request_id_reused`, `request_in_flight`, `not_found`, `forbidden` for who is not the
/// host and lacks the right and for a shop that may not sell, and what the command's own
/// state does not allow.
pub async fn carry_out(pool: &PgPool, act: &HostAct) -> Result<HostDone, Error> {
    let mut conn = pool.acquire().await?;
    let mut tx = conn.begin().await?;
    match attempt(&mut tx, act)
        .instrument(trace::transaction(operation(&act.command)))
        .await
    {
        Ok(done) => {
            tx.commit().await?;
            Ok(done)
        }
        Err(error) => {
            // Now and not when the connection is next used: a resend must not meet our locks.
            tx.rollback().await?;
            Err(error)
        }
    }
}

async fn attempt(tx: &mut PgConnection, act: &HostAct) -> Result<HostDone, Error> {
    let operation = operation(&act.command);
    let hash = shared::idempotency::body_hash(&(act.stream, &act.command))?;
    if let Some(stored) = once::claim(tx, act.user, act.request_id).await? {
        return Ok(HostDone {
            outcome: stored.answer(operation, &hash)?,
            events: Vec::new(),
            told: Vec::new(),
            muted: None,
            banned: false,
            turned_out: None,
        });
    }
    let show = lock_show(tx, act).await?;
    let brought: Brought = match &act.command {
        HostCommand::Start => start(tx, &show).await?.into(),
        HostCommand::End => end(tx, &show).await?.into(),
        HostCommand::Feature(feature) => self::feature(tx, &show, feature).await?.into(),
        HostCommand::Unfeature => unfeature(tx, &show).await?.into(),
        HostCommand::Reorder(order) => reorder(tx, &show, order).await?.into(),
        HostCommand::SaleOpen(sale) => sales::open(tx, &show, sale).await?.into(),
        HostCommand::SaleClose { sale } => sales::close(tx, &show, *sale).await?.into(),
        HostCommand::DeleteMessage { message } => chat::delete(tx, &show, act.user, *message).await?,
        HostCommand::ChatRules(change) => chat::change_rules(tx, &show, change).await?,
        HostCommand::Review { message, approve } => chat::review(tx, &show, act.user, *message, *approve).await?,
        HostCommand::Mute(mute) => moderate::mute(tx, act, mute, false).await?.into(),
        HostCommand::Timeout(mute) => moderate::mute(tx, act, mute, true).await?.into(),
        HostCommand::Unmute { user } => moderate::unmute(tx, act, *user).await?.into(),
        HostCommand::Ban(ban) => moderate::ban(tx, act, &show, ban).await?.into(),
        HostCommand::Unban(unban) => moderate::unban(tx, act, &show, unban.who).await?.into(),
        HostCommand::PinMessage { message } => moderate::pin(tx, &show, *message).await?.into(),
        HostCommand::UnpinMessage => moderate::unpin(tx, &show).await?.into(),
        HostCommand::Announce { text } => moderate::announce(tx, act, &show, text).await?.into(),
    };
    let mut events = Vec::with_capacity(brought.events.len());
    for event in brought.events {
        events.push(outbox::push_happened(tx, act.stream, event).await?);
    }
    let muted = moderate::mute_change(tx, act).await?;
    if brought.is_audited {
        audit(tx, act, operation).await?;
    }
    let answer = serde_json::to_value(&brought.outcome)?;
    once::keep(tx, act.user, act.request_id, operation, &hash, answer).await?;
    Ok(HostDone {
        outcome: brought.outcome,
        events,
        told: brought.told,
        muted,
        banned: matches!(act.command, HostCommand::Ban(_) | HostCommand::Unban(_)),
        turned_out: match &act.command {
            HostCommand::Ban(ban) => ban.who.user(),
            _ => None,
        },
    })
}

/// A show whose row is locked until the transaction ends: its commands come one by one.
pub(super) struct Show {
    pub(super) stream: StreamId,
    pub(super) seller: SellerId,
    pub(super) status: StreamStatus,
    pub(super) featured: bool,
    /// Whether the person may do this as the host or a moderator, and not only for themselves.
    pub(super) is_permitted: bool,
}

/// What a command's own step brings: its answer, and what happened.
pub(super) type Done = (Outcome, Vec<RoomEvent>);

async fn lock_show(tx: &mut PgConnection, act: &HostAct) -> Result<Show, Error> {
    lock_shop(tx, act).await?;
    let row = sqlx::query!(
        r#"select s.status as "status: StreamStatus", s.featured_product_id is not null as "featured!",
                  l.id as "seller: SellerId", l.status as "seller_status: SellerStatus", l.user_id = $2 as "host!",
                  moderator_rights(s.id, $2) as "rights!"
             from streams s join sellers l on l.id = s.seller_id
            where s.id = $1 for no key update of s"#,
        act.stream.0,
        act.user.0
    )
    .fetch_optional(tx)
    .await?;
    let row = row.ok_or(ErrorCode::NotFound)?;
    let right = act.command.right();
    let is_permitted = row.host || right.is_some_and(|right| Rights::of_names(&row.rights).has(right));
    if !is_permitted && !act.command.is_open_to_authors() {
        return Err(powers::lacking(right).into());
    }
    if row.seller_status != SellerStatus::Approved && !powers::stops(&act.command) {
        return Err(Refusal::new(ErrorCode::Forbidden, "the shop may not sell").into());
    }
    Ok(Show {
        stream: act.stream,
        seller: row.seller,
        status: row.status,
        featured: row.featured,
        is_permitted,
    })
}

/// Locks the shop before the show, as everybody does who locks both: a ban locks it anyway,
/// and no show begins and no sale is opened beside a suspension that ends the shop's.
async fn lock_shop(tx: &mut PgConnection, act: &HostAct) -> Result<(), sqlx::Error> {
    match act.command {
        HostCommand::Ban(_) => {
            sqlx::query!(
                "select from sellers where id = (select seller_id from streams where id = $1) for no key update",
                act.stream.0
            )
            .execute(tx)
            .await?;
        }
        HostCommand::Start | HostCommand::SaleOpen(_) => {
            sqlx::query!(
                "select from sellers where id = (select seller_id from streams where id = $1) for share",
                act.stream.0
            )
            .execute(tx)
            .await?;
        }
        _ => {}
    }
    Ok(())
}

async fn start(tx: &mut PgConnection, show: &Show) -> Result<Done, Error> {
    let moved = sqlx::query!(
        "update streams set status = 'live', started_at = clock_timestamp() where id = $1 and status = any($2)",
        show.stream.0,
        &StreamStatus::sources_of(StreamStatus::Live)
    )
    .execute(&mut *tx)
    .await?;
    let done = status_event(moved.rows_affected(), StreamStatus::Live)?;
    announce(tx, show.stream, Announcement::Started).await?;
    Ok(done)
}

pub(super) async fn end(tx: &mut PgConnection, show: &Show) -> Result<Done, Error> {
    // All sales before any variant, and variants in id order: the order of locks.
    let sales = sqlx::query!(
        r#"select id as "id: SaleId", variant_id from flash_sales
            where stream_id = $1 and status = 'open' order by id for update"#,
        show.stream.0
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut sales: Vec<_> = sales.into_iter().map(|row| (row.variant_id, row.id)).collect();
    sales.sort_unstable();
    let mut events = Vec::new();
    for (_, sale) in sales {
        sales::closed(tx, sale).await?;
        events.push(RoomEvent::SaleClosed { sale });
    }
    let moved = sqlx::query!(
        "update streams
            set status = 'ended', ended_at = clock_timestamp(), host_away_since = null, featured_product_id = null, featured_variant_id = null
          where id = $1 and status = any($2)",
        show.stream.0,
        &StreamStatus::sources_of(StreamStatus::Ended)
    )
    .execute(tx)
    .await?;
    let (outcome, ended) = status_event(moved.rows_affected(), StreamStatus::Ended)?;
    events.extend(ended);
    Ok((outcome, events))
}

fn status_event(moved: u64, status: StreamStatus) -> Result<Done, Error> {
    if moved == 0 {
        return Err(ErrorCode::WrongState.into());
    }
    Ok((Outcome::Done, vec![RoomEvent::StreamStatus { status }]))
}

async fn feature(tx: &mut PgConnection, show: &Show, feature: &Feature) -> Result<Done, Error> {
    if show.status.is_final() {
        return Err(ErrorCode::WrongState.into());
    }
    let shown = sqlx::query!(
        "update streams s set featured_product_id = p.id, featured_variant_id = $3
           from stream_products sp join products p on p.id = sp.product_id
          where s.id = $1 and sp.stream_id = s.id and p.id = $2 and p.seller_id = s.seller_id and p.status = 'active'
            and ($3::uuid is null or exists (select from product_variants v where v.id = $3 and v.product_id = p.id))",
        show.stream.0,
        feature.product.0,
        feature.variant.map(|variant: VariantId| variant.0)
    )
    .execute(&mut *tx)
    .await?;
    let card = match shown.rows_affected() {
        0 => None,
        _ => load::featured_card(tx, show.stream, feature.product).await?,
    };
    let product = card.ok_or_else(|| {
        Refusal::new(ErrorCode::NotFound, "no such active product in the show's line-up").at("product")
    })?;
    Ok((Outcome::Done, vec![RoomEvent::Featured { product }]))
}

async fn unfeature(tx: &mut PgConnection, show: &Show) -> Result<Done, Error> {
    if !show.featured {
        return Ok((Outcome::Done, Vec::new()));
    }
    sqlx::query!(
        "update streams set featured_product_id = null, featured_variant_id = null where id = $1",
        show.stream.0
    )
    .execute(tx)
    .await?;
    Ok((Outcome::Done, vec![RoomEvent::Unfeatured]))
}

/// Puts the line-up in another order. Products in it that are not on sale are not shown
/// to the host, and come last.
async fn reorder(tx: &mut PgConnection, show: &Show, order: &LineUpOrder) -> Result<Done, Error> {
    if show.status.is_final() {
        return Err(ErrorCode::WrongState.into());
    }
    let wished: Vec<Uuid> = order.products.iter().map(|product| product.0).collect();
    let shown = load::line_up(tx, show.stream).await?;
    let listed: BTreeSet<ProductId> = shown.iter().map(|card| card.id).collect();
    if listed != order.products.iter().copied().collect() {
        let detail = "the products must be those of the line-up, each once";
        return Err(Refusal::new(ErrorCode::Conflict, detail).at("products").into());
    }
    sqlx::query!(
        "update stream_products sp
            set position = coalesce(array_position($2::uuid[], sp.product_id), cardinality($2::uuid[]) + 1)
          where sp.stream_id = $1",
        show.stream.0,
        &wished
    )
    .execute(&mut *tx)
    .await?;
    let products = load::line_up(tx, show.stream).await?;
    Ok((Outcome::Done, vec![RoomEvent::LineUp { products }]))
}

async fn audit(tx: &mut PgConnection, act: &HostAct, operation: &str) -> Result<(), Error> {
    sqlx::query!(
        "insert into audit_log (id, actor_id, action, subject_id, detail) values ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        act.user.0,
        operation,
        act.stream.0,
        serde_json::to_value(&act.command)?
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What the idempotency key and the logs call a command.
pub(crate) const fn operation(command: &HostCommand) -> &'static str {
    match command {
        HostCommand::Start => "room.start",
        HostCommand::End => "room.end",
        HostCommand::Feature(_) => "room.feature",
        HostCommand::Unfeature => "room.unfeature",
        HostCommand::Reorder(_) => "room.reorder",
        HostCommand::SaleOpen(_) => "room.sale_open",
        HostCommand::SaleClose { .. } => "room.sale_close",
        HostCommand::DeleteMessage { .. } => "room.delete_message",
        HostCommand::ChatRules(_) => "room.chat_rules",
        HostCommand::Review { .. } => "room.review",
        HostCommand::Mute(_) => "room.mute",
        HostCommand::Timeout(_) => "room.timeout",
        HostCommand::Unmute { .. } => "room.unmute",
        HostCommand::Ban(_) => "room.ban",
        HostCommand::Unban(_) => "room.unban",
        HostCommand::PinMessage { .. } => "room.pin_message",
        HostCommand::UnpinMessage => "room.unpin_message",
        HostCommand::Announce { .. } => "room.announce",
    }
}

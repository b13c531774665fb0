//! Shows: scheduled here, run by their rooms. What a host does while on air goes over the
//! bus to the room, which decides, and is answered with the room's word.

pub(crate) mod cover;
pub mod handlers;
pub mod model;
mod room;
mod store;

use chrono::DateTime;
use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{GuestId, ProductId, RequestId, SellerId, StreamId, UserId};
use shared::live::{RoomNotice, RoomRequest};
use shared::notification::{Announcement, announce};
use shared::outbox;
use shared::protocol::{HostCommand, Outcome, RoomEvent};
use shared::rights::Right;
use shared::status::StreamStatus;
use shared::token::{Claims as _, Ticket as TicketClaims, Viewer};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::audit;
use crate::catalog::products::{self, Product};
use crate::config::Config;
use crate::history;
use crate::http::{Caller, List, Page, Result, Shopkeeper, request};
use crate::moderation;
use model::{ChatPage, NewStream, Place, Role, Stream, Ticket};

/// Schedules a show, and starts it if that is asked for. One that cannot start is not
/// left behind. The shop's followers are told, after the commit and by a job: of a show that
/// starts at once only that it has.
///
/// # Errors
/// `not_found` for a product that is not an active one of the shop's, `room_unavailable`.
pub async fn create(db: &PgPool, bus: &SharedBus, shop: &Shopkeeper, new: &NewStream) -> Result<Stream> {
    let id = StreamId::new();
    let mut tx = db.begin().await?;
    store::insert(&mut tx, id, shop.seller, new).await?;
    set_line_up_in(&mut tx, id, shop.seller, &new.product_ids).await?;
    audit::record(&mut tx, shop.user, "stream.create", id.0, serde_json::json!({})).await?;
    if !new.start {
        announce(&mut tx, id, Announcement::Scheduled).await?;
    }
    tx.commit().await?;
    if new.start {
        let started = command(db, bus, shop.user, id, RequestId::new(), HostCommand::Start).await;
        if let Err(error) = started
            // A room that was slow to answer may have started it: then it is on air.
            && cancel_quietly(db, bus, shop, id).await?
        {
            return Err(error);
        }
    }
    get(db, id).await
}

async fn cancel_quietly(db: &PgPool, bus: &SharedBus, shop: &Shopkeeper, id: StreamId) -> Result<bool> {
    let mut tx = db.begin().await?;
    let cancelled = cancel_in(&mut tx, shop, id).await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    Ok(cancelled)
}

/// Step: scheduled → cancelled. Whoever is in the waiting room is told, and sent away.
async fn cancel_in(conn: &mut PgConnection, shop: &Shopkeeper, id: StreamId) -> Result<bool> {
    if !store::cancel(conn, id, shop.seller).await? {
        return Ok(false);
    }
    let event = RoomEvent::StreamStatus {
        status: StreamStatus::Cancelled,
    };
    outbox::push_happened(conn, id, event).await?;
    Ok(true)
}

/// Any show.
///
/// # Errors
/// `not_found`.
pub async fn get(db: &PgPool, id: StreamId) -> Result<Stream> {
    let stream = store::get(&mut *db.acquire().await?, id).await?;
    Ok(stream.ok_or(ErrorCode::NotFound)?)
}

/// Shows on air, the latest first.
///
/// # Errors
/// When the database fails.
pub async fn live(db: &PgPool, page: &Page) -> Result<List<Stream>> {
    let rows = store::live(&mut *db.acquire().await?, page).await?;
    Ok(List::of(rows, page, |stream| stream.id.0))
}

/// Shows to come, the next first.
///
/// # Errors
/// When the database fails.
pub async fn upcoming(db: &PgPool, page: &Page) -> Result<List<Stream>> {
    let rows = store::upcoming(&mut *db.acquire().await?, page).await?;
    Ok(List::of(rows, page, |stream| stream.id.0))
}

/// A shop's show that is on air, the latest of several, and so many of those to come, the
/// next first.
///
/// # Errors
/// When the database fails.
pub async fn at_hand_of(conn: &mut PgConnection, seller: SellerId, next: i64) -> Result<Vec<Stream>> {
    Ok(store::at_hand_of(conn, seller, next).await?)
}

/// A shop's shows, newest first.
///
/// # Errors
/// When the database fails.
pub async fn of_seller(db: &PgPool, seller: SellerId, page: &Page) -> Result<List<Stream>> {
    let rows = store::of_seller(&mut *db.acquire().await?, seller, page).await?;
    Ok(List::of(rows, page, |stream| stream.id.0))
}

/// A show's line-up, in order.
///
/// # Errors
/// `not_found`.
pub async fn line_up(db: &PgPool, id: StreamId) -> Result<List<Product>> {
    let mut conn = db.acquire().await?;
    if store::get(&mut conn, id).await?.is_none() {
        return Err(ErrorCode::NotFound.into());
    }
    let ids = store::line_up(&mut conn, id).await?;
    Ok(List::whole(products::many(&mut conn, &ids).await?))
}

/// Replaces the line-up of a show that is not over.
///
/// # Errors
/// `not_found`, also for a product that is not an active one of the shop's; `wrong_state`.
pub async fn set_line_up(
    db: &PgPool,
    bus: &SharedBus,
    shop: &Shopkeeper,
    id: StreamId,
    products: &[ProductId],
) -> Result<List<Product>> {
    let mut tx = db.begin().await?;
    match store::lock_own(&mut tx, id, shop.seller).await? {
        None => return Err(ErrorCode::NotFound.into()),
        Some(StreamStatus::Scheduled | StreamStatus::Live) => {}
        Some(StreamStatus::Ended | StreamStatus::Cancelled) => return Err(ErrorCode::WrongState.into()),
    }
    set_line_up_in(&mut tx, id, shop.seller, products).await?;
    store::unfeature_unlisted(&mut tx, id).await?;
    outbox::push_to_shows(&mut tx, shop.seller, Some(id), &RoomNotice::LineUpChanged).await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    line_up(db, id).await
}

/// Step: a product is on sale no more, and no show has it up any longer. Their rooms hear
/// of it as of every change of the product.
///
/// # Errors
/// When the database fails.
pub async fn unfeature(conn: &mut PgConnection, product: ProductId) -> Result<()> {
    Ok(store::unfeature(conn, product).await?)
}

/// Step: a shop may sell no more, or again: the rooms of its shows read their line-ups.
///
/// # Errors
/// When the database fails.
pub async fn shop_changed(conn: &mut PgConnection, seller: SellerId) -> Result<()> {
    Ok(outbox::push_to_shows(conn, seller, None, &RoomNotice::LineUpChanged).await?)
}

/// Step: a shop may sell no more, and its shows that are on air end. Whoever is there is
/// told and sent away as after any end; which shows these were.
///
/// # Errors
/// When the database fails.
pub async fn end_of_shop(conn: &mut PgConnection, seller: SellerId) -> Result<Vec<StreamId>> {
    let ended = store::end_live_of(conn, seller).await?;
    for id in &ended {
        let event = RoomEvent::StreamStatus {
            status: StreamStatus::Ended,
        };
        outbox::push_happened(conn, *id, event).await?;
    }
    Ok(ended)
}

async fn set_line_up_in(conn: &mut PgConnection, id: StreamId, seller: SellerId, products: &[ProductId]) -> Result<()> {
    let mut seen: Vec<ProductId> = Vec::with_capacity(products.len());
    for (i, product) in products.iter().enumerate() {
        if seen.contains(product) {
            let refusal = Refusal::new(ErrorCode::InvalidBody, "a product is in the line-up once");
            return Err(refusal.at(format!("product_ids.{i}")).into());
        }
        seen.push(*product);
    }
    let set = store::set_line_up(conn, id, seller, products).await?;
    if set != products.len() as u64 {
        return Err(
            Refusal::new(ErrorCode::NotFound, "not every one is an active product of the shop")
                .at("product_ids")
                .into(),
        );
    }
    Ok(())
}

/// Calls a show to come off. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` once it has begun.
pub async fn cancel(db: &PgPool, bus: &SharedBus, shop: &Shopkeeper, id: StreamId) -> Result<Stream> {
    let mut tx = db.begin().await?;
    match store::lock_own(&mut tx, id, shop.seller).await? {
        None => return Err(ErrorCode::NotFound.into()),
        Some(StreamStatus::Cancelled) => {}
        Some(_) if cancel_in(&mut tx, shop, id).await? => {
            audit::record(&mut tx, shop.user, "stream.cancel", id.0, serde_json::json!({})).await?;
        }
        Some(_) => return Err(ErrorCode::WrongState.into()),
    }
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    get(db, id).await
}

/// Step: whether the show is the shop's.
///
/// # Errors
/// `not_found`.
pub async fn require_own(conn: &mut PgConnection, id: StreamId, seller: SellerId) -> Result<()> {
    if store::is_own(conn, id, seller).await? {
        return Ok(());
    }
    Err(ErrorCode::NotFound.into())
}

/// Passes a command of the show's host or of a moderator, or an author's deletion of their
/// own message, to the room and answers with the room's word. The room keeps the request id: the same command again has the same outcome.
///
/// # Errors
/// `not_found` for what is the host's alone of somebody else's show, `forbidden` without
/// the right that it needs, `room_unavailable`, and what the room refuses.
pub async fn command(
    db: &PgPool,
    bus: &SharedBus,
    user: UserId,
    stream: StreamId,
    request_id: RequestId,
    command: HostCommand,
) -> Result<Outcome> {
    let powers = store::powers(&mut *db.acquire().await?, stream, user).await?;
    let powers = powers.ok_or(ErrorCode::NotFound)?;
    let right = command.right();
    let is_permitted = powers.is_host || right.is_some_and(|right| powers.rights.has(right));
    // The room checks it again. Here it keeps strangers from opening rooms.
    if !is_permitted {
        match (&command, right) {
            (HostCommand::DeleteMessage { message }, _) => {
                let said = store::said(&mut *db.acquire().await?, stream, *message).await?;
                let said = said.ok_or(ErrorCode::NotFound)?;
                if said.author != user {
                    return Err(Refusal::new(ErrorCode::Forbidden, "it is somebody else's message").into());
                }
                if said.deleted {
                    return Ok(Outcome::Done);
                }
            }
            (_, None) => return Err(ErrorCode::NotFound.into()),
            (_, Some(right)) => {
                let detail = format!("the right {} is needed", right.as_str());
                return Err(Refusal::new(ErrorCode::Forbidden, detail).into());
            }
        }
    }
    let asked = RoomRequest {
        stream,
        user,
        request_id,
        command,
        http_request: request::current(),
    };
    room::ask(bus, &asked).await
}

/// Step: whether somebody is the show's host or a moderator who has one of these rights.
///
/// # Errors
/// `not_found` for everybody else: what they ask about is not theirs to know of.
pub async fn require_right(conn: &mut PgConnection, id: StreamId, user: UserId, rights: &[Right]) -> Result<()> {
    let powers = store::powers(conn, id, user).await?.ok_or(ErrorCode::NotFound)?;
    if powers.is_host || rights.iter().any(|right| powers.rights.has(*right)) {
        return Ok(());
    }
    Err(ErrorCode::NotFound.into())
}

/// A way into a show's room: for an account or a guest, as a viewer or its host.
///
/// # Errors
/// `not_found`, `wrong_state` when the show is over, `unauthenticated` or `forbidden` for
/// a host's without being one, `banned`.
pub async fn ticket(
    db: &PgPool,
    config: &Config,
    caller: Option<Caller>,
    stream: StreamId,
    part: Role,
) -> Result<Ticket> {
    let mut conn = db.acquire().await?;
    let show = store::get(&mut conn, stream).await?.ok_or(ErrorCode::NotFound)?;
    if matches!(show.status, StreamStatus::Ended | StreamStatus::Cancelled) {
        return Err(Refusal::new(ErrorCode::WrongState, "the show is over").into());
    }
    if show.status == StreamStatus::Scheduled && part == Role::Viewer {
        // The room says the same to whoever comes in another way.
        let opens_in = show.scheduled_at - config.waiting_room - chrono::Utc::now();
        if let Ok(ms) = u64::try_from(opens_in.num_milliseconds())
            && ms > 0
        {
            return Err(Refusal::from(ErrorCode::TooEarly).retry_after_ms(ms).into());
        }
    }
    let viewer = match (caller, part) {
        (None, Role::Host) => return Err(ErrorCode::Unauthenticated.into()),
        (Some(caller), Role::Host) if !store::is_host(&mut conn, stream, caller.id).await? => {
            return Err(Refusal::new(ErrorCode::Forbidden, "it is another shop's show").into());
        }
        (Some(caller), _) => {
            moderation::require_not_banned(&mut conn, show.seller.id, caller.id).await?;
            Viewer::User {
                id: caller.id,
                name: store::display_name(&mut conn, caller.id).await?.unwrap_or_default(),
            }
        }
        (None, Role::Viewer) => Viewer::Guest { id: GuestId::new() },
    };
    let now = chrono::Utc::now().timestamp();
    let claims = TicketClaims {
        jti: Uuid::now_v7(),
        viewer,
        session: caller.map(|caller| caller.session),
        stream,
        part: part.into(),
    };
    let expires_at = DateTime::from_timestamp(now + TicketClaims::SECONDS, 0);
    Ok(Ticket {
        ticket: config.token_key.sign(claims, now)?,
        url: config.live_url.clone(),
        expires_at: expires_at.ok_or_else(|| anyhow::anyhow!("the clock is out of range"))?,
        part,
    })
}

/// Committed messages of a show, newest first.
///
/// # Errors
/// `not_found`.
pub async fn chat(db: &PgPool, id: StreamId, page: &Page) -> Result<ChatPage> {
    let mut tx = history::look(db).await?;
    if store::get(&mut tx, id).await?.is_none() {
        return Err(ErrorCode::NotFound.into());
    }
    let rows = store::chat(&mut tx, id, page).await?;
    let complete_to = history::complete_to(&mut tx, id).await?;
    tx.commit().await?;
    let List { items, next_cursor } = List::of(rows, page, |line| line.id.0);
    Ok(ChatPage {
        items,
        next_cursor,
        complete_to: complete_to.map(|(epoch, seq)| Place { epoch, seq }),
    })
}

/// Forgets a batch of spent tickets that would not be good any more; how many.
///
/// # Errors
/// When the database fails.
pub async fn prune_tickets(db: &PgPool, limit: u32) -> Result<u64> {
    Ok(store::delete_spent_tickets(&mut *db.acquire().await?, limit.into()).await?)
}

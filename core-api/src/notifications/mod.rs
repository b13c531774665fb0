//! What people are told of outside of a room: a list of their own, letters to who wants
//! them, and what of it they want at all.
//!
//! A notification is written in the transaction of what it tells of; sockets hear of it from
//! the engine, which reads the rows. A shop's followers are told by a job, a batch at a time:
//! see [`announce`].

pub mod announce;
pub mod handlers;
pub mod model;
mod store;

use std::collections::BTreeSet;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{NotificationId, OrderId, ProductId, SellerId, StreamId, UserId};
use shared::notification::NotificationKind;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use announce::announce_some;
use model::{Filter, MarkRead, NewPreferences, Notification, Preference, Preferences, Unread};

use crate::http::{List, Page, Result};
use crate::mail::{self, Letter};

/// Unread notifications that are counted at most.
pub const COUNTED_MAX: i64 = 1_000;

/// What somebody is to be told.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// What it tells of.
    pub kind: NotificationKind,
    /// Which one: of a kind nobody is told of one thing twice.
    pub subject: Uuid,
    /// The shop that it concerns.
    pub seller: SellerId,
    /// The product that it concerns.
    pub product: Option<ProductId>,
    /// The order that it concerns.
    pub order: Option<OrderId>,
    /// Why; empty: nothing was said.
    pub reason: &'a str,
}

/// Step: tells somebody something, as they want to be told. Whoever commits hints at it:
/// [`shared::outbox::hint_notifications`].
///
/// # Errors
/// When the database fails.
pub(crate) async fn tell(tx: &mut PgConnection, user: UserId, news: &News<'_>) -> Result<()> {
    let mail = store::insert(tx, NotificationId::new(), user, news).await?;
    if mail {
        let letter = Letter::Notification {
            user,
            kind: news.kind,
            seller: news.seller,
            stream: None,
            product: news.product,
            order: news.order,
            reason: news.reason.to_owned(),
        };
        mail::queue(tx, &letter).await?;
    }
    Ok(())
}

/// A person's notifications, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, user: UserId, filter: Filter, page: &Page) -> Result<List<Notification>> {
    let unread = filter.unread.unwrap_or(false);
    let rows = store::list(&mut *db.acquire().await?, user, unread, page).await?;
    Ok(List::of(rows, page, |row| row.id.0))
}

/// How many a person has not read, [`COUNTED_MAX`] at most.
///
/// # Errors
/// When the database fails.
pub(crate) async fn unread(db: &PgPool, user: UserId) -> Result<Unread> {
    let count = store::count_unread(&mut *db.acquire().await?, user, COUNTED_MAX).await?;
    Ok(Unread { count })
}

/// Marks one as read. Doing it twice is no error.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn mark(db: &PgPool, user: UserId, id: NotificationId) -> Result<()> {
    let found = store::mark(&mut *db.acquire().await?, user, id).await?;
    if found { Ok(()) } else { Err(ErrorCode::NotFound.into()) }
}

/// Marks all as read, or those that were seen; how many are unread then. One that is
/// somebody else's, or gone, is passed over.
///
/// # Errors
/// When the database fails.
pub(crate) async fn mark_all(db: &PgPool, user: UserId, read: &MarkRead) -> Result<Unread> {
    let mut conn = db.acquire().await?;
    store::mark_all(&mut conn, user, read.ids.as_deref()).await?;
    let count = store::count_unread(&mut conn, user, COUNTED_MAX).await?;
    Ok(Unread { count })
}

/// What a person wants to be told of, and how: every kind.
///
/// # Errors
/// When the database fails.
pub(crate) async fn preferences(db: &PgPool, user: UserId) -> Result<Preferences> {
    let preferences = store::preferences(&mut *db.acquire().await?, user).await?;
    Ok(Preferences { preferences })
}

/// Sets what a person wants; kinds that are not named are as for who has chosen nothing.
///
/// # Errors
/// `InvalidBody` for a kind that is named twice, or by mail where there are no letters.
pub(crate) async fn set_preferences(db: &PgPool, user: UserId, new: &NewPreferences) -> Result<Preferences> {
    let mut tx = db.begin().await?;
    // Two who set them at once come one after the other, and nobody writes into an account
    // that is gone.
    if !store::lock(&mut tx, user).await? {
        return Err(ErrorCode::Unauthenticated.into());
    }
    store::forget_preferences(&mut tx, user).await?;
    check(&store::preferences(&mut tx, user).await?, new)?;
    store::insert_preferences(&mut tx, user, &new.preferences).await?;
    let preferences = store::preferences(&mut tx, user).await?;
    tx.commit().await?;
    Ok(Preferences { preferences })
}

fn check(defaults: &[Preference], new: &NewPreferences) -> Result<()> {
    let refused = |nth: usize, field: &str, detail: &'static str| {
        let refusal = Refusal::new(ErrorCode::InvalidBody, detail);
        Err(refusal.at(format!("preferences.{nth}.{field}")).into())
    };
    let mut named = BTreeSet::new();
    for (nth, wish) in new.preferences.iter().enumerate() {
        if !named.insert(wish.kind) {
            return refused(nth, "kind", "is named twice");
        }
        let has_email = defaults.iter().any(|known| known.kind == wish.kind && known.has_email);
        if wish.email && !has_email {
            return refused(nth, "email", "there are no letters of this kind");
        }
    }
    Ok(())
}

/// What a letter names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub shop_name: String,
    pub stream_title: Option<String>,
    pub product_title: Option<String>,
    pub order_number: Option<i64>,
}

/// Step: what a letter of this kind names; `None`: it comes too late to be of use.
///
/// # Errors
/// When the database fails.
pub(crate) async fn names(
    conn: &mut PgConnection,
    kind: NotificationKind,
    seller: SellerId,
    stream: Option<StreamId>,
    product: Option<ProductId>,
    order: Option<OrderId>,
) -> Result<Option<Names>> {
    let Some(found) = store::names(conn, seller, stream, product, order).await? else {
        return Ok(None);
    };
    let is_current = announce::is_current(kind, found.stream_status);
    Ok(is_current.then_some(found.names))
}

/// Deletes notifications of 90 days ago, and announcements that were done then. Returns how
/// many.
///
/// # Errors
/// When the database fails.
pub async fn prune(db: &PgPool, limit: u32) -> Result<u64> {
    let mut conn = db.acquire().await?;
    let old = store::delete_old(&mut conn, limit.into()).await?;
    let done = store::delete_done_announcements(&mut conn, limit.into()).await?;
    Ok(old.max(done))
}

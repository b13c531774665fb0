//! Telling a shop's followers of a show. What is to be told is a row, written with what it
//! tells of; a job works it off a batch of followers at a time, each batch with the place
//! reached in one transaction. So a shop with a hundred thousand followers has no request of
//! that size, a process that dies leaves the rest to another, and nobody is told twice.
//!
//! Told is who followed before and still does when their batch comes, is in good standing,
//! not banned by the shop, and wants it. What has become moot meanwhile (the show was called
//! off or is over, the shop was suspended) is told no further.

use shared::bus::SharedBus;
use shared::ids::{SellerId, StreamId, UserId};
use shared::notification::NotificationKind;
use shared::outbox;
use shared::status::{SellerStatus, StreamStatus};
use sqlx::PgPool;
use uuid::Uuid;

use super::store;
use crate::http::Result;

/// Followers of one transaction.
pub const BATCH: i64 = 1_000;

/// An announcement that is not done.
pub(super) struct Due {
    pub id: Uuid,
    pub kind: NotificationKind,
    pub stream: StreamId,
    pub seller: SellerId,
    /// Followers up to this one were told.
    pub after: Option<UserId>,
    pub made_at: shared::Timestamp,
    pub stream_status: StreamStatus,
    pub seller_status: SellerStatus,
}

/// Whether what a notification of this kind says of a show still holds.
pub(super) fn is_current(kind: NotificationKind, show: Option<StreamStatus>) -> bool {
    match kind {
        NotificationKind::ShowScheduled => show == Some(StreamStatus::Scheduled),
        NotificationKind::ShowStarted => show == Some(StreamStatus::Live),
        NotificationKind::ShopApproved
        | NotificationKind::ShopRejected
        | NotificationKind::ShopSuspended
        | NotificationKind::ShopReinstated
        | NotificationKind::WaitlistOffer
        | NotificationKind::ReviewAnswered
        | NotificationKind::OrderPaid
        | NotificationKind::OrderShipped
        | NotificationKind::OrderDelivered
        | NotificationKind::OrderCancelled
        | NotificationKind::RefundPaid
        | NotificationKind::ReturnRequested
        | NotificationKind::ReturnAnswered
        | NotificationKind::ReturnSent
        | NotificationKind::ReturnWaits
        | NotificationKind::ReturnLapsed
        | NotificationKind::ClaimOpened
        | NotificationKind::ClaimAnswered
        | NotificationKind::ClaimDecided
        | NotificationKind::PayoutPaid
        | NotificationKind::PayoutFailed
        | NotificationKind::DisputeOpened
        | NotificationKind::DisputeWon
        | NotificationKind::DisputeLost => true,
    }
}

/// Tells followers what is to be told, so many batches at most, the announcement that has had
/// the fewest first. Returns how many batches there were; 0: nothing is left, or others are
/// at it.
///
/// # Errors
/// When the database fails; what was committed is done.
pub async fn announce_some(db: &PgPool, bus: &SharedBus, batches: u32) -> Result<u64> {
    let mut done = 0;
    while done < u64::from(batches) && one_batch(db).await? {
        done += 1;
        outbox::hint_notifications(bus.as_ref()).await;
    }
    Ok(done)
}

async fn one_batch(db: &PgPool) -> Result<bool> {
    let mut tx = db.begin().await?;
    let Some(due) = store::take_announcement(&mut tx).await? else {
        return Ok(false);
    };
    if due.seller_status != SellerStatus::Approved || !is_current(due.kind, Some(due.stream_status)) {
        store::finish_announcement(&mut tx, due.id).await?;
        tx.commit().await?;
        return Ok(true);
    }
    let batch = store::tell_followers(&mut tx, &due, BATCH).await?;
    store::advance_announcement(&mut tx, due.id, batch.last, batch.told).await?;
    if batch.followers < BATCH {
        store::finish_announcement(&mut tx, due.id).await?;
    }
    tx.commit().await?;
    Ok(true)
}

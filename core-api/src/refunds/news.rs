//! Who is told that something was called off, of what comes back, and of money that has
//! arrived: the other side of whoever acts. Steps in the transaction of what they tell of;
//! whoever commits hints at it.

use shared::ids::{OrderId, RefundId, ReturnId, SellerId, UserId};
use shared::notification::NotificationKind;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use crate::claims::model::Claim;
use crate::http::Result;
use crate::notifications::{self, News};
use crate::orders;
use crate::orders::model::Locked;

/// What a notification says of a reason at most.
const REASON_CHARS: usize = 500;

/// Step: units of these shops were called off by `by`: the buyer hears of it, and the shops'
/// owners do, but for who has done it.
///
/// # Errors
/// When the database fails.
pub async fn called_off(
    conn: &mut PgConnection,
    order: &Locked,
    sellers: &[SellerId],
    refund: Option<RefundId>,
    (by, reason): (UserId, &str),
) -> Result<()> {
    // Of no two acts one is told once, also of those that no money goes back for.
    let subject = refund.map_or_else(Uuid::now_v7, |refund| refund.0);
    let mut people = orders::owners(conn, sellers).await?;
    if let Some(&seller) = sellers.first() {
        people.push((seller, order.buyer));
    }
    // Accounts are locked in the order of their ids.
    people.sort_unstable_by_key(|&(_, person)| person);
    for (seller, person) in people.into_iter().filter(|&(_, person)| person != by) {
        let news = about(NotificationKind::OrderCancelled, subject, seller, order.id, reason);
        notifications::tell(conn, person, &news).await?;
    }
    Ok(())
}

/// Step: a refund's money is with the buyer.
///
/// # Errors
/// When the database fails.
pub async fn paid(conn: &mut PgConnection, refund: RefundId, order: &Locked) -> Result<()> {
    let Some(seller) = store::shop_of(conn, refund).await? else {
        return Ok(());
    };
    let news = about(NotificationKind::RefundPaid, refund.0, seller, order.id, "");
    notifications::tell(conn, order.buyer, &news).await
}

/// Step: a shop is asked to take units back.
///
/// # Errors
/// When the database fails.
pub async fn return_requested(
    conn: &mut PgConnection,
    id: ReturnId,
    order: OrderId,
    seller: SellerId,
    reason: &str,
) -> Result<()> {
    for (seller, owner) in orders::owners(conn, &[seller]).await? {
        let news = about(NotificationKind::ReturnRequested, id.0, seller, order, reason);
        notifications::tell(conn, owner, &news).await?;
    }
    Ok(())
}

/// Step: a shop has said whether it takes units back.
///
/// # Errors
/// When the database fails.
pub async fn return_answered(
    conn: &mut PgConnection,
    id: ReturnId,
    order: (OrderId, UserId),
    seller: SellerId,
    answer: &str,
) -> Result<()> {
    let news = about(NotificationKind::ReturnAnswered, id.0, seller, order.0, answer);
    notifications::tell(conn, order.1, &news).await
}

/// Step: of a return its shop hears that it is on its way; that it waits for an admin, or has
/// lapsed, both sides do.
///
/// # Errors
/// When the database fails.
pub async fn return_moved(
    conn: &mut PgConnection,
    kind: NotificationKind,
    (order, seller): (OrderId, SellerId),
    buyer: Option<UserId>,
) -> Result<()> {
    let mut people = orders::owners(conn, &[seller]).await?;
    people.extend(buyer.map(|buyer| (seller, buyer)));
    // Accounts are locked in the order of their ids.
    people.sort_unstable_by_key(|&(_, person)| person);
    // A return may wait twice: of each time it is told.
    let subject = Uuid::now_v7();
    for (seller, person) in people {
        notifications::tell(conn, person, &about(kind, subject, seller, order, "")).await?;
    }
    Ok(())
}

/// Step: somebody is told of what a buyer says did not come: that it is said, answered or
/// decided.
///
/// # Errors
/// When the database fails.
pub async fn of_claim(
    conn: &mut PgConnection,
    person: UserId,
    kind: NotificationKind,
    claim: &Claim,
    said: &str,
) -> Result<()> {
    let news = about(kind, claim.id.0, claim.seller_id, claim.order_id, said);
    notifications::tell(conn, person, &news).await
}

fn about(kind: NotificationKind, subject: Uuid, seller: SellerId, order: OrderId, reason: &str) -> News<'_> {
    let end = reason.char_indices().nth(REASON_CHARS);
    News {
        kind,
        subject,
        seller,
        product: None,
        order: Some(order),
        reason: end.map_or(reason, |(end, _)| &reason[..end]),
    }
}

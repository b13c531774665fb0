//! Who is told of a dispute: the buyer, and the owners of the shops whose goods the order has.
//! Steps in the transaction of what they tell of; whoever commits hints at it.

use shared::ids::{DisputeId, SellerId};
use shared::notification::NotificationKind;
use shared::status::DisputeStatus;
use sqlx::PgConnection;

use crate::http::Result;
use crate::notifications::{self, News};
use crate::orders;
use crate::orders::model::Locked;

/// Step: a dispute of an order with goods of these shops has come to `status`.
///
/// # Errors
/// When the database fails.
pub async fn tell(
    conn: &mut PgConnection,
    id: DisputeId,
    status: DisputeStatus,
    order: &Locked,
    sellers: &[SellerId],
) -> Result<()> {
    let kind = match status {
        DisputeStatus::Open => NotificationKind::DisputeOpened,
        DisputeStatus::Won => NotificationKind::DisputeWon,
        DisputeStatus::Lost => NotificationKind::DisputeLost,
    };
    let mut people = orders::owners(conn, sellers).await?;
    if let Some(&seller) = sellers.first() {
        people.push((seller, order.buyer));
    }
    // Accounts are locked in the order of their ids.
    people.sort_unstable_by_key(|&(_, person)| person);
    for (seller, person) in people {
        let news = News {
            kind,
            subject: id.0,
            seller,
            product: None,
            order: Some(order.id),
            reason: "",
        };
        notifications::tell(conn, person, &news).await?;
    }
    Ok(())
}

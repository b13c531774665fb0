//! Deleting an account, in one transaction. What makes the person a person is gone or
//! masked; what others and the law need stays, under an id without a name. Nobody leaves
//! while they owe somebody something.

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox;
use sqlx::Connection;

use super::store::erase::{self as store, Obligations};
use crate::audit;
use crate::http::Result;
use crate::identity::{self, Proof};
use crate::mail::{self, Letter};
use crate::state::State;

/// Deletes an account, whose password is shown once more.
///
/// # Errors
/// `InvalidCredentials`, `RateLimited`, `Overloaded`, `ObligationsOpen` with the reasons.
pub(crate) async fn erase(state: &State, user: UserId, password: String) -> Result<()> {
    let proof = Proof::of(state, user, password).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    // From here on nothing new refers to the account until this transaction ends.
    proof.lock_to_delete(&mut tx).await?;
    store::lock_shop(&mut tx, user).await?;
    let reasons = reasons(&store::obligations(&mut tx, user).await?);
    if !reasons.is_empty() {
        let detail = format!("The account cannot be deleted yet: {}", reasons.join("; "));
        return Err(Refusal::new(ErrorCode::ObligationsOpen, detail).into());
    }
    let address = store::address(&mut tx, user).await?;
    identity::end_sessions(&mut tx, user).await?;
    store::forget_mail(&mut tx, &address.email).await?;
    store::delete_rows(&mut tx, user).await?;
    store::mask_words(&mut tx, user).await?;
    store::mask_addresses(&mut tx, user).await?;
    store::drop_pictures(&mut tx, user).await?;
    store::close_shop(&mut tx, user).await?;
    identity::mask(&mut tx, user).await?;
    if address.is_confirmed {
        mail::queue(&mut tx, &Letter::AccountDeleted { to: address.email }).await?;
    }
    audit::record(&mut tx, user, "user.delete", user.0, json!({})).await?;
    tx.commit().await?;
    state.mailer.nudge();
    outbox::hint_people(state.bus.as_ref()).await;
    tracing::info!(%user, "an account was deleted");
    Ok(())
}

/// Why somebody cannot leave yet, in words.
fn reasons(open: &Obligations) -> Vec<String> {
    let some = |count: i64, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    [
        some(open.unpaid_orders, "order is unpaid", "orders are unpaid"),
        some(
            open.holds,
            "flash-sale hold or place in line is open",
            "flash-sale holds or places in line are open",
        ),
        some(
            open.shows,
            "show is scheduled or on air",
            "shows are scheduled or on air",
        ),
        some(
            open.sold_orders,
            "order of a customer is not delivered",
            "orders of customers are not delivered",
        ),
        some(open.returns, "return or claim is open", "returns or claims are open"),
        some(open.disputes, "payment is in dispute", "payments are in dispute"),
        some(
            open.refunds,
            "refund has failed and is owed: ask for it",
            "refunds have failed and are owed: ask for them",
        ),
        some(open.balances, "balance is not paid out", "balances are not paid out"),
        open.last_admin.then(|| "there is no other administrator".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_said() {
        let none = Obligations {
            unpaid_orders: 0,
            holds: 0,
            shows: 0,
            sold_orders: 0,
            returns: 0,
            disputes: 0,
            refunds: 0,
            balances: 0,
            last_admin: false,
        };
        assert!(reasons(&none).is_empty());
        let all = Obligations {
            unpaid_orders: 1,
            holds: 2,
            shows: 1,
            sold_orders: 3,
            returns: 1,
            disputes: 1,
            refunds: 1,
            balances: 1,
            last_admin: true,
        };
        assert_eq!(reasons(&all).len(), 9);
        assert_eq!(reasons(&all)[3], "3 orders of customers are not delivered");
    }
}

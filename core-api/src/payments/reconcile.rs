//! Payments whose outcome is not known, and what a provider has told of: it is asked how
//! each stands there. A hint of a provider's is never believed by itself.

use futures_util::{StreamExt as _, stream};
use shared::ids::PaymentId;
use shared::status::{Machine as _, PaymentStatus};

use super::{Till, outcome, settle, store};
use crate::http::Result;
use crate::webhooks::Outcome;

/// Of how many payments, refunds or payouts a reconciler asks the provider at once: one that
/// hangs keeps few waiting, and each holds a database connection only while it writes.
pub const ASKED_AT_ONCE: usize = 8;

/// Asks the provider about payments whose outcome is not known, and calls off those
/// whose time is over: a second step at the deadline of the order or of a flash hold,
/// anything else at the order's. The units come back only on the provider's word.
/// Returns how many were asked about.
///
/// # Errors
/// When the database fails.
pub async fn reconcile(till: &Till, limit: u32) -> Result<u64> {
    let due = {
        let mut conn = till.db.acquire().await?;
        store::take_unsettled(&mut conn, till.reconcile_after, till.timeout, limit.into()).await?
    };
    let found = due.len() as u64;
    let one = |id| async move {
        // One that cannot be settled must not keep the others from it.
        if let Err(error) = reconcile_one(till, id).await {
            tracing::warn!(payment = %id, %error, "a payment could not be reconciled");
        }
    };
    stream::iter(due).for_each_concurrent(ASKED_AT_ONCE, one).await;
    Ok(found)
}

/// Asks the provider for its fees of captures where it has told none. Returns how many were
/// asked for.
///
/// # Errors
/// When the database fails.
pub async fn ask_for_fees(till: &Till, limit: u32) -> Result<u64> {
    let due = store::take_without_fee(&mut *till.db.acquire().await?, limit.into()).await?;
    for id in &due {
        if let Err(error) = heed(till, *id).await {
            tracing::warn!(payment = %id, %error, "the fee of a payment is not known");
        }
    }
    Ok(due.len() as u64)
}

async fn reconcile_one(till: &Till, id: PaymentId) -> Result<()> {
    let attempt = store::attempt(&mut *till.db.acquire().await?, id).await?;
    let status = attempt.view.status;
    if status.is_final() {
        return Ok(());
    }
    let waits_for_buyer = status == PaymentStatus::RequiresAction;
    let give_up = attempt.order_overdue || (attempt.hold_overdue && waits_for_buyer);
    let told = if give_up {
        till.call_off(&attempt).await
    } else {
        match till.find(&attempt).await {
            Ok(Some(intent)) => Ok(intent),
            // It was written and never got there. Nobody waits for it any more.
            Ok(None) => till.call_off(&attempt).await,
            Err(error) => Err(error),
        }
    };
    outcome(till, id, told).await?;
    Ok(())
}

/// The provider has told of a payment: brings it to where it stands there. Nothing is called
/// off for that: what is overdue is the reconciler's.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn heed(till: &Till, id: PaymentId) -> Result<Outcome> {
    let known = store::status(&mut *till.db.acquire().await?, id).await?;
    match known {
        // Somebody else's, who has the same provider; or nothing follows any more.
        None => return Ok(Outcome::Ignored),
        Some((PaymentStatus::Captured, true)) => return Ok(Outcome::Done),
        Some(_) => {}
    }
    let attempt = store::attempt(&mut *till.db.acquire().await?, id).await?;
    match till.find(&attempt).await {
        Ok(Some(intent)) => {
            settle::record(till, id, &intent).await?;
            Ok(Outcome::Done)
        }
        Ok(None) => Ok(Outcome::Later("the provider knows nothing of the payment")),
        Err(error) => {
            tracing::warn!(payment = %id, %error, "the provider does not say what it has told of");
            Ok(Outcome::Later("the provider does not answer"))
        }
    }
}

//! Claims: a buyer says that units which a shop has sent never came. While a claim is open,
//! what its line earned is not released, so that nobody is paid on the shop's word alone. The
//! shop answers with what proves the delivery; the buyer withdraws it, or an admin decides: for
//! the shop, or for the buyer, who gets the units' money back.

pub mod handlers;
pub mod model;
mod store;

use serde_json::json;
use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ClaimId, OrderId, RequestId, SellerId, UserId};
use shared::notification::NotificationKind;
use shared::outbox;
use shared::status::ClaimStatus;
use sqlx::{PgConnection, PgPool};

use crate::commerce::Commerce;
use crate::http::{List, Owner, Page, Result};
use crate::idempotency::{self, Answer};
use crate::ledger::parts::ShippingBack;
use crate::payments::Till;
use crate::refunds::model::{Back, Line, RefundKind};
use crate::refunds::{self, Decision, news};
use crate::{audit, orders};
use model::{Claim, ClaimAnswer, ClaimFilter, NewClaim};
use store::Look;

/// Of how many units of an order claims are shown.
const OF_AN_ORDER: i64 = 1_000;

/// Says that units of an order of `buyer`'s were sent and did not come.
///
/// # Errors
/// `not_found`; `wrong_state` for units that were not sent, have arrived or are in another
/// claim, or were sent too long ago.
pub async fn open(
    (db, bus): (&PgPool, &SharedBus),
    settings: &Commerce,
    buyer: UserId,
    order: OrderId,
    key: RequestId,
    new: &NewClaim,
) -> Result<Answer<Claim>> {
    let act = (order, new);
    let answer = idempotency::once(db, buyer, key, "claim.open", &act, 201, async |conn| {
        orders::lock(conn, order, Some(buyer)).await?;
        let found = store::claimable(conn, order, new.order_item_id, settings.return_time).await?;
        let line = found.ok_or(ErrorCode::NotFound)?;
        if new.quantity > line.units {
            let detail = format!(
                "{} units were sent, have not arrived and are in no claim",
                line.units.max(0)
            );
            return Err(Refusal::new(ErrorCode::WrongState, detail).into());
        }
        if line.is_late {
            return Err(Refusal::new(ErrorCode::WrongState, "the time for claims is over").into());
        }
        let id = ClaimId::new();
        store::insert(conn, id, order, line.seller, new).await?;
        let claim = one(conn, id, Look::default()).await?;
        tell(conn, &claim, NotificationKind::ClaimOpened, &claim.reason).await?;
        let after = json!({"order": order, "item": new.order_item_id, "quantity": new.quantity});
        let detail = json!({"before": null, "after": after});
        audit::record(conn, buyer, "claim.opened", id.0, detail).await?;
        Ok(claim)
    })
    .await?;
    if !answer.replayed {
        outbox::hint_notifications(bus.as_ref()).await;
    }
    Ok(answer)
}

/// A claim, where it is among what is looked for.
async fn one(conn: &mut PgConnection, id: ClaimId, whose: Look) -> Result<Claim> {
    let look = Look { id: Some(id), ..whose };
    let found = store::find(conn, &look, 1).await?.pop();
    Ok(found.ok_or(ErrorCode::NotFound)?)
}

/// Tells the side that has not acted: the shop of a claim that is opened, the buyer of an
/// answer, and both of a decision.
async fn tell(conn: &mut PgConnection, claim: &Claim, kind: NotificationKind, said: &str) -> Result<()> {
    let (buyer, owner) = store::sides(conn, claim.id).await?;
    let mut people = match kind {
        NotificationKind::ClaimOpened => vec![owner],
        NotificationKind::ClaimAnswered => vec![buyer],
        _ => vec![buyer, owner],
    };
    // Accounts are locked in the order of their ids.
    people.sort_unstable();
    for person in people {
        news::of_claim(conn, person, kind, claim, said).await?;
    }
    Ok(())
}

/// The claims of an order of `buyer`'s, newest first.
///
/// # Errors
/// `not_found`.
pub async fn of_order(db: &PgPool, buyer: UserId, order: OrderId) -> Result<List<Claim>> {
    let mut conn = db.acquire().await?;
    let look = Look {
        buyer: Some(buyer),
        order: Some(order),
        ..Look::default()
    };
    let claims = store::find(&mut conn, &look, OF_AN_ORDER).await?;
    if claims.is_empty() {
        // An order without claims, or none of theirs.
        orders::view(&mut conn, buyer, order).await?;
    }
    Ok(List::whole(claims))
}

/// The claims that are a shop's to answer, or those of all shops; newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &PgPool, seller: Option<SellerId>, filter: ClaimFilter, page: &Page) -> Result<List<Claim>> {
    let look = Look {
        seller,
        status: filter.status,
        before: page.cursor,
        ..Look::default()
    };
    let rows = store::find(&mut *db.acquire().await?, &look, page.rows()).await?;
    Ok(List::of(rows, page, |claim| claim.id.0))
}

/// The buyer has it after all. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` once it is decided.
pub async fn withdraw(db: &PgPool, buyer: UserId, order: OrderId, id: ClaimId) -> Result<Claim> {
    let whose = Look {
        buyer: Some(buyer),
        order: Some(order),
        ..Look::default()
    };
    let mut tx = db.begin().await?;
    let (claim, _) = step(&mut tx, whose, id, (ClaimStatus::Withdrawn, ""), buyer).await?;
    tx.commit().await?;
    Ok(claim)
}

/// The shop says what it knows of the delivery. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` once it has ended.
pub async fn answer(till: &Till, shop: &Owner, id: ClaimId, text: &str) -> Result<Claim> {
    let whose = Look {
        seller: Some(shop.seller),
        ..Look::default()
    };
    say(till, whose, id, (ClaimStatus::Answered, text.trim()), shop.user).await
}

/// An admin decides for the shop. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` once it has ended.
pub async fn reject(till: &Till, admin: UserId, id: ClaimId, text: &str) -> Result<Claim> {
    say(till, Look::default(), id, (ClaimStatus::Rejected, text.trim()), admin).await
}

async fn say(till: &Till, whose: Look, id: ClaimId, to: (ClaimStatus, &str), by: UserId) -> Result<Claim> {
    let mut tx = till.db.begin().await?;
    let (claim, is_new) = step(&mut tx, whose, id, to, by).await?;
    if is_new {
        let kind = match to.0 {
            ClaimStatus::Answered => NotificationKind::ClaimAnswered,
            _ => NotificationKind::ClaimDecided,
        };
        tell(&mut tx, &claim, kind, to.1).await?;
        tx.commit().await?;
        outbox::hint_notifications(till.bus.as_ref()).await;
    }
    Ok(claim)
}

/// One step with its audit, and whether it was new. It is the order's lock that it is taken
/// under: what was claimed may be arriving, or be released.
async fn step(
    conn: &mut PgConnection,
    whose: Look,
    id: ClaimId,
    (to, said): (ClaimStatus, &str),
    by: UserId,
) -> Result<(Claim, bool)> {
    let order = one(conn, id, whose).await?.order_id;
    orders::lock(conn, order, None).await?;
    let before = one(conn, id, whose).await?;
    if !store::step(conn, id, to, said).await? {
        if before.status == to {
            return Ok((before, false));
        }
        return Err(Refusal::new(ErrorCode::WrongState, format!("the claim is {}", before.status)).into());
    }
    let action = match to {
        ClaimStatus::Answered => "claim.answered",
        ClaimStatus::Rejected => "claim.rejected",
        _ => "claim.withdrawn",
    };
    let detail = json!({"before": before.status, "after": to, "said": said});
    audit::record(conn, by, action, id.0, detail).await?;
    Ok((one(conn, id, whose).await?, true))
}

/// An admin decides for the buyer: the units' money goes back, of whoever had it. What is left
/// of the shop's shipping goes with it once nothing of its part has arrived or may. They are not
/// waited for any more: an order of which all else has arrived is delivered by it.
///
/// # Errors
/// `not_found`, `wrong_state` once it has ended or its units are in a return,
/// `refund_too_large` where the payment is disputed, `payment_in_progress`.
pub async fn uphold(
    till: &Till,
    admin: UserId,
    id: ClaimId,
    key: RequestId,
    decision: &ClaimAnswer,
) -> Result<Answer<Claim>> {
    let act = (id, decision);
    let answer = idempotency::once(&till.db, admin, key, "claim.uphold", &act, 200, async |conn| {
        uphold_once(conn, admin, id, decision.answer.trim()).await
    })
    .await?;
    if !answer.replayed {
        outbox::hint_notifications(till.bus.as_ref()).await;
        if let Some(refund) = answer.body.refund_id {
            refunds::submit_decided(till, refund).await;
        }
    }
    Ok(answer)
}

async fn uphold_once(conn: &mut PgConnection, admin: UserId, id: ClaimId, why: &str) -> Result<Claim> {
    let order = one(conn, id, Look::default()).await?.order_id;
    let purchase = refunds::lock(conn, order, None).await?;
    let claim = one(conn, id, Look::default()).await?;
    if i64::from(claim.quantity) > store::units_open(conn, id).await? {
        return Err(Refusal::new(ErrorCode::WrongState, "its units are in a return, or another claim").into());
    }
    if !store::step(conn, id, ClaimStatus::Upheld, why).await? {
        return Err(Refusal::new(ErrorCode::WrongState, format!("the claim is {}", claim.status)).into());
    }
    let lines = refunds::lines(conn, order).await?;
    let left = lines.iter().find(|line| line.item == claim.order_item_id);
    let units = claim.quantity.min(left.map_or(0, Line::left));
    let back = Back {
        item: claim.order_item_id,
        units,
        // With the last of the line, the line's shipping was for nothing.
        shipping: ShippingBack::when(left.is_some_and(|line| units == line.quantity)),
    };
    let decided = Decision {
        kind: RefundKind::NotReceived,
        reason: why,
        by: Some(admin),
    };
    let refund = refunds::decide(conn, &purchase, &[back], &decided).await?;
    if let Some(refund) = refund {
        store::set_refund(conn, id, refund).await?;
    }
    store::set_lost(conn, claim.order_item_id, claim.quantity).await?;
    orders::follow_release(conn, order, purchase.order.status).await?;
    let detail = json!({"before": claim.status, "after": ClaimStatus::Upheld, "said": why, "refund": refund});
    audit::record(conn, admin, "claim.upheld", id.0, detail).await?;
    tell(conn, &claim, NotificationKind::ClaimDecided, why).await?;
    one(conn, id, Look::default()).await
}

/// Step: the buyer of a locked order says that parcels of it have come: what is claimed of
/// lines that have all arrived is withdrawn.
///
/// # Errors
/// When the database fails.
pub async fn arrived(conn: &mut PgConnection, order: OrderId, buyer: UserId) -> Result<()> {
    for id in store::withdraw_arrived(conn, order).await? {
        let detail = json!({"after": ClaimStatus::Withdrawn, "because": "arrived"});
        audit::record(conn, buyer, "claim.withdrawn", id.0, detail).await?;
    }
    Ok(())
}

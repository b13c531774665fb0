//! What admins do about refunds: decide one, and look at them. The answer is the refund as it
//! was decided; the provider is asked after it.

use std::collections::BTreeSet;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, RefundId, RequestId, UserId};
use shared::outbox;
use sqlx::{PgConnection, PgPool};

use super::model::{Back, Filter, NewRefund, Refund, RefundKind};
use super::{Decision, decide, get, lock, store};
use crate::commerce::Commerce;
use crate::http::{List, Page, Result};
use crate::idempotency::{self, Answer};
use crate::ledger::parts::ShippingBack;
use crate::orders::{self, CallOff};
use crate::payments::Till;

/// Gives money of a paid order back.
///
/// # Errors
/// `not_found`, `invalid_body`, `payment_in_progress`, `wrong_state`, `refund_too_large`,
/// `payment_disputed`.
pub async fn create(
    till: &Till,
    settings: &Commerce,
    admin: UserId,
    order: OrderId,
    key: RequestId,
    new: &NewRefund,
) -> Result<Answer<Refund>> {
    check(new)?;
    let act = (order, new);
    let answer = idempotency::once(&till.db, admin, key, "refund.create", &act, 201, async |conn| {
        let id = decide_new(conn, settings, admin, order, new).await?;
        get(conn, id.ok_or_else(nothing_left)?).await
    })
    .await?;
    send(till, &answer).await;
    Ok(answer)
}

fn check(new: &NewRefund) -> Result<()> {
    let mut named = BTreeSet::new();
    let twice = new.items.iter().position(|item| !named.insert(item.order_item_id));
    if let Some(nth) = twice {
        let refusal = Refusal::new(ErrorCode::InvalidBody, "the line is named twice");
        return Err(refusal.at(format!("items.{nth}.order_item_id")).into());
    }
    let nothing = new.items.iter().position(|item| item.quantity == 0);
    if let Some(nth) = nothing.filter(|_| !new.shipping) {
        let refusal = Refusal::new(ErrorCode::InvalidBody, "nothing of the line is to go back");
        return Err(refusal.at(format!("items.{nth}.quantity")).into());
    }
    Ok(())
}

pub(super) fn nothing_left() -> Refusal {
    Refusal::new(ErrorCode::RefundTooLarge, "nothing of it is left to be refunded")
}

async fn decide_new(
    conn: &mut PgConnection,
    settings: &Commerce,
    admin: UserId,
    order: OrderId,
    new: &NewRefund,
) -> Result<Option<RefundId>> {
    let purchase = lock(conn, order, None).await?;
    let reason = new.reason.trim();
    if new.restock {
        let units: Vec<_> = new
            .items
            .iter()
            .map(|item| (item.order_item_id, item.quantity))
            .collect();
        let call = CallOff {
            units: &units,
            seller: None,
            with_shipping: new.shipping,
            reason,
            by: admin,
        };
        return orders::call_off(conn, settings, &purchase, &call).await;
    }
    let what: Vec<Back> = new
        .items
        .iter()
        .map(|item| Back {
            item: item.order_item_id,
            units: item.quantity,
            shipping: ShippingBack::when(new.shipping),
        })
        .collect();
    let decision = Decision {
        kind: RefundKind::Goodwill,
        reason,
        by: Some(admin),
    };
    decide(conn, &purchase, &what, &decision).await
}

pub(super) async fn send(till: &Till, decided: &Answer<Refund>) {
    if !decided.replayed {
        outbox::hint(till.bus.as_ref()).await;
        outbox::hint_notifications(till.bus.as_ref()).await;
        super::submit_decided(till, decided.body.id).await;
    }
}

/// Refunds, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &PgPool, filter: Filter, page: &Page) -> Result<List<Refund>> {
    let mut conn = db.acquire().await?;
    let rows = store::list(
        &mut conn,
        filter.status,
        filter.order_id,
        filter.owed,
        (page.cursor, page.rows()),
    )
    .await?;
    Ok(List::of(rows, page, |refund| refund.id.0))
}

//! What goes back with what is called off. Of shipping all that was for nothing: but where other
//! orders of the same show were spared theirs on its account, as much stays paid, until those
//! are called off, too, or were not paid in time. So whoever buys in a show pays in the end for
//! what is sent to them, whatever they have ordered beside it.

use std::collections::BTreeMap;

use shared::ids::{OrderId, OrderItemId, RefundId, SellerId};
use shared::money::Money;
use shared::outbox;
use sqlx::PgConnection;

use super::model::Locked;
use super::store;
use super::store::cancel::Unsent;
use crate::checkout::show;
use crate::faults::{self, Step};
use crate::http::Result;
use crate::ledger::parts::ShippingBack;
use crate::payments::Till;
use crate::refunds::model::{Back, Line, RefundKind};
use crate::refunds::{self, Decision};

/// What is told of money that was kept for what was called off later.
const REASON: &str = "shipping that stayed paid for another order of the same show";

/// Step: the money of `units`, as far as it has not gone back before; the shipping of shops of
/// which nothing will be sent any more, as far as it does not stay; and `with_shipping` that of
/// every line that is named, be it with no unit. `lines` are what is left to send.
pub(super) async fn what_goes_back(
    conn: &mut PgConnection,
    order: &Locked,
    lines: &[Unsent],
    (units, with_shipping): (&[(OrderItemId, i32)], bool),
) -> Result<Vec<Back>> {
    let mut sends: BTreeMap<SellerId, bool> = BTreeMap::new();
    for line in lines {
        *sends.entry(line.seller).or_default() |= line.unsent > 0 || line.sent > 0;
    }
    let named: BTreeMap<_, _> = units.iter().copied().collect();
    let sold = refunds::lines(conn, order.id).await?;
    let stays = stays(conn, order, &sold, &sends).await?;
    let back = sold.into_iter().map(|line| {
        let is_named = named.contains_key(&line.item);
        let shipping = if with_shipping && is_named {
            ShippingBack::Goes
        } else if sends.get(&line.seller).copied().unwrap_or(true) {
            ShippingBack::Stays
        } else {
            let minor = stays.get(&line.item).copied().unwrap_or(0);
            if minor == 0 {
                ShippingBack::Goes
            } else {
                ShippingBack::GoesBut(minor)
            }
        };
        Back {
            item: line.item,
            units: named.get(&line.item).copied().unwrap_or(0).min(line.left()),
            shipping,
        }
    });
    Ok(back
        .filter(|back| back.units > 0 || back.shipping != ShippingBack::Stays)
        .collect())
}

/// What stays of the shipping of each line of the show's seller, once nothing of that part will
/// be sent: split over the lines in proportion to what is left of theirs. It is asked again when
/// it may be less; and what stays of others for this order's sake is asked now.
async fn stays(
    conn: &mut PgConnection,
    order: &Locked,
    lines: &[Line],
    sends: &BTreeMap<SellerId, bool>,
) -> Result<BTreeMap<OrderItemId, i64>> {
    let Some(spared) = show::spared(conn, order.id).await? else {
        return Ok(BTreeMap::new());
    };
    if sends.get(&spared.seller).copied().unwrap_or(true) {
        return Ok(BTreeMap::new());
    }
    let of_show: Vec<&Line> = lines.iter().filter(|line| line.seller == spared.seller).collect();
    let left = |line: &&Line| (line.parts.shipping - line.before.parts.shipping).max(0);
    let stays = spared.stays(order.id, of_show.iter().map(left).sum());
    let others: Vec<OrderId> = spared.kept_of_others(order.id).collect();
    store::kept::ask_again(conn, &others, spared.seller).await?;
    store::kept::set_check(conn, order.id, spared.seller, stays > 0 && spared.is_open()).await?;
    let weights: Vec<u64> = of_show.iter().map(|line| left(line).unsigned_abs()).collect();
    let shares = Money::new(stays, order.total.currency).split(&weights);
    Ok(of_show
        .iter()
        .map(|line| line.item)
        .zip(shares.into_iter().map(|share| share.minor))
        .collect())
}

/// Gives back shipping that stayed paid for other orders of a show which were called off later,
/// or were not paid in time. Returns how many orders were looked at.
///
/// # Errors
/// When the database fails.
pub async fn give_back(till: &Till, limit: u32) -> Result<u64> {
    let due = store::kept::take_due(&mut *till.db.acquire().await?, limit.into()).await?;
    for &id in &due {
        // One whose payment is disputed waits, and must not keep the others from it.
        match give_back_one(till, id).await {
            Ok(None) => {}
            Ok(Some(refund)) => {
                outbox::hint_notifications(till.bus.as_ref()).await;
                refunds::submit_decided(till, refund).await;
            }
            Err(error) => tracing::warn!(order = %id, %error, "shipping that was kept could not be given back"),
        }
    }
    Ok(due.len() as u64)
}

async fn give_back_one(till: &Till, id: OrderId) -> Result<Option<RefundId>> {
    let mut tx = till.db.begin().await?;
    let purchase = refunds::lock(&mut tx, id, None).await?;
    let lines = store::cancel::unsent(&mut tx, id).await?;
    let what = what_goes_back(&mut tx, &purchase.order, &lines, (&[], false)).await?;
    let decision = Decision {
        kind: RefundKind::Cancellation,
        reason: REASON,
        by: None,
    };
    let refund = refunds::decide(&mut tx, &purchase, &what, &decision).await?;
    faults::around(Step::OrderCancel, tx.commit()).await?;
    Ok(refund)
}

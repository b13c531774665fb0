//! Refunds: money's way back to the buyer.
//!
//! A refund is decided in one transaction, under the locks of its payment and order: what
//! goes back of each line, who loses what they had of it, and that it fits into what was
//! captured. From then on the money is on its way in our books, whatever the provider takes
//! its time for; it is asked after the commit, under the refund's id. The money of a refund
//! that fails is still owed to its buyer, in the books as it was, until another refund
//! replaces it. Only goodwill is undone: everybody has again what was taken for it.

pub mod acts;
pub mod anew;
pub mod handlers;
pub mod model;
pub mod news;
mod settle;
mod store;

use std::collections::HashMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{DisputeId, OrderId, PaymentId, RefundId, UserId};
use shared::money::{Currency, Money};
use shared::status::{PaymentStatus, RefundStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::Result;
use crate::ledger::model::{Account, EarningKind, Kind, Share, Transaction, Way};
use crate::payments::model::Open;
use crate::{audit, checkout, ledger, orders, payments};
use model::{Back, Line, Portion, Refund, RefundKind, SpokenFor, portions};
use orders::model::Locked;

pub use settle::{heed, reconcile, submit, submit_decided};

/// An order and the payment that is under way for it or was captured: both locked, in that
/// order, for whatever sends money back.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The order.
    pub order: Locked,
    /// Its payment; an order that costs nothing has none.
    pub payment: Option<Open>,
}

/// Step: locks an order with its payment; of `buyer`, where one is given. What its buyer has
/// bought in the same show is called off by nobody else meanwhile, nor more of it placed.
///
/// # Errors
/// `not_found`.
pub async fn lock(conn: &mut PgConnection, id: OrderId, buyer: Option<UserId>) -> Result<Purchase> {
    checkout::show::lock_of(conn, id).await?;
    let payment = payments::lock_open(conn, id).await?;
    let order = orders::lock(conn, id, buyer).await?;
    Ok(Purchase { order, payment })
}

impl Purchase {
    /// Refuses unless the order was paid, and its capture is among what is locked.
    ///
    /// # Errors
    /// `wrong_state` where it was not paid; `payment_in_progress` where it was paid while it
    /// was being locked: asked again, it is found.
    pub fn require_paid(&self) -> Result<()> {
        if !self.order.was_paid {
            return Err(Refusal::new(ErrorCode::WrongState, "the order is not paid").into());
        }
        let captured = self.payment.as_ref().map(|payment| payment.status) == Some(PaymentStatus::Captured);
        if captured || self.order.total.minor == 0 {
            Ok(())
        } else {
            Err(ErrorCode::PaymentInProgress.into())
        }
    }
}

/// Why money goes back, and who says so.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// Of which kind.
    pub kind: RefundKind,
    /// In words.
    pub reason: &'a str,
    /// Who; none: the service itself.
    pub by: Option<UserId>,
}

/// Step: decides that `what` goes back of a paid order. Whatever stock it brings back is
/// locked before: the shops' accounts, which this locks, are last. Whoever commits asks the
/// provider with [`submit`]. `None`: nothing is left to give back of it.
///
/// # Errors
/// `not_found` for lines of another order; `refund_too_large` for more units than are left,
/// or more money than is left of the payment beside what is refunded and what a lost dispute
/// took; `payment_disputed` for what an open one is about.
pub async fn decide(
    conn: &mut PgConnection,
    purchase: &Purchase,
    what: &[Back],
    decision: &Decision<'_>,
) -> Result<Option<RefundId>> {
    purchase.require_paid()?;
    let order = &purchase.order;
    let portions = portions(&lines(conn, order.id).await?, what)?;
    if portions.is_empty() {
        return Ok(None);
    }
    let currency = order.total.currency;
    let shares: Vec<Share> = portions.iter().map(|portion| portion.share).collect();
    let minor = shares.iter().map(|share| share.parts.paid(order.terms)).sum();
    let amount = Money::new(minor, currency);
    let payment = paying(conn, purchase, amount).await?;
    let id = RefundId::new();
    let shipping_kept = what.iter().map(|back| back.shipping.kept()).sum();
    write(
        conn,
        id,
        order.id,
        payment,
        (amount, shipping_kept),
        decision,
        &portions,
    )
    .await?;

    let sellers: Vec<Uuid> = shares.iter().map(|share| share.seller.0).collect();
    ledger::lock_sellers(conn, &sellers, currency).await?;
    let transaction = Transaction {
        kind: Kind::Refund,
        subject: id.0,
        order: Some(order.id),
        currency,
        entries: ledger::model::entries(&shares, order.terms, Account::RefundsPayable, Way::TakenBack),
    };
    ledger::post(conn, &transaction).await?;
    ledger::earn(conn, EarningKind::Refund, id.0, currency, &shares, order.terms).await?;
    Ok(Some(id))
}

/// The payment that `amount` goes back of, which has that much left; none for nothing.
async fn paying(conn: &mut PgConnection, purchase: &Purchase, amount: Money) -> Result<Option<PaymentId>> {
    if amount.minor == 0 {
        return Ok(None);
    }
    let payment = purchase.payment.as_ref().ok_or(ErrorCode::PaymentInProgress)?;
    let spoken_for = spoken_for(conn, payment.id, None).await?;
    let left = payment.amount.minor - spoken_for.minor();
    if amount.minor > left {
        if amount.minor <= left + spoken_for.disputed {
            let detail =
                "the buyer's bank has called the payment into question: until that is decided it has the money";
            return Err(Refusal::new(ErrorCode::PaymentDisputed, detail).into());
        }
        let detail = "so much is not left of the payment, beside what is refunded or disputed";
        return Err(Refusal::new(ErrorCode::RefundTooLarge, detail).into());
    }
    Ok(Some(payment.id))
}

/// Step: what of a locked payment is spoken for, but for a dispute itself.
///
/// # Errors
/// When the database fails.
pub async fn spoken_for(conn: &mut PgConnection, payment: PaymentId, but_for: Option<DisputeId>) -> Result<SpokenFor> {
    Ok(store::spoken_for(conn, payment, but_for).await?)
}

async fn write(
    conn: &mut PgConnection,
    id: RefundId,
    order: OrderId,
    payment: Option<PaymentId>,
    (amount, shipping_kept_minor): (Money, i64),
    decision: &Decision<'_>,
    portions: &[Portion],
) -> Result<()> {
    let row = store::NewRow {
        id,
        order,
        payment,
        kind: decision.kind,
        amount,
        shipping_kept_minor,
        reason: decision.reason,
        by: decision.by,
    };
    store::insert(conn, &row, portions).await?;
    let detail = serde_json::json!({
        "before": null,
        "after": {"order": order, "kind": decision.kind, "amount": amount, "shipping_kept_minor": shipping_kept_minor},
    });
    audit::record(conn, decision.by, "refund.decided", id.0, detail).await
}

/// The lines of an order with what was given back of each.
///
/// # Errors
/// When the database fails.
pub async fn lines(conn: &mut PgConnection, order: OrderId) -> Result<Vec<Line>> {
    let mut given = store::given_back(conn, order).await?;
    let sold = orders::sold_lines(conn, order).await?;
    let lines = sold.into_iter().map(|line| Line {
        item: line.id,
        seller: line.seller,
        quantity: line.quantity,
        parts: line.parts,
        before: given.remove(&line.id).unwrap_or_default(),
    });
    Ok(lines.collect())
}

/// Step: books a capture that its order cannot take, and decides that all of it goes back.
/// Payment and order are locked; whoever commits asks the provider with [`submit`].
///
/// # Errors
/// When the database fails.
pub async fn give_back_all(
    conn: &mut PgConnection,
    order: OrderId,
    payment: PaymentId,
    amount: Money,
) -> Result<RefundId> {
    let accounts = (Account::RefundsPayable, Account::ProviderClearing);
    let Money { minor, currency } = amount;
    let late = Transaction::moving(Kind::LateCapture, payment.0, Some(order), currency, accounts, minor);
    ledger::post(conn, &late).await?;
    let id = RefundId::new();
    let decision = Decision {
        kind: RefundKind::LatePayment,
        reason: "the payment came after the order had ended",
        by: None,
    };
    write(conn, id, order, Some(payment), (amount, 0), &decision, &[]).await?;
    Ok(id)
}

/// Step: one of them, as it is now.
///
/// # Errors
/// `not_found`.
pub async fn get(conn: &mut PgConnection, id: RefundId) -> Result<Refund> {
    Ok(store::get(conn, id).await?.ok_or(ErrorCode::NotFound)?)
}

/// Step: the refunds of these orders, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_orders(conn: &mut PgConnection, orders: &[Uuid]) -> Result<HashMap<OrderId, Vec<Refund>>> {
    let mut by_order: HashMap<OrderId, Vec<Refund>> = HashMap::new();
    for refund in store::of_orders(conn, orders).await? {
        by_order.entry(refund.order_id).or_default().push(refund);
    }
    Ok(by_order)
}

/// What has gone back to the buyer.
#[must_use]
pub fn refunded(refunds: &[Refund], currency: Currency) -> Money {
    let back = refunds.iter().filter(|refund| refund.status == RefundStatus::Succeeded);
    Money::new(back.map(|refund| refund.amount.minor).sum(), currency)
}

/// What the buyer is still to get: on its way, or owed because that has failed.
#[must_use]
pub fn owed_back(refunds: &[Refund], currency: Currency) -> Money {
    let owed = refunds.iter().filter(|refund| match refund.status {
        RefundStatus::Pending | RefundStatus::Submitted => true,
        RefundStatus::Failed => refund.owed,
        RefundStatus::Succeeded => false,
    });
    Money::new(owed.map(|refund| refund.amount.minor).sum(), currency)
}

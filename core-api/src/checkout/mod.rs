//! Pricing a purchase and holding its stock for as long as the buyer thinks.
//!
//! Cart lines take their units from the variant's free stock (`reserved`); lines from a
//! flash sale keep the units and the expiry of their hold, and when that lapses the
//! checkout is repriced without them and says so. Placing it is the orders' business:
//! [`claim`] is the step for it.

pub mod handlers;
pub mod model;
mod opening;
pub mod pricing;
pub mod show;
mod store;

use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{CheckoutId, RequestId, UserId};
use shared::outbox;
use shared::status::CheckoutStatus;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::batch;
use crate::commerce::Commerce;
use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::stock;
use crate::tax::{NoRule, TaxRule, TaxTable};
use model::{Checkout, Head, Line, NewCheckout, PostalAddress, Sums};

/// The settings that a purchase is made under.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Times and commission.
    pub commerce: &'a Commerce,
    /// Taxes.
    pub taxes: &'a TaxTable,
}

/// Prices a purchase and holds its stock.
///
/// # Errors
/// `not_found` for what is not on sale, not held by the buyer or not their address,
/// `insufficient_stock`, `hold_expired`, `own_shop`, `currency_mismatch`, `invalid_body`,
/// those of a discount code, `rate_limited` when the buyer has too many open.
pub async fn create(
    db: &PgPool,
    bus: &SharedBus,
    terms: Terms<'_>,
    buyer: UserId,
    key: RequestId,
    new: &NewCheckout,
) -> Result<Answer<Checkout>> {
    let answer = idempotency::once(db, buyer, key, "checkout.create", new, 201, async |conn| {
        opening::price_and_hold(conn, terms, buyer, new).await
    })
    .await?;
    if !answer.replayed {
        outbox::hint(bus.as_ref()).await;
    }
    Ok(answer)
}

/// A checkout of `buyer`'s. When a flash hold of an open one has lapsed, it is repriced
/// without the line first; also when another purchase of its show has been paid for, or was
/// given up, and its shipping costs otherwise.
///
/// # Errors
/// `not_found`.
pub async fn get(db: &PgPool, taxes: &TaxTable, buyer: UserId, id: CheckoutId) -> Result<Checkout> {
    let mut tx = db.begin().await?;
    let mut head = store::head(&mut tx, id, buyer).await?.ok_or(ErrorCode::NotFound)?;
    let mut lines = store::lines(&mut tx, id).await?;
    let is_another = head.status == CheckoutStatus::Open
        && (lines.iter().any(Line::newly_lapsed) || show::compare(&mut tx, buyer, &head, &lines).await?.is_another);
    if is_another && store::lock_open(&mut tx, id, buyer).await? {
        reprice(&mut tx, taxes, buyer, &head).await?;
        head = store::head(&mut tx, id, buyer).await?.ok_or(ErrorCode::NotFound)?;
        lines = store::lines(&mut tx, id).await?;
    }
    tx.commit().await?;
    Ok(head.view(&lines))
}

/// The checkout is locked. What its discount code takes off stays: flash lines, which alone
/// may lapse, have no part in it. Its tax is that of now.
async fn reprice(conn: &mut PgConnection, taxes: &TaxTable, buyer: UserId, head: &Head) -> Result<()> {
    let mut lines = store::lines(conn, head.id).await?;
    let show = show::charges(conn, buyer, head.stream, &head.address, &lines).await?;
    let lapsed: Vec<Uuid> = lines.iter().filter(|l| l.newly_lapsed()).map(|l| l.id).collect();
    lines.retain(Line::remains);
    let price = pricing::price(
        head.currency,
        &to_be_priced(lines.iter()),
        show.map(|show| show.paid),
        tax_of(taxes, &head.address)?,
    )?;
    for (line, price) in lines.iter_mut().zip(&price.lines) {
        line.cost(price);
    }
    store::reprice(conn, head.id, &lines, &lapsed, &Sums::from(&price)).await?;
    Ok(())
}

/// The tax of what goes to an address: none is sold untaxed because its region is not known.
fn tax_of(taxes: &TaxTable, address: &PostalAddress) -> Result<Option<TaxRule>> {
    taxes.rule(&address.country, &address.region).map_err(|NoRule| {
        let place = format!("{}/{}", address.country, address.region);
        let detail = format!("nothing can be sold to {place}: no tax is set for it");
        Refusal::new(ErrorCode::NotShippedThere, detail).at("address_id").into()
    })
}

fn to_be_priced<'a>(lines: impl Iterator<Item = &'a Line>) -> Vec<pricing::Line> {
    lines
        .map(|line| pricing::Line {
            seller: line.offer.seller,
            quantity: line.quantity,
            unit_price: line.unit_price,
            shipping: line.offer.shipping,
            discount: line.discount,
        })
        .collect()
}

/// Gives up an open checkout; its stock is free again. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` when it was placed or has expired.
pub async fn cancel(db: &PgPool, bus: &SharedBus, buyer: UserId, id: CheckoutId) -> Result<()> {
    let mut tx = db.begin().await?;
    if store::step(&mut tx, id, buyer, CheckoutStatus::Cancelled)
        .await?
        .is_none()
    {
        let head = store::head(&mut tx, id, buyer).await?.ok_or(ErrorCode::NotFound)?;
        return match head.status {
            CheckoutStatus::Cancelled => Ok(()),
            _ => Err(ErrorCode::WrongState.into()),
        };
    }
    release(&mut tx, &[id]).await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    Ok(())
}

/// Step: an open checkout becomes placed, and its reserved units are the order's. Its
/// lines are as the buyer last saw them.
///
/// # Errors
/// `not_found`, `checkout_expired`, `wrong_state`, `hold_expired`, `conflict` where the cap
/// of a show makes its shipping another.
pub async fn claim(conn: &mut PgConnection, buyer: UserId, id: CheckoutId) -> Result<(Head, Vec<Line>)> {
    let Some(head) = store::step(conn, id, buyer, CheckoutStatus::Placed).await? else {
        let head = store::head(conn, id, buyer).await?.ok_or(ErrorCode::NotFound)?;
        return Err(match head.status {
            // Open, but not in time: the job that expires it has yet to come.
            CheckoutStatus::Open | CheckoutStatus::Expired => ErrorCode::CheckoutExpired.into(),
            CheckoutStatus::Placed => Refusal::new(ErrorCode::WrongState, "the checkout was placed before").into(),
            CheckoutStatus::Cancelled => Refusal::new(ErrorCode::WrongState, "the checkout was cancelled").into(),
        });
    };
    let lines = store::lines(conn, id).await?;
    if lines.iter().any(Line::newly_lapsed) {
        let detail = "a flash hold has lapsed and the price is another: look at the checkout again";
        return Err(Refusal::new(ErrorCode::HoldExpired, detail).into());
    }
    let lines: Vec<Line> = lines.into_iter().filter(|l| !l.lapsed).collect();
    if lines.is_empty() {
        return Err(Refusal::new(ErrorCode::HoldExpired, "nothing is left of the checkout").into());
    }
    if lines.iter().any(|line| line.offer.banned) {
        return Err(ErrorCode::Banned.into());
    }
    if lines.iter().any(|line| !line.offer.selling) {
        return Err(Refusal::new(ErrorCode::WrongState, "a shop of the checkout does not sell any more").into());
    }
    show::check(conn, buyer, &head, &lines).await?;
    Ok((head, lines))
}

/// Expires a batch of checkouts whose time is over; their stock is free again. Returns
/// how many.
///
/// # Errors
/// When the database fails.
pub async fn expire(db: &PgPool, bus: &SharedBus, limit: u32) -> Result<u64> {
    match expire_some(db, bus, None, limit).await {
        Ok(expired) => Ok(expired),
        Err(error) => {
            let due = store::due(&mut *db.acquire().await?, limit.into()).await?;
            batch::one_by_one(error, due, |id| expire_some(db, bus, Some(id), 1)).await
        }
    }
}

async fn expire_some(db: &PgPool, bus: &SharedBus, only: Option<Uuid>, limit: u32) -> Result<u64> {
    let mut tx = db.begin().await?;
    let expired = store::expire(&mut tx, only, limit.into()).await?;
    if !expired.is_empty() {
        release(&mut tx, &expired).await?;
    }
    tx.commit().await?;
    if !expired.is_empty() {
        outbox::hint(bus.as_ref()).await;
    }
    Ok(expired.len() as u64)
}

async fn release(conn: &mut PgConnection, checkouts: &[CheckoutId]) -> Result<()> {
    let units = store::reserved_units(conn, checkouts).await?;
    stock::release(conn, &stock::summed(units.iter().map(|(units, _)| *units))).await?;
    stock::notify(conn, units.iter().map(|(_, product)| *product)).await
}

fn not_found(field: impl Into<std::borrow::Cow<'static, str>>, detail: &'static str) -> crate::http::Error {
    Refusal::new(ErrorCode::NotFound, detail).at(field).into()
}

//! Pricing a purchase and holding its stock for as long as the buyer thinks.
//!
//! Cart lines take their units from the variant's free stock (`reserved`); lines from a
//! flash sale keep the units and the expiry of their hold, and when that lapses the
//! checkout is repriced without them and says so. Placing it is the orders' business:
//! [`claim`] is the step for it.

pub mod handlers;
pub mod model;
pub mod pricing;
mod show;
mod store;

use std::collections::HashMap;

use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{CheckoutId, RequestId, ReservationId, StreamId, UserId, VariantId};
use shared::outbox;
use shared::status::CheckoutStatus;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::commerce::Commerce;
use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::stock::{self, Reserved, Units};
use model::{Checkout, Head, HeldUnits, Line, NewCheckout, NewLine, Offer};

/// Open checkouts and unpaid orders of one buyer at most, so that no account keeps a shop's
/// stock from others.
const OPEN_MAX: i64 = 10;

type Offers = HashMap<VariantId, (Offer, String)>;

/// Prices a purchase and holds its stock.
///
/// # Errors
/// `not_found` for what is not on sale, not held by the buyer or not their address,
/// `insufficient_stock`, `hold_expired`, `own_shop`, `currency_mismatch`, `invalid_body`,
/// `rate_limited` when the buyer has too many open.
pub async fn create(
    db: &PgPool,
    bus: &SharedBus,
    settings: &Commerce,
    buyer: UserId,
    key: RequestId,
    new: &NewCheckout,
) -> Result<Answer<Checkout>> {
    let answer = idempotency::once(db, buyer, key, "checkout.create", new, 201, async |conn| {
        price_and_hold(conn, settings, buyer, new).await
    })
    .await?;
    if !answer.replayed {
        outbox::hint(bus.as_ref()).await;
    }
    Ok(answer)
}

async fn price_and_hold(
    conn: &mut PgConnection,
    settings: &Commerce,
    buyer: UserId,
    new: &NewCheckout,
) -> Result<Checkout> {
    may_open_another(conn, buyer).await?;
    let (mut lines, stream) = lines_of(conn, buyer, new).await?;
    let Some(first) = lines.first() else {
        return Err(Refusal::new(ErrorCode::InvalidBody, "there is nothing to buy")
            .at("items")
            .into());
    };
    let currency = first.unit_price.currency;
    let show = show::charges(conn, buyer, stream, new.address_id, &lines).await?;
    let price = pricing::price(currency, &to_be_priced(lines.iter()), show.map(|show| show.paid))?;
    for (line, share) in lines.iter_mut().zip(&price.lines) {
        line.shipping = share.shipping;
    }
    let row = store::NewRow {
        id: CheckoutId::new(),
        buyer,
        address: new.address_id,
        stream,
        currency,
        price: &price,
        life: settings.checkout_life,
        lines: &lines,
    };
    let Some((address, expires_at)) = store::insert(conn, &row).await? else {
        return Err(not_found("address_id", "the buyer has no such address"));
    };
    ships_to(&address.country, &lines)?;
    let head = Head {
        id: row.id,
        status: CheckoutStatus::Open,
        currency,
        items_minor: price.items.minor,
        shipping_minor: price.shipping.minor,
        stream,
        address_id: new.address_id,
        address,
        expires_at,
    };
    // Last, so that other buyers of the same variants wait as briefly as can be.
    reserve(conn, new, &lines).await?;
    Ok(head.view(&lines))
}

/// Every line's shop ships to the country.
fn ships_to(country: &str, lines: &[Line]) -> Result<()> {
    let served = |regions: &[String]| regions.is_empty() || regions.iter().any(|region| region == country);
    match lines.iter().find(|line| !served(&line.offer.regions)) {
        None => Ok(()),
        Some(line) => {
            let detail = format!("{} ({}) is not shipped to {country}", line.offer.title, line.offer.sku);
            Err(Refusal::new(ErrorCode::NotShippedThere, detail).at("address_id").into())
        }
    }
}

/// A buyer's checkouts are created one after another, so that each counts those before it.
async fn may_open_another(conn: &mut PgConnection, buyer: UserId) -> Result<()> {
    store::lock_buyer(conn, buyer).await?;
    let open = store::open_of(conn, buyer).await?;
    if open.count < OPEN_MAX {
        return Ok(());
    }
    let refusal = Refusal::new(
        ErrorCode::RateLimited,
        "too many open checkouts and unpaid orders: finish or cancel one",
    );
    let wait = u64::try_from(open.next_expiry_ms).unwrap_or_default().max(1);
    Err(refusal.retry_after_ms(wait).into())
}

/// The lines to be priced, and the show they are bought in.
async fn lines_of(conn: &mut PgConnection, buyer: UserId, new: &NewCheckout) -> Result<(Vec<Line>, Option<StreamId>)> {
    let holds = holds_of(conn, buyer, &new.reservations).await?;
    let mut variants: Vec<Uuid> = new.items.iter().map(|item| item.variant_id.0).collect();
    variants.extend(holds.iter().map(|hold| hold.variant.0));
    let offers: Offers = store::offers(conn, buyer, &variants)
        .await?
        .into_iter()
        .map(|(offer, shop)| (offer.variant, (offer, shop)))
        .collect();

    let mut lines = cart_lines(&new.items, &offers)?;
    for hold in &holds {
        let offer = sold_by(&offers, hold.variant, "reservations".into())?;
        let mut line = line(offer, hold.quantity);
        line.unit_price = hold.price;
        line.reservation = Some(hold.reservation);
        line.hold_expires_at = Some(hold.expires_at);
        lines.push(line);
    }
    let stream = stream_of(conn, new.stream_id, &holds, &lines).await?;
    Ok((lines, stream))
}

async fn holds_of(conn: &mut PgConnection, buyer: UserId, asked: &[ReservationId]) -> Result<Vec<HeldUnits>> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let holds = store::holds(conn, buyer, asked).await?;
    for (i, id) in asked.iter().enumerate() {
        let field = format!("reservations.{i}");
        match holds.iter().find(|hold| hold.reservation == *id) {
            None => return Err(not_found(field, "the buyer has no such hold")),
            Some(hold) if !hold.alive => return Err(Refusal::from(ErrorCode::HoldExpired).at(field).into()),
            Some(_) => {}
        }
    }
    Ok(holds)
}

/// One line a variant, however often the cart names it.
fn cart_lines(items: &[NewLine], offers: &Offers) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let field = format!("items.{i}.variant_id");
        if let Some(line) = lines.iter_mut().find(|l| l.offer.variant == item.variant_id) {
            line.quantity += item.quantity;
            if line.quantity > 1_000 {
                let refusal = Refusal::new(ErrorCode::InvalidBody, "at most 1,000 of one variant");
                return Err(refusal.at(format!("items.{i}.quantity")).into());
            }
            continue;
        }
        let offer = sold_by(offers, item.variant_id, field.clone())?;
        if !offer.0.active {
            return Err(not_found(field, "there is no such variant on sale"));
        }
        lines.push(line(offer, item.quantity));
    }
    Ok(lines)
}

/// The offer of a shop that may sell, is not the buyer's own and has not banned them.
fn sold_by(offers: &Offers, variant: VariantId, field: String) -> Result<&(Offer, String)> {
    match offers.get(&variant) {
        Some((offer, _)) if offer.own => Err(Refusal::from(ErrorCode::OwnShop).at(field).into()),
        Some((offer, _)) if offer.banned => Err(Refusal::from(ErrorCode::Banned).at(field).into()),
        Some(found) if found.0.selling => Ok(found),
        _ => Err(not_found(field, "there is no such variant on sale")),
    }
}

fn line((offer, shop_name): &(Offer, String), quantity: i32) -> Line {
    Line {
        id: Uuid::now_v7(),
        unit_price: offer.price,
        shipping: shared::money::Money::zero(offer.price.currency),
        offer: offer.clone(),
        shop_name: shop_name.clone(),
        quantity,
        reservation: None,
        hold_expires_at: None,
        hold_is_dead: false,
        lapsed: false,
    }
}

/// The show named, which must be of one of the shops, else the one of the first hold.
async fn stream_of(
    conn: &mut PgConnection,
    asked: Option<StreamId>,
    holds: &[HeldUnits],
    lines: &[Line],
) -> Result<Option<StreamId>> {
    let Some(stream) = asked else {
        return Ok(holds.first().map(|hold| hold.stream));
    };
    match store::seller_of_stream(conn, stream).await? {
        Some(seller) if lines.iter().any(|l| l.offer.seller == seller) => Ok(Some(stream)),
        Some(_) => Err(Refusal::new(ErrorCode::InvalidBody, "nothing of this is the show's")
            .at("stream_id")
            .into()),
        None => Err(not_found("stream_id", "there is no such show")),
    }
}

async fn reserve(conn: &mut PgConnection, new: &NewCheckout, lines: &[Line]) -> Result<()> {
    let cart = || lines.iter().filter(|l| l.reservation.is_none());
    let units = stock::summed(cart().map(|l| Units {
        variant: l.offer.variant,
        quantity: l.quantity,
    }));
    if let Reserved::Short(short) = stock::reserve(conn, &units).await? {
        let is_short = |variant: &VariantId| short.contains(variant);
        let line = cart().find(|l| is_short(&l.offer.variant));
        let at = new.items.iter().position(|item| is_short(&item.variant_id));
        let detail = line.map_or_else(
            || ErrorCode::InsufficientStock.title().to_owned(),
            |l| {
                format!(
                    "there are not {} of {} ({}) in stock",
                    l.quantity, l.offer.title, l.offer.sku
                )
            },
        );
        let field = format!("items.{}.quantity", at.unwrap_or_default());
        return Err(Refusal::new(ErrorCode::InsufficientStock, detail).at(field).into());
    }
    stock::notify(conn, cart().map(|l| l.offer.product)).await
}

/// A checkout of `buyer`'s. When a flash hold of an open one has lapsed, it is repriced
/// without the line first; also when another purchase of its show has been paid for, or was
/// given up, and its shipping costs otherwise.
///
/// # Errors
/// `not_found`.
pub async fn get(db: &PgPool, buyer: UserId, id: CheckoutId) -> Result<Checkout> {
    let mut tx = db.begin().await?;
    let mut head = store::head(&mut tx, id, buyer).await?.ok_or(ErrorCode::NotFound)?;
    let mut lines = store::lines(&mut tx, id).await?;
    let is_another = head.status == CheckoutStatus::Open
        && (lines.iter().any(Line::newly_lapsed) || show::compare(&mut tx, buyer, &head, &lines).await?.is_another);
    if is_another && store::lock_open(&mut tx, id, buyer).await? {
        reprice(&mut tx, buyer, &head).await?;
        head = store::head(&mut tx, id, buyer).await?.ok_or(ErrorCode::NotFound)?;
        lines = store::lines(&mut tx, id).await?;
    }
    tx.commit().await?;
    Ok(head.view(&lines))
}

/// The checkout is locked.
async fn reprice(conn: &mut PgConnection, buyer: UserId, head: &Head) -> Result<()> {
    let lines = store::lines(conn, head.id).await?;
    let remaining: Vec<&Line> = lines.iter().filter(|l| l.remains()).collect();
    let show = show::charges(conn, buyer, head.stream, head.address_id, &lines).await?;
    let price = pricing::price(
        head.currency,
        &to_be_priced(remaining.iter().copied()),
        show.map(|show| show.paid),
    )?;
    let remaining: Vec<Uuid> = remaining.iter().map(|l| l.id).collect();
    let lapsed: Vec<Uuid> = lines.iter().filter(|l| l.newly_lapsed()).map(|l| l.id).collect();
    store::reprice(conn, head.id, &remaining, &lapsed, &price).await?;
    Ok(())
}

fn to_be_priced<'a>(lines: impl Iterator<Item = &'a Line>) -> Vec<pricing::Line> {
    lines
        .map(|line| pricing::Line {
            seller: line.offer.seller,
            quantity: line.quantity,
            unit_price: line.unit_price,
            shipping: line.offer.shipping,
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
    let mut tx = db.begin().await?;
    let expired = store::expire(&mut tx, limit.into()).await?;
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

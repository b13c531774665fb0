//! Opening a checkout: what is bought, from whom and at what price, where it goes, and
//! its units taken from the free stock.

use std::collections::HashMap;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{AddressId, CheckoutId, DiscountCodeId, ReservationId, SellerId, StreamId, UserId, VariantId};
use shared::money::Money;
use shared::status::CheckoutStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Checkout, Head, HeldUnits, Line, NewCheckout, NewLine, Offer, PostalAddress, Sums};
use super::{Terms, not_found, pricing, show, store, tax_of, to_be_priced};
use crate::addresses;
use crate::cart;
use crate::discounts;
use crate::discounts::model::{Goods, LineDiscount};
use crate::http::{Error, Result};
use crate::stock::{self, Reserved, Units};

/// Open checkouts and unpaid orders of one buyer at most, so that no account keeps a shop's
/// stock from others.
const OPEN_MAX: i64 = 10;

type Offers = HashMap<VariantId, (Offer, String)>;

pub(super) async fn price_and_hold(
    conn: &mut PgConnection,
    terms: Terms<'_>,
    buyer: UserId,
    new: &NewCheckout,
) -> Result<Checkout> {
    let known = may_open_another(conn, buyer, new.address_id).await?;
    let wanted = wanted(conn, buyer, new).await?;
    let (mut lines, stream) = lines_of(conn, buyer, new, &wanted, terms.commerce.checkout_life).await?;
    let Some(first) = lines.first() else {
        return Err(Refusal::new(ErrorCode::InvalidBody, "there is nothing to buy")
            .at(if new.cart { "cart" } else { "items" })
            .into());
    };
    let currency = first.unit_price.currency;
    let (address_id, address) = destination(conn, buyer, new, known).await?;
    ships_to(&address.country, &lines)?;
    let discount = match &new.discount_code {
        Some(code) => Some(take_off(conn, buyer, code, &mut lines).await?),
        None => None,
    };
    let show = show::charges(conn, buyer, stream, &address, &lines).await?;
    let price = pricing::price(
        currency,
        &to_be_priced(lines.iter()),
        show.map(|show| show.paid),
        tax_of(terms.taxes, &address)?,
    )?;
    for (line, price) in lines.iter_mut().zip(&price.lines) {
        line.cost(price);
    }
    let row = store::NewRow {
        id: CheckoutId::new(),
        buyer,
        address_id,
        address: &address,
        stream,
        currency,
        discount_code: new.discount_code.as_deref().map(discounts::model::canonical),
        discount,
        from_cart: new.cart,
        sums: Sums::from(&price),
        life: terms.commerce.checkout_life,
        lines: &lines,
    };
    let expires_at = store::insert(conn, &row).await?;
    let head = Head {
        id: row.id,
        status: CheckoutStatus::Open,
        currency,
        discount_code: row.discount_code,
        discount: row.discount,
        from_cart: row.from_cart,
        sums: row.sums,
        stream,
        address,
        expires_at,
    };
    // Last, so that other buyers of the same variants wait as briefly as can be.
    reserve(conn, &wanted, &lines).await?;
    Ok(head.view(&lines))
}

/// What is to be bought from free stock.
struct Wanted {
    items: Vec<NewLine>,
    from_cart: bool,
}

impl Wanted {
    /// Where the caller has written a line's `name`.
    fn field(&self, i: usize, name: &str) -> String {
        if self.from_cart {
            "cart".to_owned()
        } else {
            format!("items.{i}.{name}")
        }
    }
}

/// What the buyer names, or what their cart has.
async fn wanted(conn: &mut PgConnection, buyer: UserId, new: &NewCheckout) -> Result<Wanted> {
    let mut items = new.items.clone();
    if new.cart {
        if !items.is_empty() {
            let refusal = Refusal::new(ErrorCode::InvalidBody, "either items or the cart is bought");
            return Err(refusal.at("cart").into());
        }
        let kept = cart::lines(conn, buyer, &new.sellers).await?;
        items.extend(kept.into_iter().map(|line| NewLine {
            variant_id: line.variant,
            quantity: line.quantity,
        }));
    }
    Ok(Wanted {
        items,
        from_cart: new.cart,
    })
}

/// Where it goes: to an address of the buyer's, `known` if it is one, or to a new one, which
/// is theirs from then on.
async fn destination(
    conn: &mut PgConnection,
    buyer: UserId,
    new: &NewCheckout,
    known: Option<PostalAddress>,
) -> Result<(AddressId, PostalAddress)> {
    match (new.address_id, &new.address) {
        (Some(id), None) => {
            let address = known.ok_or_else(|| not_found("address_id", "the buyer has no such address"))?;
            Ok((id, address))
        }
        (None, Some(address)) => {
            let added = addresses::add_in(conn, buyer, address).await.map_err(of_address)?;
            Ok((added.id, added.into()))
        }
        _ => Err(Refusal::new(
            ErrorCode::InvalidBody,
            "either address_id or address says where it goes",
        )
        .at("address_id")
        .into()),
    }
}

/// A refusal of the new address names its field as the caller wrote it.
fn of_address(error: Error) -> Error {
    match error {
        Error::Refused(mut refusal) => {
            let field = refusal.field.take();
            Error::Refused(refusal.at(field.map_or("address".into(), |field| format!("address.{field}"))))
        }
        other @ Error::Fault(_) => other,
    }
}

/// Takes a code's discount off the lines that it is good for.
async fn take_off(conn: &mut PgConnection, buyer: UserId, code: &str, lines: &mut [Line]) -> Result<DiscountCodeId> {
    let sellers: Vec<SellerId> = lines.iter().map(|line| line.offer.seller).collect();
    let (id, discount) = discounts::look_up(conn, buyer, code, &sellers).await?;
    let goods: Vec<Goods> = lines
        .iter()
        .map(|line| Goods {
            seller: line.offer.seller,
            gross: line.total(),
            is_flash: line.reservation.is_some(),
        })
        .collect();
    let shares = discount.split(&goods).map_err(|refusal| refusal.at("discount_code"))?;
    for (line, share) in lines.iter_mut().zip(shares) {
        line.discount = share;
    }
    Ok(id)
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
/// Says where `address` is, if it is the buyer's.
async fn may_open_another(
    conn: &mut PgConnection,
    buyer: UserId,
    address: Option<AddressId>,
) -> Result<Option<PostalAddress>> {
    store::lock_buyer(conn, buyer).await?;
    let standing = store::standing(conn, buyer, address).await?;
    if standing.open < OPEN_MAX {
        return Ok(standing.address);
    }
    let refusal = Refusal::new(
        ErrorCode::RateLimited,
        "too many open checkouts and unpaid orders: finish or cancel one",
    );
    let wait = u64::try_from(standing.next_expiry_ms).unwrap_or_default().max(1);
    Err(refusal.retry_after_ms(wait).into())
}

/// The lines to be priced, and the show they are bought in.
async fn lines_of(
    conn: &mut PgConnection,
    buyer: UserId,
    new: &NewCheckout,
    wanted: &Wanted,
    after_show: Duration,
) -> Result<(Vec<Line>, Option<StreamId>)> {
    let holds = holds_of(conn, buyer, &new.reservations).await?;
    let mut variants: Vec<Uuid> = wanted.items.iter().map(|item| item.variant_id.0).collect();
    variants.extend(holds.iter().map(|hold| hold.variant.0));
    let offers: Offers = store::offers(conn, buyer, &variants)
        .await?
        .into_iter()
        .map(|(offer, shop)| (offer.variant, (offer, shop)))
        .collect();

    let mut lines = cart_lines(wanted, &offers)?;
    for hold in &holds {
        let offer = sold_by(&offers, hold.variant, "reservations".into())?;
        let mut line = line(offer, hold.quantity);
        line.unit_price = hold.price;
        line.reservation = Some(hold.reservation);
        line.hold_expires_at = Some(hold.expires_at);
        lines.push(line);
    }
    let stream = stream_of(conn, new.stream_id, &holds, &lines, after_show).await?;
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
fn cart_lines(wanted: &Wanted, offers: &Offers) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::with_capacity(wanted.items.len());
    for (i, item) in wanted.items.iter().enumerate() {
        let field = wanted.field(i, "variant_id");
        if let Some(line) = lines.iter_mut().find(|l| l.offer.variant == item.variant_id) {
            line.quantity += item.quantity;
            if line.quantity > 1_000 {
                let refusal = Refusal::new(ErrorCode::InvalidBody, "at most 1,000 of one variant");
                return Err(refusal.at(wanted.field(i, "quantity")).into());
            }
            continue;
        }
        let known = offers.get(&item.variant_id).map(|(offer, _)| offer);
        if let Some(offer) = known.filter(|offer| wanted.from_cart && !(offer.active && offer.selling)) {
            // It was on sale when it was put there, so that its name is no secret.
            let detail = format!("{} ({}) is not on sale any more", offer.title, offer.sku);
            return Err(Refusal::new(ErrorCode::NotFound, detail).at(field).into());
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
        discount: LineDiscount::default(),
        shipping: Money::zero(offer.price.currency),
        tax_bps: 0,
        tax: Money::zero(offer.price.currency),
        shipping_tax: Money::zero(offer.price.currency),
        offer: offer.clone(),
        shop_name: shop_name.clone(),
        quantity,
        reservation: None,
        hold_expires_at: None,
        commission: None,
        hold_is_dead: false,
        lapsed: false,
    }
}

/// The show named, else the one of the first hold. It must be of one of the shops, and one
/// buys in it: what a show promises is not had in any show that ever was. It is on air, has
/// ended while a checkout that was opened in it would last (`after`), or has given one of
/// the holds, which was while it was on air.
async fn stream_of(
    conn: &mut PgConnection,
    asked: Option<StreamId>,
    holds: &[HeldUnits],
    lines: &[Line],
    after: Duration,
) -> Result<Option<StreamId>> {
    let Some(stream) = asked else {
        return Ok(holds.first().map(|hold| hold.stream));
    };
    let is_of_hold = holds.iter().any(|hold| hold.stream == stream);
    match store::show(conn, stream, after).await? {
        Some(show) if lines.iter().any(|l| l.offer.seller == show.seller) => {
            if show.is_on || is_of_hold {
                return Ok(Some(stream));
            }
            let refusal = Refusal::new(ErrorCode::WrongState, "the show is not on air: buy without it");
            Err(refusal.at("stream_id").into())
        }
        Some(_) => Err(Refusal::new(ErrorCode::InvalidBody, "nothing of this is the show's")
            .at("stream_id")
            .into()),
        None => Err(not_found("stream_id", "there is no such show")),
    }
}

async fn reserve(conn: &mut PgConnection, wanted: &Wanted, lines: &[Line]) -> Result<()> {
    let cart = || lines.iter().filter(|l| l.reservation.is_none());
    let units = stock::summed(cart().map(|l| Units {
        variant: l.offer.variant,
        quantity: l.quantity,
    }));
    let products = cart().map(|l| l.offer.product);
    if let Reserved::Short(short) = stock::reserve(conn, &units, products).await? {
        let is_short = |variant: &VariantId| short.contains(variant);
        let line = cart().find(|l| is_short(&l.offer.variant));
        let at = wanted.items.iter().position(|item| is_short(&item.variant_id));
        let detail = line.map_or_else(
            || ErrorCode::InsufficientStock.title().to_owned(),
            |l| {
                format!(
                    "there are not {} of {} ({}) in stock",
                    l.quantity, l.offer.title, l.offer.sku
                )
            },
        );
        let field = wanted.field(at.unwrap_or_default(), "quantity");
        return Err(Refusal::new(ErrorCode::InsufficientStock, detail).at(field).into());
    }
    Ok(())
}

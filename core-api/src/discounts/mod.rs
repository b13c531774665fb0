//! Discount codes: a shop's, which is for its own goods and which it bears, and the
//! platform's, which is for all goods and which the platform pays for.
//!
//! Who funds a code names it, so that names may be several funders': a purchase uses one that
//! is good for its goods, and the platform's before a shop's.
//!
//! A use is an order's: it counts as long as the order is neither cancelled nor expired, which
//! the database sees to, whoever ends the order. All uses of a code are counted under its row
//! lock where they are limited, and a buyer's under a lock of theirs where those are; orders
//! with a code without limits wait for nobody. In the order of locks a code comes after the
//! checkout, payment and order, and before sales, holds and variants.

pub mod handlers;
pub mod model;
mod store;

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{DiscountCodeId, OrderId, SellerId, UserId};
use shared::money::{Currency, Money};
use sqlx::{Connection, PgConnection, PgPool};

use crate::audit;
use crate::http::{List, Page, Result};
use model::{Discount, DiscountCode, DiscountCodeChange, NewDiscountCode, canonical};

/// Codes that one shop, or the platform, may have.
const CODES_MAX: i64 = 1_000;

/// Who bears what a code takes off, and changes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Funder {
    /// The platform, for all goods.
    Platform,
    /// A shop, for its own, in its currency.
    Shop(SellerId, Currency),
}

impl Funder {
    const fn seller(self) -> Option<SellerId> {
        match self {
            Self::Platform => None,
            Self::Shop(seller, _) => Some(seller),
        }
    }
}

/// A funder's codes, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, funder: Funder, page: &Page) -> Result<List<DiscountCode>> {
    let rows = store::list(&mut *db.acquire().await?, funder.seller(), page).await?;
    Ok(List::of(rows, page, |code| code.id.0))
}

/// Adds a code.
///
/// # Errors
/// `invalid_body`, `conflict` when the code is taken or there are too many.
pub(crate) async fn create(db: &PgPool, funder: Funder, by: UserId, new: NewDiscountCode) -> Result<DiscountCode> {
    let currency = currency_of(funder, &new)?;
    if new.percent_bps.is_some() == new.amount_minor.is_some() {
        return invalid("percent_bps", "either a percentage or an amount is taken off");
    }
    let starts_at = new.starts_at.unwrap_or_else(Utc::now);
    has_a_window(starts_at, new.ends_at)?;
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let id = DiscountCodeId::new();
    let seller = funder.seller();
    store::lock_funder(&mut tx, seller).await?;
    if store::count(&mut tx, seller).await? >= CODES_MAX {
        return Err(Refusal::new(ErrorCode::Conflict, format!("{CODES_MAX} discount codes are the most")).into());
    }
    let code = canonical(&new.code);
    let row = store::NewRow {
        id,
        seller,
        by,
        code: &code,
        currency,
        starts_at,
        new: &new,
    };
    if !store::insert(&mut tx, &row).await? {
        let refusal = Refusal::new(
            ErrorCode::Conflict,
            "There is such a code already, or the platform has one",
        );
        return Err(refusal.at("code").into());
    }
    let created = store::get(&mut tx, seller, id).await?.ok_or(ErrorCode::NotFound)?;
    audit::record(
        &mut tx,
        by,
        "discount_code.create",
        id.0,
        json!({"before": null, "after": created}),
    )
    .await?;
    tx.commit().await?;
    Ok(created)
}

/// Changes a code; what is absent stays.
///
/// # Errors
/// `not_found`, `invalid_body`, `conflict` when more orders use it than may then.
pub(crate) async fn change(
    db: &PgPool,
    funder: Funder,
    by: UserId,
    id: DiscountCodeId,
    change: &DiscountCodeChange,
) -> Result<DiscountCode> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let seller = funder.seller();
    // What is counted below stays so: whoever uses the code waits for this lock.
    if !store::lock(&mut tx, seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let before = store::get(&mut tx, seller, id).await?.ok_or(ErrorCode::NotFound)?;
    let of_one_buyer = store::most_of_one_buyer(&mut tx, id).await?;
    not_below(change.uses_max, before.uses, "uses_max")?;
    not_below(change.uses_per_buyer_max, of_one_buyer, "uses_per_buyer_max")?;
    has_a_window(
        change.starts_at.unwrap_or(before.starts_at),
        change.ends_at.unwrap_or(before.ends_at),
    )?;
    store::update(&mut tx, id, change).await?;
    let after = store::get(&mut tx, seller, id).await?.ok_or(ErrorCode::NotFound)?;
    let detail = json!({"before": before, "after": after});
    audit::record(&mut tx, by, "discount_code.change", id.0, detail).await?;
    tx.commit().await?;
    Ok(after)
}

fn currency_of(funder: Funder, new: &NewDiscountCode) -> Result<Option<Currency>> {
    match funder {
        Funder::Shop(_, own) if new.currency.is_some_and(|currency| currency != own) => {
            invalid("currency", "a shop's codes are in the shop's currency")
        }
        Funder::Shop(_, own) => Ok(Some(own)),
        Funder::Platform if new.currency.is_none() && (new.amount_minor.is_some() || new.min_items_minor > 0) => {
            invalid("currency", "an amount is of a currency")
        }
        Funder::Platform => Ok(new.currency),
    }
}

fn has_a_window(from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> Result<()> {
    if to.is_some_and(|end| end <= from) {
        return invalid("ends_at", "it ends before it begins");
    }
    Ok(())
}

fn not_below(limit: Option<Option<i32>>, uses: i64, field: &'static str) -> Result<()> {
    match limit.flatten() {
        Some(limit) if i64::from(limit) < uses => {
            let detail = format!("{uses} orders use it: switch it off instead");
            Err(Refusal::new(ErrorCode::Conflict, detail).at(field).into())
        }
        _ => Ok(()),
    }
}

fn invalid<T>(field: &'static str, detail: &'static str) -> Result<T> {
    Err(Refusal::new(ErrorCode::InvalidBody, detail).at(field).into())
}

/// A code as whoever wants to use it finds it.
struct Found {
    id: DiscountCodeId,
    discount: Discount,
    /// It has begun, has not ended and was not switched off.
    is_on: bool,
    uses_max: Option<i32>,
    /// Uses that count; 0 where no limit asks for them.
    uses: i64,
    uses_per_buyer_max: Option<i32>,
    /// The buyer's, likewise.
    own_uses: i64,
}

impl Found {
    /// It may be used once more.
    fn check(&self) -> std::result::Result<(), Refusal> {
        let refused = |code: ErrorCode, detail: &'static str| Err(Refusal::new(code, detail).at("discount_code"));
        if !self.is_on {
            return Err(Refusal::from(ErrorCode::DiscountOver).at("discount_code"));
        }
        if self.uses_max.is_some_and(|most| self.uses >= most.into()) {
            return refused(ErrorCode::DiscountUsedUp, "the code was used as often as it may be");
        }
        if self.uses_per_buyer_max.is_some_and(|most| self.own_uses >= most.into()) {
            return refused(
                ErrorCode::DiscountUsedUp,
                "the buyer has used the code as often as one may",
            );
        }
        Ok(())
    }
}

/// Step: which code is meant by `code` for the goods of `sellers`, and what it does, if `buyer`
/// may use it as things are. Nothing is kept for them: [`claim`] decides.
///
/// # Errors
/// `discount_unknown`, `discount_over`, `discount_used_up`.
pub async fn look_up(
    conn: &mut PgConnection,
    buyer: UserId,
    code: &str,
    sellers: &[SellerId],
) -> Result<(DiscountCodeId, Discount)> {
    let found = match store::named(conn, &canonical(code), sellers).await? {
        Some(id) => store::find(conn, buyer, id).await?,
        None => None,
    };
    let found = found.ok_or_else(|| Refusal::from(ErrorCode::DiscountUnknown).at("discount_code"))?;
    found.check()?;
    Ok((found.id, found.discount))
}

/// Step: makes sure that `buyer` may use a code once more. Until the transaction ends nobody
/// else uses what its limits leave.
///
/// # Errors
/// `discount_over`, `discount_used_up`.
pub async fn claim(conn: &mut PgConnection, buyer: UserId, code: DiscountCodeId) -> Result<()> {
    let found = under_its_limits(conn, buyer, code).await?;
    Ok(found.ok_or(ErrorCode::DiscountUnknown)?.check()?)
}

/// Two statements: what another has used while this one waited is counted by the second.
async fn under_its_limits(conn: &mut PgConnection, buyer: UserId, code: DiscountCodeId) -> Result<Option<Found>> {
    store::lock_limits(conn, code, buyer).await?;
    Ok(store::find(conn, buyer, code).await?)
}

/// Step: what the limits of an order's code count is locked, before variants are.
///
/// # Errors
/// When the database fails.
pub async fn lock_of(conn: &mut PgConnection, order: OrderId, buyer: UserId) -> Result<()> {
    if let Some(code) = store::code_of(conn, order).await? {
        store::lock_limits(conn, code, buyer).await?;
    }
    Ok(())
}

/// Step: a code that was claimed is used by an order.
///
/// # Errors
/// When the database fails, or the order has one.
pub async fn record_use(conn: &mut PgConnection, code: DiscountCodeId, order: OrderId, buyer: UserId) -> Result<()> {
    Ok(store::insert_use(conn, code, order, buyer).await?)
}

/// Step: an order that had expired is to be taken up again. `false`: others have used its
/// code in the meantime as often as it may be. Whether it was switched off or has ended
/// makes no difference: the price was agreed.
///
/// # Errors
/// When the database fails.
pub async fn retake(conn: &mut PgConnection, order: OrderId, buyer: UserId) -> Result<bool> {
    let Some(code) = store::code_of(conn, order).await? else {
        return Ok(true);
    };
    let Some(mut found) = under_its_limits(conn, buyer, code).await? else {
        return Ok(false);
    };
    found.is_on = true;
    Ok(found.check().is_ok())
}

/// What an amount of a code is, where it has one.
fn money(minor: Option<i64>, currency: Option<Currency>) -> Option<Money> {
    Some(Money::new(minor?, currency?))
}

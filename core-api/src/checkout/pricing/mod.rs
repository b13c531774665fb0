//! The price of a purchase: goods, discounts, shipping and tax. Pure; it reads no clock and
//! no table.
//!
//! All amounts are computed by line or split over lines by largest remainder, so that the
//! lines always sum to what is charged. Shipping and free shipping know no discounts; tax
//! is of what the shop asks for, after its own discount: what the platform takes off is the
//! platform's payment.

mod shipping;

use shared::error::{ErrorCode, Refusal};
use shared::ids::SellerId;
use shared::money::{Currency, Money, MoneyError};

use crate::discounts::model::LineDiscount;
use crate::ledger::parts::Terms;
use crate::tax::TaxRule;
pub use shipping::{ShippingRule, Uncapped, together, uncapped};

/// The show that a purchase is made in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Show {
    /// Whose: caps count for this seller's goods alone.
    pub seller: SellerId,
    /// What the buyer has paid for its shipping to the address before.
    pub charged_minor: i64,
}

/// One line to be priced. Lines come in the order of their ids: ties go to the earlier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Whose goods.
    pub seller: SellerId,
    /// Units.
    pub quantity: i32,
    /// The price of one.
    pub unit_price: Money,
    /// How they ship; `None`: free.
    pub shipping: Option<ShippingRule>,
    /// What is taken off them; no more than they cost.
    pub discount: LineDiscount,
}

/// What a line costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinePrice {
    /// Unit price times quantity.
    pub gross: Money,
    /// What is taken off.
    pub discount: LineDiscount,
    /// Its share of the shipping.
    pub shipping: Money,
    /// The rate of its tax, in basis points; 0: none.
    pub tax_bps: i32,
    /// Tax of the goods, within the price or on top.
    pub tax: Money,
    /// Tax of its share of the shipping, likewise.
    pub shipping_tax: Money,
}

/// The whole price. All parts are the sums of the lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// In the order of the lines given.
    pub lines: Vec<LinePrice>,
    /// The goods.
    pub items: Money,
    /// What is taken off them.
    pub discount: Money,
    /// Getting them there.
    pub shipping: Money,
    /// Tax of both.
    pub tax: Money,
    /// How it works.
    pub terms: Terms,
    /// What the buyer pays: `items - discount + shipping`, and the tax where it is added.
    pub total: Money,
}

/// Prices `lines` in `currency`, bought in `show` where there is one, and taxed by `tax`.
///
/// # Errors
/// `currency_mismatch` when a line has another currency, `invalid_body` when the sum
/// does not fit.
pub fn price(currency: Currency, lines: &[Line], show: Option<Show>, tax: Option<TaxRule>) -> Result<Price, Refusal> {
    sums(currency, lines, show, tax).map_err(refusal)
}

fn sums(currency: Currency, lines: &[Line], show: Option<Show>, tax: Option<TaxRule>) -> Result<Price, MoneyError> {
    let mut totals = Vec::with_capacity(lines.len());
    for line in lines {
        // Adding refuses another currency.
        let total = line.unit_price.checked_mul(i64::from(line.quantity))?;
        totals.push(Money::zero(currency).checked_add(total)?);
    }
    let shares = shipping::shares(currency, lines, &totals, show)?;
    let lines: Vec<LinePrice> = lines
        .iter()
        .zip(totals)
        .zip(shares)
        .map(|((line, gross), shipping)| taxed(gross, line.discount, shipping, tax))
        .collect();
    let sum = |part: fn(&LinePrice) -> i64| {
        lines.iter().try_fold(Money::zero(currency), |sum, line| {
            sum.checked_add(Money::new(part(line), currency))
        })
    };
    let items = sum(|line| line.gross.minor)?;
    let discount = sum(|line| line.discount.total())?;
    let shipping = sum(|line| line.shipping.minor)?;
    let taxes = sum(|line| line.tax.minor)?.checked_add(sum(|line| line.shipping_tax.minor)?)?;
    let terms = tax.map_or(Terms::UNTAXED, |rule| rule.terms);
    let mut total = items.checked_sub(discount)?.checked_add(shipping)?;
    if !terms.tax_included {
        total = total.checked_add(taxes)?;
    }
    Ok(Price {
        lines,
        items,
        discount,
        shipping,
        tax: taxes,
        terms,
        total,
    })
}

/// A line with its tax: of the goods at the shop's price, and of the shipping.
fn taxed(gross: Money, discount: LineDiscount, shipping: Money, rule: Option<TaxRule>) -> LinePrice {
    let currency = gross.currency;
    let of = |applies: fn(&TaxRule) -> bool, minor: i64| {
        let tax = rule.filter(applies).map_or(0, |rule| rule.of(minor));
        Money::new(tax, currency)
    };
    LinePrice {
        gross,
        discount,
        shipping,
        tax_bps: rule.map_or(0, |rule| i32::from(rule.rate.get())),
        tax: of(|rule| rule.goods, gross.minor - discount.seller_minor),
        shipping_tax: of(|rule| rule.shipping, shipping.minor),
    }
}

fn refusal(error: MoneyError) -> Refusal {
    match error {
        MoneyError::CurrencyMismatch => ErrorCode::CurrencyMismatch.into(),
        MoneyError::Overflow | MoneyError::UnknownCurrency => {
            Refusal::new(ErrorCode::InvalidBody, "the sum is larger than can be charged")
        }
    }
}

#[cfg(test)]
mod tests;

//! Bodies of the order routes, and what an order's status is derived from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{
    CheckoutId, OrderId, OrderItemId, PaymentId, ProductId, ReservationId, SellerId, StreamId, UserId, VariantId,
};
use shared::money::{BasisPoints, Currency, Money, MoneyError};
use shared::status::OrderStatus;
use utoipa::ToSchema;

use crate::checkout::model::{PostalAddress, Sums};
use crate::fulfilment::model::Shipment;
use crate::ledger::model::Share;
use crate::ledger::parts::{Parts, Terms};
use crate::payments::model::Payment;
use crate::refunds::model::Refund;
use crate::sellers::SellerRef;
use crate::tax::{self, TaxLine, Taxed};

/// What to order.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewOrder {
    /// An open checkout of the caller's.
    #[garde(skip)]
    pub checkout_id: CheckoutId,
}

/// A purchase.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Its number, for people.
    pub number: i64,
    /// Its status.
    pub status: OrderStatus,
    /// Its lines, as they were when it was placed.
    pub items: Vec<OrderItem>,
    /// The goods, before any discount.
    pub items_total: Money,
    /// The discount code; null: none.
    pub discount_code: Option<String>,
    /// What it takes off.
    pub discount_total: Money,
    /// Getting them there.
    pub shipping_total: Money,
    /// Tax, within the prices or on top of them.
    pub tax_total: Money,
    /// The prices contain the tax; else it is added.
    pub tax_included: bool,
    /// The tax by its rates.
    pub taxes: Vec<TaxLine>,
    /// What it costs.
    pub total: Money,
    /// Where it goes, as it was when it was placed.
    pub address: PostalAddress,
    /// The show that it was bought in.
    pub stream_id: Option<StreamId>,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When it was paid.
    pub paid_at: Option<DateTime<Utc>>,
    /// Until when it may be paid.
    pub expires_at: DateTime<Utc>,
    /// The attempts to pay it, oldest first.
    pub payments: Vec<Payment>,
    /// What goes back of it, oldest first.
    pub refunds: Vec<Refund>,
    /// What has gone back.
    pub refunded: Money,
    /// What is still to go back: on its way, or owed because a refund has failed.
    pub owed_back: Money,
    /// What was sent of it, oldest first.
    #[serde(default)]
    pub shipments: Vec<Shipment>,
}

/// A line of a purchase.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderItem {
    /// Its id.
    pub id: OrderItemId,
    /// Whose goods.
    pub seller: SellerRef,
    /// What.
    pub variant_id: VariantId,
    /// Of which product.
    pub product_id: ProductId,
    /// The product's title then.
    pub title: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Option names and values.
    pub options: BTreeMap<String, String>,
    /// The product's picture then.
    pub image_url: String,
    /// How many.
    pub quantity: i32,
    /// The price of one.
    pub unit_price: Money,
    /// Of all of them, without discounts and shipping.
    pub total: Money,
    /// What the shop takes off.
    pub seller_discount: Money,
    /// What the platform takes off, which it pays to the shop.
    pub platform_discount: Money,
    /// The line's share of the shipping.
    pub shipping: Money,
    /// The rate of its tax, in hundredths of a percent; 0: none.
    pub tax_bps: i32,
    /// Tax of the goods, within their price or on top.
    pub tax: Money,
    /// Tax of the share of the shipping, likewise.
    pub shipping_tax: Money,
    /// The flash hold that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<ReservationId>,
    /// Of them, called off after they were paid.
    #[serde(default)]
    pub cancelled: i32,
    /// Of them, sent.
    #[serde(default)]
    pub shipped: i32,
    /// Of those sent, arrived.
    #[serde(default)]
    pub delivered: i32,
    /// Of those sent, come back.
    #[serde(default)]
    pub returned: i32,
}

impl OrderItem {
    /// What of it is taxed.
    #[must_use]
    pub const fn taxed(&self) -> Taxed {
        Taxed {
            rate_bps: self.tax_bps,
            goods: self.total.minor - self.seller_discount.minor,
            tax: self.tax.minor,
            shipping: self.shipping.minor,
            shipping_tax: self.shipping_tax.minor,
        }
    }
}

/// What was paid, for what, and when.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// The order.
    pub order_id: OrderId,
    /// Its number, for people.
    pub number: i64,
    /// The lines that were paid.
    pub items: Vec<OrderItem>,
    /// The goods, before any discount.
    pub items_total: Money,
    /// The discount code; null: none.
    pub discount_code: Option<String>,
    /// What it took off.
    pub discount_total: Money,
    /// Getting them there.
    pub shipping_total: Money,
    /// Tax, within the prices or on top of them.
    pub tax_total: Money,
    /// The prices contain the tax; else it was added.
    pub tax_included: bool,
    /// The tax by its rates.
    pub taxes: Vec<TaxLine>,
    /// What was paid.
    pub total: Money,
    /// Where it goes.
    pub address: PostalAddress,
    /// When it was paid.
    pub paid_at: DateTime<Utc>,
    /// The payment; null when it cost nothing.
    pub payment_id: Option<PaymentId>,
}

/// An order that is locked, for the steps that change it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Locked {
    /// Its id.
    pub id: OrderId,
    /// Whose.
    pub buyer: UserId,
    /// Its status.
    pub status: OrderStatus,
    /// The show.
    pub stream: Option<StreamId>,
    /// What it costs.
    pub total: Money,
    /// How its tax works.
    pub terms: Terms,
    /// Its time to be paid is over.
    pub overdue: bool,
    /// It was paid, or cost nothing, whatever became of it since.
    pub was_paid: bool,
}

/// A line as the steps of payment need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SoldLine {
    /// Its id.
    pub id: OrderItemId,
    /// Whose goods.
    pub seller: SellerId,
    /// What.
    pub variant: VariantId,
    /// The flash hold.
    pub reservation: Option<ReservationId>,
    /// The product's title then.
    pub title: String,
    /// How many.
    pub quantity: i32,
    /// What it is made of; the commission was frozen when the order was placed.
    pub parts: Parts,
}

impl SoldLine {
    /// Its part in what the order pays.
    #[must_use]
    pub const fn share(&self) -> Share {
        Share {
            item: self.id,
            seller: self.seller,
            parts: self.parts,
        }
    }
}

/// What commission is taken of: never shipping, never tax.
///
/// # Errors
/// When the difference does not fit.
pub fn commission_base(gross: Money, seller_discount: Money, tax: Money) -> Result<Money, MoneyError> {
    gross.checked_sub(seller_discount)?.checked_sub(tax)
}

/// The platform's part of a line: one multiplication, rounded half up once.
///
/// # Errors
/// When the base does not fit.
pub fn commission(gross: Money, seller_discount: Money, tax: Money, rate: BasisPoints) -> Result<Money, MoneyError> {
    Ok(commission_base(gross, seller_discount, tax)?.rate(rate))
}

/// How an order ended before it was paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Called off.
    Cancelled,
    /// Not paid in time.
    Expired,
}

/// What became of a line's units. `delivered ≤ shipped`, `lost ≤ shipped`, `shipped + cancelled ≤ quantity`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Fulfilment {
    /// Units ordered.
    pub quantity: i32,
    /// Units called off after payment.
    pub cancelled: i32,
    /// Units sent.
    pub shipped: i32,
    /// Units that arrived.
    pub delivered: i32,
    /// Units that were sent and paid back because they never came.
    pub lost: i32,
}

impl Fulfilment {
    /// Units that nobody waits for any more. What was lost may come after all.
    fn at_rest(&self) -> i32 {
        (self.delivered + self.lost).min(self.shipped)
    }
}

/// Everything that an order's status follows from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// A payment was captured, or there was nothing to pay.
    pub paid: bool,
    /// How it ended unpaid, if it did. A capture after that counts: it is paid.
    pub ending: Option<Ending>,
    /// Its lines.
    pub items: &'a [Fulfilment],
    /// The time for returns is over.
    pub settled: bool,
}

/// An order's status, from its items and payments alone.
#[must_use]
pub fn derive_status(facts: &Facts<'_>) -> OrderStatus {
    match (facts.paid, facts.ending) {
        (false, None) => return OrderStatus::PendingPayment,
        (false, Some(Ending::Expired)) => return OrderStatus::Expired,
        (false, Some(Ending::Cancelled)) => return OrderStatus::Cancelled,
        (true, _) => {}
    }
    let sum = |of: fn(&Fulfilment) -> i32| facts.items.iter().map(|item| i64::from(of(item))).sum::<i64>();
    let due = sum(|item| item.quantity - item.cancelled);
    let (shipped, delivered) = (sum(|item| item.shipped), sum(Fulfilment::at_rest));
    if due == 0 {
        OrderStatus::Cancelled
    } else if delivered >= due && facts.settled {
        OrderStatus::Completed
    } else if delivered >= due {
        OrderStatus::Delivered
    } else if shipped >= due {
        OrderStatus::Shipped
    } else if shipped > 0 {
        OrderStatus::PartiallyShipped
    } else {
        OrderStatus::Paid
    }
}

/// The status of an order of which nothing has been sent, from its lines' quantities.
#[must_use]
pub fn status_before_shipping(paid: bool, ending: Option<Ending>, quantities: &[i32]) -> OrderStatus {
    let items: Vec<Fulfilment> = quantities
        .iter()
        .map(|&quantity| Fulfilment {
            quantity,
            ..Fulfilment::default()
        })
        .collect();
    derive_status(&Facts {
        paid,
        ending,
        items: &items,
        settled: false,
    })
}

/// The head of an order, as it is stored.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its id.
    pub id: OrderId,
    /// Its number.
    pub number: i64,
    /// Its status.
    pub status: OrderStatus,
    /// Its currency.
    pub currency: Currency,
    /// The discount code.
    pub discount_code: Option<String>,
    /// What it comes to.
    pub sums: Sums,
    /// Where it goes.
    pub address: PostalAddress,
    /// The show.
    pub stream: Option<StreamId>,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When it was paid.
    pub paid_at: Option<DateTime<Utc>>,
    /// Until when it may be paid.
    pub expires_at: DateTime<Utc>,
}

impl Head {
    /// The answer that shows it.
    #[must_use]
    pub fn view(self, items: Vec<OrderItem>, shipments: Vec<Shipment>, payments: Vec<Payment>) -> Order {
        let money = |minor| Money::new(minor, self.currency);
        Order {
            id: self.id,
            number: self.number,
            status: self.status,
            items_total: money(self.sums.items_minor),
            discount_code: self.discount_code,
            discount_total: money(self.sums.discount_minor),
            shipping_total: money(self.sums.shipping_minor),
            tax_total: money(self.sums.tax_minor),
            tax_included: self.sums.terms.tax_included,
            taxes: tax::lines(
                self.currency,
                self.sums.terms.tax_included,
                items.iter().map(OrderItem::taxed),
            ),
            total: money(self.sums.total()),
            items,
            address: self.address,
            stream_id: self.stream,
            created_at: self.created_at,
            paid_at: self.paid_at,
            expires_at: self.expires_at,
            payments,
            refunds: Vec::new(),
            refunded: Money::zero(self.currency),
            owed_back: Money::zero(self.currency),
            shipments,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::status::Machine;

    use super::*;

    fn item(quantity: i32, cancelled: i32, shipped: i32, delivered: i32) -> Fulfilment {
        Fulfilment {
            quantity,
            cancelled,
            shipped,
            delivered,
            lost: 0,
        }
    }

    fn paid(items: &[Fulfilment], settled: bool) -> OrderStatus {
        derive_status(&Facts {
            paid: true,
            ending: None,
            items,
            settled,
        })
    }

    #[test]
    fn an_unpaid_order_waits_or_has_ended() {
        assert_eq!(status_before_shipping(false, None, &[1]), OrderStatus::PendingPayment);
        assert_eq!(
            status_before_shipping(false, Some(Ending::Expired), &[1]),
            OrderStatus::Expired
        );
        assert_eq!(
            status_before_shipping(false, Some(Ending::Cancelled), &[1]),
            OrderStatus::Cancelled
        );
    }

    #[test]
    fn a_capture_after_the_order_expired_makes_it_paid() {
        assert_eq!(
            status_before_shipping(true, Some(Ending::Expired), &[1]),
            OrderStatus::Paid
        );
    }

    #[test]
    fn a_paid_order_is_as_far_as_its_units_are() {
        assert_eq!(paid(&[item(2, 0, 0, 0)], false), OrderStatus::Paid);
        assert_eq!(
            paid(&[item(2, 0, 2, 0), item(1, 0, 0, 0)], false),
            OrderStatus::PartiallyShipped
        );
        assert_eq!(paid(&[item(2, 0, 2, 1), item(1, 1, 0, 0)], false), OrderStatus::Shipped);
        assert_eq!(paid(&[item(2, 0, 2, 2)], false), OrderStatus::Delivered);
        assert_eq!(paid(&[item(2, 0, 2, 2)], true), OrderStatus::Completed);
        assert_eq!(paid(&[item(2, 2, 0, 0)], false), OrderStatus::Cancelled);
        let lost = |item| [Fulfilment { lost: 1, ..item }];
        assert_eq!(paid(&lost(item(2, 0, 2, 0)), false), OrderStatus::Shipped);
        assert_eq!(paid(&lost(item(2, 0, 2, 1)), false), OrderStatus::Delivered);
        assert_eq!(
            paid(&lost(item(2, 0, 2, 2)), true),
            OrderStatus::Completed,
            "it came after all"
        );
    }

    /// One unit moves on: shipped, delivered or lost, as far as it may.
    fn step(items: &mut [Fulfilment], at: usize, kind: u8) {
        let len = items.len();
        let item = &mut items[at % len];
        match kind {
            0 if item.shipped + item.cancelled < item.quantity => item.shipped += 1,
            1 if item.delivered < item.shipped => item.delivered += 1,
            2 if item.lost < item.shipped => item.lost += 1,
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn units_on_their_way_never_take_a_status_that_is_no_step(
            quantities in prop::collection::vec(1..4_i32, 1..4),
            steps in prop::collection::vec((0..4_usize, 0..3_u8), 0..40),
        ) {
            let mut items: Vec<_> = quantities.iter().map(|&q| item(q, 0, 0, 0)).collect();
            let mut status = paid(&items, false);
            prop_assert_eq!(status, OrderStatus::Paid);
            for (at, kind) in steps {
                step(&mut items, at, kind);
                let next = paid(&items, false);
                prop_assert!(next == status || status.may_become(next), "{} to {}", status, next);
                status = next;
            }
        }
    }
}

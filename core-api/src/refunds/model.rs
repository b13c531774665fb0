//! Refunds as they are shown, and as their steps see them. Pure.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, OrderItemId, PaymentId, RefundId, SellerId};
use shared::money::Money;
use shared::status::RefundStatus;
use utoipa::{IntoParams, ToSchema};

use crate::http::rules::{prose, shown};
use crate::ledger::model::Share;
use crate::ledger::parts::{GivenBack, Parts, ShippingBack, to_give_back};

/// Why money goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum RefundKind {
    /// Units were called off before they were sent.
    Cancellation,
    /// Units were sent back.
    Return,
    /// Units were sent and never came.
    NotReceived,
    /// An admin has decided so.
    Goodwill,
    /// The payment came after its order had ended: all of it.
    LatePayment,
}

impl RefundKind {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancellation => "cancellation",
            Self::Return => "return",
            Self::NotReceived => "not_received",
            Self::Goodwill => "goodwill",
            Self::LatePayment => "late_payment",
        }
    }
}

/// Money on its way back to a buyer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-c000-7000-8000-000000000010", "order_id": "0191e2a4-0005-7000-8000-000000000005",
    "payment_id": "0191e2a4-0006-7000-8000-000000000006", "kind": "cancellation", "status": "succeeded",
    "amount": {"minor": 2498, "currency": "EUR"}, "reason": "",
    "items": [{"order_item_id": "0191e2a4-0007-7000-8000-000000000007", "quantity": 1,
               "amount": {"minor": 2498, "currency": "EUR"}}],
    "owed": false, "outside": false,
    "created_at": "2026-11-23T18:00:03Z", "settled_at": "2026-11-23T18:00:04Z"
}))]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// The payment that it goes back of; null: it came to nothing.
    pub payment_id: Option<PaymentId>,
    /// Why.
    pub kind: RefundKind,
    /// How far it is: decided (`pending`), with the provider (`submitted`), and how it ended.
    pub status: RefundStatus,
    /// How much, all lines together.
    pub amount: Money,
    /// In the words of who has decided it.
    pub reason: String,
    /// For which lines. Empty: a late payment, all of which goes back.
    pub items: Vec<RefundItem>,
    /// Why the provider could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// What of the shipping stays paid, before added tax: other orders of the same show were
    /// spared theirs on account of it. Once those are called off, too, it goes back. Null:
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_kept: Option<Money>,
    /// It has failed, and its money is still owed to the buyer. One that was goodwill is not.
    pub owed: bool,
    /// Which one that has failed it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<RefundId>,
    /// The buyer has the money otherwise than through the payment provider.
    pub outside: bool,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// When it succeeded or failed; it may fail after it has succeeded, too.
    pub settled_at: Option<DateTime<Utc>>,
}

/// What goes back for a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefundItem {
    /// The line.
    pub order_item_id: OrderItemId,
    /// Of how many units; 0: of its shipping alone.
    pub quantity: i32,
    /// How much the buyer gets for it.
    pub amount: Money,
}

/// Units of a line that are not to be sent.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"quantity": 1, "reason": "Broken on its way out of the kiln"}))]
pub struct NewCancellation {
    /// How many; at most those that are neither sent nor called off.
    #[garde(range(min = 1, max = 1000))]
    pub quantity: i32,
    /// Why, for the other side.
    #[serde(default)]
    #[garde(custom(prose(500)))]
    pub reason: String,
}

/// What was called off, and what goes back for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CalledOff {
    /// The line.
    pub order_item_id: OrderItemId,
    /// How many of it were called off now.
    pub quantity: i32,
    /// The refund, as it was decided; its status moves on. Null: all of it had gone back before.
    pub refund: Option<Refund>,
}

/// What goes back of an order because an admin says so.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({
    "items": [{"order_item_id": "0191e2a4-0007-7000-8000-000000000007", "quantity": 1}],
    "shipping": false, "restock": false, "reason": "Arrived with a crack"
}))]
pub struct NewRefund {
    /// Of which lines, each named once.
    #[garde(length(min = 1, max = 100), dive)]
    pub items: Vec<NewRefundItem>,
    /// And what is left of the shipping of these lines.
    #[serde(default)]
    #[garde(skip)]
    pub shipping: bool,
    /// The units are not to be sent: they are called off, and the shop's again.
    #[serde(default)]
    #[garde(skip)]
    pub restock: bool,
    /// Why.
    #[garde(custom(shown(1, 500)))]
    pub reason: String,
}

/// Units of a line whose money goes back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewRefundItem {
    /// The line.
    #[garde(skip)]
    pub order_item_id: OrderItemId,
    /// How many; 0: its shipping alone.
    #[garde(range(min = 0, max = 1000))]
    pub quantity: i32,
}

/// That a buyer has the money of a refund otherwise, which has failed.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"reason": "Bank transfer of 24 November, the card is closed"}))]
pub struct OutsideSettlement {
    /// How, for the books.
    #[garde(custom(shown(1, 500)))]
    pub reason: String,
}

/// Which refunds.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Those that are so far.
    pub status: Option<RefundStatus>,
    /// Those of an order.
    pub order_id: Option<OrderId>,
    /// Those that have failed and whose money is still owed to the buyer; false: the others.
    pub owed: Option<bool>,
}

/// A line of an order, with what was given back of it.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its id.
    pub item: OrderItemId,
    /// Whose goods.
    pub seller: SellerId,
    /// How many were bought.
    pub quantity: i32,
    /// What it is made of.
    pub parts: Parts,
    /// What was given back of it, is on its way, or owed.
    pub before: GivenBack,
}

/// What of a payment is spoken for, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpokenFor {
    /// Refunded, on its way back, or owed.
    pub refunded: i64,
    /// Of open disputes, as far as the payment covers them.
    pub disputed: i64,
    /// Of lost ones, likewise.
    pub lost: i64,
    /// All that banks have taken by these, covered or not.
    pub taken: i64,
}

impl SpokenFor {
    /// What no refund can be decided of.
    #[must_use]
    pub const fn minor(&self) -> i64 {
        self.refunded + self.disputed + self.lost
    }
}

/// What is to go back of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Back {
    /// The line.
    pub item: OrderItemId,
    /// The goods of so many units.
    pub units: i32,
    /// And of its shipping.
    pub shipping: ShippingBack,
}

/// What goes back of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Portion {
    /// Of how many units.
    pub units: i32,
    /// Of which line and shop, and what.
    pub share: Share,
}

impl Line {
    /// Units whose money has not gone back.
    #[must_use]
    pub const fn left(&self) -> i32 {
        self.quantity - self.before.units
    }
}

/// What goes back of each line that is named. A line of which nothing is left to give is
/// left out; one that is named twice is a fault of the caller's.
///
/// # Errors
/// `not_found` for a line that is not the order's, `refund_too_large` for more units than
/// are left.
pub fn portions(lines: &[Line], what: &[Back]) -> Result<Vec<Portion>, Refusal> {
    let mut portions = Vec::with_capacity(what.len());
    for back in what {
        let line = lines.iter().find(|line| line.item == back.item);
        let line = line.ok_or_else(|| Refusal::from(ErrorCode::NotFound))?;
        if back.units > line.left() {
            let detail = format!("of {} units, {} are left to be refunded", line.quantity, line.left());
            return Err(Refusal::new(ErrorCode::RefundTooLarge, detail));
        }
        let parts = to_give_back(&line.parts, line.quantity, &line.before, back.units, back.shipping);
        if back.units == 0 && parts == Parts::default() {
            continue;
        }
        portions.push(Portion {
            units: back.units,
            share: Share {
                item: line.item,
                seller: line.seller,
                parts,
            },
        });
    }
    Ok(portions)
}

/// A refund as its way to the provider sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Its id.
    pub id: RefundId,
    /// The order.
    pub order: OrderId,
    /// The payment.
    pub payment: PaymentId,
    /// Who has the payment's money.
    pub provider: String,
    /// The provider's name for the payment.
    pub payment_reference: String,
    /// How far it is.
    pub status: RefundStatus,
    /// How much.
    pub amount: Money,
    /// Why.
    pub kind: RefundKind,
    /// The provider may have forgotten its id: it is not asked for again, only about.
    pub is_old: bool,
}

impl Outgoing {
    /// It has no outcome yet.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        matches!(self.status, RefundStatus::Pending | RefundStatus::Submitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(quantity: i32, goods: i64, before: GivenBack) -> Line {
        Line {
            item: OrderItemId::new(),
            seller: SellerId::new(),
            quantity,
            parts: Parts {
                goods,
                shipping: 300,
                ..Parts::default()
            },
            before,
        }
    }

    #[test]
    fn more_units_than_are_left_never_go_back() {
        let before = GivenBack {
            units: 2,
            parts: Parts {
                goods: 67,
                ..Parts::default()
            },
        };
        let line = line(3, 100, before);
        let back = |units| Back {
            item: line.item,
            units,
            shipping: ShippingBack::Stays,
        };
        let refused = portions(&[line], &[back(2)]).expect_err("one is left");
        assert_eq!(refused.code, ErrorCode::RefundTooLarge);
        let last = portions(&[line], &[back(1)]).expect("one is left");
        assert_eq!(last[0].share.parts.goods, 33);
    }

    #[test]
    fn shipping_goes_back_once() {
        let mut line = line(1, 100, GivenBack::default());
        let back = Back {
            item: line.item,
            units: 0,
            shipping: ShippingBack::Goes,
        };
        let first = portions(&[line], &[back]).expect("it is there");
        assert_eq!((first[0].share.parts.goods, first[0].share.parts.shipping), (0, 300));
        line.before.parts = first[0].share.parts;
        assert_eq!(portions(&[line], &[back]), Ok(Vec::new()));
    }
}

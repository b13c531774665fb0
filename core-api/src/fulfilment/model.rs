//! Bodies of the shipment routes, and which units a parcel may take.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, OrderItemId, SellerId, ShipmentId};
use utoipa::ToSchema;

use crate::http::rules::shown;

/// Lines of one parcel at most.
const LINES_MAX: usize = 100;

/// A parcel of a shop's part of an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Shipment {
    /// Its id.
    pub id: ShipmentId,
    /// The order that it is of.
    pub order_id: OrderId,
    /// The shop that sent it.
    pub seller_id: SellerId,
    /// Who carries it.
    pub carrier: String,
    /// The carrier's number of it; empty: it has none.
    pub tracking: String,
    /// What is in it.
    pub items: Vec<ShippedItem>,
    /// When it was sent.
    pub shipped_at: DateTime<Utc>,
    /// When it was heard that it had arrived; null: it was not.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Who said so.
    pub delivered_by: Option<DeliveredBy>,
}

/// Units of a line, in a parcel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShippedItem {
    /// The line.
    pub order_item_id: OrderItemId,
    /// How many.
    pub quantity: i32,
}

/// Who has said that a parcel arrived: never the shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum DeliveredBy {
    /// Its carrier.
    Carrier,
    /// Whom it was for.
    Buyer,
}

impl DeliveredBy {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Carrier => "carrier",
            Self::Buyer => "buyer",
        }
    }
}

/// A parcel that was sent.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"carrier": "dhl", "tracking": "JD014600003SE"}))]
pub struct NewShipment {
    /// Who carries it. Kept in lower case.
    #[garde(custom(is_carrier))]
    pub carrier: String,
    /// The carrier's number of it; absent: it has none. Kept in upper case, without spaces.
    #[garde(custom(is_tracking))]
    #[serde(default)]
    pub tracking: String,
    /// What is in it; absent: all that is left to be sent.
    #[garde(dive)]
    #[serde(default)]
    #[schema(min_items = 1, max_items = 100)]
    pub items: Option<Vec<NewShippedItem>>,
}

/// Units of a line that are sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewShippedItem {
    /// The line.
    #[garde(skip)]
    pub order_item_id: OrderItemId,
    /// How many.
    #[garde(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: i32,
}

/// What was wrong about a parcel; what is absent stays.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"tracking": "JD014600003SE"}))]
pub struct ShipmentChange {
    /// Who carries it.
    #[garde(inner(custom(is_carrier)))]
    #[serde(default)]
    pub carrier: Option<String>,
    /// The carrier's number of it; empty: it has none.
    #[garde(inner(custom(is_tracking)))]
    #[serde(default)]
    pub tracking: Option<String>,
}

/// A line of 60 characters at most, also as it is kept: some capitals are two small letters.
fn is_carrier(text: &str, (): &()) -> garde::Result {
    shown(1, 60)(text, &())?;
    shown(1, 60)(&carrier_name(text), &())
}

/// Letters, digits and what stands between them; spaces are taken out.
fn is_tracking(text: &str, (): &()) -> garde::Result {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '/' | '.' | '_');
    if text.len() <= 100 && text.chars().all(fits) {
        return Ok(());
    }
    Err(garde::Error::new(
        "is at most 100 letters, digits, spaces and any of - / . _",
    ))
}

/// A carrier as it is kept and compared.
#[must_use]
pub fn carrier_name(text: &str) -> String {
    text.trim().to_lowercase()
}

/// A tracking number as it is kept and compared.
#[must_use]
pub fn tracking_number(text: &str) -> String {
    let signs = text.chars().filter(|c| !c.is_whitespace());
    signs.collect::<String>().to_ascii_uppercase()
}

/// What is left of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// The line.
    pub item: OrderItemId,
    /// Units that were neither sent nor called off.
    pub units: i32,
}

/// The units that a parcel takes of what is left: those asked for, or all.
///
/// # Errors
/// `wrong_state` when nothing is left, `not_found` for a line that is none of these,
/// `invalid_body` for one that is named twice, `not_enough_left`.
pub fn packed(left: &[Left], asked: Option<&[NewShippedItem]>) -> Result<Vec<ShippedItem>, Refusal> {
    let shipped = |item: OrderItemId, quantity: i32| ShippedItem {
        order_item_id: item,
        quantity,
    };
    let Some(asked) = asked else {
        let all: Vec<_> = { left.iter() }
            .filter(|line| line.units > 0)
            .map(|line| shipped(line.item, line.units))
            .collect();
        if all.is_empty() {
            return Err(Refusal::new(ErrorCode::WrongState, "nothing is left to be sent"));
        }
        return Ok(all);
    };
    if asked.is_empty() || asked.len() > LINES_MAX {
        let detail = format!("name 1 to {LINES_MAX} lines, or leave it out");
        return Err(Refusal::new(ErrorCode::InvalidBody, detail).at("items"));
    }
    let mut named = BTreeSet::new();
    let pack = |(nth, asked): (usize, &NewShippedItem)| {
        let refused = |code: ErrorCode, field: &str, detail: String| {
            Err(Refusal::new(code, detail).at(format!("items.{nth}.{field}")))
        };
        let Some(line) = left.iter().find(|line| line.item == asked.order_item_id) else {
            let detail = "the shop has no such line in the order".to_owned();
            return refused(ErrorCode::NotFound, "order_item_id", detail);
        };
        if !named.insert(line.item) {
            return refused(ErrorCode::InvalidBody, "order_item_id", "is named twice".to_owned());
        }
        if asked.quantity > line.units {
            let detail = format!("{} are left to be sent", line.units);
            return refused(ErrorCode::NotEnoughLeft, "quantity", detail);
        }
        Ok(shipped(line.item, asked.quantity))
    };
    asked.iter().enumerate().map(pack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(item: OrderItemId, quantity: i32) -> NewShippedItem {
        NewShippedItem {
            order_item_id: item,
            quantity,
        }
    }

    #[test]
    fn a_parcel_takes_what_is_left_and_no_more() {
        let (a, b) = (OrderItemId::new(), OrderItemId::new());
        let left = [Left { item: a, units: 2 }, Left { item: b, units: 0 }];
        let all = packed(&left, None).expect("something is left");
        assert_eq!((all.len(), all[0].order_item_id, all[0].quantity), (1, a, 2));
        let code = |asked: &[NewShippedItem]| packed(&left, Some(asked)).map_err(|refusal| refusal.code);
        assert!(code(&[ask(a, 2)]).is_ok());
        assert_eq!(code(&[ask(a, 3)]), Err(ErrorCode::NotEnoughLeft));
        assert_eq!(code(&[ask(b, 1)]), Err(ErrorCode::NotEnoughLeft));
        assert_eq!(code(&[ask(a, 1), ask(a, 1)]), Err(ErrorCode::InvalidBody));
        assert_eq!(code(&[ask(OrderItemId::new(), 1)]), Err(ErrorCode::NotFound));
        assert_eq!(code(&[]), Err(ErrorCode::InvalidBody));
        let none = packed(&left[1..], None).map_err(|refusal| refusal.code);
        assert_eq!(none, Err(ErrorCode::WrongState));
    }

    #[test]
    fn a_parcel_has_one_name_however_it_is_written() {
        assert_eq!(carrier_name(" DHL "), "dhl");
        assert_eq!(tracking_number("jd01 4600 003se"), "JD014600003SE");
        assert!(is_tracking("1Z 999-AA/1.0_2", &()).is_ok());
        for bad in ["=1+1", "número", "a\nb"] {
            assert!(is_tracking(bad, &()).is_err(), "{bad}");
        }
        assert!(is_carrier(&"İ".repeat(30), &()).is_ok());
        assert!(is_carrier(&"İ".repeat(31), &()).is_err(), "62 small letters");
    }
}

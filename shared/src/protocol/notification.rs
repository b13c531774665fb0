//! What a person is told outside of any room, on every connection of theirs.

use serde::{Deserialize, Serialize};

use super::Millis;
use crate::ids::{NotificationId, OrderId, ProductId, SellerId, StreamId};
use crate::notification::NotificationKind;

/// Something new in a person's list of notifications.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notification {
    /// Its id, as in the list.
    pub notification: NotificationId,
    /// What it tells of.
    pub kind: NotificationKind,
    /// Since when it is in the list.
    pub at: Millis,
    /// The shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<NotifiedSeller>,
    /// The show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<NotifiedStream>,
    /// The product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<NotifiedProduct>,
    /// The order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<NotifiedOrder>,
    /// Why, where somebody has decided something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The shop that a notification is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotifiedSeller {
    /// Its id.
    pub id: SellerId,
    /// Its name now.
    pub name: String,
}

/// The show that a notification is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotifiedStream {
    /// Its id.
    pub id: StreamId,
    /// Its title now.
    pub title: String,
    /// When it is or was to begin.
    pub scheduled_at: Millis,
}

/// The product that a notification is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotifiedProduct {
    /// Its id.
    pub id: ProductId,
    /// Its title now.
    pub title: String,
}

/// The order that a notification is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotifiedOrder {
    /// Its id.
    pub id: OrderId,
    /// Its number, for people.
    pub number: i64,
}

//! Bodies of the notification routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{NotificationId, OrderId, ProductId, StreamId};
use shared::notification::NotificationKind;
use shared::status::StreamStatus;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::sellers::SellerRef;

/// Something that a person was told. Names are as they are now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-b000-7000-8000-00000000000f", "kind": "show_started",
    "subject_id": "0191e2a4-0002-7000-8000-000000000002",
    "seller": {"id": "0191e2a4-0004-7000-8000-000000000004", "shop_name": "Harbour Lane Ceramics"},
    "stream": {"id": "0191e2a4-0002-7000-8000-000000000002", "title": "Thursday kiln opening", "status": "live",
               "scheduled_at": "2026-11-23T18:00:00Z"},
    "product": null, "order": null, "reason": "", "created_at": "2026-11-23T18:00:03Z", "read_at": null
}))]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// What it tells of. Kinds may be added.
    pub kind: NotificationKind,
    /// What of it: the show, the hold, the review, the order, the parcel, the dispute, or the
    /// decision's own id.
    pub subject_id: Uuid,
    /// The shop that it concerns.
    pub seller: Option<SellerRef>,
    /// The show that it concerns.
    pub stream: Option<StreamRef>,
    /// The product that it concerns.
    pub product: Option<ProductRef>,
    /// The order that it concerns.
    #[serde(default)]
    pub order: Option<OrderRef>,
    /// Why, where somebody has decided something; empty: nothing was said.
    pub reason: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was read; null: it was not.
    pub read_at: Option<DateTime<Utc>>,
}

/// A show, where something tells of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamRef {
    /// Its id.
    pub id: StreamId,
    /// Its title.
    pub title: String,
    /// Its status now.
    pub status: StreamStatus,
    /// When it is or was to begin.
    pub scheduled_at: DateTime<Utc>,
}

/// A product, where something tells of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProductRef {
    /// Its id.
    pub id: ProductId,
    /// Its title.
    pub title: String,
}

/// An order, where something tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderRef {
    /// Its id.
    pub id: OrderId,
    /// Its number, for people.
    pub number: i64,
}

/// Which of them.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those that were not read.
    pub unread: Option<bool>,
}

/// How many were not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"count": 3}))]
pub struct Unread {
    /// 1000: so many or more.
    #[schema(minimum = 0, maximum = 1000)]
    pub count: i64,
}

/// What was read.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"ids": ["0191e2a4-b000-7000-8000-00000000000f"]}))]
pub struct MarkRead {
    /// Those that were seen, so that none is marked that came since, or that has its place
    /// among them and came later; absent: all.
    #[garde(inner(length(min = 1, max = 100)))]
    #[serde(default)]
    #[schema(min_items = 1, max_items = 100)]
    pub ids: Option<Vec<NotificationId>>,
}

/// Whether and how somebody is told of a kind of thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"kind": "show_started", "in_app": true, "email": false, "has_email": true}))]
pub struct Preference {
    /// What.
    pub kind: NotificationKind,
    /// In the list, and to open sockets. By default all are.
    pub in_app: bool,
    /// By mail to the confirmed address. By default only what others decide is: on one's shop,
    /// to call something of an order off, and about a return.
    pub email: bool,
    /// Whether there are letters of this kind: not of what would come too late.
    pub has_email: bool,
}

/// What somebody wants to be told of: every kind that there is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Preferences {
    /// By kind.
    pub preferences: Vec<Preference>,
}

/// What somebody wants to be told of a kind of thing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewPreference {
    /// What.
    pub kind: NotificationKind,
    /// In the list, and to open sockets.
    pub in_app: bool,
    /// By mail.
    pub email: bool,
}

/// What somebody wants to be told of. A kind that is not named has its defaults.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"preferences": [{"kind": "show_scheduled", "in_app": false, "email": false}]}))]
pub struct NewPreferences {
    /// Each kind once at most.
    #[garde(length(max = 100))]
    pub preferences: Vec<NewPreference>,
}

//! Bodies of the flash routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{ReservationId, SaleId};
use shared::status::{ReservationStatus, WaitStatus};
use utoipa::ToSchema;

/// Asks for units of a flash sale.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewHold {
    /// 1 to 1,000; the sale's own limit may be lower.
    #[garde(range(min = 1, max = 1000))]
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: i32,
}

/// Units promised to the caller until a point in time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// The hold.
    pub reservation: ReservationId,
    /// The sale.
    pub sale: SaleId,
    /// Units.
    pub quantity: i32,
    /// Its status.
    pub status: ReservationStatus,
    /// Until when it is held.
    pub expires_at: DateTime<Utc>,
}

/// The caller's last place in the line before a sale that was sold out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The sale.
    pub sale: SaleId,
    /// Units waited for.
    pub quantity: i32,
    /// What has become of it.
    pub status: WaitStatus,
    /// How many are before it, itself included: 1 is next. Absent: it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i32>,
    /// The hold that it became when its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<ReservationId>,
    /// Since when.
    pub since: DateTime<Utc>,
}

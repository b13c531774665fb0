//! Bodies of the flash routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{ReservationId, SaleId};
use shared::status::ReservationStatus;
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

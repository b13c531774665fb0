//! What a carrier reports: that a parcel has arrived, by the number that it gave it.

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::bus::SharedBus;
use shared::outbox;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::model::{DeliveredBy, carrier_name, tracking_number};
use super::{arrive, store};
use crate::commerce::Commerce;
use crate::http::Result;
use crate::http::rules::shown;
use crate::orders;
use crate::webhooks::Outcome;

/// The only kind that something follows from.
pub const DELIVERED: &str = "delivered";

/// A carrier's report.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"id": "evt_1", "type": "delivered", "carrier": "dhl", "tracking": "JD014600003SE"}))]
pub struct CarrierEvent {
    /// Its own name, the same whenever it is sent again.
    #[garde(custom(shown(1, 255)))]
    pub id: String,
    /// What it reports. Only `delivered` counts; others are taken and left.
    #[garde(custom(shown(1, 100)))]
    #[serde(rename = "type")]
    pub kind: String,
    /// Who carries the parcel, as the shop wrote it.
    #[garde(custom(shown(1, 60)))]
    pub carrier: String,
    /// The parcel's number.
    #[garde(custom(shown(1, 100)))]
    pub tracking: String,
}

/// Takes a report's word. A parcel that nobody knows may not have been written down yet.
///
/// # Errors
/// When the database fails.
pub async fn report(db: &PgPool, bus: &SharedBus, settings: &Commerce, event: &CarrierEvent) -> Result<Outcome> {
    if event.kind != DELIVERED {
        return Ok(Outcome::Ignored);
    }
    let (carrier, tracking) = (carrier_name(&event.carrier), tracking_number(&event.tracking));
    let mut tx = db.begin().await?;
    let Some((_, order)) = store::by_tracking(&mut tx, &carrier, &tracking).await? else {
        return Ok(Outcome::Later("no parcel has this number"));
    };
    let order = orders::lock(&mut tx, order, None).await?;
    // Until the lock was ours, the number may have been corrected.
    let known = store::by_tracking(&mut tx, &carrier, &tracking).await?;
    let Some((parcel, _)) = known.filter(|(_, known)| *known == order.id) else {
        return Ok(Outcome::Later("the number was corrected meanwhile"));
    };
    arrive(&mut tx, settings, &order, Some(parcel), DeliveredBy::Carrier).await?;
    tx.commit().await?;
    outbox::hint_notifications(bus.as_ref()).await;
    Ok(Outcome::Done)
}

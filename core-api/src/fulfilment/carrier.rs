//! What a carrier reports: that a parcel has arrived, by the number that it gave it.

use chrono::{TimeDelta, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::Timestamp;
use shared::bus::SharedBus;
use shared::outbox;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::model::{DeliveredBy, carrier_name, tracking_number};
use super::{arrive, store};
use crate::commerce::Commerce;
use crate::faults::{self, Step};
use crate::http::Result;
use crate::http::rules::shown;
use crate::orders;
use crate::webhooks::Outcome;

/// How long after its report a parcel's number may be written down: longer after it, somebody
/// may have looked for the number of a parcel that arrived, to be paid for another.
const LATE_MAX: TimeDelta = TimeDelta::minutes(15);

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

/// Takes the word of a report that was `received` then. A parcel that nobody knows may not have
/// been written down yet.
///
/// # Errors
/// When the database fails.
pub async fn report(
    db: &PgPool,
    bus: &SharedBus,
    settings: &Commerce,
    event: &CarrierEvent,
    received: Timestamp,
) -> Result<Outcome> {
    if event.kind != DELIVERED {
        return Ok(Outcome::Ignored);
    }
    let (carrier, tracking) = (carrier_name(&event.carrier), tracking_number(&event.tracking));
    let mut tx = db.begin().await?;
    let Some(known) = store::by_tracking(&mut tx, &carrier, &tracking).await? else {
        let why = "no parcel has this number";
        let is_late = Utc::now() - received > LATE_MAX;
        return Ok(if is_late {
            Outcome::Never(why)
        } else {
            Outcome::Later(why)
        });
    };
    let order = orders::lock(&mut tx, known.order, None).await?;
    // Until the lock was ours, the number may have been corrected.
    let known = store::by_tracking(&mut tx, &carrier, &tracking).await?;
    let Some(parcel) = known.filter(|known| known.order == order.id) else {
        return Ok(Outcome::Later("the number was corrected meanwhile"));
    };
    if parcel.since - received > LATE_MAX {
        return Ok(Outcome::Never("the number was written down after the report"));
    }
    arrive(&mut tx, settings, &order, Some(parcel.id), DeliveredBy::Carrier).await?;
    faults::around(Step::DeliveryRecord, tx.commit()).await?;
    outbox::hint_notifications(bus.as_ref()).await;
    Ok(Outcome::Done)
}

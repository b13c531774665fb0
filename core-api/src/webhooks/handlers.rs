//! HTTP of webhooks: raw bodies, believed by their signature.

use actix_web::{HttpRequest, post, web};

use super::model::{Provider, Received};
use super::{SIGNATURE, believe, keep};
use crate::fulfilment::carrier::CarrierEvent;
use crate::http::{RawBody, Result};
use crate::state::State;

/// A carrier's report. Kept once by its `id` and worked off soon after, however often and in
/// whatever order reports come; one of a parcel that nobody knows yet is tried for three days.
#[utoipa::path(
    tag = "operations",
    params(("Hawker-Signature" = String, Header, description = "`t=<Unix time>,v1=<hex>`: HMAC-SHA256 over the time, \
            a dot and the raw body, with the configured secret; good for 300 seconds",
            example = "t=1795399200,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd")),
    request_body = CarrierEvent,
    responses(
        (status = 200, description = "Kept", body = Received),
        (status = 400, description = "`signature_invalid`"),
        (status = 404, description = "`not_found`: no secret is configured")
    )
)]
#[post("/webhooks/carrier")]
pub async fn carrier(state: web::Data<State>, request: HttpRequest, body: RawBody) -> Result<web::Json<Received>> {
    let header = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok());
    believe(state.config.webhooks.carrier.as_ref(), header, &body.0)?;
    let event: CarrierEvent = body.json()?;
    keep(&state.db, Provider::Carrier, &event.id, &event.kind, &event).await?;
    Ok(web::Json(Received { received: true }))
}

//! HTTP of webhooks: raw bodies, believed by their signature.

use actix_web::{HttpRequest, post, web};

use super::model::{CARRIER, Received};
use super::{SIGNATURE, believe, keep};
use crate::fulfilment::carrier::CarrierEvent;
use crate::http::{RawBody, Result};
use crate::state::State;

/// A carrier's report. Kept once by its `id` and worked off soon after, however often and in
/// whatever order reports come. One of a parcel that nobody knows yet is its parcel's whose
/// number is written down within 15 minutes, and nobody's after that.
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
    keep(&state.db, CARRIER, event.id.trim(), event.kind.trim(), &event).await?;
    Ok(web::Json(Received { received: true }))
}

/// What a payment provider tells of: `test` or `stripe`. It is believed by the provider's own signature,
/// kept once by its own name, and answered at once, whatever it is about; what it says is not
/// taken for a fact: soon after, the provider is asked.
#[utoipa::path(
    tag = "operations",
    params(
        ("provider" = String, Path, description = "The payment provider's name", example = "test"),
        ("Hawker-Signature" = Option<String>, Header, description = "Of the test provider: `t=<Unix time>,v1=<hex>`, as of a \
            carrier's report, with `test_webhook_secret`; good for 300 seconds"),
        ("Stripe-Signature" = Option<String>, Header, description = "Of Stripe: the same form, with \
            `stripe_webhook_secret`"),
    ),
    request_body(content = serde_json::Value, description = "As the provider writes it"),
    responses(
        (status = 200, description = "Kept", body = Received),
        (status = 400, description = "`signature_invalid`. `malformed`: it is signed and no event"),
        (status = 404, description = "`not_found`: it is not the provider here, or has no secret")
    )
)]
#[post("/webhooks/{provider}")]
pub async fn payments(
    state: web::Data<State>,
    request: HttpRequest,
    provider: web::Path<String>,
    body: RawBody,
) -> Result<web::Json<Received>> {
    super::receive(&state.till, &provider, request.headers(), &body.0).await?;
    Ok(web::Json(Received { received: true }))
}

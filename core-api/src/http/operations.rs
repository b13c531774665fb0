//! What whoever sends requests here asks first: is it up, is it ready; and the API's
//! description of itself. How much it does is told on the private listener.

use std::time::Duration;

use actix_web::{HttpResponse, Responder, get, web};
use async_trait::async_trait;
use serde::Serialize;
use shared::admin::{Probe, Standing};
use shared::error::ErrorCode;
use utoipa::ToSchema;

use super::Result;
use crate::state::State;

/// How long the database may take to answer before the service is not ready.
const PING_DEADLINE: Duration = Duration::from_secs(2);

/// The service's own word on itself.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether it can do its work.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// `ok`, or `degraded`: everything is answered but commands to rooms, and rooms hear
    /// of changes a second later.
    status: &'static str,
    /// `up` or `away`: the bus to the live engine.
    bus: &'static str,
}

impl Readiness {
    const fn of(bus_is_up: bool) -> Self {
        if bus_is_up {
            Self {
                status: "ok",
                bus: "up",
            }
        } else {
            Self {
                status: "degraded",
                bus: "away",
            }
        }
    }
}

/// The process is up. Says nothing of what it depends on, so that a database that is
/// away does not get every copy restarted.
#[utoipa::path(tag = "operations", responses((status = 200, description = "Up", body = Health)))]
#[get("/healthz")]
pub async fn healthz() -> impl Responder {
    web::Json(Health { status: "ok" })
}

/// The service can do its work: the database answers. Without the bus most of it goes
/// on, so that is said and does not get every copy taken out of service.
#[utoipa::path(tag = "operations", responses((status = 200, description = "Ready", body = Readiness)))]
#[get("/readyz")]
pub async fn readyz(state: web::Data<State>) -> Result<web::Json<Readiness>> {
    if state.stopping.is_cancelled() {
        return Err(ErrorCode::Overloaded.into());
    }
    ping(&state).await?;
    Ok(web::Json(Readiness::of(state.bus.is_up())))
}

/// Whether the database answers.
async fn ping(state: &State) -> Result<()> {
    let ping = sqlx::Connection::ping;
    let reached = tokio::time::timeout(PING_DEADLINE, async { ping(&mut *state.db.acquire().await?).await }).await;
    match reached {
        Ok(answered) => Ok(answered?),
        Err(_) => Err(ErrorCode::DatabaseUnavailable.into()),
    }
}

/// The service as the private listener asks it.
pub struct Part(pub State);

#[async_trait]
impl Probe for Part {
    fn name(&self) -> &'static str {
        "core-api"
    }

    async fn standing(&self) -> Standing {
        Standing {
            is_draining: self.0.stopping.is_cancelled(),
            has_database: ping(&self.0).await.is_ok(),
            has_bus: self.0.bus.is_up(),
        }
    }
}

/// The API's description, written once at start.
pub struct Described(pub web::Bytes);

/// This API, as OpenAPI 3.1.
#[utoipa::path(
    tag = "operations",
    responses((
        status = 200,
        description = "OpenAPI 3.1",
        body = Object,
        example = json!({"openapi": "3.1.0", "info": {"title": "Hawker", "version": "0.1.0"}, "paths": {}})
    ))
)]
#[get("/openapi.json")]
pub async fn openapi_json(described: web::Data<Described>) -> impl Responder {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(described.0.clone())
}

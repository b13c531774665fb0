//! HTTP of the audit log.

use actix_web::{get, web};

use super::model::{AuditEntry, AuditFilter};
use crate::audit;
use crate::http::{Admin, List, Page, Result};
use crate::state::State;

/// Who did what to whom, newest first.
#[utoipa::path(
    tag = "admin",
    params(AuditFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of it", body = List<AuditEntry>))
)]
#[get("/admin/audit")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<AuditFilter>,
    page: Page,
) -> Result<List<AuditEntry>> {
    audit::list(&state.db, &filter, &page).await
}

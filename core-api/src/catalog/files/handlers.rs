//! Files of products over HTTP.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use futures_util::TryStreamExt as _;
use shared::error::{ErrorCode, Refusal};
use shared::ids::ImportId;

use super::model::{ExportFilter, Import, Report, ReportFilter};
use crate::catalog::files;
use crate::http::{Id, IdempotencyKey, List, Page, Result, Shopkeeper};
use crate::idempotency::Answer;
use crate::state::State;

/// A body that is to be read as a table says that it is one.
///
/// # Errors
/// `UnsupportedMediaType`.
fn require_csv(request: &HttpRequest) -> Result<()> {
    let media = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media.and_then(|media| media.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("text/csv")) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::UnsupportedMediaType, "Send text/csv").into())
}

/// Takes a file of products: CSV in UTF-8 with a header, one line a variant, at most 10,000
/// lines and 8 MiB.
///
/// Lines of one `product_key` are one product: the shop's name for it, or its id. A product
/// or a variant that is not there is added; of one that is there, what a line says is
/// changed and what it leaves blank stays. Columns: `product_key`, `sku` and `price` (such
/// as `19.99`); `title`, `description`, `category` (slug), `shipping_profile` (name),
/// `image_url`, `status`; `option1_name`, `option1_value` and so on to 3;
/// `compare_at_price`; `on_hand`, and `on_hand_was`. Leave `on_hand` out to leave stock alone.
/// With `on_hand_was`, stock is changed only where the two differ, and only from what it
/// was: otherwise the line is refused. Prices are in the shop's currency.
///
/// A bad line changes nothing and stops none of the others; the report says what is wrong.
#[utoipa::path(
    tag = "catalog",
    params(IdempotencyKey),
    request_body(content = String, content_type = "text/csv", example = "product_key,title,sku,price,on_hand\nMUG,Mug,MUG-1,19.99,5\n"),
    security(("bearer" = [])),
    responses(
        (status = 202, description = "Taken; it is applied from now on", body = Import),
        (status = 409, description = "`conflict`: another import of the shop is not done yet"),
        (status = 429, description = "`rate_limited`: the shop has sent too many files within an hour, or sends two now"),
        (status = 503, description = "`overloaded`: all files that are arriving take too much"),
        (status = 413, description = "`payload_too_large`"),
        (status = 415, description = "`unsupported_media_type`: send text/csv"),
        (status = 422, description = "`invalid_body`: no table of products, or too many lines")
    )
)]
#[post("/seller/products/imports")]
pub async fn import(
    state: web::Data<State>,
    shop: Shopkeeper,
    key: IdempotencyKey,
    request: HttpRequest,
    body: web::Payload,
) -> Result<Answer<Import>> {
    require_csv(&request)?;
    files::receive(&state, &shop, key.0, body).await
}

/// The shop's imports, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<Import>))
)]
#[get("/seller/products/imports")]
pub async fn list(state: web::Data<State>, shop: Shopkeeper, page: Page) -> Result<List<Import>> {
    files::list(&state.db, &shop, &page).await
}

/// How far an import is.
#[utoipa::path(
    tag = "catalog",
    security(("bearer" = [])),
    responses((status = 200, description = "The import", body = Import))
)]
#[get("/seller/products/imports/{id}")]
pub async fn get(state: web::Data<State>, shop: Shopkeeper, id: Id<ImportId>) -> Result<web::Json<Import>> {
    Ok(web::Json(files::get(&state.db, &shop, id.0).await?))
}

/// What became of the lines of an import, as far as it is.
#[utoipa::path(
    tag = "catalog", params(ReportFilter),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of the report", body = Report))
)]
#[get("/seller/products/imports/{id}/lines")]
pub async fn report(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ImportId>,
    filter: web::Query<ReportFilter>,
) -> Result<web::Json<Report>> {
    Ok(web::Json(files::report(&state.db, &shop, id.0, *filter).await?))
}

/// The shop's products as a file that can be imported again, without their stock unless it
/// is asked for. No cell begins as a
/// spreadsheet's formula does: such a one has a `'` in front, which an import takes off.
#[utoipa::path(
    tag = "catalog",
    params(ExportFilter),
    security(("bearer" = [])),
    responses((status = 200, description = "One line a variant", body = String, content_type = "text/csv"))
)]
#[get("/seller/products/export")]
pub async fn export(
    state: web::Data<State>,
    shop: Shopkeeper,
    filter: web::Query<ExportFilter>,
) -> Result<HttpResponse> {
    let table = files::export(&state.db, shop, filter.stock.unwrap_or_default()).await?;
    let table = table.map_err(|error| {
        // The head is sent: all that is left is to break off, which the client notices.
        tracing::error!(%error, "an export broke off");
        std::io::Error::other("the export broke off")
    });
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"products.csv\""))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(table))
}

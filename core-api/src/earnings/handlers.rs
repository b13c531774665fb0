//! HTTP of what a shop has earned.

use actix_web::{get, web};

use super::model::{Balance, Earning, EarningFilter};
use crate::earnings;
use crate::http::{List, Owner, Page, Result};
use crate::state::State;

/// What the shop has in each currency: held, available, on its way, paid out.
#[utoipa::path(
    tag = "payouts",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = Balance))
)]
#[get("/seller/balance")]
pub async fn balance(state: web::Data<State>, shop: Owner) -> Result<web::Json<Balance>> {
    let minimum = state.config.commerce.payout_minimum_minor;
    Ok(web::Json(earnings::balance(&state.db, shop.seller, minimum).await?))
}

/// What each line brought the shop or took from it, newest first: of which order, which fee,
/// why it is held or since when it is released, in which payout.
#[utoipa::path(
    tag = "payouts",
    params(EarningFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<Earning>))
)]
#[get("/seller/earnings")]
pub async fn list(
    state: web::Data<State>,
    shop: Owner,
    filter: web::Query<EarningFilter>,
    page: Page,
) -> Result<List<Earning>> {
    earnings::list(&state.db, shop.seller, *filter, &page).await
}

//! HTTP of a shop's payouts. A shop that is suspended looks, and changes nothing.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use shared::ids::{PayoutAccountId, PayoutId};

use super::model::{NewPayout, NewPayoutAccount, Payout, PayoutAccount, PayoutAccountChange, PayoutFilter};
use crate::earnings;
use crate::earnings::model::Earning;
use crate::http::{Body, Created, Id, IdempotencyKey, List, Owner, Page, Result, Shopkeeper};
use crate::idempotency::Answer;
use crate::payouts;
use crate::state::State;

/// Where the shop's money goes: one account for each currency.
#[utoipa::path(
    tag = "payouts",
    security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = List<PayoutAccount>))
)]
#[get("/seller/payout-accounts")]
pub async fn accounts(state: web::Data<State>, shop: Owner) -> Result<List<PayoutAccount>> {
    payouts::accounts_of(&state.db, shop.seller).await
}

/// Says where the shop's money of a currency goes, and when by itself.
#[utoipa::path(
    tag = "payouts",
    request_body = NewPayoutAccount,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added", body = PayoutAccount),
        (status = 409, description = "`conflict`: money of this currency has an account already")
    )
)]
#[post("/seller/payout-accounts")]
pub async fn add_account(
    state: web::Data<State>,
    shop: Shopkeeper,
    body: Body<NewPayoutAccount>,
) -> Result<Created<PayoutAccount>> {
    let added = payouts::add(&state.db, state.till.payer.as_ref(), &shop, &body.0).await?;
    Ok(Created(added))
}

/// Changes when money goes there by itself, from the next period on.
#[utoipa::path(
    tag = "payouts",
    request_body = PayoutAccountChange,
    security(("bearer" = [])),
    responses((status = 200, description = "Changed", body = PayoutAccount))
)]
#[patch("/seller/payout-accounts/{id}")]
pub async fn change_account(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<PayoutAccountId>,
    body: Body<PayoutAccountChange>,
) -> Result<web::Json<PayoutAccount>> {
    Ok(web::Json(payouts::change(&state.db, &shop, id.0, &body.0).await?))
}

/// Takes an account away. What is on its way there goes on.
#[utoipa::path(
    tag = "payouts",
    security(("bearer" = [])),
    responses((status = 204, description = "Nothing more goes there"))
)]
#[delete("/seller/payout-accounts/{id}")]
pub async fn disable_account(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<PayoutAccountId>,
) -> Result<HttpResponse> {
    payouts::disable(&state.db, &shop, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Pays the shop all that may be paid out in a currency, less what was taken back since.
#[utoipa::path(
    tag = "payouts",
    params(IdempotencyKey),
    request_body = NewPayout,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "On its way, or what became of it", body = Payout),
        (status = 409, description = "`payout_too_small`, `payouts_held`. `wrong_state`: no account was named for it")
    )
)]
#[post("/seller/payouts")]
pub async fn ask(
    state: web::Data<State>,
    shop: Shopkeeper,
    key: IdempotencyKey,
    body: Body<NewPayout>,
) -> Result<Answer<Payout>> {
    let minimum = state.config.commerce.payout_minimum_minor;
    payouts::ask(&state.till, minimum, &shop, key.0, body.0.currency).await
}

/// The shop's payouts, newest first.
#[utoipa::path(
    tag = "payouts",
    params(PayoutFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<Payout>))
)]
#[get("/seller/payouts")]
pub async fn list(
    state: web::Data<State>,
    shop: Owner,
    filter: web::Query<PayoutFilter>,
    page: Page,
) -> Result<List<Payout>> {
    let list = payouts::list(&state.db, Some(shop.seller), *filter, &page).await?;
    Ok(list.map(|payout| payout.payout))
}

/// A payout of the shop's.
#[utoipa::path(
    tag = "payouts",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = Payout))
)]
#[get("/seller/payouts/{id}")]
pub async fn get(state: web::Data<State>, shop: Owner, id: Id<PayoutId>) -> Result<web::Json<Payout>> {
    let found = payouts::get(&state.db, Some(shop.seller), id.0).await?;
    Ok(web::Json(found.payout))
}

/// What a payout of the shop's was made of, newest first. Of one that came to nothing, too:
/// those lines may be in another one by now.
#[utoipa::path(
    tag = "payouts",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<Earning>))
)]
#[get("/seller/payouts/{id}/lines")]
pub async fn lines(state: web::Data<State>, shop: Owner, id: Id<PayoutId>, page: Page) -> Result<List<Earning>> {
    payouts::get(&state.db, Some(shop.seller), id.0).await?;
    earnings::of_payout(&state.db, id.0, &page).await
}

/// Calls a payout off that is `creating`.
#[utoipa::path(
    tag = "payouts",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Cancelled; its lines wait for the next one", body = Payout),
        (status = 409, description = "`wrong_state`: the provider was asked for it already")
    )
)]
#[post("/seller/payouts/{id}/cancel")]
pub async fn cancel(state: web::Data<State>, shop: Shopkeeper, id: Id<PayoutId>) -> Result<web::Json<Payout>> {
    Ok(web::Json(payouts::cancel(&state.db, &shop, id.0).await?))
}

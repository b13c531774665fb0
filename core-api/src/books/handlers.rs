//! HTTP of the books.

use actix_web::{get, web};

use super::model::{AccountFilter, LedgerAccount, LedgerTransaction, TransactionFilter};
use crate::books;
use crate::http::{Admin, List, Page, Result};
use crate::state::State;

/// The accounts of the books with their balances.
#[utoipa::path(
    tag = "admin",
    params(AccountFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<LedgerAccount>))
)]
#[get("/admin/ledger/accounts")]
pub async fn accounts(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<AccountFilter>,
    page: Page,
) -> Result<List<LedgerAccount>> {
    books::accounts(&state.db, &filter, &page).await
}

/// What was booked, newest first, with its entries.
#[utoipa::path(
    tag = "admin",
    params(TransactionFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<LedgerTransaction>))
)]
#[get("/admin/ledger/transactions")]
pub async fn transactions(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<TransactionFilter>,
    page: Page,
) -> Result<List<LedgerTransaction>> {
    books::transactions(&state.db, &filter, &page).await
}

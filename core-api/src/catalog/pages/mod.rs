//! Product pages.

pub mod handlers;

use shared::error::ErrorCode;
use shared::ids::ProductId;
use sqlx::PgPool;

use crate::catalog::products::{self, Product};
use crate::http::Result;

/// An active product of an approved shop.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get(db: &PgPool, id: ProductId) -> Result<Product> {
    let product = products::many(&mut *db.acquire().await?, &[id]).await?.pop();
    product.ok_or(ErrorCode::NotFound.into())
}

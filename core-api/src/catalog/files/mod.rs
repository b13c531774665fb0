//! A shop's catalog as a file: written out whole, and read in line by line.
//!
//! An import is a resource: the file is kept until all of it is done, a job applies it a
//! batch of lines at a time, each line whole or not at all, and the report and the place
//! reached commit together with what the lines did. So a process that dies, or another
//! one that helps, applies no line twice and leaves none out.

mod apply;
mod export;
pub mod handlers;
mod lines;
pub mod model;
mod store;
mod table;
mod work;

use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;
use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ImportId, RequestId, SellerId};
use sqlx::PgPool;

pub use export::export;
pub use table::{decimal, guarded};
pub use work::{BATCH_LINES, import_some};

use model::{Import, Report, ReportFilter};

use crate::http::{Inflow, List, Page, Result, Shopkeeper};
use crate::idempotency::{self, Answer};
use crate::state::State;

/// A file at most, in bytes.
pub const FILE_MAX_BYTES: usize = 8 << 20;
/// What all files that are arriving may take, in bytes.
const MEMORY_BYTES: usize = 64 << 20;
/// Files of one shop that arrive at once: one, and the same again by whoever was cut off.
const OF_ONE_SHOP: u32 = 2;

/// What takes in files of products.
pub(crate) fn inflow() -> Inflow<SellerId> {
    Inflow::new(MEMORY_BYTES, OF_ONE_SHOP)
}

/// Takes a file to be imported. What costs something comes after what refuses it: too many
/// of a shop before a byte is read, another that is not done before the file is looked at.
/// So a shop has one file read at a time.
///
/// # Errors
/// `RateLimited`, those of [`Inflow::read`], `InvalidBody` for what is no table of products,
/// `Conflict` while another import of the shop is not done, and those of
/// [`idempotency::once`].
pub(crate) async fn receive(
    state: &State,
    shop: &Shopkeeper,
    key: RequestId,
    body: impl Stream<Item = std::result::Result<Bytes, PayloadError>>,
) -> Result<Answer<Import>> {
    state.rates.imports.check(&shop.seller)?;
    let _entry = state.imports.enter(shop.seller)?;
    let time = state.config.limits.file_wait;
    let file = state.imports.read(body, FILE_MAX_BYTES, time).await?;
    let busy = || Refusal::new(ErrorCode::Conflict, "Another import of the shop is not done yet");
    let fingerprint = json!(file.hash());
    // Its memory counts until nobody looks at it any more.
    let file = Bytes::from_owner(file);
    let operation = "products.import";
    idempotency::once(&state.db, shop.user, key, operation, &fingerprint, 202, async |tx| {
        if !store::reserve(tx, shop.seller).await? {
            return Err(busy().into());
        }
        // Read here only to refuse at once what is no table; the job reads it again.
        let total = lines::read_aside(file.clone(), shop.currency).await?.len();
        let total = i32::try_from(total).map_err(anyhow::Error::new)?;
        let inserted = store::insert(tx, ImportId::new(), shop, &file, total).await?;
        inserted.ok_or_else(|| busy().into())
    })
    .await
}

/// The shop's imports, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, shop: &Shopkeeper, page: &Page) -> Result<List<Import>> {
    let rows = store::list(&mut *db.acquire().await?, shop.seller, page).await?;
    Ok(List::of(rows, page, |import| import.id.0))
}

/// One of the shop's imports.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get(db: &PgPool, shop: &Shopkeeper, id: ImportId) -> Result<Import> {
    let import = store::get(&mut *db.acquire().await?, shop.seller, id).await?;
    import.ok_or(ErrorCode::NotFound.into())
}

/// What became of the lines of an import, as far as it is.
///
/// # Errors
/// `NotFound`, `InvalidParameter`.
pub(crate) async fn report(db: &PgPool, shop: &Shopkeeper, id: ImportId, filter: ReportFilter) -> Result<Report> {
    let limit = Page::limit(filter.limit)?;
    get(db, shop, id).await?;
    let mut items = store::report(&mut *db.acquire().await?, id, filter.outcome, filter.cursor, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > shown;
    items.truncate(shown);
    let next_cursor = items.last().filter(|_| more).map(|line| line.line);
    Ok(Report { items, next_cursor })
}

/// Deletes imports that were done 30 days ago, with their reports. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune(db: &PgPool, limit: u32) -> Result<u64> {
    Ok(store::delete_old(&mut *db.acquire().await?, limit.into()).await?)
}

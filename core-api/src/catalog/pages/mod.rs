//! Product pages: what everybody sees of one product, kept in memory while nothing of it
//! changes, so that a rush on one page costs one query.
//!
//! What this process changes is forgotten before its answer is sent; what others change,
//! and what sales do to stock, as soon as it is heard of, within a second.

pub mod cache;
mod follow;
pub mod handlers;
mod store;

use std::sync::Arc;

use actix_web::web::Bytes;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, SellerId};
use sqlx::PgPool;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use cache::{Outcome, Page};

use crate::catalog::products;
use crate::http::Result;
use crate::state::State;

/// Bytes of an entity tag's fingerprint: two pages of one product do not meet in so many.
const TAG_BYTES: usize = 16;

/// Begins to hear of changes; until then nothing is kept. It is waited for a moment only:
/// the service answers without copies, too.
pub(crate) async fn start(tasks: &TaskTracker, state: &State) {
    let (db, bus) = (state.db.clone(), state.bus.clone());
    let (tell, told) = oneshot::channel();
    let following = follow::run(db, bus, state.pages.clone(), state.stopping.clone(), tell);
    tasks.spawn(following);
    if timeout(follow::DEADLINE, told).await.is_err() {
        tracing::warn!("changes of products are not heard of yet; until they are, no page is kept");
    }
}

/// The page of an active product of an approved shop.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get(state: &State, id: ProductId) -> Result<Arc<Page>> {
    let page = state.pages.get(id, async || read(&state.db, id).await).await?;
    page.ok_or(ErrorCode::NotFound.into())
}

async fn read(db: &PgPool, id: ProductId) -> Outcome {
    let page = async {
        let Some(product) = products::many(&mut *db.acquire().await?, &[id]).await?.pop() else {
            return Ok(None);
        };
        whole(&product, product.seller.id).map(Some)
    };
    page.await.map_err(|error| told(&error, id.0))
}

/// A page from what it shows, of this shop.
///
/// # Errors
/// A fault when it is no JSON.
pub(crate) fn whole<T: Serialize>(shown: &T, seller: SellerId) -> Result<Arc<Page>> {
    let body = serde_json::to_vec(shown).map_err(anyhow::Error::new)?;
    let fingerprint = Sha256::digest(&body);
    Ok(Arc::new(Page {
        etag: format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&fingerprint[..TAG_BYTES])),
        body: Bytes::from(body),
        seller,
    }))
}

/// A failed reading as one refusal to all who waited for it; its cause is ours to see.
pub(crate) fn told(error: &crate::http::Error, id: Uuid) -> Refusal {
    if let crate::http::Error::Fault(cause) = error {
        tracing::error!(error = format!("{cause:#}"), page = %id, "a page could not be read");
    }
    error.refusal()
}

/// Deletes changes that everybody has read. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune_changes(db: &PgPool, limit: u32) -> Result<u64> {
    Ok(store::delete_old(&mut *db.acquire().await?, limit.into()).await?)
}

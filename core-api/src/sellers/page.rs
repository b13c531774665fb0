//! A shop's page: the shop, its followers in number, what buyers say of its products, what is
//! on air and what comes. Nothing of it is kept twice: it is counted when it is read, once a
//! second at most however many ask, and so it is in step with what it counts.

use std::sync::Arc;

use shared::error::ErrorCode;
use shared::ids::{SellerId, UserId};
use shared::status::StreamStatus;
use sqlx::PgPool;

use super::model::SellerPage;
use super::store;
use crate::catalog::pages::cache::{Outcome, Page};
use crate::catalog::pages::{told, whole};
use crate::http::Result;
use crate::state::State;
use crate::streams;

/// Shows to come on a page.
const NEXT_MAX: i64 = 5;

/// The page of an approved shop, as everybody sees it.
///
/// # Errors
/// `NotFound`, also for a shop that is suspended or closed.
pub(crate) async fn public(state: &State, id: SellerId) -> Result<Arc<Page>> {
    let page = state.shop_pages.get(id, async || read(&state.db, id).await).await?;
    page.ok_or(ErrorCode::NotFound.into())
}

/// The same for somebody who is signed in.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn of(state: &State, id: SellerId, caller: UserId) -> Result<SellerPage> {
    let page = public(state, id).await?;
    let mut page: SellerPage = serde_json::from_slice(&page.body).map_err(anyhow::Error::new)?;
    let followed = store::follows(&mut *state.db.acquire().await?, caller, id).await?;
    page.followed = Some(followed);
    Ok(page)
}

/// The shop of this slug.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn id_of(db: &PgPool, slug: &str) -> Result<SellerId> {
    // Postgres has no text with a zero in it, and no slug has anything but these.
    if !slug
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Err(ErrorCode::NotFound.into());
    }
    let found = store::id_of(&mut *db.acquire().await?, slug).await?;
    found.ok_or(ErrorCode::NotFound.into())
}

async fn read(db: &PgPool, id: SellerId) -> Outcome {
    let page = async {
        let conn = &mut *db.acquire().await?;
        let Some(mut page) = store::page(conn, id).await? else {
            return Ok(None);
        };
        for stream in streams::at_hand_of(conn, id, NEXT_MAX).await? {
            match stream.status {
                StreamStatus::Live => page.live_stream = Some(stream),
                _ => page.next_streams.push(stream),
            }
        }
        whole(&page, id).map(Some)
    };
    page.await.map_err(|error| told(&error, id.0))
}

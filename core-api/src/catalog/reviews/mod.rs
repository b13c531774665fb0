//! Reviews: by who bought a product and has it, one for each line of an order, and never of
//! one's own shop. The product's rating is kept by a trigger, in the transaction that
//! changes a review.

pub mod handlers;
pub mod model;
mod store;

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, ReviewId, UserId};
use shared::notification::NotificationKind;
use shared::outbox;
use sqlx::{Connection, PgPool};

use model::{AdminFilter, NewAnswer, NewReview, Review, ReviewChange, WholeReview};

use crate::audit;
use crate::catalog::products;
use crate::http::{List, Page, Result, Shopkeeper};
use crate::notifications::{self, News};
use crate::state::State;

/// Reviews of a product that everybody may see, newest first.
///
/// # Errors
/// `NotFound` where there is no such product on sale.
pub(crate) async fn list(db: &PgPool, product: ProductId, page: &Page) -> Result<List<Review>> {
    let conn = &mut *db.acquire().await?;
    if products::many(conn, &[product]).await?.is_empty() {
        return Err(ErrorCode::NotFound.into());
    }
    let rows = store::of_product(conn, product, page).await?;
    Ok(List::of(rows, page, |row| row.review.id.0).map(|row| row.review))
}

/// One's own reviews, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list_own(db: &PgPool, author: UserId, page: &Page) -> Result<List<WholeReview>> {
    let rows = store::of_author(&mut *db.acquire().await?, author, page).await?;
    Ok(List::of(rows, page, |row| row.review.id.0))
}

/// Reviews of a shop's products, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list_of_shop(db: &PgPool, shop: &Shopkeeper, page: &Page) -> Result<List<WholeReview>> {
    let rows = store::of_shop(&mut *db.acquire().await?, shop.seller, page).await?;
    Ok(List::of(rows, page, |row| row.review.id.0))
}

/// All reviews, newest first, for an admin.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list_all(db: &PgPool, filter: AdminFilter, page: &Page) -> Result<List<WholeReview>> {
    let rows = store::all(&mut *db.acquire().await?, filter.hidden, page).await?;
    Ok(List::of(rows, page, |row| row.review.id.0))
}

/// Writes a review of what has arrived. Where the author has deleted one of the same line,
/// it is that one written anew: as hidden as it was, and with the shop's answer.
///
/// # Errors
/// `NotFound` where the caller has bought no such thing, `OwnShop`, `WrongState` before it
/// has arrived, `Conflict` for a second review of one line.
pub(crate) async fn write(state: &State, author: UserId, product: ProductId, new: NewReview) -> Result<WholeReview> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let bought = store::bought(&mut tx, author, product, new.order_item_id).await?;
    let bought = bought.ok_or_else(|| {
        Refusal::new(ErrorCode::NotFound, "You have no such line of an order of this product").at("order_item_id")
    })?;
    if bought.own {
        return Err(Refusal::new(ErrorCode::OwnShop, "Nobody reviews their own shop").into());
    }
    if !bought.delivered {
        return Err(Refusal::new(ErrorCode::WrongState, "It has not arrived yet")
            .at("order_item_id")
            .into());
    }
    let written = store::insert(&mut tx, ReviewId::new(), author, product, &bought, &new).await?;
    let id = written.ok_or_else(|| {
        Refusal::new(ErrorCode::Conflict, "This line of the order has a review already").at("order_item_id")
    })?;
    let review = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    products::tell(state, product).await;
    Ok(review)
}

/// Changes one's own review.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn change(state: &State, author: UserId, id: ReviewId, change: ReviewChange) -> Result<WholeReview> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    if !store::update(&mut tx, id, author, &change).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let review = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    products::tell(state, review.review.product_id).await;
    Ok(review)
}

/// Deletes one's own review. The line of the order may have it written anew.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn delete(state: &State, author: UserId, id: ReviewId) -> Result<()> {
    let product = store::delete(&mut *state.db.acquire().await?, id, author).await?;
    products::tell(state, product.ok_or(ErrorCode::NotFound)?).await;
    Ok(())
}

/// Sets the shop's answer, or takes it back. The review's author is told of the first.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn answer(
    state: &State,
    shop: &Shopkeeper,
    id: ReviewId,
    answer: Option<NewAnswer>,
) -> Result<WholeReview> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let text = answer.as_ref().map(|answer| answer.text.trim()).unwrap_or_default();
    let author = store::answer(&mut tx, id, shop.seller, text).await?;
    let author = author.ok_or(ErrorCode::NotFound)?;
    let review = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    if !text.is_empty() && !review.hidden {
        let news = News {
            kind: NotificationKind::ReviewAnswered,
            subject: id.0,
            seller: shop.seller,
            product: Some(review.review.product_id),
            order: None,
            reason: "",
        };
        notifications::tell(&mut tx, author, &news).await?;
    }
    tx.commit().await?;
    state.mailer.nudge();
    outbox::hint_notifications(state.bus.as_ref()).await;
    Ok(review)
}

/// Hides a review from everybody but its author and the shop, or shows it again. Doing it
/// twice is no error.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn hide(state: &State, admin: UserId, id: ReviewId, hidden: bool) -> Result<WholeReview> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    if store::hide(&mut tx, id, hidden).await? {
        let action = if hidden { "review.hide" } else { "review.show" };
        let detail = json!({"before": {"hidden": !hidden}, "after": {"hidden": hidden}});
        audit::record(&mut tx, admin, action, id.0, detail).await?;
    }
    let review = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    products::tell(state, review.review.product_id).await;
    Ok(review)
}

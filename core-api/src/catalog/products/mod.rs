//! Products and their variants: what the public sees of them, and what their shop does.
//!
//! A change locks variants before products, as everything that sells does. It raises the
//! product's version and leaves its notice for rooms on air in its own transaction; the
//! hint that makes the notice prompt follows the commit.

pub mod handlers;
pub mod model;
mod store;

use shared::bus::Bus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, RequestId, SellerId, VariantId};
use shared::outbox;
use shared::status::{Machine as _, ProductStatus};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use model::{Adjustment, Change, Filter, NewProduct, NewVariant, VariantChange};
pub use model::{Product, SellerProduct, Variant};

use crate::catalog::{categories, shipping};
use crate::http::{List, Page, Result, Shopkeeper};
use crate::idempotency::{self, Answer};
use crate::state::State;
use crate::streams;

/// Variants a product may have.
const VARIANTS_MAX: i64 = 100;

/// Active products of approved shops, newest first.
///
/// # Errors
/// `InvalidParameter` for a category that cannot be.
pub(crate) async fn list(db: &PgPool, filter: &Filter, page: &Page) -> Result<List<Product>> {
    // Postgres has no text with a zero in it.
    if filter.category.as_deref().is_some_and(|text| text.contains('\0')) {
        return Err(Refusal::new(ErrorCode::InvalidParameter, "There is no such category")
            .at("category")
            .into());
    }
    let conn = &mut *db.acquire().await?;
    let products = store::list_public(conn, filter, page).await?;
    Ok(List::of(products, page, |product| product.id.0))
}

/// An active product of an approved shop.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get(db: &PgPool, id: ProductId) -> Result<Product> {
    let product = store::get_public(&mut *db.acquire().await?, id).await?;
    product.ok_or(ErrorCode::NotFound.into())
}

/// Products as the public sees them, in the order of `ids`, for features that show some:
/// a show's line-up. Those that are not active, or of a shop that is not approved, are
/// left out.
///
/// # Errors
/// When the database fails.
pub async fn many(conn: &mut PgConnection, ids: &[ProductId]) -> Result<Vec<Product>> {
    Ok(store::many_public(conn, ids).await?)
}

/// The shop's own products, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list_own(
    db: &PgPool,
    seller: SellerId,
    status: Option<ProductStatus>,
    page: &Page,
) -> Result<List<SellerProduct>> {
    let conn = &mut *db.acquire().await?;
    let products = store::list_own(conn, seller, status, page).await?;
    Ok(List::of(products, page, |product| product.id.0))
}

/// One of the shop's own products.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get_own(conn: &mut PgConnection, seller: SellerId, id: ProductId) -> Result<SellerProduct> {
    let product = store::get_own(conn, seller, id).await?;
    product.ok_or(ErrorCode::NotFound.into())
}

/// Adds a product with its variants and their first stock.
///
/// # Errors
/// `InvalidBody` for a category or a shipping profile that is not there.
pub(crate) async fn create(state: &State, shop: &Shopkeeper, new: NewProduct) -> Result<SellerProduct> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    check_references(&mut tx, shop.seller, new.category_id, new.shipping_profile_id).await?;
    let id = ProductId::new();
    store::insert(&mut tx, id, shop, &new).await?;
    store::insert_variants(&mut tx, id, &new.variants, 0).await?;
    record_initial(&mut tx, shop, id, &new.variants).await?;
    let product = get_own(&mut tx, shop.seller, id).await?;
    tx.commit().await?;
    Ok(product)
}

async fn record_initial(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    product: ProductId,
    variants: &[NewVariant],
) -> Result<()> {
    let skus: Vec<String> = variants.iter().map(|variant| variant.sku.trim().to_owned()).collect();
    store::insert_initial_movements(tx, product, &skus, shop.user).await?;
    Ok(())
}

async fn check_references(
    tx: &mut PgConnection,
    seller: SellerId,
    category: Option<shared::ids::CategoryId>,
    profile: Option<shared::ids::ShippingProfileId>,
) -> Result<()> {
    if let Some(id) = category
        && !categories::exists(tx, id).await?
    {
        return Err(no_such("category", "category_id"));
    }
    if let Some(id) = profile
        && !shipping::exists(tx, seller, id).await?
    {
        return Err(no_such("shipping profile", "shipping_profile_id"));
    }
    Ok(())
}

fn no_such(what: &str, field: &'static str) -> crate::http::Error {
    Refusal::new(ErrorCode::InvalidBody, format!("There is no such {what}"))
        .at(field)
        .into()
}

/// Changes a product; what is absent stays.
///
/// # Errors
/// `NotFound`, `WrongState` for a status that may not follow, `InvalidBody`.
pub(crate) async fn change(state: &State, shop: &Shopkeeper, id: ProductId, change: Change) -> Result<SellerProduct> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    check_references(
        &mut tx,
        shop.seller,
        change.category_id.flatten(),
        change.shipping_profile_id.flatten(),
    )
    .await?;
    let sources = change.status.map(|to| {
        // To say what is so already is no step.
        let mut sources = ProductStatus::sources_of(to);
        sources.push(to.as_str().to_owned());
        sources
    });
    if !store::update(&mut tx, shop.seller, id, &change, sources).await? {
        let product = get_own(&mut tx, shop.seller, id).await?;
        return Err(
            Refusal::new(ErrorCode::WrongState, format!("The product is {}", product.status))
                .at("status")
                .into(),
        );
    }
    if change.status.is_some_and(|status| status != ProductStatus::Active) {
        streams::unfeature(&mut tx, id).await?;
    }
    outbox::push_product_changed(&mut tx, id).await?;
    let product = get_own(&mut tx, shop.seller, id).await?;
    tx.commit().await?;
    hint(&*state.bus).await;
    Ok(product)
}

async fn hint(bus: &dyn Bus) {
    outbox::hint(bus).await;
}

/// Raises the product's version and leaves the notice: the last two writes of a change.
async fn changed(tx: &mut PgConnection, product: ProductId) -> Result<()> {
    store::raise_version(tx, product).await?;
    outbox::push_product_changed(tx, product).await?;
    Ok(())
}

/// Adds a variant with its first stock.
///
/// # Errors
/// `NotFound`, `Conflict` for a SKU that is taken or too many variants.
pub(crate) async fn add_variant(
    state: &State,
    shop: &Shopkeeper,
    id: ProductId,
    new: NewVariant,
) -> Result<SellerProduct> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    // The product's row first: two that add to one product must not both count too few.
    // Nothing waits for a variant that is not there yet, so the order of locks holds.
    if !store::lock(&mut tx, shop.seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let (count, next) = store::count_variants(&mut tx, id).await?;
    if count >= VARIANTS_MAX {
        return Err(Refusal::new(ErrorCode::Conflict, format!("{VARIANTS_MAX} variants are the most")).into());
    }
    let variants = [new];
    if store::insert_variants(&mut tx, id, &variants, next).await? == 0 {
        return Err(Refusal::new(ErrorCode::Conflict, "Another variant has this SKU")
            .at("sku")
            .into());
    }
    record_initial(&mut tx, shop, id, &variants).await?;
    changed(&mut tx, id).await?;
    let product = get_own(&mut tx, shop.seller, id).await?;
    tx.commit().await?;
    hint(&*state.bus).await;
    Ok(product)
}

/// Changes a variant; what is absent stays.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn change_variant(
    state: &State,
    shop: &Shopkeeper,
    id: VariantId,
    change: VariantChange,
) -> Result<SellerProduct> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let product = store::update_variant(&mut tx, shop.seller, id, &change)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    changed(&mut tx, product).await?;
    let product = get_own(&mut tx, shop.seller, product).await?;
    tx.commit().await?;
    hint(&*state.bus).await;
    Ok(product)
}

/// Adds to a variant's stock, or takes from it; never below what is promised.
///
/// # Errors
/// `NotFound`, `InsufficientStock`, and those of [`idempotency::once`].
pub(crate) async fn adjust_stock(
    state: &State,
    shop: &Shopkeeper,
    key: RequestId,
    id: VariantId,
    adjustment: Adjustment,
) -> Result<Answer<SellerProduct>> {
    let answer = idempotency::once(
        &state.db,
        shop.user,
        key,
        "stock.adjust",
        &(id, &adjustment),
        200,
        async |tx| {
            let adjusted = store::adjust(tx, shop.seller, id, adjustment.delta).await?;
            let Some(product) = adjusted else {
                return Err(refused_adjustment(tx, shop.seller, id).await?);
            };
            store::insert_movement(tx, Uuid::now_v7(), id, adjustment.delta, shop.user).await?;
            changed(tx, product).await?;
            get_own(tx, shop.seller, product).await
        },
    )
    .await?;
    if !answer.replayed {
        hint(&*state.bus).await;
    }
    Ok(answer)
}

async fn refused_adjustment(tx: &mut PgConnection, seller: SellerId, id: VariantId) -> Result<crate::http::Error> {
    let store::Stock { on_hand, reserved } = store::stock(tx, seller, id).await?.ok_or(ErrorCode::NotFound)?;
    let free = on_hand - reserved;
    let detail = format!(
        "{on_hand} units are there and {reserved} of them promised to flash sales, checkouts and orders: \
         at most {free} can be taken"
    );
    Ok(Refusal::new(ErrorCode::InsufficientStock, detail).at("delta").into())
}

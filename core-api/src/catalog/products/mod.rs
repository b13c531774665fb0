//! Products and their variants, as their shop keeps them, and the readings of them that
//! other features share.
//!
//! A change locks variants before products, as everything that sells does. It raises the
//! product's version and leaves its notice for rooms on air in its own transaction; the
//! hint that makes the notice prompt follows the commit.

pub mod handlers;
pub mod input;
pub mod model;
pub mod pictures;
mod store;
pub mod variant_handlers;
pub mod variants;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{CategoryId, ProductId, SellerId, ShippingProfileId};
use shared::outbox;
use shared::status::{Machine as _, ProductStatus};
use sqlx::{Connection, PgConnection, PgPool};

use input::{Change, NewProduct, NewVariant};
use model::MovementReason;
pub use model::{Product, SellerProduct, Variant};

use crate::catalog::{categories, shipping};
use crate::http::{Error, List, Page, Result, Shopkeeper};
use crate::state::State;
use crate::streams;

/// Products as the public sees them, in the order of `ids`, for features that show some:
/// a show's line-up, a page of a search. Those that are not active, or of a shop that is
/// not approved, are left out.
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
/// `InvalidBody` for a category or a shipping profile that takes no products, or variants
/// that do not fit together; `Conflict` for a SKU or a key that the shop has already.
pub(crate) async fn create(state: &State, shop: &Shopkeeper, new: NewProduct) -> Result<SellerProduct> {
    let axes = new.axes()?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let id = insert(&mut tx, shop, &new, &axes).await?;
    add_variants(&mut tx, shop, id, &new.variants, 0, MovementReason::Initial).await?;
    let product = get_own(&mut tx, shop.seller, id).await?;
    tx.commit().await?;
    Ok(product)
}

/// Writes a product that has no variants yet.
///
/// # Errors
/// As [`create`].
pub(crate) async fn insert(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    new: &NewProduct,
    axes: &[String],
) -> Result<ProductId> {
    check_references(tx, shop.seller, new.category_id, new.shipping_profile_id).await?;
    let id = ProductId::new();
    store::insert(tx, id, shop, new, axes).await.map_err(of_constraint)?;
    Ok(id)
}

/// Adds variants to a product that nobody else can reach or that is locked.
async fn add_variants(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    product: ProductId,
    variants: &[NewVariant],
    after: i32,
    reason: MovementReason,
) -> Result<()> {
    let added = store::insert_variants(tx, product, variants, after, shop.user, reason).await?;
    if usize::try_from(added).ok() == Some(variants.len()) {
        return Ok(());
    }
    let skus: Vec<String> = variants.iter().map(|variant| variant.sku.trim().to_owned()).collect();
    // What was added just now has its SKU too; of a whole product, nothing else may.
    let taken = store::skus_elsewhere(tx, shop.seller, product, &skus).await?;
    let at = |name: &str, i: usize| match variants.len() {
        1 => name.to_owned(),
        _ => format!("variants.{i}.{name}"),
    };
    Err(match skus.iter().position(|sku| taken.contains(sku)) {
        Some(i) => {
            let detail = format!("Another variant of the shop has the SKU {}", skus[i]);
            Refusal::new(ErrorCode::Conflict, detail).at(at("sku", i)).into()
        }
        None => Refusal::new(ErrorCode::Conflict, "Another variant has this SKU or these options")
            .at(at("options", 0))
            .into(),
    })
}

async fn check_references(
    tx: &mut PgConnection,
    seller: SellerId,
    category: Option<CategoryId>,
    profile: Option<ShippingProfileId>,
) -> Result<()> {
    if let Some(id) = category
        && !categories::is_open(tx, id).await?
    {
        return Err(no_such("category", "category_id"));
    }
    if let Some(id) = profile
        && !shipping::is_open(tx, seller, id).await?
    {
        return Err(no_such("shipping profile", "shipping_profile_id"));
    }
    Ok(())
}

fn no_such(what: &str, field: &'static str) -> Error {
    Refusal::new(
        ErrorCode::InvalidBody,
        format!("There is no such {what} that takes products"),
    )
    .at(field)
    .into()
}

/// What a constraint refuses, as the caller can understand it.
pub(crate) fn of_constraint(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|cause| cause.constraint());
    let refusal = match constraint {
        Some("products_external_key_key") => {
            Refusal::new(ErrorCode::Conflict, "Another product of the shop has this key").at("external_key")
        }
        Some("product_variants_sku_key") => {
            Refusal::new(ErrorCode::Conflict, "Another variant of the shop has this SKU").at("sku")
        }
        Some("product_variants_options_key") => {
            Refusal::new(ErrorCode::Conflict, "Another variant of the product has these options").at("options")
        }
        Some("product_variants_compare_at") => {
            Refusal::new(ErrorCode::InvalidBody, "must not be less than the price").at("compare_at_minor")
        }
        _ => return error.into(),
    };
    refusal.into()
}

/// Changes a product; what is absent stays.
///
/// # Errors
/// `NotFound`, `WrongState` for a status that may not follow or that its category or
/// shipping profile does not allow, `InvalidBody`, `Conflict`.
pub(crate) async fn change(state: &State, shop: &Shopkeeper, id: ProductId, change: Change) -> Result<SellerProduct> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let product = change_in(&mut tx, shop, id, &change).await?;
    tx.commit().await?;
    tell(state, id).await;
    Ok(product)
}

/// The steps of [`change`] in a transaction of the caller's.
///
/// # Errors
/// As [`change`].
pub(crate) async fn change_in(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    id: ProductId,
    change: &Change,
) -> Result<SellerProduct> {
    if !store::lock(tx, shop.seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let before = get_own(tx, shop.seller, id).await?;
    // What stays as it is may be retired or archived meanwhile.
    let category = change
        .category_id
        .flatten()
        .filter(|id| Some(*id) != before.category_id);
    let profile = change.shipping_profile_id.flatten();
    let profile = profile.filter(|id| Some(*id) != before.shipping_profile_id);
    check_references(tx, shop.seller, category, profile).await?;
    store::update(tx, id, change).await.map_err(of_constraint)?;
    if let Some(to) = change.status.filter(|to| *to != before.status) {
        step(tx, shop, id, before.status, to).await?;
    }
    outbox::push_product_changed(tx, id).await?;
    get_own(tx, shop.seller, id).await
}

/// A step of the product's status, and what it needs: to be on sale, a category and a
/// shipping profile that take products, where it has any.
async fn step(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    id: ProductId,
    from: ProductStatus,
    to: ProductStatus,
) -> Result<()> {
    let refused = |detail: String| Error::from(Refusal::new(ErrorCode::WrongState, detail).at("status"));
    if !from.may_become(to) {
        return Err(refused(format!("The product is {from}")));
    }
    if to != ProductStatus::Active {
        return streams::unfeature(tx, id).await;
    }
    let product = get_own(tx, shop.seller, id).await?;
    if let Some(category) = product.category_id
        && !categories::is_open(tx, category).await?
    {
        return Err(refused("Its category is retired: choose another first".to_owned()));
    }
    if let Some(profile) = product.shipping_profile_id
        && !shipping::is_open(tx, shop.seller, profile).await?
    {
        return Err(refused(
            "Its shipping profile is archived: choose another first".to_owned(),
        ));
    }
    Ok(())
}

/// What follows the commit of a change: no copy of it is shown from here any more, and
/// rooms and other processes are told to look.
pub(crate) async fn tell(state: &State, product: ProductId) {
    state.pages.forget(product);
    outbox::hint(&*state.bus).await;
}

/// Raises the product's version and leaves the notice: the last two writes of a change.
///
/// # Errors
/// When the database fails.
pub(crate) async fn changed(tx: &mut PgConnection, product: ProductId) -> Result<()> {
    store::raise_version(tx, product).await?;
    outbox::push_product_changed(tx, product).await?;
    Ok(())
}

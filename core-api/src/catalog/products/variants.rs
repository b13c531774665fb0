//! Variants of a product: what they differ in, their prices, their stock.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, RequestId, SellerId, VariantId};
use sqlx::{Connection, PgConnection, PgPool};

use super::input::{self, Adjustment, Axes, NewVariant, VARIANTS_MAX, VariantChange};
use super::model::{Movement, MovementReason, SellerProduct};
use super::{add_variants, changed, get_own, of_constraint, store, tell};
use crate::http::{Error, List, Page, Result, Shopkeeper};
use crate::idempotency::{self, Answer};
use crate::state::State;

/// Adds a variant with its first stock.
///
/// # Errors
/// `NotFound`, `InvalidBody` for options of other names than the product's, `Conflict` for
/// a SKU or options that are taken, or too many variants.
pub(crate) async fn add(state: &State, shop: &Shopkeeper, id: ProductId, new: NewVariant) -> Result<SellerProduct> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    add_in(&mut tx, shop, id, &[new], MovementReason::Initial).await?;
    changed(&mut tx, id).await?;
    let product = get_own(&mut tx, shop.seller, id).await?;
    tx.commit().await?;
    tell(state, product.id).await;
    Ok(product)
}

/// The first steps of [`add`] in a transaction of the caller's.
///
/// # Errors
/// As [`add`].
pub(crate) async fn add_in(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    id: ProductId,
    new: &[NewVariant; 1],
    reason: MovementReason,
) -> Result<()> {
    // The product's row first: two that add to one product must not both count too few.
    // Nothing waits for a variant that is not there yet, so the order of locks holds.
    if !store::lock(tx, shop.seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let (axes, count, next) = store::axes_and_count(tx, id).await?;
    if usize::try_from(count).is_ok_and(|count| count >= VARIANTS_MAX) {
        return Err(Refusal::new(ErrorCode::Conflict, format!("{VARIANTS_MAX} variants are the most")).into());
    }
    if !input::stands_on(&axes, &new[0].options) {
        return Err(input::off_the_axes(&axes).into());
    }
    add_variants(tx, shop, id, new, next, reason).await
}

/// Changes a variant; what is absent stays.
///
/// # Errors
/// `NotFound`, `InvalidBody` for a compare-at price below the price or options of other
/// names than the product's, `Conflict` for a SKU or options that are taken.
pub(crate) async fn change(
    state: &State,
    shop: &Shopkeeper,
    id: VariantId,
    change: VariantChange,
) -> Result<SellerProduct> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let product = change_in(&mut tx, shop, id, &change).await?;
    changed(&mut tx, product).await?;
    let product = get_own(&mut tx, shop.seller, product).await?;
    tx.commit().await?;
    tell(state, product.id).await;
    Ok(product)
}

/// The first steps of [`change`] in a transaction of the caller's; the variant's product.
///
/// # Errors
/// As [`change`].
pub(crate) async fn change_in(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    id: VariantId,
    change: &VariantChange,
) -> Result<ProductId> {
    let product = store::lock_variant(tx, shop.seller, id).await?;
    let product = product.ok_or(ErrorCode::NotFound)?;
    if let Some(options) = &change.options {
        // Read after the lock, which whoever changes the axes takes too.
        let (axes, ..) = store::axes_and_count(tx, product).await?;
        if !input::stands_on(&axes, options) {
            return Err(input::off_the_axes(&axes).into());
        }
    }
    store::update_variant(tx, id, change).await.map_err(of_constraint)?;
    Ok(product)
}

/// Says anew what a product's variants differ in, and where each of them stands.
///
/// # Errors
/// `NotFound`, `InvalidBody` when the variants named are not the product's, each once, or
/// do not fit together.
pub(crate) async fn set_axes(state: &State, shop: &Shopkeeper, id: ProductId, axes: Axes) -> Result<SellerProduct> {
    axes.check()?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    store::lock_variants(&mut tx, shop.seller, id).await?;
    if !store::lock(&mut tx, shop.seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    // Again: one may have been added until the product was locked.
    let mut there = store::lock_variants(&mut tx, shop.seller, id).await?;
    let mut named: Vec<VariantId> = axes.variants.iter().map(|place| place.id).collect();
    there.sort_unstable();
    named.sort_unstable();
    if there != named {
        let detail = "must name every variant of the product, each once";
        return Err(Refusal::new(ErrorCode::InvalidBody, detail).at("variants").into());
    }
    store::set_axes(&mut tx, id, &axes.option_axes).await?;
    store::place_variants(&mut tx, id, &axes.variants).await?;
    changed(&mut tx, id).await?;
    let product = get_own(&mut tx, shop.seller, id).await?;
    tx.commit().await?;
    tell(state, product.id).await;
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
    let operation = "stock.adjust";
    let answer = idempotency::once(
        &state.db,
        shop.user,
        key,
        operation,
        &(id, &adjustment),
        200,
        async |tx| {
            let adjusted = store::adjust(tx, shop.seller, id, adjustment.delta).await?;
            let Some(product) = adjusted else {
                return Err(refused_adjustment(tx, shop.seller, id).await?);
            };
            let (reason, note) = (adjustment.reason.into(), adjustment.note.trim());
            store::insert_movement(tx, id, adjustment.delta, reason, note, shop.user).await?;
            changed(tx, product).await?;
            get_own(tx, shop.seller, product).await
        },
    )
    .await?;
    if !answer.replayed {
        tell(state, answer.body.id).await;
    }
    Ok(answer)
}

/// How many units of a variant there shall be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// So many.
    pub units: i32,
    /// How many there were for whoever decided it; `None`: that is no matter.
    pub was: Option<i32>,
}

/// Makes a variant's units so many, in a transaction of the caller's; whether that changed
/// anything.
///
/// # Errors
/// `NotFound`, `Conflict` when there are not so many as there were, `InsufficientStock`
/// when more are promised.
pub(crate) async fn set_stock(tx: &mut PgConnection, shop: &Shopkeeper, id: VariantId, count: Count) -> Result<bool> {
    if count.was == Some(count.units) {
        return Ok(false);
    }
    // Sales change it at any time: what is compared, and what the movement says, is read
    // under the lock.
    let stock = store::lock_stock(tx, shop.seller, id).await?;
    let store::Stock { on_hand, reserved } = stock.ok_or(ErrorCode::NotFound)?;
    if count.units == on_hand {
        return Ok(false);
    }
    if let Some(was) = count.was.filter(|was| *was != on_hand) {
        let detail = format!("There are {on_hand} units now, and no longer {was}");
        return Err(Refusal::new(ErrorCode::Conflict, detail).at("on_hand").into());
    }
    if count.units < reserved {
        let detail = "More are promised to flash sales, checkouts and orders";
        return Err(Refusal::new(ErrorCode::InsufficientStock, detail).at("on_hand").into());
    }
    store::put_stock(tx, id, count.units).await?;
    store::insert_movement(tx, id, count.units - on_hand, MovementReason::Import, "", shop.user).await?;
    Ok(true)
}

async fn refused_adjustment(tx: &mut PgConnection, seller: SellerId, id: VariantId) -> Result<Error> {
    let store::Stock { on_hand, reserved } = store::stock(tx, seller, id).await?.ok_or(ErrorCode::NotFound)?;
    let free = on_hand - reserved;
    let detail = format!(
        "{on_hand} units are there and {reserved} of them promised to flash sales, checkouts and orders: \
         at most {free} can be taken"
    );
    Ok(Refusal::new(ErrorCode::InsufficientStock, detail).at("delta").into())
}

/// What became of a variant's stock, newest first.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn movements(db: &PgPool, shop: &Shopkeeper, id: VariantId, page: &Page) -> Result<List<Movement>> {
    let conn = &mut *db.acquire().await?;
    let rows = store::movements(conn, shop.seller, id, page).await?;
    if rows.is_empty() && store::stock(conn, shop.seller, id).await?.is_none() {
        return Err(ErrorCode::NotFound.into());
    }
    Ok(List::of(rows, page, |movement| movement.id))
}

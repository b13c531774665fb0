//! Units of variants: promised, given back, sold. Steps for the features that sell;
//! nothing here begins or commits a transaction.
//!
//! A variant's row is the last but one in the order of locks (before a seller's
//! balance), and variants are always locked in the order of their ids. Quantities are
//! summed per variant before anything is taken, so that two lines of one variant cannot
//! each fit and together not.

mod store;

use std::collections::BTreeMap;

use shared::ids::{OrderId, ProductId, UserId, VariantId};
use sqlx::PgConnection;

use crate::http::Result;

/// So many units of one variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Units {
    /// Which.
    pub variant: VariantId,
    /// How many.
    pub quantity: i32,
}

/// Whether units could be promised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// All of them are.
    All,
    /// Of these variants there are not that many free; the caller rolls back.
    Short(Vec<VariantId>),
}

/// Sums units per variant, in the order of the variants' ids.
#[must_use]
pub fn summed(units: impl IntoIterator<Item = Units>) -> Vec<Units> {
    let mut sums: BTreeMap<VariantId, i32> = BTreeMap::new();
    for Units { variant, quantity } in units {
        let sum = sums.entry(variant).or_default();
        *sum = sum.saturating_add(quantity);
    }
    sums.into_iter()
        .map(|(variant, quantity)| Units { variant, quantity })
        .collect()
}

/// Locks variants, in the order of their ids, before a step that touches several in an
/// order of its own.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, variants: impl IntoIterator<Item = VariantId>) -> Result<()> {
    let ids: Vec<_> = variants.into_iter().map(|v| v.0).collect();
    store::lock(conn, &ids).await?;
    Ok(())
}

/// Promises free units: `reserved` rises, all or none. The rooms on air are told that what
/// is free of `products` has changed.
///
/// # Errors
/// When the database fails.
pub async fn reserve(
    conn: &mut PgConnection,
    units: &[Units],
    products: impl IntoIterator<Item = ProductId>,
) -> Result<Reserved> {
    if units.is_empty() {
        return Ok(Reserved::All);
    }
    let taken = store::reserve(conn, units, &each_once(products)).await?;
    if taken.len() == units.len() {
        return Ok(Reserved::All);
    }
    let short = units.iter().map(|u| u.variant).filter(|v| !taken.contains(v));
    Ok(Reserved::Short(short.collect()))
}

/// Takes a promise back: the units are free again.
///
/// # Errors
/// When the database fails, or units were not promised.
pub async fn release(conn: &mut PgConnection, units: &[Units]) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    lock(conn, units.iter().map(|u| u.variant)).await?;
    store::release(conn, units).await?;
    Ok(())
}

/// Promised units leave the shop. The caller has locked the variants.
///
/// # Errors
/// When the database fails, or units were not promised.
pub async fn sell(conn: &mut PgConnection, units: &[Units]) -> Result<()> {
    if !units.is_empty() {
        store::sell(conn, units).await?;
    }
    Ok(())
}

/// Writes down why an order's units left the shop, whoever took them out.
///
/// # Errors
/// When the database fails.
pub async fn record_sold(conn: &mut PgConnection, order: OrderId, units: &[Units]) -> Result<()> {
    store::insert_sold(conn, order, units).await?;
    Ok(())
}

/// Units of an order that were sold are the shop's again, and free.
///
/// # Errors
/// When the database fails.
pub async fn restock(conn: &mut PgConnection, order: OrderId, units: &[Units], by: UserId) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    lock(conn, units.iter().map(|u| u.variant)).await?;
    store::restock(conn, order, units, by).await?;
    Ok(())
}

/// Tells the rooms on air that what is free of these products has changed.
///
/// # Errors
/// When the database fails.
pub async fn notify(conn: &mut PgConnection, products: impl IntoIterator<Item = ProductId>) -> Result<()> {
    let products = each_once(products);
    if !products.is_empty() {
        store::push_products_changed(conn, &products).await?;
    }
    Ok(())
}

fn each_once(products: impl IntoIterator<Item = ProductId>) -> Vec<ProductId> {
    let mut products: Vec<_> = products.into_iter().collect();
    products.sort_unstable();
    products.dedup();
    products
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_variant_are_summed_and_sorted() {
        let (a, b) = (VariantId::new(), VariantId::new());
        let units = |variant, quantity| Units { variant, quantity };
        assert_eq!(
            summed([units(b, 1), units(a, 2), units(b, 3)]),
            [units(a, 2), units(b, 4)]
        );
    }
}

//! One line, applied through the same steps as the routes take. What it says already so
//! changes nothing, and raises no version.

use std::collections::HashMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{CategoryId, ProductId, SellerId, ShippingProfileId};
use shared::status::ProductStatus;
use sqlx::PgConnection;

use super::lines::{ProductSays, Says};
use super::model::Outcome;
use super::store;
use crate::catalog::products::input::{Change, NewProduct, NewVariant, VariantChange};
use crate::catalog::products::{self, SellerProduct, model::MovementReason, variants};
use crate::catalog::shipping::Named as Profile;
use crate::catalog::{categories, shipping};
use crate::http::{Result, Shopkeeper};
use crate::media;

/// What files call by name.
pub(super) struct Names {
    categories: HashMap<String, CategoryId>,
    profiles: Vec<Profile>,
}

impl Names {
    pub(super) async fn read(conn: &mut PgConnection, seller: SellerId) -> Result<Self> {
        Ok(Self {
            categories: categories::by_slug(conn).await?.into_iter().collect(),
            profiles: shipping::by_name(conn, seller).await?,
        })
    }

    fn category(&self, slug: &str) -> Result<CategoryId> {
        let id = self.categories.get(slug).copied();
        Ok(id.ok_or_else(|| Refusal::new(ErrorCode::InvalidBody, "There is no such category").at("category"))?)
    }

    /// The profile of this name: the one that the product has, else the only one that it
    /// may get.
    fn profile(&self, name: &str, current: Option<ShippingProfileId>) -> Result<ShippingProfileId> {
        let refused = |detail: &'static str| Refusal::new(ErrorCode::InvalidBody, detail).at("shipping_profile");
        let named = || self.profiles.iter().filter(|profile| profile.name == name);
        if let Some(profile) = named().find(|profile| Some(profile.id) == current) {
            return Ok(profile.id);
        }
        let mut open = named().filter(|profile| !profile.archived);
        match (open.next(), open.next()) {
            (Some(profile), None) => Ok(profile.id),
            (None, _) => Err(refused("There is no such shipping profile").into()),
            (Some(_), Some(_)) => Err(refused("Several shipping profiles have this name").into()),
        }
    }
}

/// Applies what a line says.
///
/// # Errors
/// Those of the routes that do the same; `NotFound` for an id of no product of the shop's,
/// `Conflict` for the SKU of another product.
pub(super) async fn apply(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    names: &Names,
    sku: &str,
    says: &Says,
) -> Result<Outcome> {
    let known = store::variant_of_sku(tx, shop.seller, sku).await?;
    let product = store::product_of_key(tx, shop.seller, &says.key).await?;
    match (product, known) {
        (Some(product), Some(variant)) if variant.product == product => {
            let mut changed = change_product(tx, shop, names, product, &says.product).await?;
            changed |= change_variant(tx, shop, &variant, says).await?;
            Ok(if changed { Outcome::Updated } else { Outcome::Unchanged })
        }
        (_, Some(_)) => {
            let detail = "Another product of the shop has a variant with this SKU";
            Err(Refusal::new(ErrorCode::Conflict, detail).at("sku").into())
        }
        (Some(product), None) => {
            change_product(tx, shop, names, product, &says.product).await?;
            add_variant(tx, shop, product, sku, says).await?;
            Ok(Outcome::Created)
        }
        (None, None) => {
            let product = add_product(tx, shop, names, says).await?;
            add_variant(tx, shop, product, sku, says).await?;
            Ok(Outcome::Created)
        }
    }
}

async fn add_product(tx: &mut PgConnection, shop: &Shopkeeper, names: &Names, says: &Says) -> Result<ProductId> {
    if says.key.parse::<uuid::Uuid>().is_ok() {
        let detail = "No product of the shop has this id";
        return Err(Refusal::new(ErrorCode::NotFound, detail).at("product_key").into());
    }
    let product = &says.product;
    let missing = || Refusal::new(ErrorCode::InvalidBody, "A new product needs a title").at("title");
    let status = product.status.unwrap_or(ProductStatus::Draft);
    if status == ProductStatus::Archived {
        let detail = "a product begins as draft or active";
        return Err(Refusal::new(ErrorCode::InvalidBody, detail).at("status").into());
    }
    let category = product.category.as_deref().map(|slug| names.category(slug));
    let profile = product
        .shipping_profile
        .as_deref()
        .map(|name| names.profile(name, None));
    let new = NewProduct {
        title: product.title.clone().ok_or_else(missing)?,
        description: product.description.clone().unwrap_or_default(),
        category_id: category.transpose()?,
        image_url: product.image_url.clone().unwrap_or_default(),
        shipping_profile_id: profile.transpose()?,
        external_key: Some(says.key.clone()),
        status,
        option_axes: None,
        variants: Vec::new(),
    };
    let axes: Vec<String> = says.options.iter().map(|(name, _)| name.clone()).collect();
    products::insert(tx, shop, &new, &axes).await
}

async fn add_variant(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    product: ProductId,
    sku: &str,
    says: &Says,
) -> Result<()> {
    let new = NewVariant {
        sku: sku.to_owned(),
        options: says.placed(),
        price_minor: says.price_minor,
        compare_at_minor: says.compare_at_minor,
        on_hand: says.stock.map_or(0, |count| count.units),
    };
    variants::add_in(tx, shop, product, &[new], MovementReason::Import).await?;
    products::changed(tx, product).await
}

/// Whether anything of the product changed.
async fn change_product(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    names: &Names,
    id: ProductId,
    says: &ProductSays,
) -> Result<bool> {
    let before = products::get_own(tx, shop.seller, id).await?;
    let Some(change) = difference(&before, says, names)? else {
        return Ok(false);
    };
    products::change_in(tx, shop, id, &change).await?;
    Ok(true)
}

/// What is to be changed for a product to be as lines say; `None`: it is.
fn difference(before: &SellerProduct, says: &ProductSays, names: &Names) -> Result<Option<Change>> {
    let other = |said: &Option<String>, is: &str| said.clone().filter(|said| said != is);
    let category = says.category.as_deref().map(|slug| names.category(slug)).transpose()?;
    let profile = says.shipping_profile.as_deref();
    let profile = profile
        .map(|name| names.profile(name, before.shipping_profile_id))
        .transpose()?;
    let change = Change {
        title: other(&says.title, &before.title),
        description: other(&says.description, &before.description),
        category_id: category.filter(|id| Some(*id) != before.category_id).map(Some),
        // What stands for a product with pictures is one of them.
        image_url: other(&says.image_url, &before.image_url)
            .filter(|url| before.images.is_empty() && !media::is_kept_here(url)),
        shipping_profile_id: profile.filter(|id| Some(*id) != before.shipping_profile_id).map(Some),
        external_key: None,
        status: says.status.filter(|status| *status != before.status),
    };
    let differs = change.title.is_some()
        || change.description.is_some()
        || change.category_id.is_some()
        || change.image_url.is_some()
        || change.shipping_profile_id.is_some()
        || change.status.is_some();
    Ok(differs.then_some(change))
}

/// Whether anything of the variant changed.
async fn change_variant(tx: &mut PgConnection, shop: &Shopkeeper, before: &store::Named, says: &Says) -> Result<bool> {
    let placed = says.placed();
    let change = VariantChange {
        sku: None,
        price_minor: Some(says.price_minor).filter(|minor| *minor != before.price_minor),
        compare_at_minor: says
            .compare_at_minor
            .filter(|minor| Some(*minor) != before.compare_at_minor)
            .map(Some),
        options: (!placed.is_empty() && placed != before.options.0).then_some(placed),
    };
    let differs = change.price_minor.is_some() || change.compare_at_minor.is_some() || change.options.is_some();
    if differs {
        variants::change_in(tx, shop, before.id, &change).await?;
    }
    let stocked = match says.stock {
        Some(count) => variants::set_stock(tx, shop, before.id, count).await?,
        None => false,
    };
    if differs || stocked {
        products::changed(tx, before.product).await?;
    }
    Ok(differs || stocked)
}

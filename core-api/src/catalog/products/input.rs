//! Products, variants and adjustments as they are sent, with the rules that need no
//! database.

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{CategoryId, ShippingProfileId, VariantId};
use shared::status::ProductStatus;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::model::Options;
use crate::http::rules::{is_picture, nullable, prose, shown};

/// Variants a product may have.
pub const VARIANTS_MAX: usize = 100;
/// What variants may differ in, at most.
pub const AXES_MAX: usize = 3;
/// A price at most, in minor units.
pub const PRICE_MAX: i64 = 100_000_000_000;
/// Units that one variant may have at most.
pub const STOCK_MAX: i32 = 100_000_000;

/// Which of one's own products.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnFilter {
    /// Of this status; absent: all.
    pub status: Option<ProductStatus>,
}

/// A product to add.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewProduct {
    /// Its title.
    #[garde(custom(shown(1, 120)))]
    pub title: String,
    /// What it is.
    #[garde(custom(prose(10_000)))]
    #[serde(default)]
    pub description: String,
    /// Where it stands in the tree.
    #[garde(skip)]
    #[serde(default)]
    pub category_id: Option<CategoryId>,
    /// Its picture: a path of this server or a web address. A picture that was uploaded is not
    /// named but added, and `/media/…` is passed over.
    #[garde(custom(is_picture))]
    #[serde(default)]
    pub image_url: String,
    /// What sending it costs; absent: nothing.
    #[garde(skip)]
    #[serde(default)]
    pub shipping_profile_id: Option<ShippingProfileId>,
    /// The shop's name for it in files, one in the shop; absent: its id.
    #[garde(inner(custom(is_key)))]
    #[serde(default)]
    pub external_key: Option<String>,
    /// `draft`, when absent, or `active`.
    #[garde(custom(can_begin_as))]
    #[serde(default = "draft")]
    pub status: ProductStatus,
    /// What its variants differ in, in the order in which a buyer chooses; absent: the names
    /// of the first variant's options.
    #[garde(inner(custom(axes_fit)))]
    #[serde(default)]
    #[schema(max_items = 3)]
    pub option_axes: Option<Vec<String>>,
    /// At least one; no two have the same options.
    #[garde(length(min = 1, max = VARIANTS_MAX), dive, custom(skus_differ))]
    #[schema(min_items = 1, max_items = 100)]
    pub variants: Vec<NewVariant>,
}

impl NewProduct {
    /// What its variants differ in.
    ///
    /// # Errors
    /// `InvalidBody` at the variant whose options are of other names, or are another's.
    pub fn axes(&self) -> Result<Vec<String>, Refusal> {
        let axes = self.option_axes.clone().unwrap_or_else(|| {
            let first = self.variants.first();
            first.map_or_else(Vec::new, |variant| variant.options.keys().cloned().collect())
        });
        let places = self.variants.iter().map(|variant| &variant.options);
        fit_together(&axes, places)?;
        Ok(axes)
    }
}

fn draft() -> ProductStatus {
    ProductStatus::Draft
}

fn can_begin_as(status: &ProductStatus, (): &()) -> garde::Result {
    match status {
        ProductStatus::Draft | ProductStatus::Active => Ok(()),
        ProductStatus::Archived => Err(garde::Error::new("a product begins as draft or active")),
    }
}

/// An id is the name of the product that has it, and of no other.
///
/// # Errors
/// For what cannot be shown, is too long, or is a UUID.
pub fn is_key(key: &str, (): &()) -> garde::Result {
    shown(1, 64)(key, &())?;
    if key.trim().parse::<Uuid>().is_ok() {
        return Err(garde::Error::new("must not be a UUID"));
    }
    Ok(())
}

fn axes_fit(axes: &[String], (): &()) -> garde::Result {
    if axes.len() > AXES_MAX {
        return Err(garde::Error::new(format_args!("{AXES_MAX} options are the most")));
    }
    axes.iter().try_for_each(|axis| shown(1, 40)(axis, &()))?;
    let mut sorted: Vec<&String> = axes.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(garde::Error::new("an option is named twice"));
    }
    Ok(())
}

fn skus_differ(variants: &[NewVariant], (): &()) -> garde::Result {
    let mut skus: Vec<&str> = variants.iter().map(|variant| variant.sku.trim()).collect();
    skus.sort_unstable();
    if skus.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(garde::Error::new("two variants have the same SKU"));
    }
    Ok(())
}

/// Whether a variant says where it stands on each axis, and on nothing else.
#[must_use]
pub fn stands_on(axes: &[String], options: &Options) -> bool {
    options.len() == axes.len() && axes.iter().all(|axis| options.contains_key(axis))
}

/// Every variant stands on the axes, and no two at the same place.
fn fit_together<'a>(axes: &[String], places: impl Iterator<Item = &'a Options>) -> Result<(), Refusal> {
    let mut taken: BTreeMap<&Options, usize> = BTreeMap::new();
    for (i, options) in places.enumerate() {
        let field = format!("variants.{i}.options");
        if !stands_on(axes, options) {
            return Err(off_the_axes(axes).at(field));
        }
        if let Some(first) = taken.insert(options, i) {
            let detail = format!("variant {first} has the same options");
            return Err(Refusal::new(ErrorCode::InvalidBody, detail).at(field));
        }
    }
    Ok(())
}

/// The refusal of a variant with options of other names than the product's.
#[must_use]
pub fn off_the_axes(axes: &[String]) -> Refusal {
    let detail = if axes.is_empty() {
        "the product has no options: declare them first".to_owned()
    } else {
        format!("must name exactly these: {}", axes.join(", "))
    };
    Refusal::new(ErrorCode::InvalidBody, detail).at("options")
}

/// A variant to add.
#[derive(Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub struct NewVariant {
    /// The shop's name for it, one in the shop.
    #[garde(custom(shown(1, 64)))]
    pub sku: String,
    /// Where it stands on each of the product's axes.
    #[garde(custom(options_fit))]
    #[serde(default)]
    pub options: Options,
    /// For one unit, in minor units of the shop's currency.
    #[garde(range(min = 0, max = PRICE_MAX))]
    #[schema(minimum = 0)]
    pub price_minor: i64,
    /// What it cost before: not less than the price. Absent: nothing to compare.
    #[garde(custom(not_below(self.price_minor)))]
    #[serde(default)]
    #[schema(minimum = 0)]
    pub compare_at_minor: Option<i64>,
    /// Units in the shop's hands.
    #[garde(range(min = 0, max = STOCK_MAX))]
    #[schema(minimum = 0)]
    pub on_hand: i32,
}

/// The rule of a compare-at price.
fn not_below(price_minor: i64) -> impl FnOnce(&Option<i64>, &()) -> garde::Result {
    move |compare_at, ()| match compare_at {
        Some(minor) if *minor < price_minor => Err(garde::Error::new("must not be less than the price")),
        Some(minor) if *minor > PRICE_MAX => Err(garde::Error::new(format_args!("greater than {PRICE_MAX}"))),
        _ => Ok(()),
    }
}

pub(crate) fn options_fit(options: &Options, (): &()) -> garde::Result {
    if options.len() > AXES_MAX {
        return Err(garde::Error::new(format_args!("{AXES_MAX} options are the most")));
    }
    let (name, value) = (shown(1, 40), shown(1, 80));
    for (key, text) in options {
        name(key, &())?;
        value(text, &())?;
    }
    Ok(())
}

/// A change of a product; what is absent stays.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[schema(as = ProductChange)]
pub struct Change {
    /// Its title.
    #[garde(inner(custom(shown(1, 120))))]
    #[serde(default)]
    pub title: Option<String>,
    /// What it is.
    #[garde(inner(custom(prose(10_000))))]
    #[serde(default)]
    pub description: Option<String>,
    /// Where it stands in the tree; null: nowhere.
    #[garde(skip)]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<CategoryId>)]
    pub category_id: Option<Option<CategoryId>>,
    /// Its picture; passed over while the product has pictures that were uploaded, of which
    /// the first stands for it, as `/media/…` is.
    #[garde(inner(custom(is_picture)))]
    #[serde(default)]
    pub image_url: Option<String>,
    /// What sending it costs; null: nothing.
    #[garde(skip)]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ShippingProfileId>)]
    pub shipping_profile_id: Option<Option<ShippingProfileId>>,
    /// The shop's name for it in files; null: its id.
    #[garde(inner(inner(custom(is_key))))]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub external_key: Option<Option<String>>,
    /// Its visibility. To become active, its category must not be retired and its shipping
    /// profile not archived.
    #[garde(skip)]
    #[serde(default)]
    pub status: Option<ProductStatus>,
}

/// What a product's variants differ in, and where each of them stands.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Axes {
    /// The options, in the order in which a buyer chooses.
    #[garde(custom(axes_fit))]
    #[schema(max_items = 3)]
    pub option_axes: Vec<String>,
    /// Every variant of the product, each once.
    #[garde(length(min = 1, max = VARIANTS_MAX), dive)]
    #[schema(min_items = 1, max_items = 100)]
    pub variants: Vec<Place>,
}

impl Axes {
    /// Whether every variant stands on the axes, and no two at the same place.
    ///
    /// # Errors
    /// `InvalidBody` at the variant.
    pub fn check(&self) -> Result<(), Refusal> {
        fit_together(&self.option_axes, self.variants.iter().map(|place| &place.options))
    }
}

/// Where a variant stands.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(as = VariantPlace)]
pub struct Place {
    /// Which.
    #[garde(skip)]
    pub id: VariantId,
    /// Its value on each axis.
    #[garde(custom(options_fit))]
    pub options: Options,
}

/// A change of a variant; what is absent stays.
#[derive(Default, Deserialize, Validate, ToSchema)]
pub struct VariantChange {
    /// The shop's name for it, one in the shop.
    #[garde(inner(custom(shown(1, 64))))]
    #[serde(default)]
    pub sku: Option<String>,
    /// For one unit, in minor units.
    #[garde(inner(range(min = 0, max = PRICE_MAX)))]
    #[serde(default)]
    #[schema(minimum = 0)]
    pub price_minor: Option<i64>,
    /// What it cost before: not less than the price; null: nothing to compare.
    #[garde(inner(inner(range(min = 0, max = PRICE_MAX))))]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub compare_at_minor: Option<Option<i64>>,
    /// Where it stands on each of the product's axes.
    #[garde(inner(custom(options_fit)))]
    #[serde(default)]
    pub options: Option<Options>,
}

/// Units that came, or went.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub struct Adjustment {
    /// Units to add; negative: to take away. Not zero.
    #[garde(range(min = -STOCK_MAX, max = STOCK_MAX), custom(fits_reason(self.reason)))]
    pub delta: i32,
    /// Why.
    #[serde(default)]
    pub reason: StockReason,
    /// In one's own words.
    #[garde(custom(prose(200)))]
    #[serde(default)]
    pub note: String,
}

/// Why a shop's units became more or fewer, as the shop may say it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StockReason {
    /// Put right.
    #[default]
    Adjustment,
    /// Delivered to the shop: units that came.
    Received,
    /// Found otherwise when counting.
    Counted,
    /// Broken or spoilt: units that went.
    Damaged,
    /// Gone: units that went.
    Lost,
}

fn fits_reason(reason: StockReason) -> impl FnOnce(&i32, &()) -> garde::Result {
    move |delta, ()| match (reason, delta.signum()) {
        (_, 0) => Err(garde::Error::new("must not be zero")),
        (StockReason::Received, -1) => Err(garde::Error::new("what was received is more, not less")),
        (StockReason::Damaged | StockReason::Lost, 1) => {
            Err(garde::Error::new("what was damaged or lost is less, not more"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn fault(axes: &[&str], places: &[Options]) -> Option<String> {
        let axes: Vec<String> = axes.iter().map(|axis| (*axis).to_owned()).collect();
        let refusal = fit_together(&axes, places.iter()).err()?;
        refusal.field.map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn variants_are_distinct_places_on_the_axes() {
        let (blue, red) = (options(&[("Colour", "Blue")]), options(&[("Colour", "Red")]));
        assert_eq!(fault(&["Colour"], &[blue.clone(), red.clone()]), None);
        assert_eq!(fault(&[], &[Options::new()]), None);
        let second = Some("variants.1.options".to_owned());
        assert_eq!(
            fault(&["Colour"], &[blue.clone(), blue.clone()]),
            second,
            "the same twice"
        );
        assert_eq!(fault(&["Colour"], &[blue.clone(), Options::new()]), second, "nowhere");
        let both = options(&[("Colour", "Red"), ("Size", "M")]);
        assert_eq!(fault(&["Colour"], &[blue, both]), second, "off the axes");
        let first = Some("variants.0.options".to_owned());
        assert_eq!(fault(&["Size"], &[red]), first, "another name");
        assert_eq!(
            fault(&[], &[Options::new(), Options::new()]),
            second,
            "two without options"
        );
    }

    #[test]
    fn a_reason_says_which_way_units_go() {
        let adjustment = |reason, delta| {
            Adjustment {
                delta,
                reason,
                note: String::new(),
            }
            .validate()
            .is_ok()
        };
        assert!(adjustment(StockReason::Adjustment, -1) && adjustment(StockReason::Counted, 1));
        assert!(adjustment(StockReason::Received, 1) && !adjustment(StockReason::Received, -1));
        assert!(adjustment(StockReason::Lost, -1) && !adjustment(StockReason::Damaged, 1));
        assert!(!adjustment(StockReason::Adjustment, 0));
    }

    #[test]
    fn a_key_is_no_id() {
        assert!(is_key("MUG", &()).is_ok());
        assert!(is_key("0199b1a4-6a1f-7000-8000-000000000000", &()).is_err());
    }
}

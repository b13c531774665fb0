//! A shipping profile as it is sent and shown.

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::ShippingProfileId;
use shared::money::Money;
use utoipa::{IntoParams, ToSchema};

use crate::http::rules::{is_country, nullable, shown};

/// A fee at most, in minor units.
const FEE_MAX: i64 = 100_000_000;
/// What goods may have to be worth at most, in minor units.
const WORTH_MAX: i64 = 100_000_000_000;

/// What sending goods costs, and where to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShippingProfile {
    /// Its id.
    pub id: ShippingProfileId,
    /// Its name, for the shop.
    pub name: String,
    /// For the first item.
    pub base: Money,
    /// For each further item.
    pub extra_item: Money,
    /// Goods worth at least this ship free; null: never.
    pub free_from: Option<Money>,
    /// What shipping of everything that one buyer has sent to one address from one show may
    /// cost; null: no cap.
    pub show_cap: Option<Money>,
    /// Countries that it ships to (ISO 3166-1 alpha-2); none: everywhere.
    pub regions: Vec<String>,
    /// Whether no further product gets it.
    pub archived: bool,
}

/// Which of the shop's profiles.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those that are archived (`true`), or are not (`false`); absent: all.
    pub archived: Option<bool>,
}

/// A profile to add; amounts are in the shop's currency.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewProfile {
    /// Its name, for the shop.
    #[garde(custom(shown(1, 60)))]
    pub name: String,
    /// For the first item, in minor units.
    #[garde(range(min = 0, max = FEE_MAX))]
    #[schema(minimum = 0)]
    pub base_minor: i64,
    /// For each further item, in minor units.
    #[garde(range(min = 0, max = FEE_MAX))]
    #[serde(default)]
    #[schema(minimum = 0)]
    pub extra_item_minor: i64,
    /// Goods worth at least this ship free, in minor units; absent: never.
    #[garde(inner(range(min = 1, max = WORTH_MAX)))]
    #[serde(default)]
    #[schema(minimum = 1)]
    pub free_from_minor: Option<i64>,
    /// What shipping of everything that one buyer has sent to one address from one show may
    /// cost, in minor units; absent: no cap.
    #[garde(inner(range(min = 0, max = FEE_MAX)))]
    #[serde(default)]
    #[schema(minimum = 0)]
    pub show_cap_minor: Option<i64>,
    /// Countries that it ships to (ISO 3166-1 alpha-2), each once; none: everywhere.
    #[garde(custom(are_regions))]
    #[serde(default)]
    #[schema(max_items = 250)]
    pub regions: Vec<String>,
}

/// A change of a profile; what is absent stays. It counts for checkouts from then on.
#[derive(Deserialize, Validate, ToSchema)]
pub struct ProfileChange {
    /// Its name, for the shop.
    #[garde(inner(custom(shown(1, 60))))]
    #[serde(default)]
    pub name: Option<String>,
    /// For the first item, in minor units.
    #[garde(inner(range(min = 0, max = FEE_MAX)))]
    #[serde(default)]
    #[schema(minimum = 0)]
    pub base_minor: Option<i64>,
    /// For each further item, in minor units.
    #[garde(inner(range(min = 0, max = FEE_MAX)))]
    #[serde(default)]
    #[schema(minimum = 0)]
    pub extra_item_minor: Option<i64>,
    /// Goods worth at least this ship free, in minor units; null: never.
    #[garde(inner(inner(range(min = 1, max = WORTH_MAX))))]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub free_from_minor: Option<Option<i64>>,
    /// The cap of one show, in minor units; null: none.
    #[garde(inner(inner(range(min = 0, max = FEE_MAX))))]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub show_cap_minor: Option<Option<i64>>,
    /// Countries that it ships to; none: everywhere.
    #[garde(inner(custom(are_regions)))]
    #[serde(default)]
    #[schema(max_items = 250)]
    pub regions: Option<Vec<String>>,
    /// `true`: no further product gets it, and those that have it keep it.
    #[garde(skip)]
    #[serde(default)]
    pub archived: Option<bool>,
}

fn are_regions(regions: &[String], (): &()) -> garde::Result {
    if regions.len() > 250 {
        return Err(garde::Error::new("250 countries are the most"));
    }
    regions.iter().try_for_each(|region| is_country(region, &()))?;
    let mut sorted: Vec<&String> = regions.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(garde::Error::new("a country is named twice"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_countries_each_once() {
        let regions = |names: &[&str]| are_regions(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), &());
        assert!(regions(&[]).is_ok());
        assert!(regions(&["DE", "AT"]).is_ok());
        assert!(regions(&["DE", "AT", "DE"]).is_err());
        assert!(regions(&["Germany"]).is_err());
    }
}

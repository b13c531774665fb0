//! An address as it is sent and shown.

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::AddressId;
use utoipa::ToSchema;

use crate::http::rules::{is_country, shown};

/// An address of the caller's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Address {
    /// Its id.
    pub id: AddressId,
    /// Who receives.
    pub recipient: String,
    /// Street and number.
    pub line1: String,
    /// What the street does not say; may be empty.
    pub line2: String,
    /// City.
    pub city: String,
    /// State or province; may be empty. Of Australia, Canada and the United States its code, such
    /// as `CA`.
    pub region: String,
    /// Postal code.
    pub postal_code: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// For the carrier; may be empty.
    pub phone: String,
    /// Things are sent here unless said otherwise.
    pub is_default_shipping: bool,
    /// Bills name this one unless said otherwise.
    pub is_default_billing: bool,
}

/// An address to add.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewAddress {
    /// Who receives.
    #[garde(custom(shown(1, 100)))]
    pub recipient: String,
    /// Street and number.
    #[garde(custom(shown(1, 120)))]
    pub line1: String,
    /// What the street does not say.
    #[garde(custom(shown(0, 120)))]
    #[serde(default)]
    pub line2: String,
    /// City.
    #[garde(custom(shown(1, 80)))]
    pub city: String,
    /// State or province; Australia, Canada and the United States need one, as its code or its
    /// English name (`CA`, `California`).
    #[garde(custom(shown(0, 80)))]
    #[serde(default)]
    pub region: String,
    /// Postal code, in its country's form; absent where there are none.
    #[garde(custom(shown(0, 20)))]
    #[serde(default)]
    pub postal_code: String,
    /// ISO 3166-1 alpha-2, in capitals.
    #[garde(custom(is_country))]
    #[schema(pattern = "^[A-Z]{2}$")]
    pub country: String,
    /// For the carrier.
    #[garde(custom(shown(0, 32)))]
    #[serde(default)]
    pub phone: String,
}

/// A change of an address; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(as = AddressChange)]
pub struct Change {
    /// Who receives.
    #[garde(inner(custom(shown(1, 100))))]
    #[serde(default)]
    pub recipient: Option<String>,
    /// Street and number.
    #[garde(inner(custom(shown(1, 120))))]
    #[serde(default)]
    pub line1: Option<String>,
    /// What the street does not say.
    #[garde(inner(custom(shown(0, 120))))]
    #[serde(default)]
    pub line2: Option<String>,
    /// City.
    #[garde(inner(custom(shown(1, 80))))]
    #[serde(default)]
    pub city: Option<String>,
    /// State or province, likewise.
    #[garde(inner(custom(shown(0, 80))))]
    #[serde(default)]
    pub region: Option<String>,
    /// Postal code.
    #[garde(inner(custom(shown(0, 20))))]
    #[serde(default)]
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2, in capitals.
    #[garde(inner(custom(is_country)))]
    #[serde(default)]
    pub country: Option<String>,
    /// For the carrier.
    #[garde(inner(custom(shown(0, 32))))]
    #[serde(default)]
    pub phone: Option<String>,
}

impl Change {
    /// The address that `before` becomes.
    pub(super) fn of(self, before: Address) -> NewAddress {
        NewAddress {
            recipient: self.recipient.unwrap_or(before.recipient),
            line1: self.line1.unwrap_or(before.line1),
            line2: self.line2.unwrap_or(before.line2),
            city: self.city.unwrap_or(before.city),
            region: self.region.unwrap_or(before.region),
            postal_code: self.postal_code.unwrap_or(before.postal_code),
            country: self.country.unwrap_or(before.country),
            phone: self.phone.unwrap_or(before.phone),
        }
    }
}

/// What an address is the default for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Sending.
    Shipping,
    /// Billing.
    Billing,
}

/// Which default to make it.
#[derive(Deserialize, Validate, ToSchema)]
pub struct MakeDefault {
    /// Of this kind.
    #[garde(skip)]
    pub kind: Kind,
}

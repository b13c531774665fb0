//! A shop as it is applied for, shown, and decided on.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{SellerId, StreamId, UserId};
use shared::money::Currency;
use shared::notification::NotificationKind;
use shared::status::{Machine as _, SellerStatus};
use utoipa::{IntoParams, ToSchema};

use crate::catalog::products::model::Rating;
use crate::http::rules::{is_country, prose, shown};
use crate::media::Picture;
use crate::streams::model::Stream;

/// A shop.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Seller {
    /// Its id.
    pub id: SellerId,
    /// Its name.
    pub shop_name: String,
    /// Its name in addresses of pages.
    pub slug: String,
    /// What it is about.
    pub description: String,
    /// Its picture; null: none.
    pub picture: Option<Picture>,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// What its prices are in.
    pub currency: String,
    /// Its standing.
    pub status: SellerStatus,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// A shop's page: what everybody sees of it, a second old at most.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-0004-7000-8000-000000000004", "shop_name": "Harbour Lane Ceramics",
    "slug": "harbour-lane-ceramics", "description": "Bowls", "picture": null, "country": "DE", "currency": "EUR",
    "status": "approved", "created_at": "2026-01-05T09:00:00Z", "follower_count": 1204,
    "rating": {"count": 2, "sum": 9, "average": 4.5}, "live_stream": null, "next_streams": [], "followed": false
}))]
pub struct SellerPage {
    /// The shop.
    #[serde(flatten)]
    pub seller: Seller,
    /// How many accounts follow it.
    #[schema(minimum = 0)]
    pub follower_count: i64,
    /// What buyers say of all of its products.
    pub rating: Rating,
    /// Its show that is on air, the latest of several; null: none is.
    pub live_stream: Option<Stream>,
    /// Its shows to come, the next first, 5 at most.
    #[schema(max_items = 5)]
    pub next_streams: Vec<Stream>,
    /// Whether the caller follows it; null: nobody is signed in.
    pub followed: Option<bool>,
}

/// A shop that one follows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-0004-7000-8000-000000000004", "shop_name": "Harbour Lane Ceramics",
    "slug": "harbour-lane-ceramics", "since": "2026-11-02T18:00:00Z", "live_stream_id": null
}))]
pub struct FollowedShop {
    /// Its id.
    pub id: SellerId,
    /// Its name.
    pub shop_name: String,
    /// Its name in addresses of pages.
    pub slug: String,
    /// Since when one follows it.
    pub since: DateTime<Utc>,
    /// Its show that is on air; null: none is.
    pub live_stream_id: Option<StreamId>,
}

/// A shop, where something of it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SellerRef {
    /// Its id.
    pub id: SellerId,
    /// Its name.
    pub shop_name: String,
}

/// An application for a shop.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Application {
    /// The shop's name.
    #[garde(custom(shown(2, 60)))]
    pub shop_name: String,
    /// What it is about.
    #[garde(custom(prose(2_000)))]
    #[serde(default)]
    pub description: String,
    /// ISO 3166-1 alpha-2, in capitals.
    #[garde(custom(is_country))]
    #[schema(pattern = "^[A-Z]{2}$")]
    pub country: String,
    /// What its prices will be in.
    #[garde(skip)]
    pub currency: Currency,
}

/// A shop as an admin sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminSeller {
    /// The shop.
    #[serde(flatten)]
    pub seller: Seller,
    /// Its owner.
    pub user_id: UserId,
    /// Who decided last.
    pub decided_by: Option<UserId>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// Why.
    pub decision_reason: String,
}

/// Which shops.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of this status; absent: all.
    pub status: Option<SellerStatus>,
}

/// Why.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(example = json!({"reason": "the pictures are missing"}))]
pub struct Reason {
    /// For the audit log; of a rejection, which needs one, and of a suspension, the shop's
    /// owner is told it, too. At most 500 characters.
    #[garde(custom(prose(500)))]
    #[serde(default)]
    pub reason: String,
}

/// What an admin decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// An application is granted.
    Approve,
    /// An application is turned down.
    Reject,
    /// A shop is stopped.
    Suspend,
    /// A stopped shop goes on.
    Reinstate,
}

impl Decision {
    /// What the shop becomes.
    #[must_use]
    pub const fn to(self) -> SellerStatus {
        match self {
            Self::Approve | Self::Reinstate => SellerStatus::Approved,
            Self::Reject => SellerStatus::Rejected,
            Self::Suspend => SellerStatus::Suspended,
        }
    }

    const fn from(self) -> SellerStatus {
        match self {
            Self::Approve | Self::Reject => SellerStatus::Pending,
            Self::Suspend => SellerStatus::Approved,
            Self::Reinstate => SellerStatus::Suspended,
        }
    }

    /// The statuses that it applies to: the one it is about, where the machine allows it.
    #[must_use]
    pub fn sources(self) -> Vec<String> {
        let mut sources = SellerStatus::sources_of(self.to());
        sources.retain(|name| name == self.from().as_str());
        sources
    }

    /// What the shop's owner is told.
    #[must_use]
    pub const fn notification(self) -> NotificationKind {
        match self {
            Self::Approve => NotificationKind::ShopApproved,
            Self::Reject => NotificationKind::ShopRejected,
            Self::Suspend => NotificationKind::ShopSuspended,
            Self::Reinstate => NotificationKind::ShopReinstated,
        }
    }

    /// Its name in the audit log.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Approve => "seller.approve",
            Self::Reject => "seller.reject",
            Self::Suspend => "seller.suspend",
            Self::Reinstate => "seller.reinstate",
        }
    }
}

/// Names for addresses of pages, the best first and one that is certainly free last.
pub(super) fn slugs(shop_name: &str, id: SellerId) -> Vec<String> {
    let mut slug = String::new();
    for c in shop_name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let short: String = slug.chars().take(26).collect();
    let (slug, short) = (slug.trim_matches('-'), short.trim_matches('-'));
    let unique = id.0.simple().to_string();
    if slug.is_empty() {
        return vec![format!("shop-{unique}")];
    }
    vec![slug.to_owned(), format!("{short}-{unique}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_is_a_step_of_the_machine() {
        for decision in [
            Decision::Approve,
            Decision::Reject,
            Decision::Suspend,
            Decision::Reinstate,
        ] {
            assert_eq!(decision.sources().len(), 1, "{decision:?}");
        }
    }

    #[test]
    fn every_slug_fits() {
        for name in ["Harbour Lane Ceramics", "茶の店", "--", "A & B", &"long ".repeat(12)] {
            for slug in slugs(name, SellerId::new()) {
                assert!(crate::http::rules::is_slug(&slug, &()).is_ok(), "{name}: {slug}");
            }
        }
        assert_eq!(
            slugs("Harbour Lane Ceramics", SellerId::new())[0],
            "harbour-lane-ceramics"
        );
    }
}

//! What callers send and get about accounts, and the rules of each field.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{SellerId, UserId};
use shared::money::Currency;
use shared::status::SellerStatus;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

pub use super::email::Email;
use super::handle::Handle;
use crate::http::rules::{prose, shown};
use crate::media::Picture;

/// What an account may do beyond its own things.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Role {
    /// Nothing.
    User,
    /// Run the market.
    Admin,
}

/// Where a client keeps its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The client keeps the refresh token itself.
    #[default]
    Token,
    /// A browser keeps it in a cookie that scripts cannot read.
    Cookie,
}

/// A new account.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Register {
    /// One account each.
    #[garde(skip)]
    pub email: Email,
    /// From 8 to 128 characters.
    #[garde(length(chars, min = 8, max = 128))]
    #[schema(min_length = 8, max_length = 128, format = Password)]
    pub password: String,
    /// As others see it.
    #[garde(custom(shown(1, 40)))]
    #[schema(min_length = 1, max_length = 40)]
    pub display_name: String,
    /// The short name that is this person's alone; absent: one is made.
    #[garde(skip)]
    #[serde(default)]
    pub handle: Option<Handle>,
    /// Where the session is kept; `token` when absent.
    #[garde(skip)]
    #[serde(default)]
    pub session: Keep,
}

/// Who signs in.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Login {
    /// The account's address.
    #[garde(skip)]
    pub email: Email,
    /// Its password.
    #[garde(length(chars, max = 128))]
    #[schema(max_length = 128, format = Password)]
    pub password: String,
    /// Where the session is kept; `token` when absent.
    #[garde(skip)]
    #[serde(default)]
    pub session: Keep,
}

/// A refresh token, unless the cookie holds it.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Renew {
    /// The token; absent: the cookie's.
    #[garde(inner(length(max = 128)))]
    #[serde(default)]
    pub refresh_token: Option<String>,
}

/// What was mailed to an address.
#[derive(Deserialize, Validate, ToSchema)]
pub struct ConfirmEmail {
    /// The code of the letter, which its link carries, too.
    #[garde(length(max = 128))]
    #[schema(max_length = 128)]
    pub token: String,
    /// The account's password, from whoever is not signed in to it.
    #[serde(default)]
    #[garde(length(chars, max = 128))]
    #[schema(max_length = 128, format = Password)]
    pub password: Option<String>,
}

/// Another address for the account.
#[derive(Deserialize, Validate, ToSchema)]
pub struct ChangeEmail {
    /// The new one.
    #[garde(skip)]
    pub email: Email,
    /// The account's password.
    #[garde(length(chars, max = 128))]
    #[schema(max_length = 128, format = Password)]
    pub password: String,
}

/// Another password for the account.
#[derive(Deserialize, Validate, ToSchema)]
pub struct ChangePassword {
    /// The one that there is.
    #[garde(length(chars, max = 128))]
    #[schema(max_length = 128, format = Password)]
    pub current_password: String,
    /// From 8 to 128 characters.
    #[garde(length(chars, min = 8, max = 128))]
    #[schema(min_length = 8, max_length = 128, format = Password)]
    pub password: String,
}

/// Who has forgotten their password.
#[derive(Deserialize, Validate, ToSchema)]
pub struct ResetPassword {
    /// The account's address.
    #[garde(skip)]
    pub email: Email,
}

/// A new password, and what was mailed to set it.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Reset {
    /// The code of the letter, which its link carries, too.
    #[garde(length(max = 128))]
    #[schema(max_length = 128)]
    pub token: String,
    /// From 8 to 128 characters.
    #[garde(length(chars, min = 8, max = 128))]
    #[schema(min_length = 8, max_length = 128, format = Password)]
    pub password: String,
}

/// A change of the profile; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Profile {
    /// The short name that is this person's alone. One that was chosen stays for 30 days,
    /// and the one before it is nobody else's for 90.
    #[garde(skip)]
    #[serde(default)]
    pub handle: Option<Handle>,
    /// As others see it.
    #[garde(inner(custom(shown(1, 40))))]
    #[serde(default)]
    pub display_name: Option<String>,
    /// A few words.
    #[garde(inner(custom(prose(500))))]
    #[serde(default)]
    pub bio: Option<String>,
    /// Whether a purchase in a show names its buyer.
    #[garde(skip)]
    #[serde(default)]
    pub show_purchases: Option<bool>,
}

/// A session that is there, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenSession {
    /// The session: to end it by.
    pub id: Uuid,
    /// The program that renewed it last, in its own words; may be empty.
    pub user_agent: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was renewed last.
    pub last_used_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// A session. The access token is for memory only; it is renewed before it expires.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Send it as `Authorization: Bearer`.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds until the access token expires.
    pub expires_in: i64,
    /// Good once, for the next session; absent when a cookie holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Whose session it is.
    pub user: Me,
}

/// An account as its owner sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The account.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// Whether somebody has proved that they read the address's mail. Until then the
    /// account cannot apply for a shop.
    pub email_verified: bool,
    /// What it may do.
    pub role: Role,
    /// The short name that is this person's alone.
    pub handle: String,
    /// As others see it.
    pub display_name: String,
    /// A few words.
    pub bio: String,
    /// Their picture; null: none.
    pub avatar: Option<Picture>,
    /// Whether a purchase in a show names its buyer.
    pub show_purchases: bool,
    /// Its shop.
    pub seller: Option<MyShop>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// A person as everybody sees them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PublicProfile {
    /// The short name that is this person's alone.
    pub handle: String,
    /// As others see it.
    pub display_name: String,
    /// A few words.
    pub bio: String,
    /// Their picture; null: none.
    pub avatar: Option<Picture>,
    /// Their shop, if it is open.
    pub seller_id: Option<SellerId>,
}

/// An account as an admin sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The account.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// Since when the address is confirmed; null: it is not.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// What it may do.
    pub role: Role,
    /// The short name that is this person's alone.
    pub handle: String,
    /// As others see it.
    pub display_name: String,
    /// Since when it is suspended; null: it is not.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Since when it is gone; null: it is not.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Find {
    /// How the address begins, or the handle; absent: all.
    #[param(max_length = 254)]
    pub q: Option<String>,
}

/// Why an account is suspended, or is not any more.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Why {
    /// For the audit log.
    #[garde(custom(prose(500)))]
    #[serde(default)]
    pub reason: String,
}

/// One's own shop, in short.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MyShop {
    /// The shop.
    pub id: SellerId,
    /// Its name.
    pub shop_name: String,
    /// Its standing.
    pub status: SellerStatus,
}

/// What an account may do now.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Its role.
    pub role: Role,
    /// Whether its address is confirmed.
    pub confirmed: bool,
    /// Its shop.
    pub shop: Option<Shop>,
}

/// A shop's standing.
#[derive(Clone, Copy, Debug)]
pub struct Shop {
    /// The shop.
    pub id: SellerId,
    /// Whether it may sell.
    pub status: SellerStatus,
    /// What its prices are in.
    pub currency: Currency,
}

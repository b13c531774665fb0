//! How often one actor may ask, whatever for. Every request counts for its account, or
//! without one for its address, in the class of what it does; one's limit is never
//! another's. What each actor has left is told with every answer, as the IETF's draft
//! "`RateLimit` header fields for HTTP" has it. Decides nothing about permission.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use shared::ids::UserId;

use super::who::signed_for;
use super::{AddressLimit, RateLimit, Result, client_address};
use crate::config::Limits;
use crate::state::State;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// What all allowances are counted over.
const WINDOW: Duration = Duration::from_secs(60);

/// Whether requests to `path` count. Who asks whether the service lives is always answered:
/// a busy neighbour must not take it out of service.
#[must_use]
pub fn is_counted(path: &str) -> bool {
    !matches!(path, "/healthz" | "/readyz")
}

/// What a request does, as far as its cost goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Read,
    Write,
    /// Holds stock for somebody, orders, pays, moves money or decides about it.
    Money,
    /// Reads a picture: a page has many, and a browser asks for them without a session.
    Media,
    /// A provider's word; one address of theirs may send very many.
    Webhook,
}

impl Class {
    fn of(method: &Method, path: &str) -> Self {
        let mut segments = path.split('/').skip(1);
        let first = segments.next().unwrap_or_default();
        match *method {
            Method::GET | Method::HEAD if first == "media" => Self::Media,
            Method::GET | Method::HEAD | Method::OPTIONS => Self::Read,
            _ if first == "webhooks" => Self::Webhook,
            _ if matches!(first, "orders" | "flash-sales") => Self::Money,
            _ if moves_money(first, segments.next(), segments.last()) => Self::Money,
            _ => Self::Write,
        }
    }
}

/// What sellers and admins do about money. Sending parcels is none of it: a shop may have
/// hundreds to send.
fn moves_money(first: &str, second: Option<&str>, last: Option<&str>) -> bool {
    matches!(
        (first, second.unwrap_or_default(), last.unwrap_or_default()),
        ("seller", "payouts" | "payout-accounts" | "returns" | "claims", _)
            | ("seller", "orders", "cancel")
            | (
                "admin",
                "payouts" | "orders" | "refunds" | "returns" | "claims" | "commission-rules" | "dead-letters",
                _
            )
            | ("admin", "sellers", "payout-hold" | "write-offs")
    )
}

/// Who asks. A token of ours is enough to count for its account: it cannot be made up, and
/// whether it is still good is asked later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    Account(UserId),
    Address(IpAddr),
}

impl Actor {
    fn of(request: &HttpRequest, state: &State) -> Self {
        signed_for(request, state).map_or_else(|| Self::Address(client_address(request, &state.config)), Self::Account)
    }
}

/// What an actor was allowed, for the answer's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    policy: Option<HeaderValue>,
    left: String,
}

impl Told {
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        let left = HeaderValue::from_maybe_shared(Bytes::from(self.left)).ok();
        for (name, value) in [(POLICY, self.policy), (LEFT, left)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

/// So many requests of one class a minute for each actor. Accounts and addresses are
/// remembered apart: a flood from many addresses leaves the room for accounts alone.
struct Allowance {
    name: &'static str,
    per_minute: NonZeroU32,
    /// The same in every answer.
    policy: Option<HeaderValue>,
    accounts: RateLimit<UserId>,
    addresses: AddressLimit,
}

impl Allowance {
    fn new(name: &'static str, per_minute: NonZeroU32) -> Self {
        Self {
            name,
            per_minute,
            policy: HeaderValue::from_str(&format!("\"{name}\";q={per_minute};w={}", WINDOW.as_secs())).ok(),
            accounts: RateLimit::per_minute(per_minute),
            addresses: AddressLimit::per_minute(per_minute),
        }
    }

    fn count(&self, actor: Actor) -> (Told, Result<()>) {
        let counted = match actor {
            Actor::Account(id) => self.accounts.count(&id),
            Actor::Address(address) => self.addresses.count(address),
        };
        match counted {
            Ok(left) => (self.told(left, self.until_whole(left)), Ok(())),
            Err(refused) => {
                // The same moment as `Retry-After`.
                let wait_ms = refused.refusal().retry_after_ms.unwrap_or_default();
                (self.told(0, wait_ms.div_ceil(1_000).max(1)), Err(refused))
            }
        }
    }

    /// In how many seconds nothing is missing any more, rounded up.
    fn until_whole(&self, left: u32) -> u64 {
        let of = u64::from(self.per_minute.get());
        let missing = of.saturating_sub(u64::from(left));
        (missing * WINDOW.as_secs()).div_ceil(of)
    }

    fn told(&self, left: u32, seconds: u64) -> Told {
        Told {
            policy: self.policy.clone(),
            left: format!("\"{}\";r={left};t={seconds}", self.name),
        }
    }

    fn tidy(&self) {
        self.accounts.tidy();
        self.addresses.tidy();
    }
}

/// The allowances of all actors, in this process.
pub struct Traffic {
    read: Allowance,
    write: Allowance,
    money: Allowance,
    media: Allowance,
    webhook: Allowance,
}

impl Traffic {
    /// Nobody has used anything up.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            read: Allowance::new("read", limits.reads_per_minute),
            write: Allowance::new("write", limits.writes_per_minute),
            money: Allowance::new("money", limits.money_per_minute),
            media: Allowance::new("media", limits.media_per_minute),
            webhook: Allowance::new("webhook", limits.webhooks_per_minute),
        }
    }

    /// Counts a request: what its sender is told of their allowance, and whether it may
    /// go on (`RateLimited`).
    pub(super) fn count(&self, request: &HttpRequest, state: &State) -> (Option<Told>, Result<()>) {
        // As routing reads it: `/%6Frders` is `/orders`.
        let path = request.match_info().as_str();
        if !is_counted(path) {
            return (None, Ok(()));
        }
        let allowance = match Class::of(request.method(), path) {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Money => &self.money,
            Class::Media => &self.media,
            Class::Webhook => &self.webhook,
        };
        let (told, admitted) = allowance.count(Actor::of(request, state));
        (Some(told), admitted)
    }

    /// Forgets actors that are back at their full allowance.
    pub fn tidy(&self) {
        self.read.tidy();
        self.write.tidy();
        self.money.tidy();
        self.media.tidy();
        self.webhook.tidy();
    }
}

#[cfg(test)]
mod tests {
    use shared::error::ErrorCode;

    use super::*;

    #[test]
    fn what_holds_orders_or_pays_is_money_and_looking_at_it_is_reading() {
        let class = |method: &Method, path| Class::of(method, path);
        assert_eq!(class(&Method::POST, "/orders"), Class::Money);
        assert_eq!(class(&Method::POST, "/orders/checkout"), Class::Money);
        assert_eq!(class(&Method::POST, "/orders/1/payments/2/confirm"), Class::Money);
        assert_eq!(class(&Method::DELETE, "/flash-sales/1/holds/2"), Class::Money);
        assert_eq!(class(&Method::GET, "/orders/1/receipt"), Class::Read);
        assert_eq!(class(&Method::HEAD, "/products"), Class::Read);
        assert_eq!(class(&Method::GET, "/media/1-small.jpg"), Class::Media);
        assert_eq!(class(&Method::GET, "/mediators"), Class::Read);
        assert_eq!(class(&Method::PATCH, "/seller/products/1"), Class::Write);
        for path in [
            "/seller/payouts",
            "/seller/payouts/1/cancel",
            "/seller/orders/1/items/2/cancel",
            "/seller/returns/1/approve",
            "/admin/orders/1/refunds",
            "/admin/refunds/1/retry",
            "/admin/payouts/1/retry",
            "/admin/sellers/1/payout-hold",
            "/admin/sellers/1/write-offs",
            "/admin/commission-rules",
            "/admin/dead-letters/1/retry",
        ] {
            assert_eq!(class(&Method::POST, path), Class::Money, "{path}");
        }
        assert_eq!(class(&Method::DELETE, "/admin/sellers/1/payout-hold"), Class::Money);
        for path in [
            "/seller/orders/1/shipments",
            "/admin/sellers/1/approve",
            "/admin/users/1/suspend",
        ] {
            assert_eq!(class(&Method::POST, path), Class::Write, "{path}");
        }
        assert_eq!(class(&Method::GET, "/seller/payouts"), Class::Read);
        assert_eq!(class(&Method::POST, "/webhooks/carrier"), Class::Webhook);
        // What nobody has heard of changes something, until it is known better.
        assert_eq!(class(&Method::TRACE, "/products"), Class::Write);
    }

    #[test]
    fn what_is_left_and_when_it_is_whole_is_told() {
        let allowance = Allowance::new("write", NonZeroU32::new(2).expect("two"));
        let actor = Actor::Address(IpAddr::from([192, 0, 2, 1]));
        let told = |(told, admitted): (Told, Result<()>)| (told.left, admitted.is_ok());
        assert_eq!(told(allowance.count(actor)), ("\"write\";r=1;t=30".to_owned(), true));
        assert_eq!(told(allowance.count(actor)), ("\"write\";r=0;t=60".to_owned(), true));
        let (told, admitted) = allowance.count(actor);
        assert_eq!(admitted.map_err(|error| error.code()), Err(ErrorCode::RateLimited));
        assert_eq!(told.policy, Some(HeaderValue::from_static("\"write\";q=2;w=60")));
        assert!(told.left.starts_with("\"write\";r=0;t="), "{told:?}");
    }

    #[test]
    fn an_allowance_without_end_is_counted_like_another() {
        let allowance = Allowance::new("read", NonZeroU32::MAX);
        assert_eq!(allowance.until_whole(u32::MAX - 1), 1);
        assert_eq!(allowance.until_whole(0), 60);
    }
}

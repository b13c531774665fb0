//! The service's configuration: typed, and read whole at start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use shared::config::{Secret, Settings};
use shared::token::TokenKey;

use crate::checkout;
use crate::commerce::Commerce;
use crate::mail::MailConfig;
use crate::media::MediaConfig;
use crate::payments::Providers;
use crate::tax::TaxTable;
use crate::webhooks::model::WebhookConfig;

/// How core-api runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Threads that serve requests.
    pub workers: usize,
    /// Signs and verifies tokens; the live engine has the same.
    pub token_key: TokenKey,
    /// Where sockets connect, given to clients with their tickets: `ws://host:port/ws`.
    pub live_url: String,
    /// Origins of pages that may call besides this server's own, such as `https://shop.example`.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Session cookies go over HTTPS only. Off for plain HTTP on one's own machine.
    pub cookie_secure: bool,
    /// For how long browsers come back over HTTPS alone, in seconds; 0: that is not said.
    pub hsts_seconds: u64,
    /// How long before a show viewers may come into its room; the live engine has the same.
    pub waiting_room: Duration,
    /// What callers may use up.
    pub limits: Limits,
    /// How buying runs.
    pub commerce: Commerce,
    /// Who moves the money.
    pub payments: Providers,
    /// What purchases are taxed.
    pub taxes: TaxTable,
    /// How mail is sent.
    pub mail: MailConfig,
    /// Where pictures are kept, and what uploading them may cost.
    pub media: MediaConfig,
    /// Who may send us webhooks.
    pub webhooks: WebhookConfig,
    /// Memory for product pages, in bytes; 0: none is kept.
    pub page_cache_bytes: usize,
}

/// What callers may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests a minute that read, of one account, or one address without one.
    pub reads_per_minute: NonZeroU32,
    /// Requests a minute that change something, counted likewise.
    pub writes_per_minute: NonZeroU32,
    /// Requests a minute that hold, order or pay, counted likewise.
    pub money_per_minute: NonZeroU32,
    /// Requests a minute for pictures, counted likewise.
    pub media_per_minute: NonZeroU32,
    /// Webhooks a minute from one address.
    pub webhooks_per_minute: NonZeroU32,
    /// Registrations a minute from one address.
    pub register_per_minute: NonZeroU32,
    /// Attempts to sign in a minute from one address, and as many to use or get mailed links.
    pub login_per_minute: NonZeroU32,
    /// Attempts to sign in a minute to one account, to register it, and to show its
    /// password again.
    pub login_per_email_per_minute: NonZeroU32,
    /// Letters an hour to one address, and by one account.
    pub mails_per_hour: NonZeroU32,
    /// Exports an hour of one account.
    pub exports_per_hour: NonZeroU32,
    /// Files of orders of one shop.
    pub order_exports_per_hour: NonZeroU32,
    /// Files of products an hour of one shop.
    pub imports_per_hour: NonZeroU32,
    /// Renewals of sessions a minute from one address.
    pub refresh_per_minute: NonZeroU32,
    /// Renewals of one session an hour.
    pub renewals_per_hour: NonZeroU32,
    /// Tickets a minute from one address.
    pub tickets_per_minute: NonZeroU32,
    /// How long the work on a request may take, once its body is there; payments have
    /// their provider's time.
    pub request_time: Duration,
    /// How long a JSON body may take to arrive.
    pub body_wait: Duration,
    /// How long a file may take to arrive.
    pub file_wait: Duration,
    /// Passwords hashed at once: each takes 19 MiB and a core for some 20 ms.
    pub password_hashes: usize,
    /// Requests that wait for their turn to hash; the next is refused at once.
    pub password_queue: usize,
    /// How long a request waits for its turn to hash before it is refused.
    pub password_wait: Duration,
}

const fn at_least_one(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads_per_minute: at_least_one(1_200),
            writes_per_minute: at_least_one(240),
            money_per_minute: at_least_one(60),
            media_per_minute: at_least_one(6_000),
            webhooks_per_minute: at_least_one(6_000),
            register_per_minute: at_least_one(10),
            login_per_minute: at_least_one(20),
            login_per_email_per_minute: at_least_one(10),
            mails_per_hour: at_least_one(5),
            exports_per_hour: at_least_one(3),
            order_exports_per_hour: at_least_one(30),
            imports_per_hour: at_least_one(60),
            refresh_per_minute: at_least_one(60),
            renewals_per_hour: at_least_one(300),
            tickets_per_minute: at_least_one(120),
            request_time: Duration::from_secs(30),
            body_wait: Duration::from_secs(20),
            file_wait: Duration::from_secs(120),
            password_hashes: cores(),
            password_queue: 64,
            password_wait: Duration::from_secs(5),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get)
}

impl Config {
    /// The defaults, with what has none.
    #[must_use]
    pub fn new(bind: SocketAddr, token_key: TokenKey, live_url: String) -> Self {
        Self {
            bind,
            workers: cores(),
            token_key,
            live_url,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            cookie_secure: true,
            hsts_seconds: 0,
            waiting_room: Duration::from_secs(30 * 60),
            limits: Limits::default(),
            commerce: Commerce::default(),
            payments: Providers::default(),
            taxes: TaxTable::default(),
            mail: MailConfig::default(),
            media: MediaConfig::default(),
            webhooks: WebhookConfig::default(),
            page_cache_bytes: 64 << 20,
        }
    }

    /// Origins of pages that people may be sent back to: those that may call, and this
    /// server's own.
    pub fn page_origins(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.mail.public_origin()).chain(self.allowed_origins.iter().map(String::as_str))
    }

    /// What purchases are made under.
    #[must_use]
    pub const fn terms(&self) -> checkout::Terms<'_> {
        checkout::Terms {
            commerce: &self.commerce,
            taxes: &self.taxes,
        }
    }

    /// Reads the configuration; what is wrong is left in `settings`, and then the answer
    /// is `None`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let bind = settings.or("http", SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
        let token_key = token_key(settings);
        let live_url = settings.or("live_url", "ws://127.0.0.1:8081/ws".to_owned());
        let workers = settings.or("http_workers", cores());
        let allowed_origins = origins(settings);
        let trusted_proxies = settings.list("trusted_proxies");
        let cookie_secure = settings.or("cookie_secure", true);
        let hsts_seconds = settings.or("hsts_seconds", 0_u64);
        let waiting_room = settings.or("waiting_room_minutes", 30_u32);
        let limits = Limits::read(settings);
        let commerce = Commerce::read(settings);
        let payments = Providers::read(settings);
        let taxes = TaxTable::read(settings);
        let mail = MailConfig::read(settings);
        let media = MediaConfig::read(settings);
        let webhooks = WebhookConfig::read(settings);
        let page_cache = settings.or("page_cache_megabytes", 64_usize);
        let workers = workers.filter(|count| {
            if *count == 0 {
                settings.fault("http_workers", "must be at least 1");
            }
            *count > 0
        });
        Some(Self {
            workers: workers?,
            allowed_origins,
            trusted_proxies,
            cookie_secure: cookie_secure?,
            hsts_seconds: hsts_seconds?,
            waiting_room: Duration::from_secs(u64::from(waiting_room?) * 60),
            limits: limits?,
            commerce: commerce?,
            payments: payments?,
            taxes: taxes?,
            mail: mail?,
            media: media?,
            webhooks,
            page_cache_bytes: page_cache?.saturating_mul(1 << 20),
            ..Self::new(bind?, token_key?, live_url?)
        })
    }
}

fn token_key(settings: &mut Settings) -> Option<TokenKey> {
    let secret: Secret = settings.required("token_secret")?;
    let key = TokenKey::new(secret.expose().as_bytes());
    if key.is_none() {
        settings.fault("token_secret", "must be at least 32 bytes");
    }
    key
}

/// Origins are compared as text, so they must be written as browsers write them.
fn origins(settings: &mut Settings) -> Vec<String> {
    let origins: Vec<String> = settings.list("allowed_origins");
    for origin in &origins {
        let rest = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        if rest.is_none_or(|host| host.is_empty() || host.contains('/') || host.contains('*')) {
            settings.fault(
                "allowed_origins",
                &format!("{origin:?} is no origin: write scheme, host and port, without a path"),
            );
        }
    }
    origins
}

impl Limits {
    fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let reads = settings.or("limit_reads_per_minute", default.reads_per_minute);
        let writes = settings.or("limit_writes_per_minute", default.writes_per_minute);
        let money = settings.or("limit_money_per_minute", default.money_per_minute);
        let media = settings.or("limit_media_per_minute", default.media_per_minute);
        let webhooks = settings.or("limit_webhooks_per_minute", default.webhooks_per_minute);
        let register = settings.or("limit_register_per_minute", default.register_per_minute);
        let login = settings.or("limit_login_per_minute", default.login_per_minute);
        let email = settings.or("limit_login_per_email_per_minute", default.login_per_email_per_minute);
        let mails = settings.or("limit_mails_per_hour", default.mails_per_hour);
        let exports = settings.or("limit_exports_per_hour", default.exports_per_hour);
        let order_exports = settings.or("limit_order_exports_per_hour", default.order_exports_per_hour);
        let imports = settings.or("limit_imports_per_hour", default.imports_per_hour);
        let refresh = settings.or("limit_refresh_per_minute", default.refresh_per_minute);
        let renewals = settings.or("limit_renewals_per_hour", default.renewals_per_hour);
        let tickets = settings.or("limit_tickets_per_minute", default.tickets_per_minute);
        let request_seconds = settings.or("limit_request_seconds", default.request_time.as_secs());
        let body_seconds = settings.or("limit_body_seconds", default.body_wait.as_secs());
        let file_seconds = settings.or("limit_file_seconds", default.file_wait.as_secs());
        let hashes = settings.or("limit_password_hashes", default.password_hashes);
        let queue = settings.or("limit_password_queue", default.password_queue);
        let wait_ms = settings.or("limit_password_wait_ms", 5_000_u64);
        Some(Self {
            reads_per_minute: reads?,
            writes_per_minute: writes?,
            money_per_minute: money?,
            media_per_minute: media?,
            webhooks_per_minute: webhooks?,
            register_per_minute: register?,
            login_per_minute: login?,
            login_per_email_per_minute: email?,
            mails_per_hour: mails?,
            exports_per_hour: exports?,
            order_exports_per_hour: order_exports?,
            imports_per_hour: imports?,
            refresh_per_minute: refresh?,
            renewals_per_hour: renewals?,
            tickets_per_minute: tickets?,
            request_time: Duration::from_secs(request_seconds?.max(1)),
            body_wait: Duration::from_secs(body_seconds?),
            file_wait: Duration::from_secs(file_seconds?),
            password_hashes: hashes?.max(1),
            password_queue: queue?,
            password_wait: Duration::from_millis(wait_ms?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_in_one_reading() {
        let mut settings = Settings::from_pairs([
            ("token_secret", "short"),
            ("allowed_origins", "https://shop.example/path"),
            ("http_workers", "0"),
        ]);
        let config = Config::read(&mut settings);
        let error = settings.finish(config).expect_err("three faults");
        let keys: Vec<_> = error.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["token_secret", "allowed_origins", "http_workers"]);
    }
}

//! What every request can reach. Cheap to clone; nothing in it decides anything about a
//! person, that is read from the database.

use std::num::NonZeroU32;
use std::sync::Arc;

use shared::bus::SharedBus;
use shared::ids::{ProductId, SellerId, UserId};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::catalog::files;
use crate::catalog::pages::cache::Cache as PageCache;
use crate::config::{Config, Limits};
use crate::http::{AddressLimit, Inflow, RateLimit, Traffic};
use crate::identity::Passwords;
use crate::identity::model::Email;
use crate::mail::Mailer;
use crate::media::{Media, MediaConfig};
use crate::payments::Till;

/// The service's state, as `web::Data<State>`.
#[derive(Clone)]
pub struct State {
    /// The truth.
    pub db: PgPool,
    /// The way to rooms.
    pub bus: SharedBus,
    /// How the service runs.
    pub config: Arc<Config>,
    /// Hashes passwords, a bounded number at once.
    pub passwords: Passwords,
    /// Counts attempts.
    pub rates: Arc<Rates>,
    /// Sends letters.
    pub mailer: Mailer,
    /// Keeps pictures.
    pub media: Media,
    /// Takes in files of products.
    pub imports: Inflow<SellerId>,
    /// Takes payments.
    pub till: Till,
    /// Product pages in memory.
    pub pages: Arc<PageCache<ProductId>>,
    /// Shops' pages in memory, a second old at most.
    pub shop_pages: Arc<PageCache<SellerId>>,
    /// Cancelled when the service stops.
    pub stopping: CancellationToken,
}

/// Messages that one person may delete in a minute.
const DELETIONS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// As many accounts' uploads may come from one address.
const UPLOADERS_OF_AN_ADDRESS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// Rate limits: of everything by actor, and closer ones of what can be done without a
/// session, or asks a room.
pub struct Rates {
    /// Every request, by who asks and what kind it is.
    pub traffic: Traffic,
    /// Registrations by address.
    pub register: AddressLimit,
    /// Registrations by the address of the account.
    pub register_email: RateLimit<Email>,
    /// Attempts to sign in by address.
    pub login: AddressLimit,
    /// Attempts to sign in by account, of all who are where nobody signed in to it of late.
    pub login_email: RateLimit<Email>,
    /// And of the others, by account and place.
    pub login_known: RateLimit<(Email, String)>,
    /// Links that were mailed, followed or asked for, by address.
    pub links: AddressLimit,
    /// Passwords shown again within a session, by account.
    pub proofs: RateLimit<UserId>,
    /// Letters that accounts ask for, by the address that they go to.
    pub mails_to: RateLimit<Email>,
    /// Letters that confirm the address that an account has, by that address: counted apart
    /// from those that others ask for, who keep nobody from confirming theirs.
    pub confirms_to: RateLimit<Email>,
    /// Letters to set a password, by the address that they go to. Anybody asks for them, so
    /// they are counted apart: nobody uses up what an account may have sent.
    pub resets_to: RateLimit<Email>,
    /// Letters by the account that asks for them.
    pub mails_by: RateLimit<UserId>,
    /// Exports by account.
    pub exports: RateLimit<UserId>,
    /// Files of orders by shop.
    pub order_exports: RateLimit<SellerId>,
    /// Files of products by shop.
    pub imports: RateLimit<SellerId>,
    /// Uploads by account.
    pub uploads: RateLimit<UserId>,
    /// Uploads by address.
    pub uploads_from: AddressLimit,
    /// Renewals by address.
    pub refresh: AddressLimit,
    /// Renewals by session.
    pub renewals: RateLimit<Uuid>,
    /// Tickets by address.
    pub tickets: AddressLimit,
    /// Deletions of messages by person.
    pub deletions: RateLimit<UserId>,
}

impl Rates {
    fn new(limits: &Limits, media: &MediaConfig) -> Self {
        Self {
            traffic: Traffic::new(limits),
            register: AddressLimit::per_minute(limits.register_per_minute),
            register_email: RateLimit::per_minute(limits.login_per_email_per_minute),
            login: AddressLimit::per_minute(limits.login_per_minute),
            login_email: RateLimit::per_minute(limits.login_per_email_per_minute),
            login_known: RateLimit::per_minute(limits.login_per_email_per_minute),
            links: AddressLimit::per_minute(limits.login_per_minute),
            proofs: RateLimit::per_minute(limits.login_per_email_per_minute),
            mails_to: RateLimit::per_hour(limits.mails_per_hour),
            confirms_to: RateLimit::per_hour(limits.mails_per_hour),
            resets_to: RateLimit::per_hour(limits.mails_per_hour),
            mails_by: RateLimit::per_hour(limits.mails_per_hour),
            exports: RateLimit::per_hour(limits.exports_per_hour),
            order_exports: RateLimit::per_hour(limits.order_exports_per_hour),
            imports: RateLimit::per_hour(limits.imports_per_hour),
            uploads: RateLimit::per_hour(media.uploads_per_hour),
            uploads_from: AddressLimit::per_hour(media.uploads_per_hour.saturating_mul(UPLOADERS_OF_AN_ADDRESS)),
            refresh: AddressLimit::per_minute(limits.refresh_per_minute),
            renewals: RateLimit::per_hour(limits.renewals_per_hour),
            tickets: AddressLimit::per_minute(limits.tickets_per_minute),
            deletions: RateLimit::per_minute(DELETIONS_PER_MINUTE),
        }
    }

    /// Forgets some of those who have been quiet.
    pub fn tidy(&self) {
        self.traffic.tidy();
        self.register.tidy();
        self.register_email.tidy();
        self.login.tidy();
        self.login_email.tidy();
        self.login_known.tidy();
        self.links.tidy();
        self.proofs.tidy();
        self.mails_to.tidy();
        self.confirms_to.tidy();
        self.resets_to.tidy();
        self.mails_by.tidy();
        self.exports.tidy();
        self.order_exports.tidy();
        self.imports.tidy();
        self.uploads.tidy();
        self.uploads_from.tidy();
        self.refresh.tidy();
        self.renewals.tidy();
        self.tickets.tidy();
        self.deletions.tidy();
    }
}

impl State {
    /// The state of a service that is about to start.
    ///
    /// # Errors
    /// When mail cannot be sent, pictures kept, or money moved, as configured.
    pub fn new(config: Config, db: PgPool, bus: SharedBus) -> anyhow::Result<Self> {
        Ok(Self {
            mailer: Mailer::new(&config.mail)?,
            media: Media::open(&config.media)?,
            passwords: Passwords::of(&config.limits),
            rates: Arc::new(Rates::new(&config.limits, &config.media)),
            imports: files::inflow(),
            till: Till::open(db.clone(), bus.clone(), &config)?,
            pages: Arc::new(PageCache::new(config.page_cache_bytes, "catalog_pages_total")),
            shop_pages: Arc::new(PageCache::new(config.page_cache_bytes / 16, "shop_pages_total")),
            config: Arc::new(config),
            db,
            bus,
            stopping: CancellationToken::new(),
        })
    }
}

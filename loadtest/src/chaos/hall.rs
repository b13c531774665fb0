//! What everybody who takes part shares: the show, the book, and how long they insist.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::Rng as _;
use shared::error::{ErrorCode, Retry};
use shared::ids::{AddressId, ProductId, RequestId, SaleId, StreamId, UserId, VariantId};
use shared::rights::Right;
use shared::status::ProductStatus;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::book::{Act, Book};
use super::check::AFTER_ALL_KILLS;
use super::store;
use crate::rest::{NewAddress, NewProduct, NewStream, NewVariant, RestClient, RestError, RestResult};
use crate::show::{Account, Credentials, Record};

/// How long whatever was asked is asked again after the last kill.
pub const INSIST: Duration = Duration::from_secs(60);
/// Units of each variant: more than a run sets aside.
const STOCK: i32 = 10_000_000;
/// What the moderator may do.
const MODERATES: [Right; 5] = [
    Right::ChatRules,
    Right::Pin,
    Right::DeleteMessages,
    Right::Mute,
    Right::Ban,
];
/// How long setting up may be busy.
const SETUP: Duration = Duration::from_secs(60);

/// See the module.
pub struct Hall {
    /// The show.
    pub stream: StreamId,
    /// What is sold.
    pub product: ProductId,
    /// In these forms.
    pub variants: Vec<VariantId>,
    /// What was told.
    pub book: Book,
    /// What was heard.
    pub record: Record,
    /// Cancelled when nothing new is to be asked for.
    pub closing: CancellationToken,
    sales: Mutex<Vec<SaleId>>,
    /// Nothing is killed any more.
    is_safe: AtomicBool,
    give_up: Mutex<Option<Instant>>,
}

/// Somebody who takes part.
#[derive(Clone)]
pub struct Person {
    /// Their account.
    pub account: Arc<Account>,
    /// Where their orders go.
    pub address: AddressId,
}

/// What became of something that was asked for until there was an answer.
pub type Answered<T> = Option<Result<T, ErrorCode>>;

/// A refusal after which the same is asked again: the answer is still to come.
#[must_use]
pub fn is_passing(code: ErrorCode) -> bool {
    code.retry() == Retry::Later && !matches!(code, ErrorCode::SoldOut | ErrorCode::SaleNotOpen)
}

/// A pause before something is tried again.
#[must_use]
pub fn a_moment() -> Duration {
    Duration::from_millis(rand::rng().random_range(20..150))
}

impl Hall {
    /// Sets the show up over REST: a shop with a product, on air, and `people` accounts.
    /// The first is its host, the second moderates it.
    ///
    /// # Errors
    /// When that does not work.
    pub async fn open(base_url: &str, database: &PgPool, people: usize, book: Book) -> Result<(Self, Vec<Person>)> {
        let patient = RestClient::new(base_url)?.patient(SETUP);
        let mut cast = Vec::with_capacity(people);
        for nth in 0..people {
            cast.push(register(&patient, nth).await?);
        }
        let admin = register(&patient, people).await?;
        store::make_admin(database, admin.account.user).await?;
        let host = &cast.first().context("a show needs a host")?.account;
        admin.account.client().await?.confirm_email(host.user).await?;
        let host = host.client().await?;
        let shop = host.apply_as_seller("Harbour Lane Ceramics", "DE", "EUR").await?;
        admin.account.client().await?.approve_seller(shop.id).await?;
        let variant = |sku: &str, price_minor| NewVariant {
            sku: sku.into(),
            options: [("glaze".to_owned(), sku.to_lowercase())].into(),
            price_minor,
            on_hand: STOCK,
        };
        let product = NewProduct {
            title: "Stoneware mug".into(),
            description: "Holds tea.".into(),
            status: ProductStatus::Active,
            variants: vec![variant("TIDE", 2_400), variant("EMBER", 2_600)],
        };
        let product = host.create_product(&product).await?;
        let stream = NewStream {
            title: "Mugs whatever happens".into(),
            product_ids: vec![product.id],
            start: true,
        };
        let stream = host.create_stream(&stream).await?.id;
        let moderator = &cast.get(1).context("a show needs a moderator")?.account;
        host.appoint(moderator.user, &MODERATES).await?;
        let hall = Self {
            stream,
            product: product.id,
            variants: product.variants.iter().map(|variant| variant.id).collect(),
            book,
            record: Record::default(),
            closing: CancellationToken::new(),
            sales: Mutex::default(),
            is_safe: AtomicBool::new(false),
            give_up: Mutex::default(),
        };
        Ok((hall, cast))
    }

    /// The last kill is over.
    pub fn is_safe_now(&self) {
        self.is_safe.store(true, Ordering::Release);
    }

    /// How to react: after the last kill with a kind of its own.
    #[must_use]
    pub fn reaction(&self) -> &'static str {
        match self.is_safe.load(Ordering::Acquire) {
            true => AFTER_ALL_KILLS,
            false => "heart",
        }
    }

    /// Nothing new is asked for; what was asked is insisted on for a while.
    pub fn close(&self) {
        *self.give_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + INSIST);
        self.closing.cancel();
    }

    /// Whether there is no point in asking any longer.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        let give_up = *self.give_up.lock().unwrap_or_else(PoisonError::into_inner);
        give_up.is_some_and(|at| Instant::now() > at)
    }

    /// The sales that the host has open.
    #[must_use]
    pub fn sales(&self) -> Vec<SaleId> {
        self.sales.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One more is open, or one is no more.
    pub fn set_open(&self, sale: SaleId, is_open: bool) {
        let mut sales = self.sales.lock().unwrap_or_else(PoisonError::into_inner);
        sales.retain(|known| *known != sale);
        if is_open {
            sales.push(sale);
        }
    }

    /// Asks the same of REST until there is an answer that counts.
    pub async fn insist<T>(
        &self,
        account: &Account,
        act: Act,
        ask: impl AsyncFn(RestClient) -> RestResult<T>,
    ) -> Answered<T> {
        let mut last;
        loop {
            let asked = match account.client().await {
                Ok(client) => ask(client).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(answer) => return Some(Ok(answer)),
                Err(RestError::Refused(problem)) if !is_passing(problem.code) => return Some(Err(problem.code)),
                Err(error) => last = error,
            }
            if self.has_given_up() {
                self.book.fault(format!("{act:?} was never answered: {last}"));
                return None;
            }
            tokio::time::sleep(a_moment()).await;
        }
    }
}

async fn register(rest: &RestClient, nth: usize) -> Result<Person> {
    let credentials = Credentials {
        email: format!("{}@example.com", RequestId::new()),
        password: RequestId::new().to_string(),
    };
    let account = Account::register(rest, credentials, &format!("Visitor {nth}"))
        .await
        .context("an account")?;
    let address = NewAddress {
        recipient: "Show Viewer".into(),
        line1: "Example Street 1".into(),
        city: "Exampletown".into(),
        postal_code: "12345".into(),
        country: "DE".into(),
    };
    let address = account
        .client()
        .await?
        .add_address(&address)
        .await
        .context("an address")?;
    Ok(Person {
        account: Arc::new(account),
        address: address.id,
    })
}

/// A new act of somebody's.
#[must_use]
pub fn act_of(user: UserId) -> Act {
    Act {
        user,
        request: RequestId::new(),
    }
}

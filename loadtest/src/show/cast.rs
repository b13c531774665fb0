//! Who takes part: the host with a shop, goods and a stream, and the viewers' accounts.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, stream};
use shared::error::ErrorCode;
use shared::ids::{RequestId, StreamId, UserId};
use shared::status::ProductStatus;
use tokio::time::Instant;

use super::demo::{DemoOptions, Host};
use super::handles::handle;
use super::progress::Phase;
use super::{Credentials, lines};
use crate::rest::{NewProduct, NewStream, NewVariant, Product, RestClient, RestError, RestResult};

/// Accounts registered at once: each costs the server a slow password hash.
const REGISTRATIONS_AT_ONCE: usize = 4;
/// How long registrations may take in all.
const REGISTRATION_BUDGET: Duration = Duration::from_secs(90);
/// Access tokens live 15 minutes; they are replaced well before.
const TOKEN_AGE: Duration = Duration::from_secs(10 * 60);
/// Units of each variant: more than any sale here sets aside.
const STOCK: i32 = 20_000;

/// Somebody with an account.
pub struct Account {
    /// The account's id.
    pub user: UserId,
    /// How it signs in.
    pub credentials: Credentials,
    anonymous: RestClient,
    session: Mutex<(RestClient, Instant)>,
}

impl Account {
    /// Signs an existing account in.
    pub async fn login(rest: &RestClient, credentials: &Credentials) -> RestResult<Self> {
        let (signed_in, session) = rest.login(&credentials.email, &credentials.password).await?;
        Ok(Self {
            user: session.user.id,
            credentials: credentials.clone(),
            anonymous: rest.clone(),
            session: Mutex::new((signed_in, Instant::now())),
        })
    }

    /// Makes a new account.
    pub async fn register(rest: &RestClient, credentials: Credentials, name: &str) -> RestResult<Self> {
        let (signed_in, session) = rest.register(&credentials.email, &credentials.password, name).await?;
        Ok(Self {
            user: session.user.id,
            credentials,
            anonymous: rest.clone(),
            session: Mutex::new((signed_in, Instant::now())),
        })
    }

    /// REST as this account, with a token that is good for some minutes.
    pub async fn client(&self) -> RestResult<RestClient> {
        let (client, since) = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if since.elapsed() < TOKEN_AGE {
            return Ok(client);
        }
        let Credentials { email, password } = &self.credentials;
        let (fresh, _) = self.anonymous.login(email, password).await?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *session = (fresh.clone(), Instant::now());
        Ok(fresh)
    }
}

/// The show's place: whose it is, what is sold, which stream.
pub struct Stage {
    /// The host.
    pub host: Account,
    /// The stream, on air.
    pub stream: StreamId,
    /// The line-up.
    pub products: Vec<Product>,
}

/// Makes names and addresses of one run differ from any other's.
pub fn run_id() -> String {
    let text = RequestId::new().0.simple().to_string();
    text[text.len() - 10..].to_owned()
}

impl Stage {
    /// Sets the stage: a shop (a fresh one, or the given seller's), goods, a stream on air.
    pub async fn set(rest: &RestClient, options: &DemoOptions, run: &str) -> Result<Self> {
        let host = match &options.host {
            Host::Existing(credentials) => Account::login(rest, credentials).await.context("the host signs in")?,
            Host::Fresh { admin } => open_shop(rest, admin, run).await?,
        };
        let client = host.client().await?;
        let mut products = Vec::with_capacity(lines::GOODS.len());
        for goods in lines::GOODS {
            let product = client.create_product(&new_product(goods, run)).await;
            products.push(product.with_context(|| format!("the host offers {}", goods.title))?);
        }
        let stream = client
            .create_stream(&NewStream {
                title: format!("Demo show {run}"),
                product_ids: products.iter().map(|product| product.id).collect(),
                start: true,
            })
            .await
            .context("the show goes on air")?;
        Ok(Self {
            host,
            stream: stream.id,
            products,
        })
    }
}

async fn open_shop(rest: &RestClient, admin: &Credentials, run: &str) -> Result<Account> {
    let credentials = Credentials {
        email: format!("host.{run}@example.com"),
        password: RequestId::new().to_string(),
    };
    let host = Account::register(rest, credentials, "Demo Host")
        .await
        .context("the host registers")?;
    let (admin, _) = rest
        .login(&admin.email, &admin.password)
        .await
        .context("the admin signs in")?;
    admin
        .confirm_email(host.user)
        .await
        .context("the admin confirms the host's address")?;
    let shop = host
        .client()
        .await?
        .apply_as_seller(&format!("Demo shop {run}"), "DE", "EUR")
        .await
        .context("the host applies for a shop")?;
    admin
        .approve_seller(shop.id)
        .await
        .context("the admin approves the shop")?;
    Ok(host)
}

fn new_product(goods: &lines::Goods, run: &str) -> NewProduct {
    let variants = goods
        .variants
        .iter()
        .enumerate()
        .map(|(index, (option, price_minor))| NewVariant {
            sku: format!("{}-{run}-{index}", goods.sku),
            options: BTreeMap::from([(goods.option.to_owned(), (*option).to_owned())]),
            price_minor: *price_minor,
            on_hand: STOCK,
        });
    NewProduct {
        title: goods.title.into(),
        description: goods.description.into(),
        status: ProductStatus::Active,
        variants: variants.collect(),
    }
}

/// Registers `count` accounts, some at a time; fewer when the server limits how many one
/// address may register and the budget runs out.
///
/// # Errors
/// When a registration fails for any other reason, or none succeeds.
pub async fn register(rest: &RestClient, count: usize, run: &str, phase: &Phase) -> Result<Vec<Arc<Account>>> {
    let by = Instant::now() + REGISTRATION_BUDGET;
    let one = |index: usize| async move {
        let credentials = Credentials {
            email: format!("viewer-{index:05}.{run}@example.com"),
            password: format!("{run}-{index:05}"),
        };
        let rest = rest.patient(by.saturating_duration_since(Instant::now()));
        let account = Account::register(&rest, credentials, &handle(index)).await?;
        phase.step();
        Ok::<_, RestError>(Arc::new(account))
    };
    let mut registering = pin!(stream::iter(0..count).map(one).buffered(REGISTRATIONS_AT_ONCE));
    let mut accounts = Vec::with_capacity(count);
    while let Some(account) = registering.next().await {
        match account {
            Ok(account) => accounts.push(account),
            Err(error) if error.code() == Some(ErrorCode::RateLimited) && !accounts.is_empty() => break,
            Err(error) => return Err(error).with_context(|| format!("viewer {} registers", accounts.len())),
        }
    }
    Ok(accounts)
}

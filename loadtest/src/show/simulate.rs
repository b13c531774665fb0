//! The small show that is on air when somebody opens the page: a few bots that chat,
//! react, buy and pay, and a host who shows one product after the other and opens a
//! modest flash sale now and then. It goes on until it is told to stop, and comes back
//! by itself after whatever happens to the server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::Rng;
use shared::error::ErrorCode;
use shared::ids::{ProductId, StreamId};
use shared::protocol::{Feature, SaleOpen, SalePrice};
use shared::status::{ProductStatus, StreamStatus};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Credentials;
use super::bot::Bot;
use super::cast::{self, Account};
use super::handles::handle;
use crate::rest::{NewStream, Product, RestClient, Variant};

/// How long each product is shown.
const TURN: Duration = Duration::from_secs(20);
/// Every so manyth product shown comes with a flash sale, the first one too: one a minute.
const SALE_EVERY: usize = 3;
/// Units of a sale: more than the bots want, so that a visitor gets one.
const SALE_UNITS: u32 = 12;
/// How long a hold lasts: a person has to type an address.
const HOLD_SECONDS: u32 = 180;
/// Units that a restocking adds.
const RESTOCK_UNITS: i32 = 120;
/// Tokens and sockets live 15 minutes; everybody signs in anew before that.
const ACT_LENGTH: Duration = Duration::from_secs(10 * 60);
/// The shortest and the longest pause before coming back after trouble.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What a new show has in its line-up at most.
const LINE_UP: usize = 12;

/// What the simulated show is like.
#[derive(Clone, Debug)]
pub struct SimulateOptions {
    /// Where REST is, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// The seller whose show it is.
    pub host: Credentials,
    /// Which show; without it the seller's live one, or a new one if there is none.
    pub stream: Option<StreamId>,
    /// How many bots watch; eight or so feel alive.
    pub viewers: usize,
}

/// Keeps a show on air until `cancel`. Trouble is logged, and the show comes back.
///
/// # Errors
/// Only when it could never run: the address is no address.
pub async fn simulate(options: SimulateOptions, cancel: CancellationToken) -> Result<()> {
    let rest = RestClient::new(&options.base_url)?.patient(Duration::from_secs(30));
    let mut bots = Vec::new();
    let mut pause = PAUSE.0;
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            ended = one_act(&rest, &options, &mut bots) => ended,
        };
        let Err(error) = ended else { continue };
        if began.elapsed() > PAUSE.1 {
            pause = PAUSE.0;
        }
        tracing::warn!(error = format!("{error:#}"), ?pause, "the simulated show pauses");
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
        }
    }
}

/// Runs the show with fresh tokens and sockets for some minutes.
async fn one_act(rest: &RestClient, options: &SimulateOptions, accounts: &mut Vec<Arc<Account>>) -> Result<()> {
    let host = Account::login(rest, &options.host).await.context("the host signs in")?;
    hire(rest, options.viewers.max(1), accounts).await?;
    let stream = find_stream(&host.client().await?, options.stream).await?;
    let mut bots = JoinSet::new();
    for (index, account) in accounts.iter().enumerate() {
        let keen = index == 0;
        let bot = Bot::enter(account.clone(), stream, keen)
            .await
            .context("a bot enters")?;
        bots.spawn(bot.watch());
    }
    let trouble = async {
        match bots.join_next().await {
            Some(Ok(Err(error))) => error.context("a bot lost its seat"),
            Some(Err(error)) => anyhow::Error::from(error).context("a bot failed"),
            // A bot watches until it is dropped or fails.
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a bot left"),
        }
    };
    tokio::select! {
        error = trouble => Err(error),
        ended = direct(&host, stream) => ended,
        () = tokio::time::sleep(ACT_LENGTH) => Ok(()),
    }
}

/// Registers the bots that are not registered yet.
async fn hire(rest: &RestClient, count: usize, accounts: &mut Vec<Arc<Account>>) -> Result<()> {
    while accounts.len() < count {
        let name = handle(accounts.len() * 7);
        let credentials = Credentials {
            email: format!("{name}.{}@example.com", cast::run_id()),
            password: format!("{}-{}", cast::run_id(), cast::run_id()),
        };
        let account = Account::register(rest, credentials, &name)
            .await
            .context("a bot registers")?;
        accounts.push(Arc::new(account));
    }
    Ok(())
}

/// The stream asked for if it is on air, else one of the host's, else a new one.
async fn find_stream(host: &RestClient, wanted: Option<StreamId>) -> Result<StreamId> {
    let mine = host.my_streams().await.context("the host's shows")?.items;
    let live = |id: &StreamId| {
        mine.iter()
            .any(|stream| stream.id == *id && stream.status == StreamStatus::Live)
    };
    if let Some(stream) = wanted.filter(live) {
        return Ok(stream);
    }
    if let Some(stream) = mine.iter().find(|stream| stream.status == StreamStatus::Live) {
        return Ok(stream.id);
    }
    let products = host.my_products().await.context("the host's products")?.items;
    let line_up = products
        .iter()
        .filter(|product| product.status == ProductStatus::Active)
        .take(LINE_UP);
    let stream = NewStream {
        title: "Tonight at the workshop".into(),
        product_ids: line_up.map(|product| product.id).collect(),
        start: true,
    };
    Ok(host.create_stream(&stream).await.context("a new show")?.id)
}

/// The host: one product after the other, and a sale now and then.
async fn direct(host: &Account, stream: StreamId) -> Result<()> {
    let line_up = host.client().await?.line_up(stream).await.context("the line-up")?.items;
    anyhow::ensure!(!line_up.is_empty(), "the show has no products");
    // Not always the same product first.
    let start = rand::rng().random_range(0..line_up.len());
    for (turn, product) in line_up.iter().cycle().skip(start).enumerate() {
        // Price and stock as they are now.
        let product = host.client().await?.product(product.id).await;
        match product {
            Ok(product) => show_product(host, stream, &product, turn % SALE_EVERY == 0).await?,
            // Withdrawn since: the next one, then.
            Err(error) if error.code() == Some(ErrorCode::NotFound) => {}
            Err(error) => return Err(error).context("a product of the line-up"),
        }
        tokio::time::sleep(TURN).await;
    }
    Ok(())
}

async fn show_product(host: &Account, stream: StreamId, product: &Product, with_sale: bool) -> Result<()> {
    let Some(variant) = product.variants.iter().max_by_key(|variant| variant.available) else {
        return Ok(());
    };
    feature(host, stream, product.id).await?;
    restock(host, product).await?;
    if !with_sale {
        return Ok(());
    }
    // Some words first, then the sale.
    tokio::time::sleep(Duration::from_secs(4)).await;
    open_sale(host, stream, variant).await
}

async fn feature(host: &Account, stream: StreamId, product: ProductId) -> Result<()> {
    let feature = Feature { product, variant: None };
    host.client()
        .await?
        .feature(stream, &feature)
        .await
        .context("the host features a product")?;
    Ok(())
}

/// Keeps enough of every variant in stock for a sale and for visitors.
async fn restock(host: &Account, product: &Product) -> Result<()> {
    for variant in &product.variants {
        if variant.available < i64::from(SALE_UNITS) * 2 {
            let rest = host.client().await?;
            rest.adjust_stock(variant.id, RESTOCK_UNITS)
                .await
                .with_context(|| format!("the host restocks {}", product.title))?;
        }
    }
    Ok(())
}

async fn open_sale(host: &Account, stream: StreamId, variant: &Variant) -> Result<()> {
    let sale = SaleOpen {
        variant: variant.id,
        quantity: SALE_UNITS,
        price: SalePrice::PercentOff(rand::rng().random_range(20..=40)),
        per_buyer: 2,
        hold_seconds: HOLD_SECONDS,
        ends_in_seconds: rand::rng().random_range(45..=58),
        opens_in_seconds: None,
    };
    match host.client().await?.open_sale(stream, &sale).await {
        Ok(_) => Ok(()),
        // Somebody was quicker: no sale this time.
        Err(error) if error.code() == Some(ErrorCode::InsufficientStock) => Ok(()),
        Err(error) => Err(error).context("the host opens a sale"),
    }
}

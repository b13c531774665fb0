//! Orders a second over REST, each a checkout of three items of two shops that is then
//! placed, without a payment; how long either takes, what it asks of the database, and
//! pgbench's own transactions on the same database in the same run. All on all cores.

use std::cell::{Cell, RefCell};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use shared::ids::{AddressId, RequestId, UserId, VariantId};

use super::Bench;
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::world::{World, store};
use crate::rest::{NewCheckout, NewLine, RestClient};

/// Buyers at once.
const AT_ONCE: usize = 16;
const PEOPLE: usize = 6000;
/// Of one person: they may leave ten unpaid.
const ORDERS_EACH: usize = 9;
/// Products of each shop, so that few orders are of the same.
const PRODUCTS: usize = 200;
const UNITS: i32 = 1_000_000;
const WARM_UP: Duration = Duration::from_secs(1);
/// What takes longer counts as this long.
const LONGEST_MICROS: u64 = 60_000_000;
/// pgbench's accounts, in hundred thousands.
const PGBENCH_SCALE: &str = "10";

/// What buyers share. All of them are tasks of one thread.
struct Market<'a> {
    api: RestClient,
    people: Vec<(UserId, String)>,
    addresses: Vec<AddressId>,
    shops: [Vec<VariantId>; 2],
    /// Orders begun.
    begun: Cell<usize>,
    figures: &'a Figures,
}

struct Figures {
    orders: Cell<u64>,
    checkouts: RefCell<Histogram<u64>>,
    placings: RefCell<Histogram<u64>>,
}

impl Figures {
    fn new() -> Result<Self> {
        Ok(Self {
            orders: Cell::new(0),
            checkouts: RefCell::new(Histogram::new_with_bounds(1, LONGEST_MICROS, 3)?),
            placings: RefCell::new(Histogram::new_with_bounds(1, LONGEST_MICROS, 3)?),
        })
    }
}

impl Market<'_> {
    async fn buy_until(&self, until: Instant) -> Result<()> {
        while Instant::now() < until {
            self.buy().await?;
        }
        Ok(())
    }

    async fn buy(&self) -> Result<()> {
        let n = self.begun.get();
        self.begun.set(n + 1);
        let person = n / ORDERS_EACH;
        let Some((_, token)) = self.people.get(person) else {
            bail!("there are not enough buyers: measure for a shorter time");
        };
        let api = self.api.signed_in(token);
        let [one, other] = &self.shops;
        let line = |variants: &[VariantId], i: usize| NewLine {
            variant_id: variants[i % variants.len()],
            quantity: 1,
        };
        let basket = NewCheckout {
            items: vec![line(one, 2 * n), line(one, 2 * n + 1), line(other, n)],
            reservations: Vec::new(),
            address_id: self.addresses[person],
            stream_id: None,
        };
        let start = Instant::now();
        let checkout = api.checkout(&basket, RequestId::new()).await?;
        let between = Instant::now();
        api.place_order(checkout.id, RequestId::new()).await?;
        record(&self.figures.checkouts, between - start);
        record(&self.figures.placings, between.elapsed());
        self.figures.orders.set(self.figures.orders.get() + 1);
        Ok(())
    }
}

fn record(histogram: &RefCell<Histogram<u64>>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    histogram.borrow_mut().saturating_record(micros);
}

/// Measures it over `seconds`, and pgbench as long.
///
/// # Errors
/// When a buyer is refused, or an invariant does not hold.
pub fn measure(bench: &Bench, seconds: u64) -> Result<Part> {
    let people = bench.scaled(PEOPLE, 200);
    let world = World::make(bench.engine.clone(), Cores::All, people, true)?;
    let conditions = format!(
        "{AT_ONCE} buyers at once, three of {} products of two shops each, {seconds} s; core-api with 2 workers, load \
         and Postgres (durable, counting statements) on all cores; load average {:.1}",
        2 * PRODUCTS,
        process::load_average()
    );
    let mut part = Part::new("orders", conditions);
    world.count_all()?;
    let shops = [
        world.run(store::insert_market(world.pool(), PRODUCTS, UNITS))?,
        world.run(store::insert_market(world.pool(), PRODUCTS, UNITS))?,
    ];
    let addresses = world.run(store::insert_addresses(world.pool(), &world.people))?;
    let tokens = world.people.iter().map(|&user| Ok((user, world.access(user)?)));
    let people = tokens.collect::<Result<Vec<_>>>()?;
    let service = world.api(2)?;
    let (warm, figures) = (Figures::new()?, Figures::new()?);
    let mut market = Market {
        api: RestClient::new(&format!("http://{}", service.addr()))?,
        people,
        addresses,
        shops,
        begun: Cell::new(0),
        figures: &warm,
    };
    buy_for(&world, &market, WARM_UP)?;
    market.figures = &figures;
    let (before, start) = (world.counts()?, Instant::now());
    buy_for(&world, &market, Duration::from_secs(seconds))?;
    let (took, after) = (start.elapsed().as_secs_f64(), world.counts()?);
    service.stop()?;
    let orders = figures.orders.get() as f64;
    let each = |after: i64, before: i64| (after - before) as f64 / orders;
    part.figure("orders", orders / took, "orders/s");
    for (name, histogram) in [("checkout", &figures.checkouts), ("placing", &figures.placings)] {
        for (name, at) in [(format!("{name} p50"), 0.5), (format!("{name} p99"), 0.99)] {
            let micros = histogram.borrow().value_at_quantile(at);
            part.figure(name, micros as f64 / 1_000.0, "ms");
        }
    }
    // With what jobs ask beside it, which is little.
    part.figure(
        "transactions with several statements",
        each(after.0, before.0),
        "an order",
    );
    part.figure("statements sent", each(after.1, before.1), "an order");
    part.figure("look-ups of foreign keys", each(after.2, before.2), "an order");
    part.figure(
        "statements of functions and triggers",
        each(after.3, before.3),
        "an order",
    );
    world.verify()?;
    let tps = pgbench(&world.database_url(), seconds)?;
    part.figure(format!("pgbench (TPC-B), {AT_ONCE} clients"), tps, "transactions/s");
    part.at_least("orders a second", orders / took, 300.0);
    part.at_most("statements an order", each(after.1, before.1), 15.5);
    part.at_most("transactions an order", each(after.0, before.0), 2.1);
    let p99 = figures.checkouts.borrow().value_at_quantile(0.99) as f64 / 1_000.0;
    part.at_most("checkout p99 (ms)", p99, 25.0);
    world.end();
    Ok(part)
}

fn buy_for(world: &World, market: &Market<'_>, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    let buyers = (0..AT_ONCE).map(|_| market.buy_until(until));
    world.run(try_join_all(buyers))?;
    Ok(())
}

/// pgbench's own transaction, prepared, with as many clients; a second.
fn pgbench(database: &str, seconds: u64) -> Result<f64> {
    let run = |args: &[&str]| -> Result<String> {
        let output = Command::new("pgbench")
            .args(args)
            .arg(database)
            .stdin(Stdio::null())
            .output()
            .context("pgbench is needed (Debian's postgresql brings it)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(text.into_owned())
    };
    run(&["-i", "-q", "-s", PGBENCH_SCALE])?;
    let (clients, seconds) = (AT_ONCE.to_string(), seconds.to_string());
    let text = run(&["-M", "prepared", "-c", &clients, "-j", "2", "-T", &seconds])?;
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    tps.with_context(|| format!("pgbench: {text}"))
}

//! Orders a second over REST, each a checkout of three items of two shops that is placed and
//! paid with the test provider, which answers at once, beside pgbench's own transactions on
//! the same database in the same run; before that, at a moderate rate and without the
//! provider, how long a checkout and a placing take and what they ask of the database. All
//! on all cores.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use shared::ids::{AddressId, OrderId, RequestId, UserId, VariantId};
use shared::status::PaymentStatus;

use super::Bench;
use crate::measure::arrivals::{Arrivals, Schedule};
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::world::{World, store};
use crate::rest::{NewCheckout, NewLine, RestClient};

/// Buyers at once, when as many orders are placed and paid as can be.
const AT_ONCE: usize = 16;
/// Orders a second at a moderate load, by independent buyers.
const MODERATE_PER_SECOND: f64 = 40.0;
const SEED: u64 = 11;
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
/// Statements that are named, of those that take most of the database's time.
const NAMED: usize = 15;

/// What buyers share. All of them are tasks of one thread.
struct Market {
    api: RestClient,
    people: Vec<(UserId, String)>,
    addresses: Vec<AddressId>,
    shops: [Vec<VariantId>; 2],
    /// Orders begun.
    begun: Cell<usize>,
}

/// A phase's figures.
struct Figures {
    orders: Cell<u64>,
    checkouts: RefCell<Histogram<u64>>,
    placings: RefCell<Histogram<u64>>,
    payments: RefCell<Histogram<u64>>,
}

impl Figures {
    fn new() -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_MICROS, 3).map(RefCell::new);
        Ok(Self {
            orders: Cell::new(0),
            checkouts: histogram()?,
            placings: histogram()?,
            payments: histogram()?,
        })
    }
}

/// Who buys next, and what.
struct Turn<'a> {
    api: RestClient,
    basket: NewCheckout,
    figures: &'a Figures,
}

impl Market {
    fn turn<'a>(&self, figures: &'a Figures) -> Result<Turn<'a>> {
        let n = self.begun.get();
        self.begun.set(n + 1);
        let person = n / ORDERS_EACH;
        let Some((_, token)) = self.people.get(person) else {
            bail!("there are not enough buyers: measure for a shorter time");
        };
        let [one, other] = &self.shops;
        let line = |variants: &[VariantId], i: usize| NewLine {
            variant_id: variants[i % variants.len()],
            quantity: 1,
        };
        Ok(Turn {
            api: self.api.signed_in(token),
            basket: NewCheckout {
                items: vec![line(one, 2 * n), line(one, 2 * n + 1), line(other, n)],
                reservations: Vec::new(),
                address_id: self.addresses[person],
                stream_id: None,
            },
            figures,
        })
    }
}

impl Turn<'_> {
    async fn place(&self) -> Result<OrderId> {
        let start = Instant::now();
        let checkout = self.api.checkout(&self.basket, RequestId::new()).await?;
        let between = Instant::now();
        let order = self.api.place_order(checkout.id, RequestId::new()).await?;
        record(&self.figures.checkouts, between - start);
        record(&self.figures.placings, between.elapsed());
        self.figures.orders.set(self.figures.orders.get() + 1);
        Ok(order.id)
    }

    async fn place_and_pay(&self) -> Result<()> {
        let order = self.place().await?;
        let start = Instant::now();
        let payment = self.api.pay(order, "test_success", RequestId::new()).await?;
        if payment.status != PaymentStatus::Captured {
            bail!("the payment of order {order} is {:?}", payment.status);
        }
        record(&self.figures.payments, start.elapsed());
        Ok(())
    }
}

fn record(histogram: &RefCell<Histogram<u64>>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    histogram.borrow_mut().saturating_record(micros);
}

/// As many as can be: each buyer begins again when an order is paid.
async fn at_full_load(market: &Market, figures: &Figures, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    let buyer = || async {
        while Instant::now() < until {
            market.turn(figures)?.place_and_pay().await?;
        }
        Ok::<(), anyhow::Error>(())
    };
    try_join_all((0..AT_ONCE).map(|_| buyer())).await?;
    Ok(())
}

/// Buyers come when they come, however long those before them take.
async fn at_moderate_load(market: &Market, figures: &Figures, time: Duration) -> Result<()> {
    let start = Instant::now();
    let mut schedule = Schedule::new(Arrivals::Random, MODERATE_PER_SECOND, SEED, start);
    let mut under_way = FuturesUnordered::new();
    while schedule.next() < start + time {
        tokio::select! {
            () = tokio::time::sleep_until(schedule.next().into()) => {
                schedule.advance();
                let turn = market.turn(figures)?;
                under_way.push(async move { turn.place().await });
            }
            Some(placed) = under_way.next() => drop::<OrderId>(placed?),
        }
    }
    while let Some(placed) = under_way.next().await {
        placed?;
    }
    Ok(())
}

/// Measures each phase over `seconds`, and pgbench as long.
///
/// # Errors
/// When a buyer is refused, or an invariant does not hold.
pub fn measure(bench: &Bench, seconds: u64) -> Result<Part> {
    let people = bench.scaled(PEOPLE, 200);
    let world = World::make(bench.engine.clone(), Cores::All, people, true)?;
    let conditions = format!(
        "three of {} products of two shops each, {seconds} s a phase: {MODERATE_PER_SECOND} orders/s placed by \
         independent buyers, then {AT_ONCE} buyers at once who also pay; core-api with 2 workers, load and Postgres \
         (durable, counting statements) on all cores; load average {:.1}",
        2 * PRODUCTS,
        process::load_average()
    );
    let mut part = Part::new("orders", conditions);
    let time = Duration::from_secs(seconds);
    world.count_all()?;
    let service = world.api(2)?;
    let market = open(&world, RestClient::new(&format!("http://{}", service.addr()))?)?;
    let (warm, moderate, full) = (Figures::new()?, Figures::new()?, Figures::new()?);
    world.run(at_full_load(&market, &warm, WARM_UP))?;
    let before = world.counts()?;
    world.run(at_moderate_load(&market, &moderate, time))?;
    let after = world.counts()?;
    let each = |after: i64, before: i64| (after - before) as f64 / moderate.orders.get() as f64;
    let (transactions, statements) = (each(after.0, before.0), each(after.1, before.1));
    let inner = [each(after.2, before.2), each(after.3, before.3)];
    let (times, start) = (world.times()?, Instant::now());
    world.run(at_full_load(&market, &full, time))?;
    let orders = full.orders.get() as f64 / start.elapsed().as_secs_f64();
    name_the_dearest(&times, &world.times()?, full.orders.get());
    service.stop()?;
    world.verify()?;
    let tps = pgbench(&world.database_url(), seconds)?;
    world.end();

    part.figure("orders placed and paid", orders, "orders/s");
    part.figure(format!("pgbench (TPC-B), {AT_ONCE} clients"), tps, "transactions/s");
    part.figure("orders beside pgbench", orders / tps, "of its transactions");
    times_of(&mut part, "at moderate load", &moderate);
    times_of(&mut part, "at full load", &full);
    // From checkout to placed, with what jobs ask beside it, which is little.
    part.figure("transactions with several statements", transactions, "an order");
    part.figure("statements sent", statements, "an order");
    part.figure("look-ups of foreign keys", inner[0], "an order");
    part.figure("statements of functions and triggers", inner[1], "an order");
    part.at_least("orders beside pgbench", orders / tps, 0.3);
    part.at_most("statements an order", statements, 15.5);
    part.at_most("transactions an order", transactions, 2.1);
    part.at_most("checkout p99 (ms)", millis(&moderate.checkouts, 0.99), 25.0);
    part.at_most("placing p99 (ms)", millis(&moderate.placings, 0.99), 25.0);
    Ok(part)
}

/// Two shops with goods, and buyers with addresses.
fn open(world: &World, api: RestClient) -> Result<Market> {
    let shops = [
        world.run(store::insert_market(world.pool(), PRODUCTS, UNITS))?,
        world.run(store::insert_market(world.pool(), PRODUCTS, UNITS))?,
    ];
    let addresses = world.run(store::insert_addresses(world.pool(), &world.people))?;
    let tokens = world.people.iter().map(|&user| Ok((user, world.access(user)?)));
    Ok(Market {
        api,
        people: tokens.collect::<Result<Vec<_>>>()?,
        addresses,
        shops,
        begun: Cell::new(0),
    })
}

fn millis(histogram: &RefCell<Histogram<u64>>, quantile: f64) -> f64 {
    histogram.borrow().value_at_quantile(quantile) as f64 / 1_000.0
}

fn times_of(part: &mut Part, load: &str, figures: &Figures) {
    let all = [
        ("checkout", &figures.checkouts),
        ("placing", &figures.placings),
        ("payment", &figures.payments),
    ];
    for (name, histogram) in all.into_iter().filter(|(_, histogram)| !histogram.borrow().is_empty()) {
        for (at, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            part.figure(format!("{name} {at} {load}"), millis(histogram, quantile), "ms");
        }
    }
}

/// Says which statements have taken most of the database's time, an order: where to look
/// next. Those that others call are within those others, too.
fn name_the_dearest(before: &BTreeMap<String, (i64, f64)>, after: &BTreeMap<String, (i64, f64)>, orders: u64) {
    let orders = orders as f64;
    let mut spent: Vec<(f64, f64, &str)> = after
        .iter()
        .map(|(query, &(calls, ms))| {
            let (calls_before, ms_before) = before.get(query).copied().unwrap_or_default();
            let (calls, ms) = ((calls - calls_before) as f64, ms - ms_before);
            (1_000.0 * ms / orders, calls / orders, query.as_str())
        })
        .collect();
    spent.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (micros, calls, query) in spent.into_iter().take(NAMED) {
        let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
        let query: String = query.chars().take(100).collect();
        tracing::info!("{micros:7.0} us, {calls:5.2} calls an order: {query}");
    }
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

//! An independent model of the money: random sequences of all that may happen between a cart
//! and a payout are done by the product and worked out beside it on paper, and after every
//! act the ledger, the earnings, the stock, every order, refund, return and payout, and the
//! test provider's own books say the same.
//!
//! A sequence has a market of its own; those of a batch share a database, and `verify` holds
//! of it in the end. One that fails is made as short as can be, alone in a database of its
//! own, and printed as a list of what happened.
//!
//! `HAWKER_MONEY_SEQUENCES` is how many are played (else as many as half a minute has time
//! for), `HAWKER_MONEY_SEED` which ones, `HAWKER_MONEY_ONLY` the number of a single one.

mod acts;
mod books;
mod doing;
mod example;
mod paper;
mod play;
mod sheet;
mod tally;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use core_api::commerce::Fee;
use core_api::{Config, State};
use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config as Settings, RngAlgorithm, TestRng, TestRunner};
use shared::bus::MemoryBus;
use shared::money::BasisPoints;
use testkit::TestDb;

use crate::market::still;
use acts::{Sequence, sequence};
use play::Play;
use tally::Tally;

/// How long sequences are played where nobody says how many.
const TIME: Duration = Duration::from_secs(12);
/// How long a failing one is shortened at most.
const SHORTENING: Duration = Duration::from_secs(120);
/// Sequences of one database.
const BATCH: u64 = 20;
/// The least that is paid out.
const PAYOUT_MINIMUM: i64 = 300;

/// A database, and what the product's functions need to work on it.
async fn market() -> (TestDb, State, tempfile::TempDir) {
    let (db, folder) = (testkit::database().await, tempfile::tempdir().expect("a folder"));
    let bind = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let mut config = Config::new(bind, testkit::token_key(), "ws://127.0.0.1:1/ws".to_owned());
    config.commerce = still();
    config.commerce.payout_minimum_minor = PAYOUT_MINIMUM;
    config.commerce.test_provider_fee = Fee {
        rate: BasisPoints::new(290).expect("a rate"),
        fixed_minor: 30,
    };
    config.taxes = core_api::tax::TaxTable::parse(acts::TAX_RULES).expect("rules");
    config.mail.folder = Some(folder.path().join("mail"));
    config.media.folder = Some(folder.path().join("media"));
    let state = State::new(config, db.pool.clone(), MemoryBus::shared()).expect("a state");
    (db, state, folder)
}

/// What does not hold of a database.
async fn broken(db: &TestDb) -> Result<(), String> {
    let report = shared::verify::run(&db.pool).await.map_err(|error| error.to_string())?;
    let broken: Vec<_> = report.broken().map(|check| (check.name, &check.sample)).collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!("verify complains: {broken:?}"))
}

/// Plays a sequence alone.
async fn alone(sequence: &Sequence) -> Result<(), String> {
    let (db, state, _folder) = Box::pin(market()).await;
    Box::pin(Play::whole(state, sequence)).await?;
    Box::pin(broken(&db)).await
}

/// Deals a sequence: the same one for the same seed and number.
fn deal(seed: u64, number: u64) -> impl ValueTree<Value = Sequence> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Settings::default(), rng);
    sequence().new_tree(&mut runner).expect("every sequence is one")
}

/// Plays one alone and, if it fails, what is left of it when nothing more can be left out.
async fn shortest(seed: u64, number: u64) -> Result<(), String> {
    let (mut tree, begun) = (deal(seed, number), Instant::now());
    let Err(mut why) = alone(&tree.current()).await else {
        return Ok(());
    };
    let mut shortest = tree.current();
    let mut is_another = tree.simplify();
    while is_another && begun.elapsed() < SHORTENING {
        is_another = match alone(&tree.current()).await {
            Ok(()) => tree.complicate(),
            Err(again) => {
                (why, shortest) = (again, tree.current());
                tree.simplify()
            }
        };
    }
    let Sequence { stalls, code, .. } = shortest;
    Err(format!(
        "{:?}\n{:?}\nthe platform's code: {code:?}\n{why}",
        stalls[0], stalls[1]
    ))
}

async fn complaint(seed: u64, number: u64, first: &str) -> String {
    let why = match Box::pin(shortest(seed, number)).await {
        Err(why) => why,
        Ok(()) => format!("{first}\n(played alone it does not fail)"),
    };
    format!("sequence {number} fails: HAWKER_MONEY_SEED={seed} HAWKER_MONEY_ONLY={number}\n{why}")
}

/// Plays a batch in one database.
async fn batch(seed: u64, numbers: std::ops::Range<u64>) -> Result<Tally, String> {
    let (db, state, _folder) = Box::pin(market()).await;
    let mut tally = Tally::default();
    for number in numbers.clone() {
        match Box::pin(Play::whole(state.clone(), &deal(seed, number).current())).await {
            Ok(of_one) => tally.add(of_one),
            Err(first) => return Err(Box::pin(complaint(seed, number, &first)).await),
        }
    }
    let Err(broken) = Box::pin(broken(&db)).await else {
        return Ok(tally);
    };
    for number in numbers {
        if Box::pin(shortest(seed, number)).await.is_err() {
            return Err(Box::pin(complaint(seed, number, &broken)).await);
        }
    }
    Err(broken)
}

/// Runs to its end on a thread of its own.
fn run<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|threads| {
        let thread = threads.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

#[test]
#[expect(clippy::print_stderr, reason = "how much was played is for whoever runs it")]
fn after_any_sequence_the_books_say_what_the_model_says() {
    let seed = setting("HAWKER_MONEY_SEED").unwrap_or(20_261_123);
    if let Some(only) = setting("HAWKER_MONEY_ONLY") {
        let told = run(async || Box::pin(batch(seed, only..only + 1)).await);
        told.unwrap_or_else(|why| panic!("{why}"));
        return;
    }
    let (most, begun) = (setting("HAWKER_MONEY_SEQUENCES"), Instant::now());
    let (next, played, tally) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Tally::default()));
    let worker = || -> Result<(), String> {
        loop {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            let is_over = most.map_or(from > 0 && begun.elapsed() > TIME, |most| from >= most);
            if is_over {
                return Ok(());
            }
            let to = most.map_or(from + BATCH, |most| most.min(from + BATCH));
            let of_batch = run(async || Box::pin(batch(seed, from..to)).await)?;
            tally.lock().expect("nobody panics with it").add(of_batch);
            played.fetch_add(to - from, Ordering::Relaxed);
        }
    };
    let done = std::thread::scope(|threads| {
        let workers = [threads.spawn(worker), threads.spawn(worker)];
        workers.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (played, seconds) = (played.load(Ordering::Relaxed), begun.elapsed().as_secs());
    let tally = tally.lock().expect("nobody panics with it");
    eprintln!(
        "{played} sequences of seed {seed} in {seconds} s; how often each act was done or refused, and what came of it:\n{tally}"
    );
    for told in done {
        told.unwrap_or_else(|why| panic!("{why}"));
    }
}

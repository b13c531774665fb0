//! The fault injector: Hawker's real processes are killed with SIGKILL at random moments
//! under a load of chat, reactions, purchases, wait lists, orders, payments, moderation,
//! host's commands and shows that begin and end, and started again. Every client logs each acknowledgement it got and asks again for what
//! was not answered; at the end a checker holds every acknowledgement against the
//! database, and `verify` every invariant.
//!
//! A run's choices follow from its seed: who does what, and which process is killed how
//! long after the last recovery. How that meets the machine's timing does not, so a seed
//! replays a failure as far as timing allows.

pub mod book;
pub mod check;
mod hall;
mod host;
mod moderator;
mod report;
pub mod rig;
mod season;
mod shopper;
pub mod store;
mod viewer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::db::DbOptions;
use shared::protocol::Format;
use shared::verify;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

pub use report::{Report, Round};

use crate::programs::Binaries;
use book::Book;
use check::Known;
use hall::Hall;
use host::Host;
use moderator::Moderator;
use rig::{Kind, Rig, Target};
use season::Season;
use shopper::Shopper;
use viewer::Viewer;

/// How long it may take after a kill until everything is acknowledged again.
const RECOVERY: Duration = Duration::from_secs(60);
/// What counts as that: messages, and acts of core-api.
const PROGRESS: (u64, u64) = (5, 2);
/// The longest time between a recovery and the next kill.
const QUIET_MS: u64 = 600;
/// Of a hundred restarts, so many are killed again while they start.
const KILLED_AGAIN: u32 = 15;
/// How long everybody goes on after the last kill.
const SAFE: Duration = Duration::from_secs(1);
/// Holds that may wait at a till.
const TILL: usize = 64;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many kills, over both rigs.
    pub kills: u32,
    /// Where choices begin.
    pub seed: u64,
    /// Viewers, each with a socket and a shopper over REST.
    pub viewers: usize,
    /// What is killed; each gets its share of the kills.
    pub rigs: Vec<Kind>,
    /// The programs.
    pub binaries: Binaries,
    /// Where data and logs go. After a failure they stay.
    pub dir: PathBuf,
}

/// Runs it all.
///
/// # Errors
/// When a rig could not be put together; what must not happen is in the report.
pub async fn run(options: &Options) -> Result<Report> {
    let mut report = Report::new(options.seed);
    let rigs = u32::try_from(options.rigs.len()).unwrap_or(u32::MAX).max(1);
    for (nth, kind) in (0..).zip(&options.rigs) {
        let share = options.kills / rigs + u32::from(nth < options.kills % rigs);
        let dir = options.dir.join(format!("{kind:?}").to_lowercase());
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        // Everybody is on this thread: it started the processes, and they go with it.
        let everybody = LocalSet::new();
        let round = everybody.run_until(Box::pin(one_rig(options, *kind, share, &dir)));
        report.rounds.push(round.await?);
    }
    Ok(report)
}

async fn one_rig(options: &Options, kind: Kind, kills: u32, dir: &Path) -> Result<Round> {
    let began = Instant::now();
    let mut rng = StdRng::seed_from_u64(options.seed ^ kind as u64);
    let mut rig = Rig::start(kind, options.binaries.clone(), dir).await?;
    let pool = connect(&rig).await?;
    let book = Book::open(&dir.join("told.jsonl"))?;
    let opened = Hall::open(&rig.base_url(), &pool, options.viewers + 3, book).await;
    let (hall, mut cast) = opened.context("setting the show up")?;
    let hall = Arc::new(hall);
    // It would only meet the kills.
    pool.close().await;
    let mut crowd = JoinSet::new();
    let host = cast.remove(0);
    let moderator = cast.remove(0);
    // Takes no part: somebody to be muted and banned.
    let other = cast.remove(0).account.user;
    crowd.spawn_local(Host::new(hall.clone(), host.clone(), rng.random()).run());
    crowd.spawn_local(Season::new(hall.clone(), host, rng.random()).run());
    crowd.spawn_local(Moderator::new(hall.clone(), moderator, other, rng.random()).run());
    for (nth, person) in cast.into_iter().enumerate() {
        let (holds, taken) = mpsc::channel(TILL);
        let format = if nth % 2 == 0 { Format::Json } else { Format::MsgPack };
        crowd.spawn_local(Shopper::new(hall.clone(), person.clone(), rng.random(), taken).run());
        crowd.spawn_local(Viewer::new(hall.clone(), person, rng.random(), format, holds).run());
    }
    let mut round = Round::new(kind);
    let killed = kill_again_and_again(&mut rig, &hall, &mut rng, kills, &mut round).await;
    if killed.is_ok() {
        // What is taken from now on, nothing takes away.
        hall.is_safe_now();
        tokio::time::sleep(SAFE).await;
    }
    hall.close();
    while let Some(left) = crowd.join_next().await {
        left.context("somebody panicked")?;
    }
    if let Err(error) = killed {
        hall.book.fault(format!("{error:#}"));
    }
    settle(&rig, &hall, &mut round).await?;
    rig.stop().await.context("stopping in order")?;
    hall.book.flush();
    round.take(&hall, began.elapsed());
    Ok(round)
}

async fn connect(rig: &Rig) -> Result<PgPool> {
    let options = DbOptions {
        max_connections: 2,
        statement_timeout: Duration::from_secs(60),
        ..DbOptions::default()
    };
    Ok(shared::db::connect(&rig.database_url()?, &options).await?)
}

async fn kill_again_and_again(
    rig: &mut Rig,
    hall: &Hall,
    rng: &mut StdRng,
    kills: u32,
    round: &mut Round,
) -> Result<()> {
    recovered(hall, (0, 0)).await.context("before the first kill")?;
    while round.kills() < kills {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..QUIET_MS))).await;
        let target = round.kind.choose(rng);
        let before = progress(hall);
        rig.kill(target)
            .with_context(|| format!("killing {}", target.words()))?;
        round.killed(target);
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..100))).await;
        rig.spawn_missing().await?;
        let is_program = matches!(
            target,
            Target::Program | Target::Everything | Target::Engine | Target::Core
        );
        if is_program && round.kills() < kills && rng.random_ratio(KILLED_AGAIN, 100) {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..250))).await;
            let again = if target == Target::Everything {
                Target::Program
            } else {
                target
            };
            rig.kill(again)?;
            round.killed(again);
            rig.spawn_missing().await?;
        }
        let began = Instant::now();
        rig.answers()
            .await
            .with_context(|| format!("after killing {}", target.words()))?;
        let recovery = recovered(hall, before).await;
        recovery.with_context(|| format!("after killing {}", target.words()))?;
        round.recovered(began.elapsed());
    }
    Ok(())
}

fn progress(hall: &Hall) -> (u64, u64) {
    let book = &hall.book;
    (book.said.load(Ordering::Acquire), book.rest.load(Ordering::Acquire))
}

/// Waits until more is acknowledged than before.
async fn recovered(hall: &Hall, before: (u64, u64)) -> Result<()> {
    let by = Instant::now() + RECOVERY;
    loop {
        let now = progress(hall);
        if now.0 >= before.0 + PROGRESS.0 && now.1 >= before.1 + PROGRESS.1 {
            return Ok(());
        }
        if Instant::now() > by {
            bail!(
                "{} messages and {} acts over REST were acknowledged in {} s",
                now.0 - before.0,
                now.1 - before.1,
                RECOVERY.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the room has told everything that was committed, and stored everything that
/// was heard of its epoch, and the reactions that were taken after the last kill.
async fn told_and_stored(pool: &PgPool, hall: &Hall) -> Result<()> {
    let heard = hall.record.events().into_iter().map(|(at, _)| at);
    let heard: Vec<_> = heard.collect();
    let taken = hall
        .book
        .reactions()
        .get(check::AFTER_ALL_KILLS)
        .copied()
        .unwrap_or_default()
        .taken;
    let by = Instant::now() + RECOVERY;
    loop {
        let owed = store::owed(pool, hall.stream, check::AFTER_ALL_KILLS).await?;
        let last = heard
            .iter()
            .filter(|at| at.epoch == owed.stored.epoch)
            .map(|at| at.seq)
            .max();
        let is_stored = last.is_none_or(|last| last <= owed.stored.seq);
        let is_counted = u64::try_from(owed.reactions).is_ok_and(|counted| counted >= taken);
        if owed.untold == 0 && is_stored && is_counted {
            return Ok(());
        }
        if Instant::now() > by {
            let fault = format!("a minute after the last answer: {owed:?}, heard up to {last:?}, {taken} reactions");
            hall.book.fault(fault);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// After the last answer: payments under way come to their end, and everything that was
/// told is held against what is stored.
async fn settle(rig: &Rig, hall: &Hall, round: &mut Round) -> Result<()> {
    let pool = connect(rig).await?;
    let by = Instant::now() + RECOVERY;
    while store::unsettled_payments(&pool).await? > 0 {
        if Instant::now() > by {
            hall.book
                .fault("payments are still under way a minute after the last answer".into());
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    told_and_stored(&pool, hall).await?;
    let known = Known {
        stream: hall.stream,
        told: hall.book.told(),
        refused: hall.book.refused(),
        heard: hall.record.events(),
        reactions: hall.book.reactions(),
    };
    let stored = store::read(&pool, hall.stream)
        .await
        .context("reading what is stored")?;
    for fault in check::check(&known, &stored) {
        hall.book.fault(fault);
    }
    let (conflicts, samples) = hall.record.conflicts();
    if conflicts > 0 {
        hall.book
            .fault(format!("{conflicts} events were heard differently: {samples:?}"));
    }
    let verified = verify::run(&pool).await?;
    for check in verified.broken() {
        let fault = format!(
            "verify: {} is broken {} times: {:?}",
            check.name, check.broken, check.sample
        );
        hall.book.fault(fault);
    }
    if verified.rejected_rows > 0 {
        hall.book
            .fault(format!("{} rows were refused by the database", verified.rejected_rows));
    }
    round.proved(&known, &verified);
    pool.close().await;
    Ok(())
}

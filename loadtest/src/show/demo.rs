//! The demo show from the first registration to the audit.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use shared::protocol::{Format, Position};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cast::{self, Account, Stage};
use super::director::{Show, Usher};
use super::progress::Progress;
use super::record::Record;
use super::report::{self, DemoReport};
use super::shopping::Till;
use super::tally::Tally;
use super::viewer::{Hall, Seat, Viewer};
use super::{Credentials, audit};
use crate::rest::RestClient;

/// Accounts at most: each costs the server a slow password hash.
const MAX_ACCOUNTS: usize = 500;
/// Of five viewers so many have accounts, the others are guests.
const ACCOUNTS_OF_FIVE: usize = 4;
/// Viewers that come through the door at once.
const ENTERING_AT_ONCE: usize = 16;
/// What the director may have asked of a viewer in advance.
const ACTS_CAPACITY: usize = 16;
/// How long a request is tried again while the server is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whose show it is.
#[derive(Clone, Debug)]
pub enum Host {
    /// A seller that exists and is approved. The demo adds goods and a stream to the shop.
    Existing(Credentials),
    /// A fresh account with a fresh shop, approved by this admin.
    Fresh {
        /// The admin.
        admin: Credentials,
    },
}

/// What a demo show is like.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where REST is, such as `http://127.0.0.1:8080`. Sockets go where tickets say.
    pub base_url: String,
    /// Viewers, two at least. A process may have about 9,000 with the server in the same
    /// process and 18,000 without, at 20,000 open files.
    pub viewers: usize,
    /// How long the show is on air.
    pub seconds: u64,
    /// Chat messages a second, of all viewers together.
    pub chat_per_second: u32,
    /// Whose show it is.
    pub host: Host,
    /// The server's database, for the audit; without it nothing is proved, which is a
    /// failure of its own.
    pub database_url: Option<String>,
    /// Leaves the stream on air; the report says which, and whose it is.
    pub keep_going: bool,
}

/// Runs a whole show against a running server, and holds what was acknowledged against
/// what is there. Whatever must not happen is a line of the report's `failures`.
///
/// # Errors
/// When the show could not run at all: the server is away, the host may not sell, the
/// viewers cannot get in.
pub async fn demo(options: DemoOptions, progress: Progress) -> Result<DemoReport> {
    ensure!(options.viewers >= 2, "a show needs at least two viewers");
    let rest = RestClient::new(&options.base_url)?.patient(PATIENCE);
    let run = cast::run_id();
    let stage = Stage::set(&rest, &options, &run).await?;

    let count = (options.viewers * ACCOUNTS_OF_FIVE).div_ceil(5).min(MAX_ACCOUNTS);
    let phase = progress.phase("accounts", count);
    let accounts = cast::register(&rest, count, &run, &phase).await?;
    drop(phase);
    let mut notes = Vec::new();
    if accounts.len() < count {
        notes.push(format!(
            "the server's limit on registrations allowed {} accounts of {count}; the others are guests",
            accounts.len()
        ));
    }

    // Whoever pays takes holds as they come; the queue only smooths a rush.
    let (grants, granted) = mpsc::channel(1024);
    let hall = Arc::new(Hall {
        stream: stage.stream,
        record: Record::default(),
        tally: Tally::new(),
        reached: (0..options.viewers).map(|_| AtomicU64::new(0)).collect(),
        open: AtomicI64::new(0),
        over: AtomicBool::new(false),
        grants,
    });
    let curtain = CancellationToken::new();
    let mut seats = JoinSet::new();
    let audience = fill_seats(&rest, &hall, &accounts, &options, progress, &mut seats, &curtain).await?;
    let buyers: Vec<_> = audience
        .iter()
        .filter(|usher| usher.account.is_some())
        .cloned()
        .collect();
    let till = Arc::new(Till::default());
    let payers = tokio::spawn(till.clone().serve(hall.clone(), granted));
    let show = Show {
        stage,
        hall: hall.clone(),
        buyers,
        audience,
        till,
    };
    let began = Instant::now();
    let performed = run_to_the_end(&show, &options, progress).await;
    let took = began.elapsed();
    curtain.cancel();
    let mut seats = seats.join_all().await;
    seats.sort_by_key(|seat| seat.index);
    payers.abort();
    let audit = audit_all(&show, &seats, performed, options.database_url.as_deref()).await?;
    let mut report = report::of(&options, &show, &seats, took, audit);
    report.notes = notes;
    Ok(report)
}

/// Holds everything against everything else, and says what does not agree.
async fn audit_all(
    show: &Show,
    seats: &[Seat],
    performed: Result<Position>,
    database_url: Option<&str>,
) -> Result<Option<audit::Audit>> {
    let tally = &show.hall.tally;
    let last_word = match performed {
        Ok(last_word) => Some(last_word),
        Err(error) => {
            tally.fault(format!("the show broke off: {error:#}"));
            None
        }
    };
    check_seats(&show.hall, seats, last_word);
    let Some(url) = database_url else {
        tally.fault("no database was given, so nothing is proved of what was acknowledged".into());
        return Ok(None);
    };
    Ok(Some(audit::run(url, show, last_word).await.context("the audit")?))
}

/// Returns where the last acknowledged message is: everything up to there is committed.
async fn run_to_the_end(show: &Show, options: &DemoOptions, progress: Progress) -> Result<Position> {
    show.perform(options, progress).await?;
    show.settle(progress).await;
    let last_word = show.last_word().await?;
    show.everybody_reaches(last_word, progress).await;
    if !options.keep_going {
        let ended = show.end().await?;
        show.everybody_reaches(ended, Progress::Hidden).await;
    }
    Ok(last_word)
}

/// Every second viewer speaks JSON, the others MessagePack.
pub fn format_of(index: usize) -> Format {
    Format::ALL[index % Format::ALL.len()]
}

/// Lets everybody in, some at a time; each watches from the moment it has joined.
async fn fill_seats(
    rest: &RestClient,
    hall: &Arc<Hall>,
    accounts: &[Arc<Account>],
    options: &DemoOptions,
    progress: Progress,
    seats: &mut JoinSet<Seat>,
    curtain: &CancellationToken,
) -> Result<Vec<Arc<Usher>>> {
    let phase = progress.phase("viewers join", options.viewers);
    let enter = |index: usize| {
        let account = accounts.get(index).cloned();
        async move {
            let client = match &account {
                Some(account) => account.client().await?,
                None => rest.clone(),
            };
            let ticket = client
                .ticket(hall.stream)
                .await
                .with_context(|| format!("viewer {index} asks for a ticket"))?;
            Viewer::enter(hall.clone(), index, account, ticket, format_of(index))
                .await
                .with_context(|| format!("viewer {index} enters"))
        }
    };
    let mut entering = pin!(stream::iter(0..options.viewers).map(enter).buffered(ENTERING_AT_ONCE));
    let mut audience = Vec::with_capacity(options.viewers);
    while let Some(viewer) = entering.try_next().await? {
        let (acts, asked) = mpsc::channel(ACTS_CAPACITY);
        let account = accounts.get(audience.len()).cloned();
        seats.spawn(viewer.run(asked, curtain.clone()));
        audience.push(Arc::new(Usher { account, acts }));
        phase.step();
    }
    Ok(audience)
}

/// Everybody heard everything, and everybody heard the same.
fn check_seats(hall: &Hall, seats: &[Seat], last_word: Option<Position>) {
    let fault = |line: String| hall.tally.fault(line);
    let broken = seats.iter().filter(|seat| !seat.whole).count();
    if broken > 0 {
        fault(format!(
            "{broken} viewers did not hear every event exactly once and in order"
        ));
    }
    let moved = seats
        .iter()
        .filter(|seat| seat.joined.epoch != seat.reached.epoch)
        .count();
    if moved > 0 {
        fault(format!("{moved} viewers ended in another epoch"));
    }
    let (conflicts, lines) = hall.record.conflicts();
    lines.into_iter().for_each(fault);
    if conflicts > 0 {
        fault(format!("{conflicts} times an event was not the same to two viewers"));
    }
    // The first two viewers speak different formats; from when both had joined to the
    // last word, each event must have been heard in both.
    let both_joined = seats.iter().take(2).map(|seat| seat.joined.seq).max();
    let (Some(from), Some(to)) = (both_joined, last_word) else {
        return;
    };
    let one_format = hall.record.heard_in_one_format();
    let missed = one_format.iter().filter(|at| at.seq > from && at.seq <= to.seq).count();
    if missed > 0 {
        fault(format!("{missed} events were heard in one format only"));
    }
}

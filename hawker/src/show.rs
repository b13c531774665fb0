//! The shows that programs play: the simulated one beside `run`, and `hawker demo`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use loadtest::show::{
    Credentials, DemoOptions, DemoReport, Host, Progress, SimulateOptions, demo as perform, simulate,
};
use shared::ids::StreamId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::DemoArgs;
use crate::database;
use crate::out;
use crate::plan::{self, Place, Plan};
use crate::run::Running;
use crate::seed::catalogue::{ADMIN_EMAIL, HOST_EMAIL};
use crate::signals::Signals;
use crate::verify::Printed;

/// Enough to feel alive, few enough to leave the machine alone.
const SIMULATED_VIEWERS: usize = 8;

/// The seeded shop's host, for this run.
pub fn demo_host(password: &str) -> Credentials {
    Credentials {
        email: HOST_EMAIL.to_owned(),
        password: password.to_owned(),
    }
}

/// Puts the simulated show on air until it is cancelled.
pub fn on_air(
    base_url: &str,
    host: Credentials,
    stream: Option<StreamId>,
) -> (CancellationToken, JoinHandle<Result<()>>) {
    let options = SimulateOptions {
        base_url: base_url.to_owned(),
        host,
        stream,
        viewers: SIMULATED_VIEWERS,
    };
    let cancel = CancellationToken::new();
    let ended = cancel.clone();
    let show = tokio::spawn(async move {
        let result = simulate(options, ended).await;
        if let Err(error) = &result {
            tracing::error!(error = format!("{error:#}"), "the simulated show has ended");
        }
        result
    });
    (cancel, show)
}

/// `hawker demo`.
///
/// # Errors
/// When the show could not run at all.
pub async fn demo(args: &DemoArgs) -> Result<ExitCode> {
    match &args.server {
        Some(server) => on_running(args, server).await,
        None => on_own(args).await,
    }
}

/// Against a server that runs already.
async fn on_running(args: &DemoArgs, server: &str) -> Result<ExitCode> {
    let variable =
        |name: &str| {
            std::env::var(name).ok().filter(|value| !value.is_empty()).with_context(|| {
            format!(
                "{name} is not set: an admin of {server} has to approve the demo's shop (see `hawker admin create`)"
            )
        })
        };
    let admin = Credentials {
        email: variable("HAWKER_ADMIN_EMAIL")?,
        password: variable("HAWKER_ADMIN_PASSWORD")?,
    };
    let place = Place::read(&args.place)?;
    let database_url = match &place.database_url {
        Some(url) => Some(url.expose().to_owned()),
        None => database::url_of_running(&place.data_dir),
    };
    let mut signals = Signals::listen()?;
    let report = tokio::select! {
        report = perform(options(args, server.to_owned(), admin, database_url), Progress::Bars) => report?,
        () = signals.next() => return Ok(ExitCode::FAILURE),
    };
    if args.keep_going {
        keep_going(&report, server, &mut signals).await;
    }
    Ok(verdict(&report))
}

/// Against a server of its own, which begins empty and is gone afterwards.
async fn on_own(args: &DemoArgs) -> Result<ExitCode> {
    // Postgres may run as somebody else, who has to get in.
    let dir = tempfile::Builder::new()
        .prefix("hawker-demo-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir();
    let dir = dir.context("cannot make a temporary directory")?;
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        started = Running::start(Plan::make(&plan::scratch(dir.path()))?) => started?,
        () = signals.next() => return Ok(ExitCode::FAILURE),
    };
    let admin = Credentials {
        email: ADMIN_EMAIL.to_owned(),
        password: running
            .demo_password()
            .context("the demo shop was not written")?
            .to_owned(),
    };
    let database_url = Some(running.database_url().expose().to_owned());
    let performed = tokio::select! {
        report = perform(options(args, running.page_url(), admin, database_url), Progress::Bars) => Some(report),
        error = running.failure() => Some(Err(error)),
        () = signals.next() => None,
    };
    if let (Some(Ok(report)), true) = (&performed, args.keep_going) {
        out::print(&running.banner());
        keep_going(report, &running.page_url(), &mut signals).await;
    }
    running.stop(&mut signals).await;
    // Told to stop in the middle, it has proved nothing.
    performed.map_or(Ok(ExitCode::FAILURE), |report| Ok(verdict(&report?)))
}

fn options(args: &DemoArgs, base_url: String, admin: Credentials, database_url: Option<String>) -> DemoOptions {
    DemoOptions {
        base_url,
        viewers: args.viewers as usize,
        seconds: args.seconds,
        chat_per_second: args.chat,
        host: Host::Fresh { admin },
        database_url,
        keep_going: args.keep_going,
    }
}

/// The report now, and then a simulated show on the same stage until a signal.
async fn keep_going(report: &DemoReport, base_url: &str, signals: &mut Signals) {
    out::print(&format!(
        "{report}\n  The show goes on at {base_url}/live/{} until Ctrl-C.",
        report.stream
    ));
    let (cancel, show) = on_air(base_url, report.host.clone(), Some(report.stream));
    signals.next().await;
    cancel.cancel();
    // How it ended has been logged.
    let _ = show.await;
}

/// The table, what `verify` proved, and the exit status that says it in one bit.
fn verdict(report: &DemoReport) -> ExitCode {
    out::print(report);
    let mut sound = report.failures.is_empty();
    if let Some(verified) = &report.verify {
        out::print(&Printed(verified));
        sound &= verified.is_clean();
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

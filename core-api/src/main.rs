//! core-api as a program of its own: reads its configuration, starts the service, and
//! stops it in order on Ctrl-C or SIGTERM.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use shared::admin::{self, AdminConfig, Contents};
use shared::bus::{BusConfig, Unset};
use shared::config::{Secret, Settings};
use shared::db::{self, DbOptions};
use shared::telemetry::{self, LogFormat};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The private listener's port unless another is named.
const ADMIN_PORT: u16 = 8082;

/// Hawker's REST service.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file with settings. Variables of the environment (HAWKER_ and the key in
    /// capitals) go over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
#[allow(clippy::print_stderr, reason = "what stops a start is told to whoever started it")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes in one line, without a backtrace: what is wrong is theirs to mend.
            eprintln!("core-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut settings = Settings::load(arguments.config.as_deref())?;
    let service = core_api::Config::read(&mut settings);
    let database: Option<Secret> = settings.required("database_url");
    let allow_unsafe = settings.or("allow_unsafe_database", false);
    let format = settings.or("log_format", LogFormat::Text);
    let bus = BusConfig::read(&mut settings, Unset::Fault);
    let private = AdminConfig::read(&mut settings, ADMIN_PORT);
    let all = service
        .zip(database)
        .zip(allow_unsafe)
        .zip(format)
        .zip(bus)
        .zip(private);
    let (((((service, database), allow_unsafe), format), bus), private) = settings.finish(all)?;

    telemetry::init_logs(format, "info,actix_server=warn");
    let metrics = telemetry::init_metrics();
    let options = DbOptions {
        allow_unsafe,
        ..DbOptions::default()
    };
    let pool = db::connect(database.expose(), &options).await?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let bus = bus.open().await.context("starting the bus")?;
    let service = core_api::start(service, pool.clone(), bus, None).await?;
    let contents = Contents {
        metrics,
        parts: vec![service.probe()],
        pages: BTreeMap::new(),
    };
    let at = private.bind;
    let admin = admin::serve(&private, contents).await;
    let admin = admin.with_context(|| format!("cannot listen on {at} (admin_http)"))?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("listening for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    service.stop().await;
    admin.stop().await;
    pool.close().await;
    Ok(())
}

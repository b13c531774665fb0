//! The engine as a program of its own: configuration, logs, the private listener, and an
//! orderly stop.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use live_engine::Operations;
use shared::admin::{self, Admin, AdminConfig, Contents};
use shared::bus::{BusConfig, Unset};
use shared::config::Settings;
use shared::telemetry::{LogFormat, PrometheusHandle, init_logs, init_metrics};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The private listener's port unless another is named.
const ADMIN_PORT: u16 = 8083;

/// Hawker's WebSocket engine.
///
/// Settings come from the environment (HAWKER_DATABASE_URL, HAWKER_TOKEN_SECRET,
/// HAWKER_LIVE, …) and from a TOML file below it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// A TOML file with settings; the environment goes before it.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// How logs are written: text or json; goes before the setting log_format.
    #[arg(long)]
    log_format: Option<LogFormat>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let mut settings = Settings::load(cli.config.as_deref())?;
    let config = live_engine::Config::read(&mut settings);
    let bus = BusConfig::read(&mut settings, Unset::Fault);
    let private = AdminConfig::read(&mut settings, ADMIN_PORT);
    let format = settings.or("log_format", LogFormat::Text);
    let (((config, bus), private), format) = settings.finish(config.zip(bus).zip(private).zip(format))?;
    init_logs(cli.log_format.unwrap_or(format), "info");
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let bus = bus.open().await.context("starting the bus")?;
    let metrics = init_metrics();
    let engine = live_engine::start(config, bus).await?;
    let admin = show(&private, &engine.operations(), metrics).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    // Asked a second time, it ends at once: what is not acknowledged is lost with it.
    let code = tokio::select! {
        () = engine.stop() => ExitCode::SUCCESS,
        _ = terminate.recv() => ExitCode::FAILURE,
        _ = tokio::signal::ctrl_c() => ExitCode::FAILURE,
    };
    // Until here it has said that the engine stops.
    admin.stop().await;
    Ok(code)
}

async fn show(private: &AdminConfig, operations: &Operations, metrics: PrometheusHandle) -> anyhow::Result<Admin> {
    let contents = Contents {
        metrics,
        parts: vec![Arc::new(operations.clone())],
        pages: operations.pages(),
    };
    let at = private.bind;
    let admin = admin::serve(private, contents).await;
    admin.with_context(|| format!("cannot listen on {at} (admin_http)"))
}

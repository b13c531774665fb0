//! The engine as a program of its own: configuration, logs, and an orderly stop.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use shared::bus::{BusConfig, Unset};
use shared::config::Settings;
use shared::telemetry::{LogFormat, init_logs};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// How logs are written: text or json.
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    init_logs(cli.log_format, "info");
    let mut settings = Settings::load(cli.config.as_deref())?;
    let config = live_engine::Config::read(&mut settings);
    let bus = BusConfig::read(&mut settings, Unset::Fault);
    let (config, bus) = settings.finish(config.zip(bus))?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let bus = bus.open().await.context("starting the bus")?;
    let engine = live_engine::start(config, bus).await?;
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
    Ok(code)
}

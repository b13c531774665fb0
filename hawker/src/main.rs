//! The program: reads the command line, sets up logs and threads, and turns what went
//! wrong into one line and an exit status.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use hawker::cli::Cli;
use hawker::out;
use shared::config::ConfigError;
use shared::telemetry::{self, LogFormat};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Usage, as clap has it for the command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The banner and one line for each trouble is what people get; logs are for looking.
    // A request's span is there to name it in a line of trouble.
    telemetry::init_logs(LogFormat::Text, "warn,sqlx=error,tracing_actix_web=info");
    hawker::raise_file_limit();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            out::complain(&line(&error));
            if error.is::<ConfigError>() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let done = runtime.block_on(Box::pin(hawker::execute(cli)));
    // Whatever still runs has been asked to stop and had its time.
    runtime.shutdown_timeout(Duration::from_secs(5));
    done
}

/// The error and its causes as one line. Some errors say their cause themselves already.
fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

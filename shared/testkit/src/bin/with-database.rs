//! `with-database COMMAND…` runs a command with `DATABASE_URL` set to a migrated
//! throw-away database, and ends as the command does. For the checked queries' offline
//! data, and for a shell to try queries in.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        complain("usage: with-database COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let database = testkit::database().await;
    let status = tokio::process::Command::new(&program)
        .args(words)
        .env("DATABASE_URL", &database.url)
        .status()
        .await;
    match status {
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            complain(&format!("{} cannot be run: {error}", program.display()));
            ExitCode::from(127)
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program speaks to its user")]
fn complain(text: &str) {
    eprintln!("{text}");
}

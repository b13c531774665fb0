//! The command line: what can be said, and the words that explain it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Hawker: live shopping in one program.
///
/// Without a command it runs everything: a private Postgres, the REST service, the live
/// engine and the pages. Nothing has to be installed or started before, and nothing is
/// left running after.
#[derive(Debug, Parser)]
#[command(name = "hawker", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What `run` takes, which is what happens without a command.
    #[command(flatten)]
    pub run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  hawker --show                                 everything, with a simulated show on air
  hawker --http 0.0.0.0:8080 --live 0.0.0.0:8081  for other machines, too
  hawker --database-url postgres://me@db/shop   with your own Postgres
  hawker demo --viewers 500 --seconds 60        a whole show, measured and checked
  hawker verify                                 prove what the database says
  HAWKER_PAYMENT_PROVIDER=stripe hawker         real payments; says which keys it needs

Settings also come from the environment (HAWKER_ and the name in capitals, such as
HAWKER_HTTP) and from a TOML file given with --config. The command line wins over the
environment, and the environment over the file. RUST_LOG=hawker=debug says what happens.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything (this is also what happens without a command).
    Run(RunArgs),
    /// Put on a whole show with many viewers, measure it, and check every promise.
    ///
    /// Viewers join over real sockets, chat, react and buy over real REST. At the end
    /// there is a table, then `verify`. The exit status is 1 unless every viewer got
    /// every numbered event exactly once and in order, everything acknowledged is in the
    /// database, and the sums agree.
    Demo(DemoArgs),
    /// Bring the database's schema up to date.
    Migrate(PlaceArgs),
    /// Write the demo shop, or what is missing of it. Doing it twice changes nothing.
    Seed(PlaceArgs),
    /// Check every invariant of the data and print what was proved.
    ///
    /// The exit status is 1 when one of them is broken. It may run beside a running
    /// Hawker.
    Verify(PlaceArgs),
    /// About the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the REST service's OpenAPI description as JSON.
    Openapi,
    /// About administrators.
    #[command(subcommand)]
    Admin(AdminCommand),
}

/// Where the data is.
#[derive(Clone, Debug, Default, Args)]
pub struct PlaceArgs {
    /// Where the private Postgres and the secrets are kept [default: the user's data folder].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Use this Postgres instead of a private one.
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to run, and where.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Where REST and the pages answer [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Where sockets connect [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDRESS")]
    pub live: Option<SocketAddr>,
    /// Put a simulated show on air, so that the page lives when it is opened.
    #[arg(long)]
    pub show: bool,
    /// Leave an empty private database empty, without the demo shop.
    #[arg(long)]
    pub no_seed: bool,
    /// Where the data is.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// What the demo show is like.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Viewers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..=50_000))]
    pub viewers: u32,
    /// How long the show is on air, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    pub seconds: u64,
    /// Chat messages a second, of all viewers together.
    #[arg(long, default_value_t = 20, value_name = "RATE", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub chat: u32,
    /// Leave the show on air for someone who opens the page; Ctrl-C ends it.
    #[arg(long)]
    pub keep_going: bool,
    /// Use this running server; else one is started in a temporary directory.
    ///
    /// Its admin signs in with HAWKER_ADMIN_EMAIL and HAWKER_ADMIN_PASSWORD, and the
    /// database to check is that of --database-url or of --data-dir.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The running server's data.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// About the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration as `run` would, and say everything that is wrong with it.
    Check(RunArgs),
}

/// About administrators.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make an administrator, or make one of an existing account.
    ///
    /// A new account gets a random password, which is printed once; with
    /// --password-stdin it is the first line of standard input.
    Create(AdminArgs),
}

/// Who.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// Their e-mail address.
    #[arg(long)]
    pub email: String,
    /// The name that others see.
    #[arg(long, default_value = "Admin")]
    pub name: String,
    /// Read the password from standard input. Without this or the next a random one is
    /// made and shown once; on the command line everybody on the machine could read it.
    #[arg(long, conflicts_with = "password_prompt")]
    pub password_stdin: bool,
    /// Ask for the password at the terminal, twice, without showing it.
    #[arg(long)]
    pub password_prompt: bool,
    /// Where the data is.
    #[command(flatten)]
    pub place: PlaceArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_what_happens_without_a_command() {
        let cli = Cli::try_parse_from(["hawker", "--show", "--http", "127.0.0.1:1"]).expect("parsed");
        assert!(cli.command.is_none() && cli.run.show);
        let cli = Cli::try_parse_from(["hawker", "run", "--no-seed"]).expect("parsed");
        assert!(matches!(cli.command, Some(Command::Run(run)) if run.no_seed));
    }

    #[test]
    fn a_demo_has_at_least_two_viewers() {
        assert!(Cli::try_parse_from(["hawker", "demo", "--viewers", "1"]).is_err());
    }
}

//! Every command but `run`: opens the database it needs, does one thing, says so.

use std::process::ExitCode;

use anyhow::{Context, Result};
use shared::db;
use sqlx::PgPool;

use crate::accounts::{self, Admin};
use crate::cli::{AdminArgs, AdminCommand, Cli, Command, ConfigCommand, PlaceArgs};
use crate::database::Database;
use crate::out;
use crate::plan::{Place, Plan};
use crate::verify::Printed;
use crate::{run, seed, show};

/// Does what the command line says.
///
/// # Errors
/// What kept it from being done, for the user.
pub async fn execute(cli: Cli) -> Result<ExitCode> {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::run(&args).await?,
        Command::Demo(args) => return show::demo(&args).await,
        Command::Migrate(place) => migrate(&place).await?,
        Command::Seed(place) => seed_shop(&place).await?,
        Command::Verify(place) => return verify(&place).await,
        Command::Config(ConfigCommand::Check(args)) => {
            Plan::read(&args)?;
            out::print(&"The configuration is sound.");
        }
        Command::Openapi => out::print(&core_api::openapi()?.to_pretty_json()?),
        Command::Admin(AdminCommand::Create(args)) => create_admin(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Does `work` on the database of `place`.
async fn with_database<T>(place: &PlaceArgs, work: impl AsyncFnOnce(&PgPool) -> Result<T>) -> Result<T> {
    let place = Place::read(place)?;
    let database = match place.database_url {
        Some(url) => Database::own(url),
        None => Database::start_or_share(&place.data_dir).await?,
    };
    let done = async {
        let pool = database.connect(&place.db).await?;
        let done = work(&pool).await;
        pool.close().await;
        done
    };
    let done = done.await;
    database.stop().await;
    done
}

async fn migrate(place: &PlaceArgs) -> Result<()> {
    with_database(place, async |db| Ok(db::migrate(db).await?)).await?;
    out::print(&"The schema is up to date.");
    Ok(())
}

async fn seed_shop(place: &PlaceArgs) -> Result<()> {
    let seeded = with_database(place, async |db| {
        db::migrate(db).await?;
        Ok(seed::run(db).await?)
    });
    let seeded = seeded.await?;
    let (accounts, products) = (seeded.accounts, seeded.products);
    let text = if (accounts, products) == (0, 0) {
        "The demo shop was there already.".to_owned()
    } else {
        format!("The demo shop is there: {accounts} accounts and {products} products are new.")
    };
    out::print(&text);
    Ok(())
}

async fn verify(place: &PlaceArgs) -> Result<ExitCode> {
    // It only looks: a schema that is not this version's is for `migrate` to change.
    let report = with_database(place, async |db| {
        let report = shared::verify::run(db).await;
        report.context("cannot look; is the schema up to date (`hawker migrate`)?")
    });
    let report = report.await?;
    out::print(&Printed(&report));
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn create_admin(args: &AdminArgs) -> Result<()> {
    let made = with_database(&args.place, async |db| {
        db::migrate(db).await?;
        accounts::create_admin(db, args).await
    });
    let made = made.await?;
    let email = &args.email;
    let text = match made {
        Admin::Raised => format!("{email} is an administrator now; the password is what it was."),
        Admin::Created { password: None } => format!("{email} is an administrator."),
        Admin::Created {
            password: Some(password),
        } => {
            format!("{email} is an administrator. The password, shown only this once: {password}")
        }
    };
    out::print(&text);
    Ok(())
}

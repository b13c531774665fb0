//! The database that a command works on: the private one of a data directory, started
//! for it or running already, or one's own.

use std::path::Path;

use anyhow::{Context, Result};
use hawker_postgres::{Hurry, Options, Server, StartError};
use shared::config::Secret;
use shared::db::{self, DbError, DbOptions};
use sqlx::{Connection, PgConnection, PgPool};

/// The database's name in a private Postgres.
const NAME: &str = "hawker";
/// What Postgres says of a database that is not there (`invalid_catalog_name`).
const NO_SUCH_DATABASE: &str = "3D000";
/// Both services, the command's own, and some for a look from outside.
const MAX_CONNECTIONS: u32 = 100;

/// How to reach the private database of the Hawker that runs on `dir`, if it is ours to
/// read.
#[must_use]
pub fn url_of_running(dir: &Path) -> Option<String> {
    hawker_postgres::running_url(dir, NAME).ok()
}

/// A database, and the server that runs for it.
pub struct Database {
    url: Secret,
    server: Option<Server>,
}

impl Database {
    /// One's own.
    #[must_use]
    pub fn own(url: Secret) -> Self {
        Self { url, server: None }
    }

    /// Starts the private one of `dir`.
    ///
    /// # Errors
    /// See [`StartError`]: each is one clear line.
    pub async fn start(dir: &Path) -> Result<Self> {
        let mut options = Options::new(dir);
        options.max_connections = MAX_CONNECTIONS;
        let start = tokio::task::spawn_blocking(move || Server::start(&options));
        let server = start.await.context("the start of Postgres panicked")??;
        let url = Secret::new(server.url(NAME));
        Ok(Self {
            url,
            server: Some(server),
        })
    }

    /// The private one of `dir`: started, or shared with the Hawker that runs there.
    ///
    /// # Errors
    /// As [`Database::start`].
    pub async fn start_or_share(dir: &Path) -> Result<Self> {
        match Self::start(dir).await {
            Err(error) if matches!(error.downcast_ref(), Some(StartError::InUse { .. })) => {
                let url = url_of_running(dir).ok_or(error)?;
                Ok(Self::own(Secret::new(url)))
            }
            other => other,
        }
    }

    /// How to reach it.
    #[must_use]
    pub const fn url(&self) -> &Secret {
        &self.url
    }

    /// Whether it is private and runs for us.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.server.is_some()
    }

    /// The server has ended although nobody stopped it.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.server.as_ref().is_some_and(Server::has_died)
    }

    /// Where the private server writes its log.
    #[must_use]
    pub fn log_file(&self) -> Option<&Path> {
        self.server.as_ref().map(Server::log_file)
    }

    /// Makes [`Database::stop`] quick, once.
    #[must_use]
    pub fn hurry(&self) -> Option<Hurry> {
        self.server.as_ref().map(Server::hurry)
    }

    /// A pool on it. A private server's database is made when it is not there.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn connect(&self, options: &DbOptions) -> Result<PgPool> {
        match db::connect(self.url.expose(), options).await {
            Err(DbError::Sql(sqlx::Error::Database(error)))
                if error.code().as_deref() == Some(NO_SUCH_DATABASE) && self.server.is_some() =>
            {
                self.create().await.context("making the database")?;
                Ok(db::connect(self.url.expose(), options).await?)
            }
            other => Ok(other?),
        }
    }

    async fn create(&self) -> Result<(), sqlx::Error> {
        let Some(server) = &self.server else { return Ok(()) };
        let mut conn = PgConnection::connect(&server.url("postgres")).await?;
        sqlx::query("create database hawker").execute(&mut conn).await?;
        conn.close().await
    }

    /// Stops the private server, if there is one, and waits for its end.
    pub async fn stop(self) {
        if let Some(server) = self.server {
            // A panic in there has been logged by the thread itself.
            let _ = tokio::task::spawn_blocking(move || server.stop()).await;
        }
    }
}

//! How services reach Postgres: a pool with time limits, migrations, and the refusal to
//! work on a database that forgets.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// The schema, in order.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The oldest Postgres that the schema is tested on, as `server_version_num`.
pub const OLDEST_VERSION: i32 = 140_000;

/// How a service uses its database.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// Connections at most.
    pub max_connections: u32,
    /// How long a statement may run.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// Work even where `fsync` or `synchronous_commit` is off: for tests and throw-away data.
    pub allow_unsafe: bool,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            max_connections: 16,
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(3),
            allow_unsafe: false,
        }
    }
}

/// Why a database is not worked on.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It does not answer, or not as expected.
    #[error("the database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrations: {0}")]
    Migrate(#[from] MigrateError),
    /// It may lose what it has acknowledged.
    #[error(
        "the database has {0} off and would lose acknowledged orders in a crash; turn it on, or set HAWKER_ALLOW_UNSAFE_DATABASE=true for throw-away data"
    )]
    Unsafe(&'static str),
    /// A newer program has been here.
    #[error(
        "the database was brought up to date by a newer Hawker (it has migration {0}, which this one does not know); run that one"
    )]
    Newer(i64),
    /// It is too old.
    #[error("the database is Postgres {found}, and Hawker needs {} or newer", OLDEST_VERSION / 10_000)]
    TooOld {
        /// Its version.
        found: String,
    },
    /// It stores text in another way.
    #[error(
        "the database stores text as {0}, and Hawker needs UTF8: make another with \"create database … encoding 'UTF8' template template0\""
    )]
    Encoding(String),
    /// The URL cannot be read.
    #[error("the database URL cannot be read: {0}")]
    Url(String),
}

/// Opens a pool on `url` and checks version, encoding and durability.
///
/// # Errors
/// See [`DbError`].
pub async fn connect(url: &str, options: &DbOptions) -> Result<PgPool, DbError> {
    let connect: PgConnectOptions = url.parse().map_err(|e: sqlx::Error| DbError::Url(e.to_string()))?;
    let connect = connect.application_name("hawker").options([
        ("statement_timeout", options.statement_timeout.as_millis().to_string()),
        ("lock_timeout", options.lock_timeout.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", "30000".to_owned()),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(connect)
        .await?;
    check(&pool, options).await?;
    Ok(pool)
}

async fn check(pool: &PgPool, options: &DbOptions) -> Result<(), DbError> {
    let (version, name, encoding, fsync, commit, pages): (i32, String, String, String, String, String) =
        sqlx::query_as(
            "select current_setting('server_version_num')::int, current_setting('server_version'),
                current_setting('server_encoding'),
                current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes')",
        )
        .fetch_one(pool)
        .await?;
    if version < OLDEST_VERSION {
        return Err(DbError::TooOld { found: name });
    }
    // Names are compared in one form of Unicode, which the database knows in this one alone.
    if encoding != "UTF8" {
        return Err(DbError::Encoding(encoding));
    }
    if options.allow_unsafe {
        return Ok(());
    }
    match (fsync.as_str(), commit.as_str(), pages.as_str()) {
        ("off", _, _) => Err(DbError::Unsafe("fsync")),
        (_, "off", _) => Err(DbError::Unsafe("synchronous_commit")),
        (_, _, "off") => Err(DbError::Unsafe("full_page_writes")),
        _ => Ok(()),
    }
}

/// Brings the schema up to date. Several processes may do so at once: one does the work.
///
/// # Errors
/// When a migration fails or an applied one has changed.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    MIGRATIONS.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => DbError::Newer(version),
        other => other.into(),
    })
}

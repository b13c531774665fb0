//! Databases and servers for the integration tests.
//!
//! Each test process has a private Postgres in memory, started when the first test asks
//! for it, and each test a database of its own, copied from a migrated template in
//! milliseconds. A test that needs a Redis starts one of its own. Nothing here is used
//! outside tests, and no setting of the machine reaches it: `DATABASE_URL` in particular
//! is for compilers only.

#![allow(clippy::missing_panics_doc, reason = "a test whose world cannot be made has failed")]

mod cleaner;
mod cluster;
pub mod fixtures;
mod redis;

pub use redis::Redis;
use shared::db::DbOptions;
use shared::token::TokenKey;
use sqlx::PgPool;

/// The secret behind [`token_key`], as configuration spells it.
pub const TOKEN_SECRET: &str = "tests-sign-with-this-and-nothing-else-does";

/// The key that tests sign and verify with.
#[must_use]
pub fn token_key() -> TokenKey {
    TokenKey::new(TOKEN_SECRET.as_bytes()).expect("the secret is long enough")
}

/// How a service under test uses its database: a test cluster forgets on purpose.
#[must_use]
pub fn db_options() -> DbOptions {
    DbOptions {
        allow_unsafe: true,
        ..DbOptions::default()
    }
}

/// A migrated database that belongs to one test. It is dropped with this handle.
#[derive(Debug)]
pub struct TestDb {
    /// How to reach it.
    pub url: String,
    /// A pool on it, for the test's own looks.
    pub pool: PgPool,
    name: String,
}

/// Makes a database for one test.
pub async fn database() -> TestDb {
    let cluster = cluster::get().await;
    let name = cluster.copy_template().await;
    let url = cluster.url(&name);
    let pool = shared::db::connect(&url, &db_options())
        .await
        .expect("the database that was just made answers");
    TestDb { url, pool, name }
}

/// A fresh database without any schema, for tests of migrations and seeds.
pub async fn empty_database() -> TestDb {
    let cluster = cluster::get().await;
    let name = cluster.make_empty().await;
    let url = cluster.url(&name);
    let pool = shared::db::connect(&url, &db_options())
        .await
        .expect("the database that was just made answers");
    TestDb { url, pool, name }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        cleaner::drop_later(std::mem::take(&mut self.name));
    }
}

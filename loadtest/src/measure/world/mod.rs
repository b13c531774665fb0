//! What a measurement happens in: a private, durable Postgres with a shop, a show and as
//! many accounts as are needed, and the engine as a process of its own.

mod engine;
pub mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hawker_postgres::{Options, Server};
use shared::db::DbOptions;
use shared::ids::{GuestId, SaleId, SellerId, StreamId, UserId, VariantId};
use shared::protocol::{ClientCommand, Format, Outcome, SaleOpen, SalePrice};
use shared::token::{Access, Part, Resume, Ticket, TokenKey, Viewer};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::runtime::Runtime;
use uuid::Uuid;

pub use engine::{Engine, Setup};

use super::process::{self, Cores};
use crate::live::{Auth, LiveClient};

/// Not checked when this is compiled: the extension is there in a measured database only.
const STATEMENTS: &str = "select query, sum(calls)::bigint from pg_stat_statements
                           where query not like '%pg_stat_statements%' group by query";
/// The same, by kind. Look-ups of foreign keys are known by how Postgres writes them.
const COUNTS: &str = "select coalesce(sum(calls) filter (where toplevel and lower(query) = 'commit'), 0)::bigint,
       coalesce(sum(calls) filter (
           where toplevel and lower(query) not in ('begin', 'commit', 'rollback')), 0)::bigint,
       coalesce(sum(calls) filter (
           where not toplevel and query ilike '%from only%' and query ilike '%for key share%'), 0)::bigint,
       coalesce(sum(calls) filter (
           where not toplevel and not (query ilike '%from only%' and query ilike '%for key share%')), 0)::bigint
  from pg_stat_statements where query not like '%pg_stat_statements%'";
/// How often each statement was run, and for how long in milliseconds.
const TIMES: &str = "select query, sum(calls)::bigint, sum(total_exec_time)::float8 from pg_stat_statements
                      where query not like '%pg_stat_statements%' group by query";
const DATABASE: &str = "hawker_load";
/// Units of the one product.
const UNITS: i32 = 10_000_000;
/// The extension that counts statements; Debian's `postgresql` brings it.
const COUNTING: &str = "pg_stat_statements";

/// The id of the first account, as a UUIDv7 of long ago.
const FIRST_PERSON: u128 = 0x0191_e2a4_0001_7000_8000_0000_0000_0000;

/// How often the database was asked.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Counts(
    /// Transactions that were committed.
    pub i64,
    /// Statements that were sent, without what begins and ends transactions.
    pub i64,
    /// Look-ups of foreign keys.
    pub i64,
    /// Statements of functions and triggers.
    pub i64,
);

/// See the module.
pub struct World {
    runtime: Runtime,
    server: Server,
    pool: PgPool,
    /// Signs tickets, as core-api would.
    pub key: TokenKey,
    secret: String,
    /// The shop.
    seller: SellerId,
    /// The show.
    pub stream: StreamId,
    /// Its host.
    pub host: UserId,
    /// What it sells.
    pub variant: VariantId,
    /// The accounts; `viewers` of them.
    pub people: Vec<UserId>,
    program: PathBuf,
    dir: tempfile::TempDir,
    engines: std::cell::Cell<u32>,
}

impl World {
    /// Makes a world with `people` accounts. This process, and with it Postgres, runs on
    /// `cores` from now on; `program` is the engine. With `counting`, Postgres counts
    /// statements for [`World::statements`], which costs it a little.
    ///
    /// # Errors
    /// When Postgres cannot be started, or the rows cannot be written.
    pub fn make(program: PathBuf, cores: Cores, people: usize, counting: bool) -> Result<Self> {
        process::pin_self(cores)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Not below the user's home: Postgres may have to run as another user.
        let dir = tempfile::Builder::new().prefix("hawker-load-").tempdir_in("/var/tmp")?;
        open_to_all(dir.path())?;
        let mut options = Options::new(dir.path().join("pg"));
        if counting {
            options
                .settings
                .push(("shared_preload_libraries".into(), COUNTING.into()));
        }
        let server = Server::start(&options)?;
        let secret: String = rand::random::<[u8; 32]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let key = TokenKey::new(secret.as_bytes()).context("the secret is long enough")?;
        let pool = runtime.block_on(open(&server))?;
        if counting {
            let create = format!("create extension {COUNTING}");
            // The text is a constant of this file.
            runtime.block_on(sqlx::query(sqlx::AssertSqlSafe(create)).execute(&pool))?;
        }
        let people: Vec<UserId> = (0..people).map(person).collect();
        let (host, (seller, stream, variant)) = runtime.block_on(populate(&pool, &people))?;
        Ok(Self {
            runtime,
            server,
            pool,
            key,
            secret,
            seller,
            stream,
            host,
            variant,
            people,
            program,
            dir,
            engines: std::cell::Cell::new(0),
        })
    }

    /// Starts an engine on the world's database.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn engine(&self, setup: &Setup) -> Result<Engine> {
        let number = self.engines.get();
        self.engines.set(number + 1);
        let log = self.dir.path().join(format!("engine-{number}.log"));
        Engine::start(&self.program, setup, &self.server.url(DATABASE), &self.secret, log)
    }

    /// Starts the REST service on the world's database, its program beside the engine's.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn api(&self, workers: usize) -> Result<Engine> {
        let program = self.program.with_file_name("core-api");
        let log = self.dir.path().join("api.log");
        Engine::start_api(&program, workers, &self.server.url(DATABASE), &self.secret, log)
    }

    /// Has the database count statements of functions, triggers and foreign keys, too, for
    /// whoever connects from now on; see [`World::counts`].
    ///
    /// # Errors
    /// When statements are not counted.
    pub fn count_all(&self) -> Result<()> {
        let all = format!("alter database {DATABASE} set pg_stat_statements.track = 'all'");
        // The text is a constant of this file.
        self.run(sqlx::query(sqlx::AssertSqlSafe(all)).execute(&self.pool))?;
        Ok(())
    }

    /// What has been asked since statements are counted.
    ///
    /// # Errors
    /// When they are not.
    pub fn counts(&self) -> Result<Counts> {
        Ok(self.run(sqlx::query_as(COUNTS).fetch_one(&self.pool))?)
    }

    /// An account's access token.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn access(&self, user: UserId) -> Result<String> {
        let access = Access {
            sub: user,
            sid: Uuid::now_v7(),
        };
        self.key
            .sign(access, chrono::Utc::now().timestamp())
            .map_err(|code| anyhow::anyhow!("{code:?}"))
    }

    /// Does something that awaits.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A pool on the database.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How to reach the database.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.server.url(DATABASE)
    }

    /// Postgres' processes.
    #[must_use]
    pub fn postgres(&self) -> Vec<u32> {
        process::family(self.server.pid())
    }

    /// Who sits where: accounts as far as there are any, then guests.
    #[must_use]
    pub fn viewer(&self, seat: usize) -> Viewer {
        match self.people.get(seat) {
            Some(id) => Viewer::User {
                id: *id,
                name: format!("Viewer {}", seat + 1),
            },
            None => Viewer::Guest { id: GuestId::new() },
        }
    }

    /// Where a seat's connection asks for its upgrade, with a fresh ticket.
    ///
    /// # Errors
    /// When the ticket cannot be signed.
    pub fn path(&self, seat: usize) -> Result<String> {
        Ok(format!("/ws?ticket={}", self.ticket(self.viewer(seat), Part::Viewer)?))
    }

    fn ticket(&self, viewer: Viewer, part: Part) -> Result<String> {
        let ticket = Ticket {
            jti: Uuid::now_v7(),
            viewer,
            session: None,
            stream: self.stream,
            part,
        };
        self.key
            .sign(ticket, chrono::Utc::now().timestamp())
            .map_err(|code| anyhow::anyhow!("{code:?}"))
    }

    /// A resume token for a seat.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn resume_token(&self, seat: usize) -> Result<String> {
        let resume = Resume {
            viewer: self.viewer(seat),
            session: None,
            stream: self.stream,
            seller: self.seller,
            part: Part::Viewer,
        };
        self.key
            .sign(resume, chrono::Utc::now().timestamp())
            .map_err(|code| anyhow::anyhow!("{code:?}"))
    }

    /// Opens a flash sale as the host does, over the socket.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn open_sale(&self, engine: &Engine, quantity: u32, per_buyer: u32) -> Result<SaleId> {
        let host = Viewer::User {
            id: self.host,
            name: "Demo Host".into(),
        };
        let ticket = self.ticket(host, Part::Host)?;
        let url = format!("ws://{}/ws", engine.addr());
        self.run(async {
            let mut host = LiveClient::connect(&url, Format::Json, Auth::Ticket(ticket)).await?;
            host.join(self.stream, None).await?;
            let sale = SaleOpen {
                variant: self.variant,
                quantity,
                price: SalePrice::PriceMinor(1900),
                per_buyer,
                hold_seconds: 3600,
                ends_in_seconds: 3600,
                opens_in_seconds: None,
            };
            let outcome = host.call(ClientCommand::SaleOpen(sale)).await?;
            host.close().await;
            match outcome {
                Ok(Outcome::SaleOpened { sale }) => Ok(sale),
                other => bail!("the sale was not opened: {other:?}"),
            }
        })
    }

    /// Statements that the database has been asked so far, those of this world's own
    /// pool left out, by their text: what an engine asks in the background (leases,
    /// outbox, sweeps) can be told from the rest.
    ///
    /// # Errors
    /// When statements are not counted.
    pub fn statements(&self) -> Result<BTreeMap<String, i64>> {
        let rows = self.run(sqlx::query_as::<_, (String, i64)>(STATEMENTS).fetch_all(&self.pool))?;
        Ok(rows.into_iter().collect())
    }

    /// How often each statement was run so far and how many milliseconds all of that took,
    /// by its text.
    ///
    /// # Errors
    /// When statements are not counted.
    pub fn times(&self) -> Result<BTreeMap<String, (i64, f64)>> {
        let rows = self.run(sqlx::query_as::<_, (String, i64, f64)>(TIMES).fetch_all(&self.pool))?;
        Ok(rows
            .into_iter()
            .map(|(query, calls, ms)| (query, (calls, ms)))
            .collect())
    }

    /// Holds the database to every invariant.
    ///
    /// # Errors
    /// When one is broken.
    pub fn verify(&self) -> Result<()> {
        let report = self.run(shared::verify::run(&self.pool))?;
        if !report.is_clean() {
            bail!("invariants are broken: {:?}", report.broken().collect::<Vec<_>>());
        }
        if report.rejected_rows > 0 {
            bail!("the database refused {} rows", report.rejected_rows);
        }
        Ok(())
    }

    /// Stops Postgres and forgets everything.
    pub fn end(self) {
        let Self {
            runtime, server, pool, ..
        } = self;
        runtime.block_on(pool.close());
        server.stop();
    }
}

fn open_to_all(dir: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?)
}

async fn open(server: &Server) -> Result<PgPool> {
    let mut conn = PgConnection::connect(&server.url("postgres")).await?;
    let create = format!("create database {DATABASE}");
    // The text is a constant of this file.
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut conn).await?;
    conn.close().await?;
    let options = DbOptions {
        max_connections: 4,
        statement_timeout: Duration::from_secs(120),
        ..DbOptions::default()
    };
    let pool = shared::db::connect(&server.url(DATABASE), &options).await?;
    shared::db::migrate(&pool).await?;
    Ok(pool)
}

async fn populate(pool: &PgPool, people: &[UserId]) -> Result<(UserId, (SellerId, StreamId, VariantId))> {
    let host = UserId::new();
    let mut tx = pool.begin().await?;
    store::insert_people(&mut tx, &[host]).await?;
    store::insert_people(&mut tx, people).await?;
    let seller = store::insert_shop(&mut tx, host).await?;
    let stream = store::insert_show(&mut tx, seller).await?;
    let variant = store::insert_product(&mut tx, seller, stream, UNITS).await?;
    tx.commit().await?;
    // Plans as on a database that has been there for a while.
    sqlx::query("analyze").execute(pool).await?;
    Ok((host, (seller, stream, variant)))
}

/// The account of a seat. Counted, so that a script can write the ids down, too.
fn person(seat: usize) -> UserId {
    UserId(Uuid::from_u128(FIRST_PERSON + seat as u128))
}

//! The test process's Postgres: on a memory file system where there is one with room, in
//! a folder named after this process, so that the next one knows what it may sweep.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use hawker_postgres::{Options, Server};
use shared::db::DbOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::sync::{Mutex, OnceCell};

const PREFIX: &str = "hawker-test-";
const TEMPLATE: &str = "template_hawker";
/// Room for a cluster and a few hundred small databases.
const ROOM_BYTES: u64 = 2 * 1024 * 1024 * 1024;

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

pub(crate) struct Cluster {
    server: Server,
    numbers: AtomicU32,
    /// One after the other: copies share the template, and a test's own runtime may end
    /// while it waits, so no connection outlives a copy.
    copying: Mutex<()>,
}

/// The cluster, started by whoever comes first.
pub(crate) async fn get() -> &'static Cluster {
    CLUSTER.get_or_init(Cluster::start).await
}

/// The cluster, if any test has asked for it.
pub(crate) fn running() -> Option<&'static Cluster> {
    CLUSTER.get()
}

impl Cluster {
    async fn start() -> Self {
        let start = tokio::task::spawn_blocking(|| {
            let parent = roomy_folder();
            sweep(&parent);
            let dir = parent.join(format!("{PREFIX}{}", std::process::id()));
            // A process with this number that died left it; this one has nothing there yet.
            let _ = fs::remove_dir_all(&dir);
            fs::DirBuilder::new()
                .mode(0o711)
                .create(&dir)
                .expect("a folder for the cluster can be made");
            Server::start(&options(dir)).unwrap_or_else(|error| panic!("no database for tests: {error}"))
        });
        let server = start.await.expect("the start does not panic");
        let cluster = Self {
            server,
            numbers: AtomicU32::new(0),
            copying: Mutex::new(()),
        };
        cluster.make_template().await;
        cluster
    }

    /// How to reach a database of this cluster.
    pub fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    async fn make_template(&self) {
        self.admin(&format!("create database {TEMPLATE}")).await;
        let options = DbOptions {
            max_connections: 1,
            ..crate::db_options()
        };
        let pool: PgPool = shared::db::connect(&self.url(TEMPLATE), &options)
            .await
            .expect("the template answers");
        shared::db::migrate(&pool).await.expect("the migrations apply");
        pool.close().await;
    }

    /// Makes a migrated database and returns its name.
    pub async fn copy_template(&self) -> String {
        let name = self.next_name();
        let _turn = self.copying.lock().await;
        self.admin(&format!("create database {name} template {TEMPLATE}")).await;
        name
    }

    /// Makes an empty database and returns its name.
    pub async fn make_empty(&self) -> String {
        let name = self.next_name();
        self.admin(&format!("create database {name}")).await;
        name
    }

    fn next_name(&self) -> String {
        format!("test_{}", self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    async fn admin(&self, sql: &str) {
        let mut conn = PgConnection::connect(&self.url("postgres"))
            .await
            .expect("the cluster answers");
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        conn.close().await.expect("the connection closes");
    }
}

fn options(dir: PathBuf) -> Options {
    let mut options = Options::forgetful(dir);
    // Many tests at once, each with the pools of two services.
    options.max_connections = 600;
    options.settings = [
        ("shared_buffers", "64MB"),
        ("max_wal_size", "256MB"),
        ("autovacuum", "off"),
        // For the tests that count statements, in their own databases.
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.track", "none"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    options
}

fn roomy_folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let writable = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&memory).is_ok();
    if writable && free_bytes(&memory) >= ROOM_BYTES {
        memory
    } else {
        std::env::temp_dir()
    }
}

fn free_bytes(path: &Path) -> u64 {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()) else {
        return 0;
    };
    // SAFETY: statvfs is plain data, for which zeroes are a value.
    let mut stats: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string and the buffer outlives the call.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut stats) } != 0 {
        return 0;
    }
    stats.f_bavail.saturating_mul(stats.f_frsize)
}

/// Removes the folders of test processes that are no more. Their servers stop by
/// themselves; one that is stopping still is left to the next sweep.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok())
        else {
            continue;
        };
        // SAFETY: geteuid has no preconditions and cannot fail.
        let ours = entry
            .metadata()
            .is_ok_and(|meta| meta.uid() == unsafe { libc::geteuid() });
        let ended = !Path::new(&format!("/proc/{pid}")).exists();
        let stopped = !entry.path().join("postgres/data/postmaster.pid").exists();
        if ours && ended && (stopped || is_old(&entry.path())) {
            // Two sweepers may meet; what one misses the other removes.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Older than any server takes to stop: one that was killed leaves its pid file for ever.
fn is_old(path: &Path) -> bool {
    let modified = path.metadata().and_then(|meta| meta.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age.as_secs() > 60))
}

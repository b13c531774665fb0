//! Drops the databases of finished tests, on a thread of its own because a test's
//! runtime ends with it. Best effort: the cluster goes with the process anyway.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::cluster;

/// More than any number of tests that end at the same time.
const BACKLOG: usize = 1024;

static CLEANER: OnceLock<SyncSender<String>> = OnceLock::new();

/// Has `database` dropped soon.
pub(crate) fn drop_later(database: String) {
    let sender = CLEANER.get_or_init(|| {
        let (sender, names) = sync_channel(BACKLOG);
        // Without the thread the sender fails, and the databases stay a while.
        let _ = std::thread::Builder::new()
            .name("cleaner".into())
            .spawn(move || clean(&names));
        sender
    });
    let _ = sender.try_send(database);
}

fn clean(names: &Receiver<String>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    for name in names {
        let Some(cluster) = cluster::running() else { return };
        // It may fail when the process is ending, and then it does not matter.
        let _: Result<(), sqlx::Error> = runtime.block_on(async {
            let mut conn = PgConnection::connect(&cluster.url("postgres")).await?;
            let sql = format!("drop database if exists {name} with (force)");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
            conn.close().await
        });
    }
}

//! Somebody else's clients in other languages, against the real services: what both ends
//! of our own code might get wrong together shows here.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use shared::ids::SaleId;
use shared::protocol::{SaleOpen, SalePrice};
use tokio::process::Command;

use crate::world::{OnAir, World};

const DEADLINE: Duration = Duration::from_secs(90);

/// A client: what runs it, and its script.
struct Client {
    runs: &'static str,
    script: PathBuf,
}

fn clients(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../loadtest/tests")
        .join(folder)
}

/// Python with the package `websockets`.
async fn python() -> Client {
    // Debian's own first: its packages are what `make test` installs.
    let own = "/usr/bin/python3";
    let runs = if Path::new(own).exists() { own } else { "python3" };
    let imports = Command::new(runs)
        .args(["-c", "import websockets, msgpack"])
        .output()
        .await
        .expect("this test needs Python: apt-get install python3 python3-websockets python3-msgpack");
    assert!(
        imports.status.success(),
        "this test needs two Python modules: apt-get install python3-websockets python3-msgpack\n{}",
        String::from_utf8_lossy(&imports.stderr)
    );
    Client {
        runs,
        script: clients("python").join("watch_and_buy.py"),
    }
}

/// Node with the package `ws`.
fn node() -> Client {
    let folder = clients("node");
    assert!(
        folder.join("node_modules/ws").exists() && folder.join("node_modules/@msgpack/msgpack").exists(),
        "this test needs two packages of Node: scripts/ensure.sh test gets them"
    );
    Client {
        runs: "node",
        script: folder.join("watch_and_buy.mjs"),
    }
}

async fn watch_and_buy(client: &Client, world: &World, on_air: &OnAir, sale: SaleId, format: &str) -> Value {
    let child = Command::new(client.runs)
        .arg(&client.script)
        .args([
            world.rest.base(),
            &on_air.stream.id.to_string(),
            &sale.to_string(),
            format,
        ])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, child)
        .await
        .expect("the client ends in time")
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} in {format}: {errors}", client.runs);
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_client_watches_chats_and_buys_in_both_formats() {
    for said in buys_in_both_formats(&python().await).await {
        assert_eq!(said["verdict"], "bought", "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_usual_client_watches_chats_and_buys_in_both_formats() {
    for said in buys_in_both_formats(&node()).await {
        assert_eq!(said["closed"], 1000, "{said}");
    }
}

/// A show with a sale, in which the client buys once in each format; what it says.
async fn buys_in_both_formats(client: &Client) -> Vec<Value> {
    let world = World::start().await;
    let on_air = world.on_air(10).await;
    let sale = SaleOpen {
        variant: on_air.product.variants[1].id,
        quantity: 4,
        price: SalePrice::PriceMinor(1_900),
        per_buyer: 1,
        hold_seconds: 300,
        ends_in_seconds: 600,
        opens_in_seconds: None,
    };
    let sale = on_air
        .host
        .open_sale(on_air.stream.id, &sale)
        .await
        .expect("opened")
        .sale;
    let mut heard = Vec::new();
    for format in ["json", "msgpack"] {
        let said = watch_and_buy(client, &world, &on_air, sale, format).await;
        assert_eq!(said["verdict"], "bought", "{said}");
        assert_eq!(said["payment_status"], "captured", "{said}");
        assert_eq!(said["receipt"], true, "{said}");
        heard.push(said);
    }
    let paid: i64 = sqlx::query_scalar("select count(*) from orders where stream_id = $1 and status = 'paid'")
        .bind(on_air.stream.id.0)
        .fetch_one(&world.db.pool)
        .await
        .expect("counted");
    assert_eq!(paid, 2);
    world.stop().await;
    heard
}

//! Somebody else's client in another language, against the real services: what both
//! ends of our own code might get wrong together shows here.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use shared::ids::SaleId;
use shared::protocol::{SaleOpen, SalePrice};
use tokio::process::Command;

use crate::world::{OnAir, World};

const DEADLINE: Duration = Duration::from_secs(60);

/// Debian's own Python first: its packages are what `make test` installs.
fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    }
}

async fn needs_its_modules() {
    let imports = Command::new(python())
        .args(["-c", "import websockets, msgpack"])
        .output()
        .await
        .expect("this test needs Python: apt-get install python3 python3-websockets python3-msgpack");
    assert!(
        imports.status.success(),
        "this test needs two Python modules: apt-get install python3-websockets python3-msgpack\n{}",
        String::from_utf8_lossy(&imports.stderr)
    );
}

async fn watch_and_buy(world: &World, on_air: &OnAir, sale: SaleId, format: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/tests/python/watch_and_buy.py");
    let child = Command::new(python())
        .arg(script)
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
        .expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{format}: {errors}");
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_client_watches_chats_and_buys_in_both_formats() {
    needs_its_modules().await;
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
    for format in ["json", "msgpack"] {
        let said = watch_and_buy(&world, &on_air, sale, format).await;
        assert_eq!(said["verdict"], "bought", "{said}");
        assert_eq!(said["payment_status"], "captured", "{said}");
        assert_eq!(said["receipt"], true, "{said}");
    }
    let paid: i64 = sqlx::query_scalar("select count(*) from orders where stream_id = $1 and status = 'paid'")
        .bind(on_air.stream.id.0)
        .fetch_one(&world.db.pool)
        .await
        .expect("counted");
    assert_eq!(paid, 2);
    world.stop().await;
}

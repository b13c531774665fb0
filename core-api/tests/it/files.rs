//! Files of products: a report per line, and no line twice.

use core_api::catalog::files::model::{Import, ImportStatus, Outcome, Report};
use core_api::catalog::files::{BATCH_LINES, import_some};
use core_api::catalog::products::SellerProduct;
use core_api::http::List;
use core_api::media::Picture;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use shared::bus::MemoryBus;
use uuid::Uuid;

use crate::adjustments::{adjust, stock};
use crate::catalog::{add, mug};
use crate::harness::{App, Reply, Session};
use crate::http::silent_after;
use crate::market::still;
use crate::pictures::files::png;

const IMPORTS: &str = "/seller/products/imports";

async fn send(shop: &Session, key: Uuid, file: &str) -> Reply {
    shop.call(reqwest::Method::POST, IMPORTS)
        .key(key)
        .body("text/csv", file.to_owned())
        .send()
        .await
}

/// An app whose jobs are still, so that a test applies imports when it wants.
async fn app() -> App {
    App::start_with(|config| config.commerce = still()).await
}

async fn apply(app: &App, batches: u32) -> u64 {
    import_some(&app.db.pool, &app.bus, batches).await.expect("applied")
}

async fn imported(app: &App, shop: &Session, file: &str) -> (Import, Vec<(i32, Outcome, String)>) {
    let taken: Import = send(shop, Uuid::now_v7(), file).await.with(202);
    apply(app, u32::MAX).await;
    let path = format!("{IMPORTS}/{}", taken.id);
    let import: Import = shop.get(&path).await.ok();
    let report: Report = shop.get(&format!("{path}/lines?limit=100")).await.ok();
    let lines = report.items.into_iter();
    let lines = lines.map(|line| (line.line, line.outcome, line.field.unwrap_or_default()));
    (import, lines.collect())
}

async fn own(shop: &Session) -> Vec<SellerProduct> {
    let list: List<SellerProduct> = shop.get("/seller/products?limit=100").await.ok();
    list.items
}

#[tokio::test]
async fn a_bad_line_stops_no_other_and_changes_nothing() {
    let app = app().await;
    let (shop, _) = app.seller("Some Shop").await;
    let there = add(&shop, &mug("There", 5)).await;
    let sku = &there.variants[0].sku;
    let file = format!(
        "product_key,title,category,status,sku,option1_name,option1_value,price,on_hand\n\
         MUG,Mug,,active,MUG-S,Size,S,19.99,5\n\
         MUG,,,,MUG-M,Size,M,21.99,6\n\
         MUG,,,,MUG-X,Colour,Red,21.99,6\n\
         MUG,,,,MUG-S2,Size,S,1,1\n\
         PAN,Pan,nowhere,,PAN-1,,,9,1\n\
         POT,,,,POT-1,,,9,1\n\
         {key},Changed,,,{sku},Colour,Blue,12.50,5\n\
         {key},Changed,,,ANOTHER,,,1.234,5\n\
         MUG,Mug,,,{sku},,,1,1\n",
        key = there.id
    );
    let (import, lines) = imported(&app, &shop, &file).await;
    assert_eq!(import.status, ImportStatus::Done);
    assert_eq!(
        (import.created, import.updated, import.unchanged, import.refused),
        (2, 1, 0, 6)
    );
    let refused = |line, field: &str| (line, Outcome::Refused, field.to_owned());
    assert_eq!(
        lines,
        [
            (2, Outcome::Created, String::new()),
            (3, Outcome::Created, String::new()),
            refused(4, "options"),
            refused(5, "options"),
            refused(6, "category"),
            refused(7, "title"),
            (8, Outcome::Updated, String::new()),
            refused(9, "price"),
            refused(10, "sku"),
        ]
    );
    let products = own(&shop).await;
    let titles: Vec<_> = products
        .iter()
        .map(|product| (product.title.as_str(), product.variants.len()))
        .collect();
    assert_eq!(
        titles,
        [("Mug", 2), ("Changed", 1)],
        "of a product that was refused nothing stays"
    );
    assert_eq!(products[0].external_key.as_deref(), Some("MUG"));
    assert_eq!(products[1].variants[0].price.minor, 1_250);
    let report = shared::verify::run(&app.db.pool).await.expect("verified");
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_byte_that_the_database_does_not_take_stops_nobody() {
    let app = app().await;
    let (shop, _) = app.seller("Some Shop").await;
    let file = "product_key,title,sku,price\nK,Mug,A\0B,1\nP,Pan,PAN,9\n";
    let (import, lines) = imported(&app, &shop, file).await;
    assert_eq!(import.status, ImportStatus::Done);
    assert_eq!((import.created, import.refused), (1, 1));
    assert_eq!(lines[0].1, Outcome::Refused);
}

#[tokio::test]
async fn what_is_exported_changes_nothing_when_it_is_imported() {
    let app = app().await;
    let admin = app.admin().await;
    let (shop, _) = app.seller("Some Shop").await;
    let category: Value = admin
        .post("/admin/categories", &json!({"name": "Mugs", "slug": "mugs"}))
        .await
        .created();
    let profile: Value = shop
        .post(
            "/seller/shipping-profiles",
            &json!({"name": "Parcel, small", "base_minor": 1}),
        )
        .await
        .created();
    let mut product = mug("=HYPERLINK(\"http://evil.example\")", 5);
    product["description"] = json!("Two\r\nlines, \"quoted\"\n- and a dash");
    product["category_id"] = category["id"].clone();
    product["shipping_profile_id"] = profile["id"].clone();
    product["external_key"] = json!("@KEY");
    product["variants"][0]["compare_at_minor"] = json!(2_999);
    add(&shop, &product).await;
    let mut second = mug("'Tis a mug", 0);
    second["status"] = json!("draft");
    add(&shop, &second).await;

    let file = shop.get("/seller/products/export?stock=true").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let cells: Vec<&str> = file.text.split(['\n', ',']).collect();
    let runs = |cell: &&str| cell.trim_start_matches('"').starts_with(['=', '+', '@']);
    assert!(!cells.iter().any(runs), "{}", file.text);

    let before = serde_json::to_value(own(&shop).await).expect("JSON");
    let (import, lines) = imported(&app, &shop, &file.text).await;
    assert_eq!((import.total_lines, import.unchanged), (2, 2), "{lines:?}");
    assert_eq!(
        serde_json::to_value(own(&shop).await).expect("JSON"),
        before,
        "not even a version is raised"
    );
}

#[tokio::test]
async fn a_file_restores_no_stock_that_was_sold_meanwhile() {
    let app = app().await;
    let (shop, _) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 10)).await;
    let variant = own.variants[0].id;
    let plain = shop.get("/seller/products/export").await.text;
    let counted = shop.get("/seller/products/export?stock=true").await.text;
    assert!(!plain.contains("on_hand"), "{plain}");
    adjust(&shop, variant, Uuid::now_v7(), -3).await.ok::<Value>();

    for file in [&plain, &counted] {
        let (import, lines) = imported(&app, &shop, &file.replace("Mug", "Big Mug")).await;
        assert_ne!(import.refused, 1, "{lines:?}");
        assert_eq!(stock(&app, variant).await, (7, 7));
    }
    let (import, lines) = imported(&app, &shop, &counted.replace(",10,10\n", ",12,10\n")).await;
    assert_eq!((import.refused, lines[0].2.as_str()), (1, "on_hand"));
    assert_eq!(stock(&app, variant).await, (7, 7));
    let now = shop.get("/seller/products/export?stock=true").await.text;
    let (import, _) = imported(&app, &shop, &now.replace(",7,7\n", ",12,7\n")).await;
    assert_eq!((import.updated, stock(&app, variant).await), (1, (12, 12)));
}

/// Waits until somebody waits for another transaction's row.
const WAITS_FOR_A_ROW: &str = "select exists (select from pg_locks l join pg_stat_activity a using (pid)
     where a.datname = current_database() and not l.granted and l.locktype = 'transactionid')";

#[tokio::test]
async fn stock_that_is_sold_while_a_file_sets_it_adds_up() {
    let app = app().await;
    let (shop, _) = app.seller("Some Shop").await;
    let file = "product_key,sku,price,on_hand\nMUG,MUG-X,19.99,10\n";
    send(&shop, Uuid::now_v7(), file).await.with::<Import>(202);
    let product = "insert into products (id, seller_id, external_key, title, currency)
                   select gen_random_uuid(), id, 'POT', 'Mug', 'EUR' from sellers";
    sqlx::query(product).execute(&app.db.pool).await.expect("added");
    // The job has locked what its lines name, and stops before it reads the categories.
    let mut stop = app.db.pool.begin().await.expect("a transaction");
    let lock = sqlx::query("lock table categories in access exclusive mode");
    lock.execute(&mut *stop).await.expect("locked");
    let (pool, bus) = (app.db.pool.clone(), app.bus.clone());
    let work = tokio::spawn(async move { import_some(&pool, &bus, u32::MAX).await });
    app.somebody_waits().await;

    // Meanwhile what its line names comes, and a unit of it is being sold.
    let there = "update products set external_key = 'MUG';
                 insert into product_variants (id, product_id, sku, price_minor, on_hand)
                 select gen_random_uuid(), id, 'MUG-X', 1999, 5 from products;
                 insert into inventory_movements (id, variant_id, on_hand, reason)
                 select gen_random_uuid(), id, 5, 'initial' from product_variants";
    let sold = "with v as (update product_variants set on_hand = 4 returning id)
                insert into inventory_movements (id, variant_id, on_hand, reason)
                select gen_random_uuid(), id, -1, 'adjustment' from v";
    sqlx::raw_sql(there).execute(&app.db.pool).await.expect("added");
    let mut sale = app.db.pool.begin().await.expect("a transaction");
    sqlx::query(sold).execute(&mut *sale).await.expect("sold");
    stop.commit().await.expect("unlocked");
    app.wait_for(WAITS_FOR_A_ROW).await;
    sale.commit().await.expect("sold");

    assert_eq!(work.await.expect("it ends").expect("applied"), 1);
    let report = shared::verify::run(&app.db.pool).await.expect("verified");
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_shop_has_one_file_read_at_a_time_and_so_many_an_hour() {
    let app = App::start_with(|config| {
        config.commerce = still();
        config.limits.imports_per_hour = 3.try_into().expect("some");
    })
    .await;
    let ((shop, _), (other, _)) = (app.seller("One").await, app.seller("Two").await);
    let file = "product_key,sku,price\nK,S,1\n";
    let key = Uuid::now_v7();
    send(&shop, key, file).await.with::<Import>(202);
    // Nobody looks at another one before this one is done.
    send(&shop, Uuid::now_v7(), "no table").await.refused(409, "conflict");
    send(&shop, key, file).await.with::<Import>(202);
    send(&shop, key, file).await.refused(429, "rate_limited");
    send(&other, Uuid::now_v7(), file).await.with::<Import>(202);
}

#[tokio::test]
async fn a_file_that_is_one_too_many_is_refused_before_it_is_there() {
    let app = App::start_with(|config| {
        config.commerce = still();
        config.limits.imports_per_hour = 3.try_into().expect("some");
    })
    .await;
    let (shop, _) = app.seller("Some Shop").await;
    // What begins, and goes on some other time.
    let begun = || {
        format!(
            "POST {IMPORTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {}\r\n\
             Content-Type: text/csv\r\nContent-Length: 1000000\r\n\r\nproduct_key",
            shop.token,
            Uuid::now_v7()
        )
    };
    let mut three: FuturesUnordered<_> = (0..3).map(|_| silent_after(&app, begun())).collect();
    let third = three.next().await.expect("an answer");
    assert!(
        third.starts_with("HTTP/1.1 429 ") && third.contains("at once"),
        "{third}"
    );
    let fourth = silent_after(&app, begun()).await;
    assert!(
        fourth.starts_with("HTTP/1.1 429 ") && !fourth.contains("at once"),
        "{fourth}"
    );
}

#[tokio::test]
async fn a_file_brings_back_no_picture_that_was_deleted() {
    let app = app().await;
    let (shop, _) = app.seller("Some Shop").await;
    let images = format!("/seller/products/{}/images", add(&shop, &mug("Mug", 5)).await.id);
    let upload = async |side| -> Picture {
        let file = png(side, side);
        let sent = shop.send_file(reqwest::Method::POST, &images, "image/png", &file);
        sent.await.created()
    };
    let (first, second) = (upload(20).await, upload(30).await);
    let table = shop.get("/seller/products/export").await.text;
    assert!(table.contains(&first.medium.url), "{table}");
    shop.delete(&format!("{images}/{}", first.id)).await.gone();
    let (import, _) = imported(&app, &shop, &table).await;
    assert_eq!((import.unchanged, import.updated), (1, 0));
    assert_eq!(own(&shop).await[0].image_url, second.medium.url);
}

#[tokio::test]
async fn ten_thousand_lines_survive_a_restart_and_none_is_applied_twice() {
    const LINES: i32 = 10_000;
    let app = app().await;
    let (shop, _) = app.seller("Some Shop").await;
    let mut file = "product_key,title,sku,option1_name,option1_value,price,on_hand\n".to_owned();
    for i in 0..LINES {
        file.push_str(&format!(
            "P{},Product {},SKU-{i},Size,{},1.00,3\n",
            i / 50,
            i / 50,
            i % 50
        ));
    }
    let key = Uuid::now_v7();
    let taken: Import = send(&shop, key, &file).await.with(202);
    let again: Import = send(&shop, key, &file).await.with(202);
    assert_eq!((taken.total_lines, taken.id), (LINES, again.id));
    send(&shop, Uuid::now_v7(), &file).await.refused(409, "conflict");

    assert_eq!(apply(&app, 3).await, 3 * BATCH_LINES as u64);
    let path = format!("{IMPORTS}/{}", taken.id);
    let so_far: Import = shop.get(&path).await.ok();
    assert_eq!((so_far.status, so_far.done_lines), (ImportStatus::Running, 150));

    // It stops in the middle, and two others go on at once.
    let db = app.stop().await;
    let bus = MemoryBus::shared();
    let (one, two) = tokio::join!(
        import_some(&db.pool, &bus, u32::MAX),
        import_some(&db.pool, &bus, u32::MAX)
    );
    let mut done = one.expect("applied") + two.expect("applied");
    // Whoever found the other at work has left the rest to it.
    done += import_some(&db.pool, &bus, u32::MAX).await.expect("applied");
    assert_eq!(done, LINES as u64 - 150);
    let counts: (i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from product_variants), (select sum(on_hand) from product_variants),
                (select count(*) from inventory_movements), (select count(*) from product_import_lines)",
    )
    .fetch_one(&db.pool)
    .await
    .expect("counted");
    let lines = i64::from(LINES);
    assert_eq!(counts, (lines, 3 * lines, lines, lines));
    let import: (String, i32, Option<Vec<u8>>) = sqlx::query_as("select status, created, file from product_imports")
        .fetch_one(&db.pool)
        .await
        .expect("the import");
    assert_eq!(import, ("done".to_owned(), LINES, None));
}

#[tokio::test]
async fn stock_in_a_file_never_falls_below_what_is_promised() {
    let app = app().await;
    let (shop, _) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 10)).await;
    sqlx::query("update product_variants set reserved = 4 where id = $1")
        .bind(own.variants[0].id.0)
        .execute(&app.db.pool)
        .await
        .expect("promised");
    let line = |on_hand| {
        format!(
            "product_key,sku,price,on_hand\n{},{},19.99,{on_hand}\n",
            own.id, own.variants[0].sku
        )
    };
    let (import, lines) = imported(&app, &shop, &line("3")).await;
    assert_eq!((import.refused, lines[0].2.as_str()), (1, "on_hand"));
    let (import, _) = imported(&app, &shop, &line("7")).await;
    assert_eq!(import.updated, 1);
    let (import, _) = imported(&app, &shop, &line("")).await;
    assert_eq!(import.unchanged, 1, "what is left blank stays");
    let path = format!("/seller/variants/{}/movements", own.variants[0].id);
    let movements: Value = shop.get(&path).await.ok();
    assert_eq!(
        (&movements["items"][0]["reason"], &movements["items"][0]["delta"]),
        (&json!("import"), &json!(-3))
    );
}

#[tokio::test]
async fn what_is_no_file_of_products_is_refused_at_once() {
    let app = app().await;
    let ((shop, _), (other, _)) = (app.seller("One").await, app.seller("Two").await);
    let refused = send(&shop, Uuid::now_v7(), "name,price\nMug,1\n").await;
    assert_eq!(refused.refused(422, "invalid_body")["field"], "header");
    let call = |media: &'static str, body: Vec<u8>| {
        let call = shop.call(reqwest::Method::POST, IMPORTS).key(Uuid::now_v7());
        call.body(media, body).send()
    };
    call("application/json", b"{}".to_vec())
        .await
        .refused(415, "unsupported_media_type");
    call("text/csv", vec![b'a'; (8 << 20) + 1])
        .await
        .refused(413, "payload_too_large");
    let taken: Import = send(&shop, Uuid::now_v7(), "product_key,sku,price\nK,S,1\n")
        .await
        .with(202);
    let path = format!("{IMPORTS}/{}", taken.id);
    other.get(&path).await.refused(404, "not_found");
    other.get(&format!("{path}/lines")).await.refused(404, "not_found");
    let list: Value = other.get(IMPORTS).await.ok();
    assert_eq!(list["items"], json!([]));
    app.get("/seller/products/export")
        .send()
        .await
        .refused(401, "unauthenticated");
}

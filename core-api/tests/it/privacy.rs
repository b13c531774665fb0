//! A person's data: taken along whole, and gone when they leave.

use core_api::identity::Me;
use core_api::privacy::tables::{Fate, PERSONAL, Told};
use serde_json::{Value, json};
use testkit::fixtures;
use uuid::Uuid;

use crate::harness::{App, PASSWORD, Reply, Session};

async fn leave(who: &Session, password: &str) -> Reply {
    who.post("/auth/leave", &json!({"password": password})).await
}

async fn run(app: &App, sql: &'static str, id: Uuid) {
    let done = sqlx::query(sql).bind(id).execute(&app.db.pool).await;
    done.expect("done");
}

/// Somebody whose name, handle, address and profile stand nowhere else, with a bit of
/// everything, who has bought something in a show.
async fn somebody(app: &App) -> Session {
    let person = app.register("Wilhelmine Abendroth").await;
    let profile = json!({"handle": "minchen_a", "bio": "Sammelt Fayencen", "show_purchases": true});
    person.patch("/auth/profile", &profile).await.ok::<Me>();
    for line1 in ["Elbchaussee 401", "Palmaille 12"] {
        let address = json!({
            "recipient": "Wilhelmine Abendroth", "line1": line1, "city": "Altona",
            "postal_code": "22767", "country": "DE", "phone": "+49 40 5550123"
        });
        person.post("/users/addresses", &address).await.created::<Value>();
    }
    let shop = fixtures::shop(&app.db.pool, 10, 2_400).await;
    person
        .post(&format!("/sellers/{}/follow", shop.seller), &json!({}))
        .await
        .gone();
    buy(&person, &shop).await;
    for sql in [
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, text, created_at)
         select gen_random_uuid(), s.id, 1, 1, $1, 'What a lovely jug', now() from streams s",
        "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at)
         select s.id, 1, 2, 'purchased',
                '{\"type\": \"purchased\", \"name\": \"Wilhelmine Abendroth\", \"title\": \"Mug\", \"quantity\": 1}', now()
           from streams s where $1::uuid is not null",
    ] {
        run(app, sql, person.id.0).await;
    }
    person
}

/// Buys one in the show, and pays.
async fn buy(person: &Session, shop: &fixtures::Shop) {
    let list: Value = person.get("/users/addresses").await.ok();
    let body = json!({
        "items": [{"variant_id": shop.variant, "quantity": 1}],
        "address_id": list["items"][0]["id"],
        "stream_id": shop.stream,
    });
    let checkout: Value = person
        .post_once("/orders/checkout", Uuid::now_v7(), &body)
        .await
        .created();
    let place = json!({"checkout_id": checkout["id"]});
    let order: Value = person.post_once("/orders", Uuid::now_v7(), &place).await.created();
    let pay = json!({"token": "test_success"});
    let path = format!("/orders/{}/payments", order["id"].as_str().expect("an id"));
    let paid = person.post_once(&path, Uuid::now_v7(), &pay).await;
    assert!(paid.status.is_success(), "{}", paid.text);
}

/// Where a text stands: `table: row`.
async fn places(app: &App, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables
          where table_schema = 'public' and table_type = 'BASE TABLE' order by 1",
    )
    .fetch_all(&app.db.pool)
    .await
    .expect("the tables");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select t::text from {table} t where strpos(lower(t::text), lower($1)) > 0");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(text)
            .fetch_all(&app.db.pool)
            .await
            .expect("a look");
        found.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    found
}

#[tokio::test]
async fn every_table_that_refers_to_people_is_decided_about() {
    let app = App::start().await;
    let found: Vec<(String, String)> = sqlx::query_as(
        "select c.conrelid::regclass::text, a.attname::text
           from pg_constraint c
           join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
          where c.contype = 'f' and c.confrelid = 'users'::regclass",
    )
    .fetch_all(&app.db.pool)
    .await
    .expect("the keys");
    for (table, column) in &found {
        assert!(
            PERSONAL.iter().any(|p| p.table == table && p.column == column),
            "say in privacy/tables.rs what the export tells of {table}.{column} and what becomes of it"
        );
    }
    for p in PERSONAL {
        let there = found
            .iter()
            .any(|(table, column)| p.table == table && p.column == column);
        assert!(there, "{}.{} is gone", p.table, p.column);
    }
}

#[tokio::test]
async fn an_export_has_all_that_is_known_of_a_person_and_nothing_of_others() {
    let app = App::start().await;
    let person = somebody(&app).await;
    let other = app.register("Somebody Else").await;
    let reply = person.get("/auth/export").await;
    assert!(reply.header("content-disposition").starts_with("attachment"));
    let export: Value = reply.ok();
    for p in PERSONAL {
        if let Told::As(section) = p.told {
            assert!(export[section].is_array(), "{section} of {}.{}", p.table, p.column);
        }
    }
    assert_eq!(export["account"][0]["email"], person.email.as_str());
    assert_eq!(export["account"][0]["handle"], "minchen_a");
    assert_eq!(export["addresses"].as_array().map(Vec::len), Some(2));
    assert_eq!(export["orders"][0]["address"]["line1"], "Palmaille 12");
    assert_eq!(export["orders"][0]["items"][0]["title"], "Test Product");
    assert_eq!(export["orders"][0]["payments"][0]["status"], "captured");
    assert_eq!(export["chat_messages"][0]["text"], "What a lovely jug");
    assert_eq!(export["follows"].as_array().map(Vec::len), Some(1));
    for secret in ["password", "hash", "request_id", &other.email, &person.refresh] {
        assert!(!reply.text.contains(secret), "{secret} in {}", reply.text);
    }
    app.get("/auth/export").send().await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn an_export_of_many_things_is_whole_and_in_order() {
    let app = App::start().await;
    let person = app.register("Talker").await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let said = "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, text, created_at)
                select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, s.id, 1, n, $1, 'Number ' || n, now()
                  from streams s, generate_series(1, 1250) n";
    run(&app, said, person.id.0).await;
    assert_eq!(shop.owner.0.get_version_num(), 7);
    let export: Value = person.get("/auth/export").await.ok();
    let said = export["chat_messages"].as_array().expect("a list");
    assert_eq!(said.len(), 1_250);
    for (nth, message) in said.iter().enumerate() {
        assert_eq!(message["text"], format!("Number {}", nth + 1));
    }
}

#[tokio::test]
async fn exports_are_counted() {
    let app = App::start_with(|config| config.limits.exports_per_hour = 1.try_into().expect("one")).await;
    let (person, other) = (app.register("Viewer").await, app.register("Other").await);
    person.get("/auth/export").await.ok::<Value>();
    person.get("/auth/export").await.refused(429, "rate_limited");
    other.get("/auth/export").await.ok::<Value>();
}

#[tokio::test]
async fn who_leaves_is_gone_but_for_the_books() {
    let app = App::start().await;
    let person = somebody(&app).await;
    let admin = app.admin().await;
    app.mail_is_done().await;
    leave(&person, "wrong horse").await.refused(401, "invalid_credentials");
    leave(&person, PASSWORD).await.gone();
    app.letter(&person.email, "Your account is deleted").await;
    app.mail_is_done().await;

    person.get("/auth/me").await.refused(401, "unauthenticated");
    let renewal = json!({"refresh_token": person.refresh});
    let refused = app.post("/auth/refresh").json(&renewal).send().await;
    assert!(!refused.status.is_success(), "{}", refused.text);
    let login = json!({"email": person.email, "password": PASSWORD});
    app.post("/auth/login")
        .json(&login)
        .send()
        .await
        .refused(401, "invalid_credentials");

    let local = person.email.split('@').next().expect("a part").to_owned();
    for text in [
        local.as_str(),
        "Wilhelmine",
        "Abendroth",
        "minchen_a",
        "Fayencen",
        "Elbchaussee",
        "Palmaille",
        "5550123",
    ] {
        // The orders' own copies of where they were sent, which the law has kept.
        let left: Vec<_> = places(&app, text)
            .await
            .into_iter()
            .filter(|p| !p.starts_with("orders: "))
            .collect();
        assert!(left.is_empty(), "{text} stands in {left:#?}");
    }
    assert_eq!(places(&app, "Palmaille").await.len(), 1, "the order has its address");

    // What is decided to be deleted is.
    for p in PERSONAL.iter().filter(|p| p.fate == Fate::Deleted) {
        let sql = format!("select count(*) from {} where {} = $1", p.table, p.column);
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(person.id.0)
            .fetch_one(&app.db.pool)
            .await
            .expect("a count");
        assert_eq!(left, 0, "{}.{}", p.table, p.column);
    }
    let report = shared::verify::run(&app.db.pool).await.expect("a report");
    let check = |name: &str| {
        let check = report
            .checks
            .iter()
            .find(|check| check.name == name)
            .expect("an invariant");
        (check.examined, check.broken)
    };
    assert_eq!(check("deleted_accounts_hold_nothing"), (1, 0));
    assert_eq!(check("one_capture"), (1, 0));
    assert_eq!(check("ledger_balances").1, 0);

    let account: Value = admin.get(&format!("/admin/users/{}", person.id)).await.ok();
    assert!(account["deleted_at"].is_string() && account["display_name"] == "Deleted account");
    let path = format!("/admin/users/{}/reinstate", person.id);
    let account: Value = admin.post(&path, &json!({})).await.ok();
    assert!(account["suspended_at"].is_string(), "gone is gone");
}

#[tokio::test]
async fn the_sockets_of_who_leaves_are_told() {
    let app = App::start().await;
    let person = app.register("Viewer").await;
    leave(&person, PASSWORD).await.gone();
    for subject in ["account", "session"] {
        let told: i64 =
            sqlx::query_scalar("select count(*) from revocations where user_id = $1 and subject = $2 and in_force")
                .bind(person.id.0)
                .bind(subject)
                .fetch_one(&app.db.pool)
                .await
                .expect("a count");
        assert_eq!(told, 1, "{subject}");
    }
}

#[tokio::test]
async fn an_address_and_a_handle_are_free_again_the_one_at_once_the_other_later() {
    let app = App::start().await;
    let person = app.register("Viewer").await;
    person
        .patch("/auth/profile", &json!({"handle": "mug_fan"}))
        .await
        .ok::<Me>();
    leave(&person, PASSWORD).await.gone();
    let again = |handle: &str| {
        let body = json!({"email": person.email, "password": PASSWORD, "display_name": "New", "handle": handle});
        app.post("/auth/register").json(&body)
    };
    again("mug_fan").send().await.refused(409, "handle_taken");
    let opened: Value = again("cup_fan").send().await.created();
    assert_ne!(opened["user"]["id"], json!(person.id));
}

#[tokio::test]
async fn who_still_owes_something_is_told_what() {
    let app = App::start().await;
    let (owner, seller) = app.seller("Harbour Lane Ceramics").await;
    run(
        &app,
        "insert into streams (id, seller_id, title, status, scheduled_at)
         values (gen_random_uuid(), $1, 'Next week', 'scheduled', now() + interval '7 days')",
        seller.0,
    )
    .await;
    let problem = leave(&owner, PASSWORD).await.refused(409, "obligations_open");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.ends_with("1 show is scheduled or on air"), "{detail}");
    owner.get("/auth/me").await.ok::<Me>();

    run(
        &app,
        "update streams set status = 'cancelled' where seller_id = $1",
        seller.0,
    )
    .await;
    leave(&owner, PASSWORD).await.gone();
    assert!(places(&app, "Harbour Lane").await.is_empty());
    let shop = app.get(&format!("/sellers/{seller}")).send().await;
    shop.refused(404, "not_found");
}

#[tokio::test]
async fn who_sold_something_stays_until_it_is_delivered_and_paid_out() {
    let app = App::start().await;
    let (owner, seller) = app.seller("Harbour Lane Ceramics").await;
    let (_, variant) = fixtures::product(&app.db.pool, seller, 5, 2_000).await;
    let buyer = app.register("Buyer").await;
    fixtures::address(&app.db.pool, buyer.id).await;
    let list: Value = buyer.get("/users/addresses").await.ok();
    let body = json!({"items": [{"variant_id": variant, "quantity": 1}], "address_id": list["items"][0]["id"]});
    let checkout: Value = buyer
        .post_once("/orders/checkout", Uuid::now_v7(), &body)
        .await
        .created();
    let place = json!({"checkout_id": checkout["id"]});
    let order: Value = buyer.post_once("/orders", Uuid::now_v7(), &place).await.created();
    let reason = |problem: Value| problem["detail"].as_str().expect("words").to_owned();
    assert!(reason(leave(&buyer, PASSWORD).await.refused(409, "obligations_open")).contains("1 order is unpaid"));
    let path = format!("/orders/{}/payments", order["id"].as_str().expect("an id"));
    let paid = buyer
        .post_once(&path, Uuid::now_v7(), &json!({"token": "test_success"}))
        .await;
    assert!(paid.status.is_success(), "{}", paid.text);
    let owed = reason(leave(&owner, PASSWORD).await.refused(409, "obligations_open"));
    assert!(
        owed.contains("1 order of a customer is not delivered; 1 balance is not paid out"),
        "{owed}"
    );
    leave(&buyer, PASSWORD).await.gone();
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let app = App::start().await;
    let admin = app.register("Admin").await;
    run(&app, "update users set role = 'admin' where id = $1", admin.id.0).await;
    let problem = leave(&admin, PASSWORD).await.refused(409, "obligations_open");
    assert!(
        problem["detail"]
            .as_str()
            .expect("words")
            .contains("no other administrator")
    );
    app.admin().await;
    leave(&admin, PASSWORD).await.gone();
}

#[tokio::test]
async fn nothing_is_written_into_an_account_that_is_just_going() {
    let app = App::start().await;
    let person = app.register("Viewer").await;
    let mut going = app.db.pool.begin().await.expect("a transaction");
    sqlx::query("update users set deleted_at = now(), suspended_at = now() where id = $1")
        .bind(person.id.0)
        .execute(&mut *going)
        .await
        .expect("going");
    let address = json!({"recipient": "R", "line1": "L", "city": "C", "postal_code": "12345", "country": "DE"});
    let (a, b) = (person.clone(), person.clone());
    let late_address = tokio::spawn(async move { a.post("/users/addresses", &address).await });
    app.somebody_waits().await;
    let late_name = tokio::spawn(async move { b.patch("/auth/profile", &json!({"display_name": "Back"})).await });
    app.wait_for(
        "select count(*) >= 2 from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'",
    )
    .await;
    going.commit().await.expect("gone");
    late_address.await.expect("an answer").refused(401, "unauthenticated");
    late_name.await.expect("an answer").refused(401, "unauthenticated");
}

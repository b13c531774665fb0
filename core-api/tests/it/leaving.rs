//! Leaving: what is gone, what stays in the books, and who cannot leave yet.

use std::time::Duration;

use core_api::identity::Me;
use core_api::privacy::tables::{Fate, PERSONAL};
use serde_json::{Value, json};
use testkit::fixtures;
use uuid::Uuid;

use crate::harness::{App, PASSWORD, Reply, Session};
use crate::market::{Buyer, Market};
use crate::privacy::{run, somebody};

async fn leave(who: &Session, password: &str) -> Reply {
    who.post("/auth/leave", &json!({"password": password})).await
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
        "5550177",
        "5550188",
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
    let reinstate = format!("/admin/sellers/{seller}/reinstate");
    let reinstated = app.admin().await.post(&reinstate, &json!({})).await;
    reinstated.refused(409, "wrong_state");
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
async fn nobody_leaves_an_open_return_or_dispute_behind_and_why_it_was_asked_for_goes_with_them() {
    let market = Market::open(10, 1_000).await;
    let app = &market.app;
    let (buyer, owner) = (app.register("Buyer").await, app.register("Shop Owner").await);
    let give = "update sellers set user_id = $1";
    market.sql(give, owner.id.0).await;
    let order = Buyer {
        address: fixtures::address(&app.db.pool, buyer.id).await,
        session: buyer.clone(),
    }
    .paid(&market, 1, "test_success")
    .await;
    let open = "insert into returns (id, order_id, order_item_id, seller_id, quantity, reason)
                select gen_random_uuid(), order_id, id, seller_id, 1, 'It smells of Fayencen'
                  from order_items where order_id = $1";
    market.sql(open, order.id.0).await;
    let open = "insert into disputes (id, payment_id, provider_ref, amount_minor, covered_minor, currency)
                select gen_random_uuid(), id, 'dp_1', amount_minor, amount_minor, currency from payments where order_id = $1";
    market.sql(open, order.id.0).await;
    let export: Value = buyer.get("/auth/export").await.ok();
    assert_eq!(export["orders"][0]["returns"][0]["reason"], "It smells of Fayencen");
    for who in [&buyer, &owner] {
        let problem = leave(who, PASSWORD).await.refused(409, "obligations_open");
        let detail = problem["detail"].as_str().expect("words");
        assert!(
            detail.contains("1 return or claim is open; 1 payment is in dispute"),
            "{detail}"
        );
    }
    market
        .sql("update returns set status = 'rejected' where order_id = $1", order.id.0)
        .await;
    let won = "update disputes set status = 'won', closed_at = now()
                where payment_id = (select id from payments where order_id = $1)";
    market.sql(won, order.id.0).await;
    leave(&buyer, PASSWORD).await.gone();
    assert!(places(app, "Fayencen").await.is_empty());
}

#[tokio::test]
async fn nobody_leaves_who_is_owed_a_refund() {
    let market = Market::open(10, 1_000).await;
    let app = &market.app;
    let (buyer, admin) = (app.register("Buyer").await, app.admin().await);
    let order = Buyer {
        address: fixtures::address(&app.db.pool, buyer.id).await,
        session: buyer.clone(),
    }
    .paid(&market, 1, "test_success_refund_fails")
    .await;
    let cancel = format!("/orders/{}/cancel", order.id);
    let cancelled: Value = buyer.post(&cancel, &json!({})).await.ok();
    assert_eq!(cancelled["refunds"][0]["owed"], true);
    let problem = leave(&buyer, PASSWORD).await.refused(409, "obligations_open");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("1 refund has failed and is owed"), "{detail}");
    let settle = format!(
        "/admin/refunds/{}/settle-outside",
        cancelled["refunds"][0]["id"].as_str().expect("an id")
    );
    let body = json!({"reason": "bank transfer, the card is closed"});
    admin.post_once(&settle, Uuid::now_v7(), &body).await.created::<Value>();
    leave(&buyer, PASSWORD).await.gone();
    market.verified().await;
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

#[tokio::test]
async fn a_show_names_nobody_who_has_left_by_any_name_and_everybody_else() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 10, 2_400).await;
    let (goes, stays) = (app.register("Maria Huber").await, app.register("Maria Huber").await);
    for (seq, person) in [(1_i64, &goes), (2, &stays)] {
        person
            .patch("/auth/profile", &json!({"show_purchases": true}))
            .await
            .ok::<Me>();
        sqlx::query(
            "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at)
             values ($1, 1, $2, 'purchase',
                     jsonb_build_object('type', 'purchase', 'buyer', $3::uuid, 'title', 'Mug', 'quantity', 1), now())",
        )
        .bind(shop.stream.0)
        .bind(seq)
        .bind(person.id.0)
        .execute(&app.db.pool)
        .await
        .expect("stored");
    }
    let told = async || {
        let mut names = Vec::new();
        for page in ["events", "replay"] {
            let path = format!("/streams/{}/{page}", shop.stream);
            let page: Value = app.get(&path).send().await.ok();
            let items = page["items"].as_array().expect("a list");
            for event in items.iter().map(|item| &item["event"]) {
                assert!(event.get("buyer").is_none(), "{event}");
                names.push(event.get("name").and_then(Value::as_str).unwrap_or("-").to_owned());
            }
        }
        names
    };
    assert_eq!(told().await, ["Maria Huber"; 4]);
    goes.patch("/auth/profile", &json!({"display_name": "M."}))
        .await
        .ok::<Me>();
    assert_eq!(told().await, ["M.", "Maria Huber", "M.", "Maria Huber"]);
    leave(&goes, PASSWORD).await.gone();
    assert_eq!(told().await, ["-", "Maria Huber", "-", "Maria Huber"]);
    stays
        .patch("/auth/profile", &json!({"show_purchases": false}))
        .await
        .ok::<Me>();
    assert_eq!(told().await, ["-"; 4], "who no longer wants to be named is not");
}

#[tokio::test]
async fn a_request_that_was_under_way_leaves_nothing_behind_for_who_has_left() {
    let app = App::start().await;
    let person = app.register("Viewer").await;
    let shop = fixtures::shop(&app.db.pool, 10, 2_400).await;
    let (owner, _) = app.seller("Harbour Lane Ceramics").await;
    let address = fixtures::address(&app.db.pool, person.id).await;
    // As leaving does it: the account's lock, then the end.
    let mut going = app.db.pool.begin().await.expect("a transaction");
    for sql in [
        "select id from users where id = any($1) for update",
        "update users set deleted_at = now(), suspended_at = now() where id = any($1)",
    ] {
        sqlx::query(sql)
            .bind(vec![person.id.0, owner.id.0])
            .execute(&mut *going)
            .await
            .expect("going");
    }
    let follow = format!("/sellers/{}/follow", shop.seller);
    let items = json!([{"variant_id": shop.variant, "quantity": 1}]);
    let calls = [
        (&person, follow.as_str(), json!({})),
        (
            &person,
            "/sellers/apply",
            json!({"shop_name": "New Shop", "country": "DE", "currency": "EUR"}),
        ),
        (
            &person,
            "/orders/checkout",
            json!({"address_id": address, "items": items}),
        ),
        (
            &owner,
            "/seller/products",
            json!({"title": "Bowl", "variants": [{"sku": "BOWL", "price_minor": 1999, "on_hand": 1}]}),
        ),
        (
            &owner,
            "/streams",
            json!({"title": "Next week", "scheduled_at": chrono::Utc::now() + chrono::Duration::days(7)}),
        ),
    ];
    let asked: Vec<_> = calls
        .map(|(who, path, body)| {
            let call = who.call(reqwest::Method::POST, path).key(Uuid::now_v7()).json(&body);
            tokio::spawn(call.send())
        })
        .into_iter()
        .collect();
    app.wait_for(
        "select count(*) >= 3 from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'",
    )
    .await;
    going.commit().await.expect("gone");
    for reply in asked {
        let reply = tokio::time::timeout(Duration::from_secs(30), reply).await;
        let reply = reply.expect("in time").expect("an answer");
        reply.refused(401, "unauthenticated");
    }
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from follows where user_id = any($1))
              + (select count(*) from checkouts where user_id = any($1))
              + (select count(*) from idempotency_keys where user_id = any($1))
              + (select count(*) from sellers where user_id = $2)
              + (select count(*) from products p join sellers s on s.id = p.seller_id where s.user_id = any($1))
              + (select count(*) from streams t join sellers s on s.id = t.seller_id where s.user_id = any($1))",
    )
    .bind(vec![person.id.0, owner.id.0])
    .bind(person.id.0)
    .fetch_one(&app.db.pool)
    .await
    .expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_is_cleared_when_somebody_leaves_takes_nothing_more_from_them() {
    let app = App::start().await;
    let guarded: Vec<String> =
        sqlx::query_scalar("select tgrelid::regclass::text from pg_trigger where tgname = 'account_is_there'")
            .fetch_all(&app.db.pool)
            .await
            .expect("the triggers");
    // A profile is made with its account.
    let cleared = PERSONAL
        .iter()
        .filter(|p| !matches!(p.fate, Fate::Stays(_)) && p.table != "profiles");
    for p in cleared {
        assert!(guarded.iter().any(|table| table == p.table), "{}", p.table);
    }
}

#[tokio::test]
async fn nobody_vouches_for_the_address_of_who_has_left() {
    let app = App::start().await;
    let person = app.register("Viewer").await;
    leave(&person, PASSWORD).await.gone();
    let path = format!("/admin/users/{}/confirm-email", person.id);
    let account: Value = app.admin().await.post(&path, &json!({})).await.ok();
    assert_eq!(account["email_verified_at"], Value::Null, "{account}");
}

//! A person's data, taken along whole; what becomes of it when they leave is in `leaving.rs`.

use core_api::identity::Me;
use core_api::privacy::tables::{Fate, PERSONAL, Told};
use serde_json::{Value, json};
use testkit::fixtures;
use uuid::Uuid;

use crate::harness::{App, Session};

pub async fn run(app: &App, sql: &'static str, id: Uuid) {
    let done = sqlx::query(sql).bind(id).execute(&app.db.pool).await;
    done.expect("done");
}

/// Somebody whose name, handle, address and profile stand nowhere else, with a bit of
/// everything, who has bought something in a show.
pub async fn somebody(app: &App) -> Session {
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
    leave_in_checkout(&person, &shop).await;
    for sql in [
        "insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id)
         select gen_random_uuid(), $1, 'show_started', s.id, s.seller_id, s.id from streams s",
        "insert into notification_preferences values ($1, 'show_started', true, true)",
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, text, created_at)
         select gen_random_uuid(), s.id, 1, 1, $1, 'What a lovely jug', now() from streams s",
        "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at)
         select s.id, 1, 2, 'purchase',
                jsonb_build_object('type', 'purchase', 'buyer', $1::uuid, 'title', 'Mug', 'quantity', 1), now()
           from streams s",
        "insert into chat_reviews (message_id, stream_id, user_id, request_id, body_hash, text, cause, detail)
         select gen_random_uuid(), s.id, $1, gen_random_uuid(), 1, 'Held: my tel. 0175 5550177', 'word', 'tel.'
           from streams s",
        "insert into chat_reports (id, stream_id, message_id, author_id, reporter_id, reason, note, text)
         select gen_random_uuid(), s.id, gen_random_uuid(), o.user_id, $1, 'scam', 'He rang me on 5550188', 'Call me'
           from streams s join sellers o on o.id = s.seller_id",
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

/// Is about to buy one more, sent to the older address, and does not.
async fn leave_in_checkout(person: &Session, shop: &fixtures::Shop) {
    let list: Value = person.get("/users/addresses").await.ok();
    let body = json!({
        "items": [{"variant_id": shop.variant, "quantity": 1}],
        "address_id": list["items"][1]["id"],
    });
    let opened = person.post_once("/orders/checkout", Uuid::now_v7(), &body).await;
    opened.created::<Value>();
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
    assert_eq!(export["checkouts"].as_array().map(Vec::len), Some(2));
    assert_eq!(export["checkouts"][1]["address"]["line1"], "Elbchaussee 401");
    assert_eq!(export["orders"][0]["items"][0]["title"], "Test Product");
    assert_eq!(export["orders"][0]["payments"][0]["status"], "captured");
    assert_eq!(export["orders"][0]["parcels"], json!([]));
    assert_eq!(export["chat_messages"][0]["text"], "What a lovely jug");
    assert_eq!(export["follows"].as_array().map(Vec::len), Some(1));
    assert_eq!(export["held_messages"][0]["text"], "Held: my tel. 0175 5550177");
    assert_eq!(export["reports"][0]["note"], "He rang me on 5550188");
    assert_eq!(export["notifications"][0]["kind"], "show_started");
    let chosen = json!([{"kind": "show_started", "in_app": true, "email": true}]);
    assert_eq!(export["notification_preferences"], chosen);
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

/// The columns that are looked up when somebody takes their data along or leaves.
fn looked_up() -> impl Iterator<Item = (&'static str, &'static str)> {
    PERSONAL
        .iter()
        .filter(|p| matches!(p.told, Told::As(_)) || !matches!(p.fate, Fate::Stays(_)))
        .map(|p| (p.table, p.column))
}

#[tokio::test]
async fn what_is_known_of_a_person_is_found_without_reading_whole_tables() {
    let app = App::start().await;
    let indexed: Vec<(String, String)> = sqlx::query_as(
        "select i.indrelid::regclass::text, a.attname::text
           from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
          where i.indpred is null",
    )
    .fetch_all(&app.db.pool)
    .await
    .expect("the indexes");
    for (table, column) in looked_up() {
        let found = indexed.iter().any(|(t, c)| t == table && c == column);
        assert!(found, "{table} has no index that begins with {column}");
    }
}

#[tokio::test]
async fn a_session_is_told_once_however_often_it_was_renewed() {
    let app = App::start().await;
    let person = app.register("Viewer").await;
    let mut token = person.refresh.clone();
    for agent in ["Phone/1.0", "Phone/2.0", "Phone/2.0"] {
        let body = json!({"refresh_token": token});
        let call = app.post("/auth/refresh").header("User-Agent", agent).json(&body);
        let renewed: Value = call.send().await.ok();
        token = renewed["refresh_token"].as_str().expect("a token").to_owned();
    }
    let export: Value = person.get("/auth/export").await.ok();
    let sessions = export["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0]["user_agents"], json!(["", "Phone/1.0", "Phone/2.0"]));
}

//! What came to nothing however often it was tried, and what admins do about it.

use core_api::audit::model::AuditEntry;
use core_api::dead_letters::model::{DeadLetter, DeadLetterKind};
use core_api::http::List;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{App, Reply, Session};
use crate::smtp::Server;

async fn over(server: &Server) -> App {
    let url = server.url();
    App::start_with(|config| config.mail.smtp_url = Some(shared::config::Secret::new(url))).await
}

async fn run(app: &App, sql: &'static str) {
    sqlx::query(sql).execute(&app.db.pool).await.expect("done");
}

async fn count(app: &App, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&app.db.pool).await.expect("a count")
}

async fn dead(admin: &Session, query: &str) -> List<DeadLetter> {
    admin.get(&format!("/admin/dead-letters{query}")).await.ok()
}

async fn act(admin: &Session, id: Uuid, act: &str, key: Uuid) -> Reply {
    let path = format!("/admin/dead-letters/{id}/{act}");
    let body = json!({"reason": "nobody waits for it"});
    admin.post_once(&path, key, &body).await
}

/// What was done about one, newest first.
async fn audited(admin: &Session, id: Uuid) -> Vec<AuditEntry> {
    let list: List<AuditEntry> = admin.get(&format!("/admin/audit?subject_id={id}")).await.ok();
    list.items
}

/// A dead row of the outbox for each of these payloads.
async fn buried(app: &App, payloads: &[Value]) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for payload in payloads {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into outbox (id, topic, payload, attempts, last_error, dead_at)
             values ($1, 'mail', $2, 33, 'the server said 451', now())",
        )
        .bind(id)
        .bind(payload)
        .execute(&app.db.pool)
        .await
        .expect("buried");
        ids.push(id);
    }
    ids
}

#[tokio::test]
async fn a_letter_that_was_tried_for_a_day_is_dead_until_an_admin_has_it_sent() {
    let server = Server::start().await;
    let app = over(&server).await;
    let (viewer, admin) = (app.register_unconfirmed("Viewer").await, app.admin().await);
    app.mail_is_done().await;
    server.answer_with("451 4.7.0 <viewer@example.com> later, says password=hunter2");
    viewer.post("/auth/email/verification", &json!({})).await;
    server.heard(2).await;
    app.wait_for("select count(*) = 1 from outbox where attempts = 1 and last_error is not null")
        .await;
    run(
        &app,
        "update outbox set attempts = 32, not_before = now() where delivered_at is null",
    )
    .await;
    app.wait_for("select count(*) = 1 from outbox where dead_at is not null")
        .await;
    let list = dead(&admin, "").await;
    let [letter] = &list.items[..] else {
        panic!("{list:?}");
    };
    assert_eq!(
        (
            letter.kind,
            letter.source.as_str(),
            letter.what.as_str(),
            letter.attempts,
            letter.last_error.as_str()
        ),
        (
            DeadLetterKind::Outbox,
            "mail",
            "confirm_email",
            33,
            "the server said 451 4.7.0"
        )
    );

    // It is in nobody's way, and nobody takes it.
    server.answer_with("250 thank you");
    run(&app, "update outbox set not_before = now()").await;
    viewer.post("/auth/email/verification", &json!({})).await;
    app.mail_is_done().await;
    assert_eq!(server.letters().len(), 2);

    let key = Uuid::now_v7();
    for _ in 0..2 {
        let was: DeadLetter = act(&admin, letter.id, "retry", key).await.ok();
        assert_eq!(was, *letter);
    }
    app.wait_for("select count(*) = 3 from outbox where delivered_at is not null and attempts = 1 and payload = '{}'")
        .await;
    assert_eq!(server.letters().len(), 3);
    act(&admin, letter.id, "retry", Uuid::now_v7())
        .await
        .refused(409, "wrong_state");
    assert_eq!(dead(&admin, "").await.items, []);
    let entries = audited(&admin, letter.id).await;
    let [entry] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!(
        (entry.action.as_str(), entry.actor_id),
        ("dead_letter.retried", Some(admin.id))
    );
    assert_eq!(entry.detail["before"]["attempts"], 33);
    assert_eq!(entry.detail["after"]["attempts"], 0);
}

#[tokio::test]
async fn what_nobody_here_can_take_is_dead_at_once_and_in_nobodys_way() {
    let app = App::start().await;
    let admin = app.admin().await;
    for (topic, payload) in [
        ("mail", json!({"letter": "of_tomorrow"})),
        ("mail", json!({})),
        ("of_tomorrow", json!({"letter": 1})),
        ("of_tomorrow", json!([])),
    ] {
        sqlx::query("insert into outbox (id, topic, payload) values ($1, $2, $3)")
            .bind(Uuid::now_v7())
            .bind(topic)
            .bind(payload)
            .execute(&app.db.pool)
            .await
            .expect("queued");
    }
    // Whoever took this one died over it, again and again.
    sqlx::query("insert into outbox (id, topic, payload, attempts) values ($1, 'mail', $2, 33)")
        .bind(Uuid::now_v7())
        .bind(json!({"letter": "email_changed", "to": "viewer@example.com"}))
        .execute(&app.db.pool)
        .await
        .expect("queued");
    app.wait_for("select count(*) = 5 from outbox where dead_at is not null")
        .await;
    assert!(app.letters("viewer@example.com").is_empty());
    let list = dead(&admin, "?kind=outbox").await;
    let why: Vec<_> = list.items.iter().rev().map(|dead| dead.last_error.as_str()).collect();
    let (kind, topic) = (
        "a letter of a kind that is not known here",
        "nobody here takes this topic",
    );
    assert_eq!(why, [kind, kind, topic, topic, "whoever took it did not come back"]);
    let viewer = app.register_unconfirmed("Viewer").await;
    app.letter(&viewer.email, "Confirm").await;
}

#[tokio::test]
async fn dead_letters_come_a_page_at_a_time_and_never_say_what_they_say() {
    let app = App::start().await;
    let admin = app.admin().await;
    let letter = |n: usize| json!({"letter": "reset_password", "email": format!("viewer{n}@example.com")});
    let mut ids = buried(&app, &(0..5).map(letter).collect::<Vec<_>>()).await;
    let webhook = Uuid::now_v7();
    sqlx::query(
        "insert into webhook_inbox (id, provider, event_id, kind, payload, attempts, last_error, dead_at)
         values ($1, 'carrier', 'evt_1', 'delivered', '{\"tracking\": \"A1\"}', 20, 'no parcel', now())",
    )
    .bind(webhook)
    .execute(&app.db.pool)
    .await
    .expect("buried");
    ids.push(webhook);
    let (mut seen, mut query) = (Vec::new(), "?limit=4".to_owned());
    loop {
        let reply = admin.get(&format!("/admin/dead-letters{query}")).await;
        assert!(
            !reply.text.contains("example.com") && !reply.text.contains("A1"),
            "{}",
            reply.text
        );
        let page: List<DeadLetter> = reply.ok();
        seen.extend(page.items.iter().map(|dead| dead.id));
        let Some(cursor) = page.next_cursor else { break };
        query = format!("?limit=4&cursor={cursor}");
    }
    seen.reverse();
    assert_eq!(seen, ids);
    let webhooks = dead(&admin, "?kind=webhook").await.items;
    assert_eq!(webhooks.iter().map(|dead| dead.id).collect::<Vec<_>>(), [webhook]);
    admin
        .get("/admin/dead-letters?kind=other")
        .await
        .refused(400, "invalid_parameter");
    core_api::dead_letters::measure(&app.db.pool).await.expect("measured");

    // They stay however old they are.
    run(
        &app,
        "update outbox set created_at = now() - interval '1 year', dead_at = now() - interval '1 year'",
    )
    .await;
    run(&app, "update webhook_inbox set received_at = now() - interval '1 year'").await;
    core_api::jobs::prune_outbox(&app.db.pool, 100).await.expect("pruned");
    core_api::webhooks::prune(&app.db.pool, 100).await.expect("pruned");
    assert_eq!(count(&app, "select count(*) from dead_letters").await, 6);
}

#[tokio::test]
async fn what_an_admin_discards_is_gone_and_on_record() {
    let app = App::start().await;
    let admin = app.admin().await;
    let letter = json!({"letter": "email_changed", "to": "viewer@example.com"});
    let [id] = buried(&app, &[letter]).await[..] else {
        panic!("one is buried");
    };
    let (path, key) = (format!("/admin/dead-letters/{id}/discard"), Uuid::now_v7());
    let blank = admin.post_once(&path, key, &json!({"reason": " "})).await;
    blank.refused(422, "invalid_body");
    for _ in 0..2 {
        let was: DeadLetter = act(&admin, id, "discard", key).await.ok();
        assert_eq!((was.id, was.what.as_str()), (id, "email_changed"));
    }
    assert_eq!(
        count(&app, "select count(*) from outbox where payload <> '{}'").await,
        0
    );
    act(&admin, id, "discard", Uuid::now_v7())
        .await
        .refused(404, "not_found");
    act(&admin, Uuid::now_v7(), "retry", Uuid::now_v7())
        .await
        .refused(404, "not_found");
    let entries = audited(&admin, id).await;
    assert_eq!(
        (entries.len(), entries[0].action.as_str()),
        (1, "dead_letter.discarded")
    );
    assert_eq!(entries[0].detail["reason"], "nobody waits for it");
    assert_eq!(entries[0].detail["before"]["what"], "email_changed");
}

#[tokio::test]
async fn who_leaves_leaves_no_dead_letter_with_their_address() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    app.mail_is_done().await;
    let to = |email: &str| json!({"letter": "reset_password", "email": email});
    buried(&app, &[to(&viewer.email), to("other@example.com")]).await;
    let leave = json!({"password": crate::harness::PASSWORD});
    viewer.post("/auth/leave", &leave).await.gone();
    let left: Value = sqlx::query_scalar("select payload from outbox where dead_at is not null")
        .fetch_one(&app.db.pool)
        .await
        .expect("the other one");
    assert_eq!(left, to("other@example.com"));
}

#[tokio::test]
async fn rows_of_rooms_are_none_of_the_relays() {
    let app = App::start().await;
    let shop = testkit::fixtures::shop(&app.db.pool, 1, 100).await;
    let id = Uuid::now_v7();
    sqlx::query("insert into outbox (id, topic, stream_id, payload) values ($1, 'new', $2, '{\"notice\": \"new\"}')")
        .bind(id)
        .bind(shop.stream.0)
        .execute(&app.db.pool)
        .await
        .expect("pushed");
    let admin = app.admin().await;
    act(&admin, id, "discard", Uuid::now_v7())
        .await
        .refused(404, "not_found");
    let buried = sqlx::query("update outbox set dead_at = now() where id = $1").bind(id);
    let refused = buried.execute(&app.db.pool).await.expect_err("it is a room's");
    let constraint = refused
        .as_database_error()
        .and_then(|error| error.constraint().map(ToOwned::to_owned));
    assert_eq!(constraint.as_deref(), Some("outbox_dead_rows_are_the_relays"));
}

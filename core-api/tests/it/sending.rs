//! How a letter gets out, whatever the mail server does.

use serde_json::json;

use crate::harness::{App, Reply};
use crate::smtp::Server;

async fn over(server: &Server) -> App {
    let url = server.url();
    App::start_with(|config| config.mail.smtp_url = Some(shared::config::Secret::new(url))).await
}

async fn ask_to_reset(app: &App, email: &str) {
    let body = json!({"email": email});
    let reply: Reply = app.post("/auth/password/reset").json(&body).send().await;
    assert_eq!(reply.status.as_u16(), 202, "{}", reply.text);
}

async fn run(app: &App, sql: &'static str) {
    sqlx::query(sql).execute(&app.db.pool).await.expect("done");
}

#[tokio::test]
async fn a_letter_that_cannot_be_sent_is_tried_again_and_given_up_after_a_day() {
    let server = Server::start().await;
    server.answer_with("451 not now");
    let app = over(&server).await;
    let viewer = app.register_unconfirmed("Viewer").await;
    server.heard(1).await;
    app.wait_for("select count(*) = 1 from outbox where topic = 'mail' and delivered_at is null and not_before < now() + interval '10 seconds'")
        .await;
    server.answer_with("250 thank you");
    run(&app, "update outbox set not_before = now()").await;
    app.mail_is_done().await;
    let sent = server.letters();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains(&format!("To: {}", viewer.email)), "{}", sent[0]);

    server.answer_with("451 not now");
    ask_to_reset(&app, &viewer.email).await;
    server.heard(3).await;
    app.wait_for("select count(*) = 1 from outbox where topic = 'mail' and delivered_at is null and not_before < now() + interval '10 seconds'")
        .await;
    run(
        &app,
        "update outbox set not_before = now(), attempts = 32 where delivered_at is null",
    )
    .await;
    app.mail_is_done().await;
    assert_eq!(server.letters().len(), 1);
}

#[tokio::test]
async fn a_server_that_falls_silent_keeps_no_other_letter_from_going_out() {
    let server = Server::start().await;
    server.answer_with("");
    let url = server.url();
    let app = App::start_with(|config| {
        config.mail.smtp_url = Some(shared::config::Secret::new(url));
        config.mail.send_timeout = std::time::Duration::from_secs(1);
    })
    .await;
    let first = app.register_unconfirmed("First").await;
    server.heard(1).await;
    server.answer_with("250 thank you");
    let second = app.register_unconfirmed("Second").await;
    app.wait_for("select count(*) > 0 from outbox where topic = 'mail' and delivered_at is not null")
        .await;
    run(&app, "update outbox set not_before = now() where delivered_at is null").await;
    app.mail_is_done().await;
    let sent = server.letters();
    assert_eq!(sent.len(), 2);
    // Nor does a letter get what the one before it was answered.
    for viewer in [first, second] {
        let to = format!("To: {}", viewer.email);
        assert_eq!(
            sent.iter().filter(|letter| letter.contains(&to)).count(),
            1,
            "{sent:#?}"
        );
    }
}

#[tokio::test]
async fn letters_that_somebody_waits_for_go_before_those_to_many() {
    let server = Server::start().await;
    let app = over(&server).await;
    let (viewer, (_, seller)) = (app.register("Viewer").await, app.seller("Some Shop").await);
    app.mail_is_done().await;
    let before = server.letters().len();
    let queued = "insert into outbox (id, topic, payload)
         select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'mail',
                case when n = 60 then jsonb_build_object('letter', 'password_changed', 'user', $1::uuid)
                     else jsonb_build_object('letter', 'notification', 'user', $1::uuid, 'kind', 'shop_approved',
                                             'seller', $2::uuid) end
           from generate_series(1, 60) n";
    sqlx::query(queued)
        .bind(viewer.id.0)
        .bind(seller.0)
        .execute(&app.db.pool)
        .await
        .expect("queued");
    app.mail_is_done().await;
    let sent = &server.letters()[before..];
    assert_eq!(sent.len(), 60);
    let place = sent
        .iter()
        .position(|letter| letter.contains("Subject: Your password was changed"));
    assert!(place.is_some_and(|place| place < 20), "{place:?}");
}

#[tokio::test]
async fn a_recipient_that_the_server_refuses_for_good_is_not_tried_again() {
    let server = Server::start().await;
    server.answer_with("550 no such person");
    let app = over(&server).await;
    app.register_unconfirmed("Viewer").await;
    app.mail_is_done().await;
    assert!(server.letters().is_empty());
    let once = "select max(attempts) = 1 and bool_and(dead_at is not null and last_error = 'the server said 550')
                  from outbox where topic = 'mail'";
    assert!(
        sqlx::query_scalar::<_, bool>(once)
            .fetch_one(&app.db.pool)
            .await
            .expect("one")
    );
}

#[tokio::test]
async fn what_an_operator_has_to_mend_loses_no_letter() {
    let server = Server::start().await;
    let app = over(&server).await;
    let answers = [
        "530 log in first",
        "535 wrong password",
        "554 5.7.1 relay access denied",
        "550-5.7.1 we know\r\n550 5.7.1 you not",
    ];
    for (nth, answer) in answers.into_iter().enumerate() {
        server.answer_with(answer);
        app.register_unconfirmed("Viewer").await;
        server.heard(2 * nth + 1).await;
        app.wait_for("select count(*) = 1 from outbox where topic = 'mail' and delivered_at is null and not_before < now() + interval '10 seconds'")
            .await;
        server.answer_with("250 thank you");
        run(&app, "update outbox set not_before = now() where delivered_at is null").await;
        app.mail_is_done().await;
        assert_eq!(server.letters().len(), nth + 1, "{answer}");
    }
}

#[tokio::test]
async fn a_letter_that_a_process_died_over_is_sent_by_another() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    app.mail_is_done().await;
    // As a process leaves it that has taken it and is gone: nobody touches it until then.
    let left = "insert into outbox (id, topic, payload, attempts, not_before)
                values (gen_random_uuid(), 'mail', jsonb_build_object('letter', 'password_changed', 'user', $1::uuid),
                        1, now() + interval '300 seconds')";
    sqlx::query(left)
        .bind(viewer.id.0)
        .execute(&app.db.pool)
        .await
        .expect("left lying");
    ask_to_reset(&app, &viewer.email).await;
    app.letter(&viewer.email, "Choose").await;
    assert!(
        !app.letters(&viewer.email)
            .iter()
            .any(|l| l.subject.starts_with("Your password"))
    );
    run(&app, "update outbox set not_before = now()").await;
    app.letter(&viewer.email, "Your password was changed").await;
}

#[tokio::test]
async fn letters_go_over_connections_that_are_kept() {
    let server = Server::start().await;
    let app = over(&server).await;
    for number in 1..=6 {
        app.register_unconfirmed(&format!("Viewer {number}")).await;
        app.mail_is_done().await;
    }
    assert_eq!(server.letters().len(), 6);
    // The server sees a letter's end a little before its sender does, so the next may find the
    // connection not back yet.
    assert!(server.connections() < 6, "{}", server.connections());
}

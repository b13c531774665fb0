//! Mail: links that confirm an address or set a password, and notices.

use core_api::identity::{Me, Session as Opened};
use serde_json::{Value, json};

use crate::harness::{App, Letter, PASSWORD, Reply, Session};

const OTHER_PASSWORD: &str = "battery staple";

/// What follows `#name=` in the letter's link.
fn token(letter: &Letter, name: &str) -> String {
    let mark = format!("/account#{name}=");
    let rest = letter.text.split(&mark).nth(1).expect("a link");
    rest.lines().next().expect("a line").trim().to_owned()
}

async fn confirm(who: &Session, token: &str) -> Reply {
    who.post("/auth/email/confirm", &json!({"token": token})).await
}

async fn ask_to_reset(app: &App, email: &str) -> Reply {
    let body = json!({"email": email});
    app.post("/auth/password/reset").json(&body).send().await
}

async fn reset(app: &App, token: &str, password: &str) -> Reply {
    let body = json!({"token": token, "password": password});
    app.post("/auth/password/reset/confirm").json(&body).send().await
}

async fn login(app: &App, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    app.post("/auth/login").json(&body).send().await
}

fn accepted(reply: &Reply) {
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""));
}

async fn me(who: &Session) -> Me {
    who.get("/auth/me").await.ok()
}

async fn run(app: &App, sql: &'static str) {
    sqlx::query(sql).execute(&app.db.pool).await.expect("done");
}

async fn count(app: &App, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&app.db.pool).await.expect("a count")
}

#[tokio::test]
async fn a_new_address_is_confirmed_with_what_was_mailed_there_once() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    assert!(!me(&viewer).await.email_verified);
    let letter = app.letter(&viewer.email, "Confirm").await;
    let token = token(&letter, "confirm");
    confirm(&viewer, &token).await.gone();
    assert!(me(&viewer).await.email_verified);
    let problem = confirm(&viewer, &token).await;
    assert_eq!(problem.refused(422, "link_invalid")["field"], "token");
    let problem = viewer.post("/auth/email/verification", &json!({})).await;
    problem.refused(409, "wrong_state");
}

#[tokio::test]
async fn no_token_is_stored_or_queued() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    let token = token(&app.letter(&viewer.email, "Confirm").await, "confirm");
    app.mail_is_done().await;
    let held = "select (select count(*) from outbox where outbox::text like '%' || $1 || '%')
                     + (select count(*) from mailed_links where mailed_links::text like '%' || $1 || '%')";
    let held: i64 = sqlx::query_scalar(held)
        .bind(&token)
        .fetch_one(&app.db.pool)
        .await
        .expect("a count");
    assert_eq!(held, 0);
    let said = count(
        &app,
        "select count(*) from outbox where topic = 'mail' and payload <> '{}'",
    )
    .await;
    assert_eq!(said, 0, "what was sent is forgotten");
}

#[tokio::test]
async fn who_has_not_confirmed_their_address_opens_no_shop() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    let application = json!({"shop_name": "Harbour Lane Ceramics", "country": "DE", "currency": "EUR"});
    let refused = viewer.post("/sellers/apply", &application).await;
    refused.refused(403, "email_unconfirmed");
    let letter = app.letter(&viewer.email, "Confirm").await;
    confirm(&viewer, &token(&letter, "confirm")).await.gone();
    viewer.post("/sellers/apply", &application).await.created::<Value>();
}

#[tokio::test]
async fn an_admin_may_vouch_for_an_address() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    let path = format!("/admin/users/{}/confirm-email", viewer.id);
    viewer.post(&path, &json!({})).await.refused(403, "forbidden");
    let admin = app.admin().await;
    for _ in 0..2 {
        admin
            .post(&path, &json!({"reason": "mail is lost"}))
            .await
            .ok::<Value>();
    }
    assert!(me(&viewer).await.email_verified);
    let noted = count(
        &app,
        "select count(*) from audit_log where action = 'user.confirm_email'",
    )
    .await;
    assert_eq!(noted, 1);
    let unknown = format!("/admin/users/{}/confirm-email", uuid::Uuid::now_v7());
    admin.post(&unknown, &json!({})).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_newer_link_leaves_the_older_one_good_until_one_is_used_or_it_is_too_old() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    let first = token(&app.letter(&viewer.email, "Confirm").await, "confirm");
    app.mail_is_done().await;
    accepted(&viewer.post("/auth/email/verification", &json!({})).await);
    app.mail_is_done().await;
    let second = token(&app.letter(&viewer.email, "Confirm").await, "confirm");
    assert_ne!(first, second);
    run(&app, "update mailed_links set expires_at = now() - interval '1 second' where created_at = (select max(created_at) from mailed_links)").await;
    confirm(&viewer, &second).await.refused(422, "link_invalid");
    confirm(&viewer, &first).await.gone();
    run(&app, "update mailed_links set expires_at = now() + interval '1 day'").await;
    confirm(&viewer, &second).await.refused(422, "link_invalid");
}

#[tokio::test]
async fn a_person_has_a_few_links_and_none_that_ran_out() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    for _ in 0..9 {
        accepted(&ask_to_reset(&app, &viewer.email).await);
        app.mail_is_done().await;
    }
    assert_eq!(app.letters(&viewer.email).len(), 10);
    let links = "select count(*) from mailed_links where purpose = 'password'";
    assert_eq!(count(&app, links).await, 8);
    run(&app, "update mailed_links set expires_at = now() - interval '1 second'").await;
    core_api::identity::sweep(&app.db.pool).await.expect("swept");
    assert_eq!(count(&app, "select count(*) from mailed_links").await, 0);
}

#[tokio::test]
async fn an_account_that_a_stranger_opened_is_nobodys_by_a_link_alone() {
    let app = App::start().await;
    let body = json!({"email": "victim@example.com", "password": PASSWORD, "display_name": "Stranger"});
    let stranger = app.session(app.post("/auth/register").json(&body).send().await.created());
    let link = token(&app.letter("victim@example.com", "Confirm").await, "confirm");
    let body = json!({"token": link});
    let nobody = app.post("/auth/email/confirm").json(&body).send().await;
    assert_eq!(nobody.refused(401, "unauthenticated")["field"], "password");
    let other = app.register("Other").await;
    confirm(&other, &link).await.refused(403, "forbidden");
    let guess = json!({"token": link, "password": "my own password"});
    let guess = app.post("/auth/email/confirm").json(&guess).send().await;
    guess.refused(401, "invalid_credentials");
    assert!(!me(&stranger).await.email_verified);

    // Who reads the mail takes the account, and the stranger has nothing left of it.
    accepted(&ask_to_reset(&app, "victim@example.com").await);
    let reset_link = token(&app.letter("victim@example.com", "Choose").await, "reset");
    reset(&app, &reset_link, OTHER_PASSWORD).await.gone();
    stranger.get("/auth/me").await.refused(401, "unauthenticated");
    login(&app, "victim@example.com", PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    let victim = app.session(login(&app, "victim@example.com", OTHER_PASSWORD).await.ok());
    assert!(me(&victim).await.email_verified);
    confirm(&victim, &link).await.refused(422, "link_invalid");
}

#[tokio::test]
async fn an_address_is_confirmed_on_another_device_with_the_password() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    let link = token(&app.letter(&viewer.email, "Confirm").await, "confirm");
    let body = json!({"token": link, "password": PASSWORD});
    app.post("/auth/email/confirm").json(&body).send().await.gone();
    assert!(me(&viewer).await.email_verified);
}

#[tokio::test]
async fn letters_to_one_address_and_by_one_person_are_counted() {
    let app = App::start_with(|config| config.limits.mails_per_hour = 2.try_into().expect("two")).await;
    let viewer = app.register_unconfirmed("Viewer").await;
    accepted(&viewer.post("/auth/email/verification", &json!({})).await);
    let limited = viewer.post("/auth/email/verification", &json!({})).await;
    limited.refused(429, "rate_limited");
    assert!(!limited.header("retry-after").is_empty());
    // Two accounts that want one address have two letters sent there, and no third.
    let wish = json!({"email": "wanted@example.com", "password": PASSWORD});
    for name in ["A", "B"] {
        accepted(&app.register(name).await.post("/auth/email", &wish).await);
    }
    let third = app.register("C").await.post("/auth/email", &wish).await;
    third.refused(429, "rate_limited");
}

#[tokio::test]
async fn an_account_under_somebody_elses_address_has_few_letters_sent_there() {
    let app = App::start_with(|config| config.limits.mails_per_hour = 2.try_into().expect("two")).await;
    let body = json!({"email": "victim@example.com", "password": PASSWORD, "display_name": "Stranger"});
    let open = async || app.post("/auth/register").json(&body).send().await;
    for _ in 0..2 {
        let stranger = app.session(open().await.created());
        app.mail_is_done().await;
        let change = json!({"current_password": PASSWORD, "password": OTHER_PASSWORD});
        stranger.post("/auth/password", &change).await.gone();
        app.mail_is_done().await;
        let leave = json!({"password": OTHER_PASSWORD});
        stranger.post("/auth/leave", &leave).await.gone();
        app.mail_is_done().await;
    }
    let limited = open().await;
    limited.refused(429, "rate_limited");
    assert!(!limited.header("retry-after").is_empty());
    assert_eq!(
        count(&app, "select count(*) from users where email = 'victim@example.com'").await,
        0
    );
    // Who tries to register an address that has an account uses up nothing of its owner's.
    let viewer = app.register_unconfirmed("Viewer").await;
    for _ in 0..3 {
        let body = json!({"email": viewer.email, "password": PASSWORD, "display_name": "Stranger"});
        let taken = app.post("/auth/register").json(&body).send().await;
        taken.refused(409, "email_taken");
    }
    accepted(&viewer.post("/auth/email/verification", &json!({})).await);

    // Nor is an address told of that it is one no more that never was anybody's.
    let wish = json!({"email": "new@example.com", "password": PASSWORD});
    let third = app.register_unconfirmed("Third").await;
    accepted(&third.post("/auth/email", &wish).await);
    let link = token(&app.letter("new@example.com", "Confirm").await, "confirm");
    confirm(&third, &link).await.gone();
    app.mail_is_done().await;
    for email in ["victim@example.com", &third.email] {
        let letters = app.letters(email);
        let strange = letters.iter().find(|letter| !letter.subject.starts_with("Confirm"));
        assert!(strange.is_none() && letters.len() <= 2, "{letters:#?}");
    }
}

#[tokio::test]
async fn who_asks_for_links_to_an_address_keeps_its_owner_from_nothing() {
    let app = App::start_with(|config| config.limits.mails_per_hour = 2.try_into().expect("two")).await;
    let viewer = app.register_unconfirmed("Viewer").await;
    accepted(&ask_to_reset(&app, &viewer.email).await);
    let first = token(&app.letter(&viewer.email, "Choose").await, "reset");
    for _ in 0..5 {
        accepted(&ask_to_reset(&app, &viewer.email).await);
    }
    app.mail_is_done().await;
    let letters = app.letters(&viewer.email);
    let resets = letters.iter().filter(|letter| letter.subject.starts_with("Choose"));
    assert_eq!(resets.count(), 2);
    accepted(&viewer.post("/auth/email/verification", &json!({})).await);
    reset(&app, &first, OTHER_PASSWORD).await.gone();
}

#[tokio::test]
async fn so_many_letters_to_set_a_password_wait_and_other_letters_go_out() {
    let app = App::start().await;
    let viewer = app.register_unconfirmed("Viewer").await;
    app.mail_is_done().await;
    run(
        &app,
        "insert into outbox (id, topic, payload, not_before)
         select gen_random_uuid(), 'mail', jsonb_build_object('letter', 'reset_password', 'email', n || '@example.com'),
                now() + interval '1 hour' from generate_series(1, 2000) n",
    )
    .await;
    for email in [viewer.email.as_str(), "nobody@example.com"] {
        let refused = ask_to_reset(&app, email).await;
        refused.refused(503, "overloaded");
        assert!(!refused.header("retry-after").is_empty());
    }
    accepted(&viewer.post("/auth/email/verification", &json!({})).await);
    app.wait_for("select count(*) = 2 from outbox where topic = 'mail' and delivered_at is not null")
        .await;
}

#[tokio::test]
async fn another_address_is_the_accounts_once_it_is_confirmed_and_the_old_one_is_told() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let wrong = json!({"email": "new@example.com", "password": "wrong horse"});
    viewer
        .post("/auth/email", &wrong)
        .await
        .refused(401, "invalid_credentials");
    let wish = json!({"email": "New@Example.com", "password": PASSWORD});
    accepted(&viewer.post("/auth/email", &wish).await);
    let link = token(&app.letter("new@example.com", "Confirm").await, "confirm");
    assert_eq!(me(&viewer).await.email, viewer.email, "until the link is followed");
    accepted(&ask_to_reset(&app, &viewer.email).await);
    let old_reset = token(&app.letter(&viewer.email, "Choose").await, "reset");

    confirm(&viewer, &link).await.gone();
    let now = me(&viewer).await;
    assert!(now.email == "new@example.com" && now.email_verified);
    app.letter(&viewer.email, "Your account has another").await;
    login(&app, "new@example.com", PASSWORD).await.ok::<Opened>();
    login(&app, &viewer.email, PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    // What was mailed to the old address opens nothing any more.
    reset(&app, &old_reset, OTHER_PASSWORD)
        .await
        .refused(422, "link_invalid");
    let again = json!({"email": "new@example.com", "password": PASSWORD});
    viewer.post("/auth/email", &again).await.refused(409, "wrong_state");
}

#[tokio::test]
async fn who_knew_the_former_password_does_not_take_the_account_to_their_address() {
    let app = App::start().await;
    let wish = |email: &str, password: &str| json!({"email": email, "password": password});
    let viewer = app.register("Viewer").await;
    accepted(&viewer.post("/auth/email", &wish("thief@example.com", PASSWORD)).await);
    let link = token(&app.letter("thief@example.com", "Confirm").await, "confirm");
    let change = json!({"current_password": PASSWORD, "password": OTHER_PASSWORD});
    viewer.post("/auth/password", &change).await.gone();
    confirm(&viewer, &link).await.refused(422, "link_invalid");

    let wish = wish("other-thief@example.com", OTHER_PASSWORD);
    accepted(&viewer.post("/auth/email", &wish).await);
    let link = token(&app.letter("other-thief@example.com", "Confirm").await, "confirm");
    accepted(&ask_to_reset(&app, &viewer.email).await);
    let reset_link = token(&app.letter(&viewer.email, "Choose").await, "reset");
    reset(&app, &reset_link, PASSWORD).await.gone();
    let viewer = app.session(login(&app, &viewer.email, PASSWORD).await.ok());
    confirm(&viewer, &link).await.refused(422, "link_invalid");
}

#[tokio::test]
async fn of_two_who_want_one_address_the_first_to_confirm_gets_it_and_asking_tells_nothing() {
    let app = App::start().await;
    let (a, b, owner) = (
        app.register("A").await,
        app.register("B").await,
        app.register("Owner").await,
    );
    let wish = |email: &str| json!({"email": email, "password": PASSWORD});
    accepted(&a.post("/auth/email", &wish("new@example.com")).await);
    let of_a = token(&app.letter("new@example.com", "Confirm").await, "confirm");
    accepted(&b.post("/auth/email", &wish("new@example.com")).await);
    app.mail_is_done().await;
    let of_b = token(&app.letter("new@example.com", "Confirm").await, "confirm");
    assert_ne!(of_a, of_b);
    confirm(&b, &of_b).await.gone();
    confirm(&a, &of_a).await.refused(409, "email_taken");
    // An address that has an account is asked for like any other, and nothing is mailed.
    let before = app.letters(&owner.email).len();
    accepted(&a.post("/auth/email", &wish(&owner.email)).await);
    app.mail_is_done().await;
    assert_eq!(app.letters(&owner.email).len(), before);
}

#[tokio::test]
async fn a_change_of_password_needs_the_old_one_and_ends_the_other_sessions() {
    let app = App::start().await;
    let here = app.register("Viewer").await;
    let there = app.session(login(&app, &here.email, PASSWORD).await.ok());
    let wrong = json!({"current_password": "wrong horse", "password": OTHER_PASSWORD});
    here.post("/auth/password", &wrong)
        .await
        .refused(401, "invalid_credentials");
    let short = json!({"current_password": PASSWORD, "password": "short"});
    here.post("/auth/password", &short).await.refused(422, "invalid_body");
    let right = json!({"current_password": PASSWORD, "password": OTHER_PASSWORD});
    here.post("/auth/password", &right).await.gone();
    me(&here).await;
    there.get("/auth/me").await.refused(401, "unauthenticated");
    login(&app, &here.email, PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    login(&app, &here.email, OTHER_PASSWORD).await.ok::<Opened>();
    app.letter(&here.email, "Your password was changed").await;
}

#[tokio::test]
async fn guesses_at_the_password_of_an_open_session_are_counted() {
    let app = App::start_with(|config| {
        config.limits.login_per_email_per_minute = 2.try_into().expect("two");
    })
    .await;
    let viewer = app.register("Viewer").await;
    let wrong = json!({"current_password": "wrong horse", "password": OTHER_PASSWORD});
    for _ in 0..2 {
        viewer
            .post("/auth/password", &wrong)
            .await
            .refused(401, "invalid_credentials");
    }
    viewer.post("/auth/password", &wrong).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_once_and_every_session_ends() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    accepted(&ask_to_reset(&app, &viewer.email.to_uppercase()).await);
    let link = token(&app.letter(&viewer.email, "Choose").await, "reset");
    reset(&app, &link, "short").await.refused(422, "invalid_body");
    let (a, b, c) = tokio::join!(
        reset(&app, &link, OTHER_PASSWORD),
        reset(&app, &link, OTHER_PASSWORD),
        reset(&app, &link, OTHER_PASSWORD)
    );
    let done = [&a, &b, &c].into_iter().filter(|reply| reply.status == 204).count();
    assert_eq!(done, 1);
    for refused in [&a, &b, &c].into_iter().filter(|reply| reply.status != 204) {
        refused.refused(422, "link_invalid");
    }
    viewer.get("/auth/me").await.refused(401, "unauthenticated");
    login(&app, &viewer.email, PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    login(&app, &viewer.email, OTHER_PASSWORD).await.ok::<Opened>();
    app.letter(&viewer.email, "Your password was changed").await;
}

#[tokio::test]
async fn asking_for_a_new_password_tells_nobody_whether_there_is_an_account() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    app.mail_is_done().await;
    run(&app, "create table asked (id uuid)").await;
    run(
        &app,
        "create function note() returns trigger language plpgsql as
         $$ begin insert into asked values (new.id); return null; end $$",
    )
    .await;
    run(
        &app,
        "create trigger note after insert on outbox for each row execute function note()",
    )
    .await;
    let known = ask_to_reset(&app, &viewer.email).await;
    let unknown = ask_to_reset(&app, "nobody@example.com").await;
    accepted(&known);
    accepted(&unknown);
    let names = |reply: &Reply| {
        let mut names: Vec<_> = reply.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(&known), names(&unknown));
    // The same work: one row each, and what it comes to is found out afterwards.
    assert_eq!(count(&app, "select count(*) from asked").await, 2);
    app.mail_is_done().await;
    app.letter(&viewer.email, "Choose").await;
    assert!(app.letters("nobody@example.com").is_empty());
    let kept = "select count(*) from outbox where topic = 'mail'";
    assert_eq!(count(&app, kept).await, 2, "a letter to nobody leaves no row");
}

#[tokio::test]
async fn a_reset_link_is_not_good_for_long_nor_for_a_suspended_account() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    accepted(&ask_to_reset(&app, &viewer.email).await);
    let link = token(&app.letter(&viewer.email, "Choose").await, "reset");
    let minutes =
        "select count(*) from mailed_links where purpose = 'password' and expires_at > now() + interval '31 minutes'";
    assert_eq!(count(&app, minutes).await, 0);
    run(&app, "update users set suspended_at = now() where role = 'user'").await;
    reset(&app, &link, OTHER_PASSWORD).await.refused(422, "link_invalid");
    run(&app, "update users set suspended_at = null").await;
    run(&app, "update mailed_links set expires_at = now() - interval '1 second'").await;
    reset(&app, &link, OTHER_PASSWORD).await.refused(422, "link_invalid");
}

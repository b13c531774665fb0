//! Handles: one person's each, kept a while, and rested when they are given up.

use core_api::identity::{Me, Session as Opened};
use serde_json::{Value, json};

use crate::harness::{App, PASSWORD, Reply, Session};

async fn register(app: &App, handle: &str) -> Reply {
    let email = format!("{}@test.hawker.example", uuid::Uuid::now_v7().simple());
    let body = json!({"email": email, "password": PASSWORD, "display_name": "Viewer", "handle": handle});
    app.post("/auth/register").json(&body).send().await
}

async fn rename(who: &Session, handle: &str) -> Reply {
    who.patch("/auth/profile", &json!({"handle": handle})).await
}

/// As if the last change had been so many days ago.
async fn age(app: &App, who: &Session, days: i32) {
    sqlx::query(
        "update profiles set handle_changed_at = handle_changed_at - make_interval(days => $2) where user_id = $1",
    )
    .bind(who.id.0)
    .bind(days)
    .execute(&app.db.pool)
    .await
    .expect("aged");
}

#[tokio::test]
async fn a_handle_is_one_persons_whatever_its_case() {
    let app = App::start().await;
    let opened: Opened = register(&app, "Mug_Fan").await.created();
    assert_eq!(opened.user.handle, "mug_fan");
    let problem = register(&app, "mug_fan").await;
    assert_eq!(problem.refused(409, "handle_taken")["field"], "handle");
    for bad in ["ab", "mug fan", "adm1n", "user_1234", "m\u{fc}nze"] {
        let problem = register(&app, bad).await;
        assert_eq!(problem.refused(422, "invalid_body")["field"], "handle", "{bad}");
    }
    // A refused registration leaves no account behind.
    let accounts: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&app.db.pool)
        .await
        .expect("a count");
    assert_eq!(accounts, 1);
}

#[tokio::test]
async fn who_names_no_handle_gets_one_and_chooses_once_freely() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let me: Me = viewer.get("/auth/me").await.ok();
    assert!(me.handle.starts_with("user_"), "{}", me.handle);
    let me: Me = rename(&viewer, "mug_fan").await.ok();
    assert_eq!(me.handle, "mug_fan");
}

#[tokio::test]
async fn a_handle_that_was_chosen_stays_for_a_month() {
    let app = App::start().await;
    let viewer = app.session(register(&app, "mug_fan").await.created());
    let limited = rename(&viewer, "cup_fan").await;
    let problem = limited.refused(429, "rate_limited");
    assert_eq!(problem["field"], "handle");
    let wait: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!(wait > 29 * 86_400 && wait <= 30 * 86_400, "{wait}");
    rename(&viewer, "MUG_fan").await.ok::<Me>();
    age(&app, &viewer, 31).await;
    let me: Me = rename(&viewer, "cup_fan").await.ok();
    assert_eq!(me.handle, "cup_fan");
}

#[tokio::test]
async fn a_handle_that_was_given_up_rests_and_its_owner_may_have_it_back() {
    let app = App::start().await;
    let viewer = app.session(register(&app, "mug_fan").await.created());
    age(&app, &viewer, 31).await;
    rename(&viewer, "cup_fan").await.ok::<Me>();
    register(&app, "mug_fan").await.refused(409, "handle_taken");
    let other = app.register("Other").await;
    rename(&other, "mug_fan").await.refused(409, "handle_taken");
    age(&app, &viewer, 31).await;
    rename(&viewer, "mug_fan").await.ok::<Me>();

    sqlx::query("update former_handles set until = now() - interval '1 second'")
        .execute(&app.db.pool)
        .await
        .expect("aged");
    rename(&other, "cup_fan").await.ok::<Me>();
    core_api::identity::sweep(&app.db.pool).await.expect("swept");
    let resting: i64 = sqlx::query_scalar("select count(*) from former_handles where until < now()")
        .fetch_one(&app.db.pool)
        .await
        .expect("a count");
    assert_eq!(resting, 0);
}

#[tokio::test]
async fn of_racing_wishes_for_one_handle_one_is_granted() {
    let app = App::start().await;
    for round in 0..5 {
        let handle = format!("wanted_{round}");
        let viewer = app.register("Viewer").await;
        let (a, b, c) = tokio::join!(
            register(&app, &handle),
            register(&app, &handle),
            rename(&viewer, &handle)
        );
        let granted = [&a, &b, &c].into_iter().filter(|reply| reply.status.is_success());
        assert_eq!(granted.count(), 1);
        for refused in [&a, &b, &c].into_iter().filter(|reply| !reply.status.is_success()) {
            refused.refused(409, "handle_taken");
        }
    }
}

#[tokio::test]
async fn nobody_slips_in_while_a_handle_is_given_up() {
    let app = App::start().await;
    let viewer = app.session(register(&app, "mug_fan").await.created());
    // The owner gives it up, and has not committed yet.
    let mut change = app.db.pool.begin().await.expect("a transaction");
    for sql in [
        "update profiles set handle = 'cup_fan' where user_id = $1",
        "insert into former_handles (handle_hash, user_id, until)
         values (sha256('mug_fan'), $1, now() + interval '90 days')",
    ] {
        let done = sqlx::query(sql).bind(viewer.id.0).execute(&mut *change).await;
        done.expect("given up");
    }
    let late = tokio::spawn({
        let other = app.register("Other").await;
        async move { rename(&other, "mug_fan").await }
    });
    app.somebody_waits().await;
    change.commit().await.expect("committed");
    late.await.expect("an answer").refused(409, "handle_taken");
}

#[tokio::test]
async fn everybody_sees_a_person_by_their_handle_and_nothing_private() {
    let app = App::start().await;
    let viewer = app.session(register(&app, "mug_fan").await.created());
    viewer
        .patch("/auth/profile", &json!({"bio": "Collects mugs"}))
        .await
        .ok::<Me>();
    let seen: Value = app.get("/profiles/Mug_Fan").send().await.ok();
    let expected = json!({
        "handle": "mug_fan", "display_name": "Viewer", "bio": "Collects mugs", "avatar": null, "seller_id": null
    });
    assert_eq!(seen, expected);
    for unknown in ["cup_fan", "no%00body", &"x".repeat(500)] {
        app.get(&format!("/profiles/{unknown}"))
            .send()
            .await
            .refused(404, "not_found");
    }
    sqlx::query("update users set suspended_at = now() where id = $1")
        .bind(viewer.id.0)
        .execute(&app.db.pool)
        .await
        .expect("suspended");
    app.get("/profiles/mug_fan").send().await.refused(404, "not_found");
}

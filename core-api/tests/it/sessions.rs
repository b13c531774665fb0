//! Sessions: rotation, two tabs at once, the list of them, and every way to end one.

use core_api::identity::{Me, OpenSession, Session as Opened};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{App, PASSWORD, Reply, Session};

async fn login(app: &App, email: &str) -> Session {
    let body = json!({"email": email, "password": PASSWORD});
    app.session(app.post("/auth/login").json(&body).send().await.ok())
}

async fn refresh(app: &App, token: &str) -> Reply {
    let body = json!({"refresh_token": token});
    app.post("/auth/refresh").json(&body).send().await
}

async fn renewed(app: &App, token: &str) -> Session {
    app.session(refresh(app, token).await.ok())
}

/// Lets the grace of every token that was spent run out.
async fn let_the_grace_pass(app: &App) {
    sqlx::query("update refresh_tokens set used_at = used_at - interval '11 seconds' where used_at is not null")
        .execute(&app.db.pool)
        .await
        .expect("aged");
}

async fn sessions(who: &Session) -> Vec<OpenSession> {
    let list: Value = who.get("/auth/sessions").await.ok();
    serde_json::from_value(list["items"].clone()).expect("sessions")
}

async fn tokens_alive(app: &App, who: &Session) -> i64 {
    let alive = "select count(*) from refresh_tokens t join refresh_tokens f on f.id = t.family_id
                  where t.user_id = $1 and f.revoked_at is null";
    sqlx::query_scalar(alive)
        .bind(who.id.0)
        .fetch_one(&app.db.pool)
        .await
        .expect("a count")
}

#[tokio::test]
async fn a_renewal_and_what_changes_the_account_do_not_wait_for_each_other() {
    let app = App::start().await;
    let here = app.register("Viewer").await;
    let there = login(&app, &here.email).await;
    for path in ["/auth/password", "/auth/leave"] {
        // Renewed once, so that the session's lock and its token are two rows.
        let there = renewed(&app, &login(&app, &here.email).await.refresh).await;
        let newest = "select id from refresh_tokens where used_at is null order by id desc limit 1 for update";
        let mut stop = app.db.pool.begin().await.expect("a transaction");
        sqlx::query(newest).execute(&mut *stop).await.expect("locked");
        let act = async {
            app.wait_for("select count(*) = 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").await;
            let body = json!({"current_password": PASSWORD, "password": PASSWORD});
            let act = here.post(path, &body);
            let go_on = async {
                app.wait_for("select count(*) = 2 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").await;
                stop.commit().await.expect("unlocked");
            };
            tokio::join!(act, go_on).0
        };
        let (renewed, done) = tokio::join!(refresh(&app, &there.refresh), act);
        renewed.ok::<Opened>();
        done.gone();
    }
    assert_eq!(tokens_alive(&app, &there).await, 0);
}

#[tokio::test]
async fn a_spent_refresh_token_ends_the_session_for_whoever_has_it() {
    let app = App::start().await;
    let first = app.register("Viewer").await;
    let second = renewed(&app, &first.refresh).await;
    let_the_grace_pass(&app).await;
    refresh(&app, &first.refresh).await.refused(401, "unauthenticated");
    // The one that was good until then, and the access tokens, are worthless too.
    refresh(&app, &second.refresh).await.refused(401, "unauthenticated");
    second.get("/auth/me").await.refused(401, "unauthenticated");
    // Another session of the same person goes on.
    login(&app, &first.email).await.get("/auth/me").await.ok::<Me>();
}

#[tokio::test]
async fn two_tabs_that_renew_at_once_get_the_same_and_the_session_goes_on() {
    let app = App::start().await;
    for _ in 0..5 {
        let viewer = app.register("Viewer").await;
        let (a, b, c) = tokio::join!(
            renewed(&app, &viewer.refresh),
            renewed(&app, &viewer.refresh),
            renewed(&app, &viewer.refresh)
        );
        assert_eq!((&a.refresh, &a.refresh), (&b.refresh, &c.refresh));
        assert_eq!(
            tokens_alive(&app, &viewer).await,
            2,
            "the first one and the next, no branches"
        );
        for tab in [&a, &b, &c] {
            tab.get("/auth/me").await.ok::<Me>();
        }
        renewed(&app, &a.refresh).await;
    }
}

#[tokio::test]
async fn within_the_grace_a_token_is_still_worth_nothing_once_the_next_one_is_spent() {
    let app = App::start().await;
    let first = app.register("Viewer").await;
    let second = renewed(&app, &first.refresh).await;
    let third = renewed(&app, &second.refresh).await;
    refresh(&app, &first.refresh).await.refused(401, "unauthenticated");
    refresh(&app, &third.refresh).await.refused(401, "unauthenticated");
    assert_eq!(tokens_alive(&app, &first).await, 0);
}

#[tokio::test]
async fn a_quick_thief_is_found_out_at_the_next_renewal() {
    let app = App::start().await;
    let owner = app.register("Viewer").await;
    let next = renewed(&app, &owner.refresh).await;
    // Within the grace the thief gets the owner's own next token, and no other.
    let stolen = renewed(&app, &owner.refresh).await;
    assert_eq!(stolen.refresh, next.refresh);
    renewed(&app, &stolen.refresh).await;
    let_the_grace_pass(&app).await;
    refresh(&app, &next.refresh).await.refused(401, "unauthenticated");
    stolen.get("/auth/me").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_renewal_that_meets_a_logout_leaves_nothing_alive() {
    let app = App::start().await;
    for _ in 0..5 {
        let viewer = app.register("Viewer").await;
        let nothing = json!({});
        let (_, gone) = tokio::join!(refresh(&app, &viewer.refresh), viewer.post("/auth/logout", &nothing));
        gone.gone();
        assert_eq!(tokens_alive(&app, &viewer).await, 0);
    }
}

#[tokio::test]
async fn a_person_sees_their_sessions_and_ends_one() {
    let app = App::start().await;
    let here = app.register("Viewer").await;
    let body = json!({"email": here.email, "password": PASSWORD});
    let phone = app.post("/auth/login").header("User-Agent", "Phone/1.0").json(&body);
    let phone = app.session(phone.send().await.ok());
    let phone = renewed(&app, &phone.refresh).await;

    let listed = sessions(&here).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed.iter().map(|s| s.current).collect::<Vec<_>>(), [false, true]);
    assert!(listed[0].last_used_at > listed[0].created_at, "renewed since");
    let listed = sessions(&phone).await;
    assert_eq!(listed.iter().map(|s| s.current).collect::<Vec<_>>(), [true, false]);

    let path = format!("/auth/sessions/{}", listed[0].id);
    let stranger = app.register("Stranger").await;
    stranger.delete(&path).await.refused(404, "not_found");
    phone.get("/auth/me").await.ok::<Me>();
    here.delete(&path).await.gone();
    here.delete(&path).await.gone();
    phone.get("/auth/me").await.refused(401, "unauthenticated");
    refresh(&app, &phone.refresh).await.refused(401, "unauthenticated");
    assert_eq!(sessions(&here).await.len(), 1);
    let unknown = format!("/auth/sessions/{}", Uuid::now_v7());
    here.delete(&unknown).await.refused(404, "not_found");
    // Its sockets are told.
    let told: i64 = sqlx::query_scalar("select count(*) from revocations where session_id = $1 and in_force")
        .bind(listed[0].id)
        .fetch_one(&app.db.pool)
        .await
        .expect("a count");
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_session_says_which_program_renewed_it_last() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let long = "x".repeat(300);
    for (agent, shown) in [("Phone/1.0", "Phone/1.0"), (long.as_str(), &long[..200])] {
        let body = json!({"email": viewer.email, "password": PASSWORD});
        let call = app.post("/auth/login").header("User-Agent", agent).json(&body);
        let opened = app.session(call.send().await.ok());
        assert_eq!(sessions(&opened).await[0].user_agent, shown);
    }
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_session_of_that_person_alone() {
    let app = App::start().await;
    let (viewer, other) = (app.register("Viewer").await, app.register("Other").await);
    let second = login(&app, &viewer.email).await;
    viewer.post("/auth/logout/everywhere", &json!({})).await.gone();
    for session in [&viewer, &second] {
        session.get("/auth/me").await.refused(401, "unauthenticated");
        refresh(&app, &session.refresh).await.refused(401, "unauthenticated");
    }
    other.get("/auth/me").await.ok::<Me>();
    assert_eq!(tokens_alive(&app, &viewer).await, 0);
}

#[tokio::test]
async fn no_session_begins_with_a_password_that_was_changed_while_it_was_checked() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let mut change = app.db.pool.begin().await.expect("a transaction");
    sqlx::query("update users set password_hash = 'another' where id = $1")
        .bind(viewer.id.0)
        .execute(&mut *change)
        .await
        .expect("changed");
    let body = json!({"email": viewer.email, "password": PASSWORD});
    let late = tokio::spawn(app.post("/auth/login").json(&body).send());
    app.somebody_waits().await;
    change.commit().await.expect("committed");
    late.await.expect("an answer").refused(401, "invalid_credentials");
}

#[tokio::test]
async fn one_session_too_many_ends_the_oldest() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let many = "insert into refresh_tokens (id, family_id, user_id, token_hash, expires_at)
                select id, id, $1, sha256(id::text::bytea), now() + interval '1 day'
                  from (select gen_random_uuid() as id from generate_series(1, 48)) t";
    sqlx::query(many)
        .bind(viewer.id.0)
        .execute(&app.db.pool)
        .await
        .expect("inserted");
    let newest = login(&app, &viewer.email).await;
    assert_eq!(sessions(&newest).await.len(), 50);
    viewer.get("/auth/me").await.ok::<Me>();
    let newest = login(&app, &viewer.email).await;
    assert_eq!(sessions(&newest).await.len(), 50);
}

#[tokio::test]
async fn what_a_session_answers_with_is_its_owners() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let opened: Opened = refresh(&app, &viewer.refresh).await.ok();
    assert_eq!(opened.user.id, viewer.id);
    app.get("/auth/sessions").send().await.refused(401, "unauthenticated");
    let nobody = app.post("/auth/logout/everywhere").send().await;
    nobody.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_renewal_under_way_in_a_session_that_is_one_too_many_ends_with_it() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let many = "insert into refresh_tokens (id, family_id, user_id, token_hash, expires_at)
                select id, id, $1, sha256(id::text::bytea), now() + interval '1 day'
                  from (select ('ffffffff-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid as id
                          from generate_series(1, 49) n) t";
    sqlx::query(many)
        .bind(viewer.id.0)
        .execute(&app.db.pool)
        .await
        .expect("inserted");
    // As a renewal does it: the session's lock, then the next token.
    let mut renewal = app.db.pool.begin().await.expect("a transaction");
    let session: Uuid = sqlx::query_scalar(
        "select id from refresh_tokens where user_id = $1 and id = family_id order by id limit 1 for update",
    )
    .bind(viewer.id.0)
    .fetch_one(&mut *renewal)
    .await
    .expect("the oldest session");
    let body = json!({"email": viewer.email, "password": PASSWORD});
    let login = tokio::spawn(app.post("/auth/login").json(&body).send());
    app.somebody_waits().await;
    sqlx::query(
        "insert into refresh_tokens (id, family_id, user_id, token_hash, expires_at)
         values (gen_random_uuid(), $1, $2, sha256('next'), now() + interval '1 day')",
    )
    .bind(session)
    .bind(viewer.id.0)
    .execute(&mut *renewal)
    .await
    .expect("renewed");
    renewal.commit().await.expect("committed");
    login.await.expect("an answer").ok::<Opened>();
    assert_eq!(
        tokens_alive(&app, &viewer).await,
        49 + 1,
        "without the oldest and its next token"
    );
}

#[tokio::test]
async fn a_session_ends_half_a_year_after_it_began_however_often_it_was_renewed() {
    let app = App::start().await;
    let begun = async |days: i32, who: &Session| {
        sqlx::query("update refresh_tokens set created_at = now() - make_interval(days => $2) where user_id = $1")
            .bind(who.id.0)
            .bind(days)
            .execute(&app.db.pool)
            .await
            .expect("aged");
    };
    let viewer = app.register("Viewer").await;
    begun(179, &viewer).await;
    let last = renewed(&app, &viewer.refresh).await;
    let left: bool = sqlx::query_scalar(
        "select expires_at between now() + interval '23 hours' and now() + interval '25 hours'
           from refresh_tokens where user_id = $1 and used_at is null",
    )
    .bind(viewer.id.0)
    .fetch_one(&app.db.pool)
    .await
    .expect("the token");
    assert!(left, "a day, and not thirty");
    begun(181, &viewer).await;
    let after = renewed(&app, &last.refresh).await;
    refresh(&app, &after.refresh).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_session_is_renewed_so_often_in_an_hour_and_another_one_goes_on() {
    let app = App::start_with(|config| config.limits.renewals_per_hour = 2.try_into().expect("two")).await;
    let viewer = app.register("Viewer").await;
    let other = login(&app, &viewer.email).await;
    let second = renewed(&app, &viewer.refresh).await;
    let third = renewed(&app, &second.refresh).await;
    let limited = refresh(&app, &third.refresh).await;
    limited.refused(429, "rate_limited");
    assert!(!limited.header("retry-after").is_empty());
    renewed(&app, &other.refresh).await;
    // A thief is found out all the same.
    refresh(&app, &viewer.refresh).await.refused(401, "unauthenticated");
    third.get("/auth/me").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn what_renewals_leave_behind_is_forgotten_after_a_week_and_the_session_goes_on() {
    let app = App::start().await;
    let mut viewer = app.register("Viewer").await;
    for _ in 0..3 {
        viewer = renewed(&app, &viewer.refresh).await;
    }
    sqlx::query("update refresh_tokens set used_at = now() - interval '8 days' where used_at is not null")
        .execute(&app.db.pool)
        .await
        .expect("aged");
    core_api::identity::sweep(&app.db.pool).await.expect("swept");
    assert_eq!(
        tokens_alive(&app, &viewer).await,
        2,
        "the first, and the one that is good"
    );
    renewed(&app, &viewer.refresh).await.get("/auth/me").await.ok::<Me>();
}

#[tokio::test]
async fn sessions_that_ran_out_are_forgotten_and_others_kept() {
    let app = App::start().await;
    let (old, kept) = (app.register("Old").await, app.register("Kept").await);
    let renewed: Opened = refresh(&app, &kept.refresh).await.ok();
    let aged =
        "update refresh_tokens set expires_at = now() - interval '2 days' where user_id = $1 or used_at is not null";
    sqlx::query(aged)
        .bind(old.id.0)
        .execute(&app.db.pool)
        .await
        .expect("aged");
    core_api::identity::sweep(&app.db.pool).await.expect("swept");
    let left: Vec<Uuid> = sqlx::query_scalar("select user_id from refresh_tokens order by id")
        .fetch_all(&app.db.pool)
        .await
        .expect("the tokens");
    assert_eq!(
        left,
        [kept.id.0, kept.id.0],
        "a family's first row stays as long as its last"
    );
    refresh(&app, &app.session(renewed).refresh).await.ok::<Opened>();
}

#[tokio::test]
async fn all_sessions_that_ran_out_are_forgotten_in_one_run() {
    let app = App::start().await;
    let person = app.register("Somebody").await;
    let many = "insert into refresh_tokens (id, family_id, user_id, token_hash, expires_at)
                select id, id, $1, sha256(id::text::bytea), now() - interval '2 days'
                  from (select gen_random_uuid() as id from generate_series(1, 2050)) t";
    let done = sqlx::query(many).bind(person.id.0).execute(&app.db.pool).await;
    assert_eq!(done.expect("inserted").rows_affected(), 2_050);
    core_api::identity::sweep(&app.db.pool).await.expect("swept");
    let left: i64 = sqlx::query_scalar("select count(*) from refresh_tokens")
        .fetch_one(&app.db.pool)
        .await
        .expect("counted");
    assert_eq!(left, 1, "more than two batches of them, and the one that is good");
}

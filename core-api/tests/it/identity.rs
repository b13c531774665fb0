//! Accounts: registering, signing in, the profile, and what is counted of each.

use core_api::identity::{Me, Session as Opened};
use serde_json::json;
use std::num::NonZeroU32;

use crate::harness::{App, PASSWORD, Reply};

fn two() -> NonZeroU32 {
    NonZeroU32::new(2).expect("two")
}

async fn login(app: &App, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    app.post("/auth/login").json(&body).send().await
}

async fn refresh(app: &App, token: &str) -> Reply {
    let body = json!({"refresh_token": token});
    app.post("/auth/refresh").json(&body).send().await
}

#[tokio::test]
async fn an_account_is_made_signed_into_renewed_and_left() {
    let app = App::start().await;
    let body = json!({"email": " Viewer@Example.com ", "password": PASSWORD, "display_name": " Viewer One "});
    let opened: Opened = app.post("/auth/register").json(&body).send().await.created();
    assert_eq!((opened.token_type.as_str(), opened.expires_in), ("Bearer", 900));
    assert_eq!(opened.user.display_name, "Viewer One");

    let opened: Opened = login(&app, "viewer@EXAMPLE.com", PASSWORD).await.ok();
    let session = app.session(opened);
    let renewed: Opened = refresh(&app, &session.refresh).await.ok();
    let renewed = app.session(renewed);
    assert_ne!(renewed.refresh, session.refresh);
    let me: Me = renewed.get("/auth/me").await.ok();
    assert_eq!((me.id, me.email.as_str()), (session.id, "viewer@example.com"));

    renewed.post("/auth/logout", &json!({})).await.gone();
    renewed.get("/auth/me").await.refused(401, "unauthenticated");
    refresh(&app, &renewed.refresh).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn no_password_or_token_is_stored_as_it_is() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let stored: String = sqlx::query_scalar("select password_hash from users where id = $1")
        .bind(viewer.id.0)
        .fetch_one(&app.db.pool)
        .await
        .expect("the account");
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    let hash: Vec<u8> = sqlx::query_scalar("select token_hash from refresh_tokens where user_id = $1")
        .bind(viewer.id.0)
        .fetch_one(&app.db.pool)
        .await
        .expect("the token");
    assert_eq!(hash.len(), 32);
    assert_ne!(hash, viewer.refresh.as_bytes());
}

#[tokio::test]
async fn an_address_has_one_account() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let body = json!({"email": viewer.email.to_uppercase(), "password": PASSWORD, "display_name": "Other"});
    let problem = app.post("/auth/register").json(&body).send().await;
    assert_eq!(problem.refused(409, "email_taken")["field"], "email");
}

#[tokio::test]
async fn an_address_has_one_spelling() {
    let app = App::start().await;
    let body = json!({"email": "Viewer@Mu\u{308}nze.example", "password": PASSWORD, "display_name": "Viewer"});
    let opened: Opened = app.post("/auth/register").json(&body).send().await.created();
    assert_eq!(opened.user.email, "viewer@xn--mnze-0ra.example");
    for spelling in [
        "viewer@M\u{dc}NZE.example",
        "VIEWER@xn--mnze-0ra.EXAMPLE",
        "\u{ff56}iewer@m\u{fc}nze\u{3002}example",
    ] {
        let body = json!({"email": spelling, "password": PASSWORD, "display_name": "Other"});
        app.post("/auth/register")
            .json(&body)
            .send()
            .await
            .refused(409, "email_taken");
        login(&app, spelling, PASSWORD).await.ok::<Opened>();
    }
    // A Cyrillic letter that looks like another is no second account, but no address.
    let body = json!({"email": "v\u{456}ewer@example.com", "password": PASSWORD, "display_name": "Other"});
    let problem = app.post("/auth/register").json(&body).send().await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "email");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_told_alike() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let wrong = login(&app, &viewer.email, "wrong horse").await;
    let unknown = login(&app, "nobody@example.com", PASSWORD).await;
    let (mut wrong, mut unknown) = (
        wrong.refused(401, "invalid_credentials"),
        unknown.refused(401, "invalid_credentials"),
    );
    for problem in [&mut wrong, &mut unknown] {
        problem.as_object_mut().expect("an object").remove("request_id");
    }
    assert_eq!(wrong, unknown);
}

#[tokio::test]
async fn an_expired_refresh_token_is_refused() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    sqlx::query("update refresh_tokens set expires_at = now() - interval '1 second' where user_id = $1")
        .bind(viewer.id.0)
        .execute(&app.db.pool)
        .await
        .expect("expired");
    refresh(&app, &viewer.refresh).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_browser_keeps_its_session_in_a_cookie_that_counts_on_our_pages_only() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let body = json!({"email": viewer.email, "password": PASSWORD, "session": "cookie"});
    let from = |origin: &str| app.post("/auth/login").json(&body).header("Origin", origin);
    app.post("/auth/login")
        .json(&body)
        .send()
        .await
        .refused(403, "forbidden");
    from("https://evil.example").send().await.refused(403, "forbidden");

    let reply = from(&app.origin()).send().await;
    let opened: Opened = reply.ok();
    assert_eq!(opened.refresh_token, None);
    let cookie = reply.header("set-cookie").to_owned();
    for part in [
        "hawker_refresh=",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/auth",
        "Max-Age=",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let value = cookie.split(';').next().expect("a value").to_owned();
    let renew = |origin: &str| {
        app.post("/auth/refresh")
            .header("Cookie", &value)
            .header("Origin", origin)
            .json(&json!({}))
    };
    renew("https://evil.example").send().await.refused(403, "forbidden");
    let reply = renew(&app.origin()).send().await;
    assert_eq!(reply.ok::<Opened>().refresh_token, None);
    let next = reply
        .header("set-cookie")
        .split(';')
        .next()
        .expect("a value")
        .to_owned();
    assert_ne!(next, value);

    let bye = app
        .post("/auth/logout")
        .header("Cookie", &next)
        .header("Origin", &app.origin())
        .send()
        .await;
    bye.gone();
    assert!(bye.header("set-cookie").contains("Max-Age=0"), "{bye:?}");
    let again = app
        .post("/auth/refresh")
        .header("Cookie", &next)
        .header("Origin", &app.origin())
        .send()
        .await;
    again.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_cookie_goes_over_https_only_where_that_is_configured() {
    let app = App::start_with(|config| config.cookie_secure = true).await;
    let body = json!({"email": "a@example.com", "password": PASSWORD, "display_name": "A", "session": "cookie"});
    let reply = app
        .post("/auth/register")
        .json(&body)
        .header("Origin", &app.origin())
        .send()
        .await;
    reply.created::<Opened>();
    assert!(reply.header("set-cookie").contains("Secure"), "{reply:?}");
}

#[tokio::test]
async fn a_suspended_account_is_refused_at_once() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    viewer.get("/auth/me").await.ok::<Me>();
    sqlx::query("update users set suspended_at = now() where id = $1")
        .bind(viewer.id.0)
        .execute(&app.db.pool)
        .await
        .expect("suspended");
    viewer.get("/auth/me").await.refused(403, "account_suspended");
    refresh(&app, &viewer.refresh).await.refused(403, "account_suspended");
    login(&app, &viewer.email, PASSWORD)
        .await
        .refused(403, "account_suspended");
    login(&app, &viewer.email, "wrong horse")
        .await
        .refused(401, "invalid_credentials");
}

#[tokio::test]
async fn attempts_are_counted_by_address_and_by_account() {
    let app = App::start_with(|config| {
        config.limits.register_per_minute = two();
        config.limits.login_per_email_per_minute = two();
    })
    .await;
    let (viewer, other) = (app.register("Viewer").await, app.register("Other").await);
    let body = json!({"email": "third@example.com", "password": PASSWORD, "display_name": "Third"});
    let limited = app.post("/auth/register").json(&body).send().await;
    let problem = limited.refused(429, "rate_limited");
    let wait: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait));
    assert!(problem["retry_after_ms"].as_u64().is_some_and(|ms| ms <= wait * 1_000));

    for _ in 0..2 {
        login(&app, &viewer.email, "wrong horse")
            .await
            .refused(401, "invalid_credentials");
    }
    login(&app, &viewer.email.to_uppercase(), PASSWORD)
        .await
        .refused(429, "rate_limited");
    login(&app, &other.email, PASSWORD).await.ok::<Opened>();
}

#[tokio::test]
async fn who_tries_passwords_from_elsewhere_keeps_no_owner_out() {
    let app = App::start_with(|config| {
        config.limits.login_per_email_per_minute = two();
        config.trusted_proxies = vec!["127.0.0.1".parse().expect("an address")];
    })
    .await;
    let from = async |place: &str, path: &str, email: &str, password: &str| {
        let body = json!({"email": email, "password": password, "display_name": "Somebody"});
        app.post(path).json(&body).header("X-Forwarded-For", place).send().await
    };
    let (owner, attacker) = ("owner@example.com", "other@example.com");
    for (place, email) in [("192.0.2.1", owner), ("198.51.100.1", attacker)] {
        from(place, "/auth/register", email, PASSWORD).await.created::<Opened>();
    }
    // Strangers to the account share two, whoever else's account they are at home in.
    for place in ["198.51.100.1", "198.51.100.2"] {
        let wrong = from(place, "/auth/login", owner, "wrong horse").await;
        wrong.refused(401, "invalid_credentials");
    }
    for place in ["198.51.100.1", "198.51.100.3"] {
        let limited = from(place, "/auth/login", owner, PASSWORD).await;
        limited.refused(429, "rate_limited");
    }
    // Where its owner was before there are two more, and those are all.
    for _ in 0..2 {
        from("192.0.2.1", "/auth/login", owner, PASSWORD).await.ok::<Opened>();
    }
    let limited = from("192.0.2.1", "/auth/login", owner, PASSWORD).await;
    limited.refused(429, "rate_limited");
}

#[tokio::test]
async fn an_address_is_registered_so_often_whoever_tries() {
    let app = App::start_with(|config| config.limits.login_per_email_per_minute = two()).await;
    let attempt = async |email: &str| {
        let body = json!({"email": email, "password": PASSWORD, "display_name": "Somebody"});
        app.post("/auth/register").json(&body).send().await
    };
    attempt("viewer@example.com").await.created::<Opened>();
    attempt("Viewer@EXAMPLE.com").await.refused(409, "email_taken");
    attempt("\u{ff56}iewer@example.com").await.refused(429, "rate_limited");
    attempt("other@example.com").await.created::<Opened>();
}

#[tokio::test]
async fn an_unknown_address_takes_a_hash_like_a_known_one() {
    // There are no turns: whatever hashes is told that it is too busy, and what does not
    // hash would answer otherwise.
    let app = App::start_with(|config| {
        config.limits.password_hashes = 0;
        config.limits.password_wait = std::time::Duration::ZERO;
    })
    .await;
    let known = testkit::fixtures::user(&app.db.pool, "Viewer").await;
    let email: String = sqlx::query_scalar("select email from users where id = $1")
        .bind(known.0)
        .fetch_one(&app.db.pool)
        .await
        .expect("the account");
    for email in [email.as_str(), "nobody@example.com"] {
        let refused = login(&app, email, PASSWORD).await;
        refused.refused(503, "overloaded");
        assert!(!refused.header("retry-after").is_empty());
    }
}

#[tokio::test]
async fn a_forwarded_address_is_believed_only_from_a_configured_proxy() {
    async fn third_of_one_host(app: &App) -> Reply {
        let mut last = None;
        for hop in ["9.9.9.1", "9.9.9.2", "9.9.9.3"] {
            let body = json!({"email": "a@example.com", "password": PASSWORD});
            let call = app.post("/auth/login").json(&body).header("X-Forwarded-For", hop);
            last = Some(call.send().await);
        }
        last.expect("three")
    }
    let limits = |config: &mut core_api::Config| config.limits.login_per_minute = two();
    let direct = App::start_with(limits).await;
    third_of_one_host(&direct).await.refused(429, "rate_limited");
    let behind_proxy = App::start_with(|config| {
        limits(config);
        config.trusted_proxies = vec!["127.0.0.1".parse().expect("an address")];
    })
    .await;
    third_of_one_host(&behind_proxy)
        .await
        .refused(401, "invalid_credentials");
}

#[tokio::test]
async fn a_profile_changes_where_it_is_told_to() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    let me: Me = viewer
        .patch("/auth/profile", &json!({"bio": "Collects mugs"}))
        .await
        .ok();
    assert_eq!((me.display_name.as_str(), me.bio.as_str()), ("Viewer", "Collects mugs"));
    let me: Me = viewer
        .patch(
            "/auth/profile",
            &json!({"display_name": " Mug Fan ", "show_purchases": true}),
        )
        .await
        .ok();
    assert_eq!(me.display_name, "Mug Fan");
    assert!(me.show_purchases && me.bio == "Collects mugs");
    let problem = viewer
        .patch("/auth/profile", &json!({"display_name": "a\u{202e}b"}))
        .await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "display_name");
}

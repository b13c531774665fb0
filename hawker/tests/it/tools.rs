//! The commands that do one thing and end.

use crate::program::{Program, finish, hawker, refused, scratch};

async fn on(dir: &std::path::Path, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = hawker(words);
    command.arg("--data-dir").arg(dir);
    let (status, said, complained) = finish(command).await;
    (status.code(), said, complained)
}

#[tokio::test]
async fn migrate_seed_and_verify_work_alone_and_beside_a_running_hawker() {
    let dir = scratch();
    let (status, said, _) = on(dir.path(), &["migrate"]).await;
    assert_eq!((status, said.as_str()), (Some(0), "The schema is up to date.\n"));
    let (status, said, _) = on(dir.path(), &["seed"]).await;
    assert_eq!(status, Some(0));
    assert!(said.contains("40 products are new"), "{said}");
    let program = Program::start(dir.path(), &[]).await;
    let (status, said, _) = on(dir.path(), &["seed"]).await;
    assert_eq!((status, said.as_str()), (Some(0), "The demo shop was there already.\n"));
    let (status, said, _) = on(dir.path(), &["verify"]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("all hold"), "{said}");
    program.stop().await;
}

#[tokio::test]
async fn verify_fails_when_something_is_broken() {
    let db = testkit::database().await;
    hawker::seed::run(&db.pool).await.unwrap();
    let verify = || async {
        let mut command = hawker(&["verify", "--database-url", &db.url]);
        command.env("HAWKER_ALLOW_UNSAFE_DATABASE", "true");
        finish(command).await
    };
    assert_eq!(verify().await.0.code(), Some(0));
    let lose = "update product_variants set on_hand = on_hand + 1 where on_hand > 0";
    sqlx::query(lose).execute(&db.pool).await.unwrap();
    let (status, said, _) = verify().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("BROKEN"), "{said}");
}

#[tokio::test]
async fn verify_only_looks() {
    let db = testkit::empty_database().await;
    let mut command = hawker(&["verify", "--database-url", &db.url]);
    command.env("HAWKER_ALLOW_UNSAFE_DATABASE", "true");
    let line = refused(command).await;
    assert!(line.contains("hawker migrate"), "{line}");
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(tables).fetch_one(&db.pool).await.unwrap(),
        0
    );
}

#[tokio::test]
async fn a_database_that_forgets_is_refused() {
    let db = testkit::database().await;
    let (status, _, said) = finish(hawker(&["migrate", "--database-url", &db.url])).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("fsync") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn an_admin_is_made_once_and_then_raised() {
    let dir = scratch();
    let create = ["admin", "create", "--email", "Boss@Shop.example"];
    let (status, said, _) = on(dir.path(), &create).await;
    assert_eq!(status, Some(0));
    assert!(said.contains("shown only this once"), "{said}");
    let (status, said, _) = on(dir.path(), &create).await;
    assert_eq!(status, Some(0));
    assert!(said.contains("is an administrator now"), "{said}");
    let (status, _, said) = on(dir.path(), &["admin", "create", "--email", "nobody"]).await;
    assert_eq!((status, said.lines().count()), (Some(1), 1), "{said}");
}

#[tokio::test]
async fn an_account_that_may_be_anybodys_is_not_raised() {
    let db = testkit::database().await;
    let shop = testkit::fixtures::shop(&db.pool, 1, 100).await;
    let set = async |what: &str| {
        let change = format!("update users set email = 'boss@shop.example', {what} where id = $1");
        let change = sqlx::query(sqlx::AssertSqlSafe(change)).bind(shop.owner.0);
        change.execute(&db.pool).await.unwrap();
    };
    let create = || async {
        let mut command = hawker(&[
            "admin",
            "create",
            "--email",
            "boss@shop.example",
            "--database-url",
            &db.url,
        ]);
        command.env("HAWKER_ALLOW_UNSAFE_DATABASE", "true");
        finish(command).await
    };
    for (state, why) in [
        ("email_verified_at = null", "not confirmed"),
        ("email_verified_at = now(), suspended_at = now()", "suspended"),
    ] {
        set(state).await;
        let (status, _, said) = create().await;
        assert_eq!(status.code(), Some(1));
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    }
    set("suspended_at = null").await;
    assert!(create().await.0.success());
}

#[tokio::test]
async fn the_description_of_the_api_is_json() {
    let (status, said, _) = finish(hawker(&["openapi"])).await;
    assert!(status.success());
    let api: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(api["paths"]["/auth/login"].is_object());
}

#[tokio::test]
async fn config_check_reads_the_file_and_names_what_is_no_setting() {
    let dir = scratch();
    let file = dir.path().join("hawker.toml");
    let check = || async {
        let mut command = hawker(&["config", "check", "--config"]);
        command.arg(&file);
        finish(command).await
    };
    std::fs::write(&file, "http = \"127.0.0.1:9000\"\nlive_workers = 2\n").unwrap();
    let (status, said, complained) = check().await;
    assert_eq!(
        (status.code(), said.as_str()),
        (Some(0), "The configuration is sound.\n"),
        "{complained}"
    );
    std::fs::write(&file, "http = \"somewhere\"\nhtpp = \"127.0.0.1:9000\"\n").unwrap();
    let (status, _, complained) = check().await;
    assert_eq!(status.code(), Some(2));
    assert!(
        complained.contains("htpp") && complained.contains("HAWKER_HTTP)"),
        "{complained}"
    );
}

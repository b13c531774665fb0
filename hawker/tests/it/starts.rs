//! Starting and stopping, and the one clear line when it cannot.

use std::os::unix::fs::PermissionsExt;

use crate::program::{Program, finish, hawker, processes_in, refused, run, scratch};

#[tokio::test]
async fn it_starts_on_nothing_serves_and_stops_without_a_trace() {
    let dir = scratch();
    let data = dir.path().join("data");
    let mut program = Program::start(&data, &[]).await;
    let page = program.get("/").await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("<!doctype html>"));
    assert_eq!(program.get("/healthz").await.status(), 200);
    assert_eq!(program.get("/readyz").await.status(), 200);
    assert!(!processes_in(&data).is_empty());
    program.signal("TERM");
    assert!(program.end().await.success());
    assert_eq!(processes_in(&data), Vec::<u32>::new());
    assert!(!data.join("postgres/data/postmaster.pid").exists());
}

#[tokio::test]
async fn an_empty_database_gets_the_demo_shop_unless_told_otherwise() {
    let dir = scratch();
    let program = Program::start(&dir.path().join("seeded"), &[]).await;
    assert!(program.banner.contains("host@demo.hawker.example"));
    program.stop().await;
    let program = Program::start(&dir.path().join("bare"), &["--no-seed"]).await;
    assert!(!program.banner.contains("demo.hawker.example"));
    program.stop().await;
}

#[tokio::test]
async fn each_start_has_another_demo_password_and_keeps_its_secret() {
    let dir = scratch();
    let password = |program: &Program| {
        program
            .banner
            .split("password ")
            .nth(1)
            .map(|rest| rest[..19].to_owned())
            .unwrap()
    };
    let secret = || std::fs::read_to_string(dir.path().join("token_secret")).unwrap();
    let first = Program::start(dir.path(), &[]).await;
    let (first_password, first_secret) = (password(&first), secret());
    first.stop().await;
    let second = Program::start(dir.path(), &[]).await;
    assert_ne!(password(&second), first_password);
    assert_eq!(secret(), first_secret);
    second.stop().await;
    let mode = std::fs::metadata(dir.path().join("token_secret"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_second_copy_on_the_same_directory_is_told_so_in_one_line() {
    let dir = scratch();
    let program = Program::start(dir.path(), &["--no-seed"]).await;
    let line = refused(run(dir.path(), &[])).await;
    assert!(
        line.contains("another copy") && line.contains(dir.path().to_str().unwrap()),
        "{line}"
    );
    program.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_told_so_in_one_line_for_either_service() {
    let dir = scratch();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--http", "--live"), ("--live", "--http")] {
        let mut command = hawker(&[flag, &port, other, "127.0.0.1:0", "--data-dir"]);
        command.arg(dir.path());
        let line = refused(command).await;
        assert!(line.contains(&port) && line.contains(flag), "{line}");
    }
    assert!(!dir.path().join("postgres").exists(), "nothing was started");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told_so_in_one_line() {
    let dir = scratch();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let line = refused(run(&file.join("data"), &[])).await;
    assert!(
        line.contains("data directory") && line.contains(file.to_str().unwrap()),
        "{line}"
    );
    let line = refused(run(std::path::Path::new("/proc/hawker"), &[])).await;
    assert!(line.contains("/proc/hawker"), "{line}");
}

#[tokio::test]
async fn a_postgres_that_is_too_old_or_missing_is_told_so_in_one_line() {
    let dir = scratch();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let line = refused({
        let mut command = run(dir.path(), &[]);
        command.env("PG_BIN_DIR", &bin);
        command
    })
    .await;
    assert!(line.contains("PG_BIN_DIR"), "{line}");
    for name in ["postgres", "initdb"] {
        std::fs::write(bin.join(name), "#!/bin/sh\necho 'postgres (PostgreSQL) 12.22'\n").unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let line = refused({
        let mut command = run(dir.path(), &[]);
        command.env("PG_BIN_DIR", &bin);
        command
    })
    .await;
    assert!(line.contains("12.22") && line.contains("14 or newer"), "{line}");
}

#[tokio::test]
async fn wrong_settings_are_all_named_and_the_status_is_that_of_usage() {
    let dir = scratch();
    let mut command = run(dir.path(), &[]);
    command
        .env("HAWKER_TOKEN_SECRET", "short")
        .env("HAWKER_LIMIT_ROOMS", "many");
    let (status, _, said) = finish(command).await;
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("token_secret") && said.contains("limit_rooms"), "{said}");
    assert_eq!(finish(hawker(&["--nonsense"])).await.0.code(), Some(2));
}

#[tokio::test]
async fn with_ones_own_postgres_no_other_is_started() {
    let (dir, db) = (scratch(), testkit::empty_database().await);
    let file = dir.path().join("hawker.toml");
    let text = format!("database_url = {:?}\nallow_unsafe_database = true\n", db.url);
    std::fs::write(&file, text).unwrap();
    let program = Program::start(dir.path(), &["--config", file.to_str().unwrap()]).await;
    assert_eq!(program.get("/readyz").await.status(), 200);
    assert_eq!(processes_in(dir.path()), Vec::<u32>::new());
    assert!(!dir.path().join("postgres").exists());
    // It is migrated, and nothing is written into what is somebody's own.
    let users: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(users, 0);
    program.stop().await;
}

#[tokio::test]
async fn a_simulated_show_is_on_air_when_asked_for() {
    let dir = scratch();
    let program = Program::start(dir.path(), &["--show"]).await;
    let live: serde_json::Value = program.get("/streams/live").await.json().await.unwrap();
    let id = live["items"][0]["id"].as_str().unwrap().to_owned();
    let talking = async {
        loop {
            let chat: serde_json::Value = program.get(&format!("/streams/{id}/chat")).await.json().await.unwrap();
            if chat["items"].as_array().is_some_and(|items| !items.is_empty()) {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), talking)
        .await
        .expect("somebody says something");
    program.stop().await;
}

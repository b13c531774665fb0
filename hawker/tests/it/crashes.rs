//! What a kill leaves behind, and that the next start does not mind.

use std::time::Instant;

use crate::program::{Program, processes_in, run, scratch, until};

#[tokio::test]
async fn after_a_kill_postgres_goes_too_and_the_next_start_serves() {
    let dir = scratch();
    for _ in 0..2 {
        let mut program = Program::start(dir.path(), &[]).await;
        assert_eq!(program.get("/readyz").await.status(), 200);
        program.signal("KILL");
        program.end().await;
        // At once, while the former Postgres may still be stopping.
    }
    let program = Program::start(dir.path(), &[]).await;
    assert_eq!(program.get("/").await.status(), 200);
    assert_eq!(program.get("/readyz").await.status(), 200);
    let mut program = program;
    program.signal("KILL");
    program.end().await;
    until("nothing runs any more", || processes_in(dir.path()).is_empty()).await;
}

#[tokio::test]
async fn after_postgres_and_program_were_killed_the_next_start_serves() {
    let dir = scratch();
    let mut program = Program::start(dir.path(), &[]).await;
    let pid_file = dir.path().join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(&pid_file)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    program.signal("STOP");
    assert!(
        std::process::Command::new("kill")
            .args(["-s", "KILL", &pid])
            .status()
            .unwrap()
            .success()
    );
    program.signal("KILL");
    program.end().await;
    assert!(pid_file.exists());
    let program = Program::start(dir.path(), &[]).await;
    assert_eq!(program.get("/readyz").await.status(), 200);
    program.stop().await;
}

#[tokio::test]
async fn a_kill_in_the_middle_of_the_first_start_leaves_nothing_half_made() {
    let dir = scratch();
    // Once as soon as the making begins, once well into it.
    for file in ["", "data/base/1"] {
        let mut child = run(dir.path(), &[]).spawn().unwrap();
        let begun = || {
            let entries = std::fs::read_dir(dir.path()).unwrap().flatten();
            let mut new = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("postgres.new-"));
            new.any(|entry| entry.path().join(file).exists())
        };
        until("the cluster is being made", begun).await;
        child.kill().await.unwrap();
        assert!(!dir.path().join("postgres").exists());
    }
    let program = Program::start(dir.path(), &[]).await;
    assert_eq!(program.get("/readyz").await.status(), 200);
    let entries = std::fs::read_dir(dir.path()).unwrap().flatten();
    let left = entries
        .filter(|entry| entry.file_name().to_string_lossy().contains("new-"))
        .count();
    assert_eq!(left, 0);
    program.stop().await;
}

#[tokio::test]
async fn when_postgres_dies_the_program_says_so_and_ends() {
    let dir = scratch();
    let mut program = Program::start(dir.path(), &["--no-seed"]).await;
    let pid_file = dir.path().join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(pid_file)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    assert!(
        std::process::Command::new("kill")
            .args(["-s", "KILL", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(program.end().await.code(), Some(1));
}

#[tokio::test]
async fn the_second_start_answers_within_a_second() {
    let dir = scratch();
    Program::start(dir.path(), &[]).await.stop().await;
    // Unoptimised and beside other tests: one quick start shows what the program needs,
    // and a slow one what the machine had to do.
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let program = Program::start(dir.path(), &[]).await;
        assert_eq!(program.get("/").await.status(), 200);
        let took = began.elapsed();
        program.stop().await;
        if took.as_millis() <= 1_000 {
            return;
        }
        times.push(took);
    }
    panic!("{times:?}");
}

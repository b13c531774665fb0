//! The supervisor over real servers: it starts, stops, recovers and refuses.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hawker_postgres::{Options, Server, StartError};

/// Set for the copy of this program that plays the owner that is killed.
const OWNER: &str = "HAWKER_POSTGRES_TEST_OWNER";

/// A scratch folder that the server's account may enter when the tests run as root.
fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn answers(dir: &Path) -> bool {
    UnixStream::connect(dir.join("run/.s.PGSQL.5432")).is_ok()
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name in parentheses; a zombie has ended.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_starts_on_nothing_and_stops_without_a_trace() {
    let dir = scratch();
    let options = Options::new(dir.path().join("data"));
    let server = Server::start(&options).unwrap();
    let pid = server.pid();
    assert!(answers(&options.dir));
    assert!(server.url("postgres").starts_with("postgres://hawker:"));
    server.stop();
    assert!(!lives(pid));
    assert!(!answers(&options.dir));
    assert!(!options.dir.join("postgres/data/postmaster.pid").exists());

    let again = Server::start(&options).unwrap();
    assert!(answers(&options.dir));
    drop(again);
    assert!(!answers(&options.dir));
}

#[test]
fn the_cluster_is_durable_checked_private_and_off_the_network() {
    let dir = scratch();
    let options = Options::new(dir.path().join("data"));
    let server = Server::start(&options).unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let arguments = String::from_utf8_lossy(&arguments);
    for expected in [
        "listen_addresses=\0",
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
    ] {
        assert!(arguments.contains(expected), "{expected} is not in {arguments}");
    }
    let mode = |name: &str| fs::metadata(options.dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("postgres"), 0o700);
    assert_eq!(mode("postgres/password"), 0o600);
    assert_eq!(mode("run"), 0o700);
    assert_eq!(mode("postgres.log"), 0o600);
    let rules = fs::read_to_string(options.dir.join("postgres/data/pg_hba.conf")).unwrap();
    let rules: Vec<_> = rules
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .collect();
    assert!(
        !rules.is_empty() && rules.iter().all(|rule| rule.ends_with("scram-sha-256")),
        "{rules:?}"
    );
}

#[test]
fn a_second_copy_on_the_same_directory_is_told_so_in_one_line() {
    let dir = scratch();
    let options = Options::forgetful(dir.path().join("data"));
    let _server = Server::start(&options).unwrap();
    let error = Server::start(&options).unwrap_err();
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    let line = error.to_string();
    assert!(line.contains(&format!("process {}", std::process::id())), "{line}");
    assert!(!line.contains('\n'));
}

#[test]
fn a_directory_that_cannot_be_written_is_told_so_in_one_line() {
    let dir = scratch();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for place in [file.join("data"), PathBuf::from("/proc/hawker")] {
        let error = Server::start(&Options::forgetful(&place)).unwrap_err();
        assert!(matches!(error, StartError::Unwritable { .. }), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn a_half_made_cluster_is_swept_and_never_used() {
    let dir = scratch();
    let options = Options::forgetful(dir.path().join("data"));
    let remains = options.dir.join("postgres.new-killed/data");
    fs::create_dir_all(&remains).unwrap();
    fs::write(remains.join("PG_VERSION"), "1\n").unwrap();
    let _server = Server::start(&options).unwrap();
    assert!(!remains.exists());
    assert!(answers(&options.dir));
}

#[test]
fn a_cluster_of_another_version_is_told_so_in_one_line() {
    let dir = scratch();
    let options = Options::forgetful(dir.path().join("data"));
    fs::create_dir_all(options.dir.join("postgres/data")).unwrap();
    fs::write(options.dir.join("postgres/data/PG_VERSION"), "11\n").unwrap();
    let error = Server::start(&options).unwrap_err();
    assert!(matches!(error, StartError::OtherVersion { made_by: 11, .. }), "{error}");
}

#[test]
fn paths_too_long_for_a_socket_work() {
    let dir = scratch();
    let options = Options::forgetful(dir.path().join("d".repeat(100)));
    let server = Server::start(&options).unwrap();
    let url = server.url("x");
    let sockets = url.split(['@', '/']).nth(3).unwrap().replace("%2F", "/");
    assert!(UnixStream::connect(format!("{sockets}/.s.PGSQL.5432")).is_ok(), "{url}");
    server.stop();
    assert!(!Path::new(&sockets).exists());
}

/// Not a test by itself: the owner that the next tests start and kill.
#[test]
fn owner() {
    let Ok(dir) = std::env::var(OWNER) else { return };
    let server = Server::start(&Options::new(dir)).unwrap();
    // Past the test harness, which swallows what tests print.
    let mut out = fs::OpenOptions::new().write(true).open("/proc/self/fd/1").unwrap();
    writeln!(out, "\npid {}", server.pid()).unwrap();
    std::thread::park();
}

/// Starts an owner and returns it with its server's process id.
fn start_owner(dir: &Path) -> (Child, u32) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--nocapture"])
        .env(OWNER, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("pid ")?.parse().ok());
    (owner, pid.expect("the owner says its server's id"))
}

#[test]
fn a_server_stops_when_its_owner_is_killed() {
    let dir = scratch();
    let (mut owner, pid) = start_owner(&dir.path().join("data"));
    assert!(lives(pid));
    owner.kill().unwrap();
    owner.wait().unwrap();
    await_that("the server ends with its owner", || !lives(pid));
}

#[test]
fn the_next_start_recovers_when_the_owner_was_killed() {
    let dir = scratch();
    let options = Options::new(dir.path().join("data"));
    for _ in 0..3 {
        let (mut owner, _) = start_owner(&options.dir);
        owner.kill().unwrap();
        owner.wait().unwrap();
        // At once, while the server of the killed one may still be stopping.
        let server = Server::start(&options).unwrap();
        assert!(answers(&options.dir));
        server.stop();
    }
}

#[test]
fn the_next_start_recovers_when_owner_and_server_were_killed() {
    let dir = scratch();
    let options = Options::new(dir.path().join("data"));
    let (mut owner, pid) = start_owner(&options.dir);
    // The server first: its other processes notice only later, and hold its memory till then.
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(options.dir.join("postgres/data/postmaster.pid").exists());
    let server = Server::start(&options).unwrap();
    assert!(answers(&options.dir));
    server.stop();
}

#[test]
fn a_server_that_is_killed_is_noticed() {
    let dir = scratch();
    let server = Server::start(&Options::forgetful(dir.path().join("data"))).unwrap();
    assert!(!server.has_died());
    let killed = Command::new("kill")
        .args(["-9", &server.pid().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    await_that("its death is noticed", || server.has_died());
    server.stop();
}

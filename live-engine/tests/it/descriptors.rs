//! File descriptors run out: who is there goes on, and when there are some again, so do
//! newcomers. The engine runs in a process of its own, which may open only so many.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadtest::live::{Auth, LiveClient};
use shared::ids::{GuestId, StreamId, UserId};
use shared::protocol::Format;
use shared::token::{Part, Viewer};

use crate::harness::{World, chat, hears, ticket};

/// What the engine's process may open. Its database and its workers take some forty.
const MAX_OPEN: usize = 128;

/// Not a test of its own: the engine's process, until its input ends.
#[tokio::test]
#[ignore = "the process of the test below"]
#[allow(clippy::print_stderr, reason = "it tells the test where it is")]
async fn an_engine_with_few_descriptors() {
    let world = World::start().await;
    let Viewer::User { id, .. } = world.person("Author").await else {
        panic!("a person")
    };
    eprintln!("AT {} {} {}", world.engine.addr(), world.shop.stream, id);
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    ended.await.expect("not cancelled").expect("an end");
    world.engine.stop().await;
}

struct Process {
    child: Child,
    addr: SocketAddr,
    stream: StreamId,
    author: UserId,
}

fn start() -> Process {
    let test = std::env::current_exe().expect("this program");
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -n {MAX_OPEN} && exec \"$0\" \"$@\"")])
        .arg(test)
        .args([
            "--exact",
            "descriptors::an_engine_with_few_descriptors",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let errors = BufReader::new(child.stderr.take().expect("its errors"));
    let mut lines = errors.lines().map_while(Result::ok);
    let at = lines.find(|line| line.starts_with("AT ")).expect("it starts");
    // Whatever it says later is not to block it.
    std::thread::spawn(move || lines.for_each(drop));
    let mut words = at.split(' ').skip(1);
    let mut word = || words.next().expect("a word");
    Process {
        child,
        addr: word().parse().expect("an address"),
        stream: StreamId(word().parse().expect("an id")),
        author: UserId(word().parse().expect("an id")),
    }
}

impl Process {
    /// How many descriptors it has open.
    fn open(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.expect("it runs").count()
    }

    async fn join(&self, viewer: Viewer) -> anyhow::Result<LiveClient> {
        let ticket = ticket(viewer, self.stream, Part::Viewer);
        let url = format!("ws://{}/ws", self.addr);
        let mut client = LiveClient::connect(&url, Format::Json, Auth::Ticket(ticket)).await?;
        client.join(self.stream, None).await?;
        Ok(client)
    }
}

#[tokio::test]
async fn when_descriptors_run_out_who_is_there_goes_on_and_newcomers_wait() {
    let mut engine = start();
    let author = Viewer::User {
        id: engine.author,
        name: "Author".into(),
    };
    let guest = || Viewer::Guest { id: GuestId::new() };
    let (mut author, mut viewer) = (
        engine.join(author).await.expect("in"),
        engine.join(guest()).await.expect("in"),
    );
    author.call(chat("before")).await.expect("answered").expect("said");
    // The kernel takes them all; the engine has no descriptor for most of them.
    let flood: Vec<_> = (0..2 * MAX_OPEN)
        .map(|_| TcpStream::connect_timeout(&engine.addr, Duration::from_secs(10)).expect("taken by the kernel"))
        .collect();
    let by = Instant::now() + Duration::from_secs(30);
    while engine.open() < MAX_OPEN {
        assert!(
            Instant::now() < by,
            "the engine has {} of {MAX_OPEN} open",
            engine.open()
        );
        tokio::task::yield_now().await;
    }
    for n in 0..5 {
        let text = format!("meanwhile {n}");
        author.call(chat(&text)).await.expect("answered").expect("said");
        hears(&mut viewer, &text).await;
    }
    drop(flood);
    let newcomer = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Ok(newcomer) = engine.join(guest()).await {
                return newcomer;
            }
        }
    });
    let mut newcomer = newcomer.await.expect("let in in time");
    author.call(chat("after")).await.expect("answered").expect("said");
    hears(&mut newcomer, "after").await;
    drop(engine.child.stdin.take());
    engine.child.wait().expect("it ends");
}

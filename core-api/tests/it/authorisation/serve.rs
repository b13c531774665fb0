//! The matrix's world for a program that makes requests up: `scripts/schemathesis.sh` has
//! it call a running service, and asks here for people and for rows of theirs. A question
//! is a line, an actor and an operation as the matrix names it (`buyer GET /orders/{}`, or
//! `*` for all of them); the answer is a line of JSON.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::rows::UNCONFIRMED;
use super::world::{ACTORS, Grounds, World};
use super::{Line, lines};

/// Serves until its standard input ends.
#[tokio::test]
#[ignore = "serves scripts/schemathesis.sh"]
#[allow(clippy::print_stdout, reason = "whoever started it reads where it is")]
async fn a_world_to_make_requests_up_in() {
    shared::telemetry::init_logs(shared::telemetry::LogFormat::Text, "error");
    let grounds = Rc::new(Grounds::open().await);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    println!("\nworld {} {address}", grounds.origin());
    let local = tokio::task::LocalSet::new();
    local.spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::task::spawn_local(serve(stream, Rc::clone(&grounds)));
        }
    });
    let end = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let read = local.run_until(end).await.expect("the reader goes on");
    read.expect("the standard input is read");
}

async fn serve(mut stream: TcpStream, grounds: Rc<Grounds>) {
    let (reader, mut writer) = stream.split();
    let mut questions = BufReader::new(reader).lines();
    while let Ok(Some(question)) = questions.next_line().await {
        let answer = answer(&question, &grounds).await.to_string() + "\n";
        writer.write_all(answer.as_bytes()).await.expect("somebody reads");
    }
}

async fn answer(question: &str, grounds: &Grounds) -> Value {
    let (name, what) = question.split_once(' ').expect("an actor and an operation");
    let actor = ACTORS.iter().position(|actor| *actor == name).expect("an actor");
    let lines = of_actor(actor);
    let chosen: Vec<&Line> = match what {
        "*" => lines.values().collect(),
        operation => lines.get(operation).into_iter().collect(),
    };
    let mut names: Vec<_> = chosen.iter().flat_map(|line| line.names()).collect();
    if chosen.len() > 1 {
        names.retain(|name| *name != UNCONFIRMED);
    }
    let world = World::make(grounds, &names).await;
    grounds.give_passwords().await;
    let operations: Value = chosen
        .into_iter()
        .map(|line| {
            let body = if line.body.contains(UNCONFIRMED) { "" } else { line.body };
            let body = world.fill(body, actor).replace("\\n", "\n");
            (
                line.operation(),
                json!({"path": world.fill(line.path, actor), "body": body}),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({"token": world.token(actor), "operations": operations})
}

/// The first line of each operation that lets an actor in.
fn of_actor(actor: usize) -> BTreeMap<String, Line> {
    let mut let_in = BTreeMap::new();
    for line in lines().into_iter().filter(|line| line.expected[actor].lets_in()) {
        let_in.entry(line.operation()).or_insert(line);
    }
    let_in
}

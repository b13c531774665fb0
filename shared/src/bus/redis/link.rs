//! The client's thread: keeps a connection, carries what is asked over it, and hands on
//! what comes. A connection that fails, or does not answer for two seconds, is given up
//! and another is made, after a pause that grows and is jittered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, PushInfo, PushKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

use super::super::BusError;
use super::ends::Ends;
use super::queue::{Ask, Asked};

/// How long Redis may take to be reached, and to answer anything.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// How often a connection is tried, and what nobody listens to is unsubscribed.
const BEAT: Duration = Duration::from_secs(1);
/// The shortest and the longest pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How much goes into one pipeline: in number, and in bytes of messages.
const PIPELINE: usize = 512;
const PIPELINE_BYTES: usize = 1024 * 1024;

/// Sends to one of the servers of a topic, and says to how many it sent. Who is
/// subscribed is looked up and sent to in one step, so nobody is gone in between.
const ASK_ONE: &str = r#"
local servers = redis.call("PUBSUB", "SHARDCHANNELS", KEYS[1] .. "*")
if #servers == 0 then return 0 end
return redis.call("SPUBLISH", servers[tonumber(ARGV[1]) % #servers + 1], ARGV[2])"#;

/// Why a connection is over.
enum Over {
    /// It failed.
    Lost(String),
    /// The bus was dropped.
    Dropped,
}

impl From<redis::RedisError> for Over {
    fn from(error: redis::RedisError) -> Self {
        Self::Lost(error.to_string())
    }
}

struct Link {
    client: redis::Client,
    ends: Arc<Ends>,
    asked: Asked,
    up: watch::Sender<bool>,
    /// Whose turn among the servers of a topic it is.
    turn: u32,
}

/// Starts the thread. It ends when the other end of `asked` is dropped.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(
    client: redis::Client,
    ends: Arc<Ends>,
    asked: Asked,
    up: watch::Sender<bool>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let link = Link {
        client,
        ends,
        asked,
        up,
        turn: rand::rng().random(),
    };
    std::thread::Builder::new().name("bus-redis".into()).spawn(move || {
        runtime.block_on(link.run());
        // An address that is being looked up is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(())
}

impl Link {
    async fn run(mut self) {
        let mut pause = PAUSE.0;
        let mut is_news = true;
        loop {
            let lost = Arc::new(Notify::new());
            let connecting = connect(self.client.clone(), self.ends.clone(), lost.clone());
            let over = match self.meanwhile(connecting).await {
                Ok(Ok(conn)) => {
                    let over = self.serve(conn, &lost).await;
                    if self.up.send_replace(false) {
                        (pause, is_news) = (PAUSE.0, true);
                    }
                    over
                }
                Ok(Err(error)) => Over::from(error),
                Err(over) => over,
            };
            match over {
                Over::Dropped => return,
                Over::Lost(error) if is_news => tracing::error!(error, "the bus is away: Redis cannot be used"),
                Over::Lost(error) => tracing::debug!(error, "the bus is still away"),
            }
            is_news = false;
            let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            if self.meanwhile(tokio::time::sleep(jittered)).await.is_err() {
                return;
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Does something while there is no connection: whoever asks is refused.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Over> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                ask = self.asked.next() => match ask {
                    Some(Ask::Request { number, .. }) => self.ends.pending.settle(number, Err(BusError::Unreachable)),
                    // Nobody waits for a message; a channel is subscribed with all others.
                    Some(Ask::Publish { .. } | Ask::Listen { .. }) => {}
                    None => return Err(Over::Dropped),
                },
            }
        }
    }

    /// Uses a connection until it is over.
    async fn serve(&mut self, mut conn: MultiplexedConnection, lost: &Notify) -> Over {
        if let Err(error) = self.subscribe_all(&mut conn).await {
            return error;
        }
        self.up.send_replace(true);
        // Sent after everything is subscribed: what is published from here on is heard.
        self.ends.subscribers.interrupted();
        tracing::info!("the bus is up");
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                () = lost.notified() => Err(Over::Lost("the connection was closed".into())),
                ask = self.asked.next() => match ask {
                    Some(ask) => self.carry(&mut conn, ask).await,
                    None => Err(Over::Dropped),
                },
                _ = beat.tick() => self.tidy(&mut conn).await,
            };
            if let Err(over) = done {
                return over;
            }
        }
    }

    async fn subscribe_all(&self, conn: &mut MultiplexedConnection) -> Result<(), Over> {
        for channels in self.ends.channels().chunks(PIPELINE) {
            let mut pipeline = Pipeline::with_capacity(channels.len());
            for channel in channels {
                pipeline.cmd("SSUBSCRIBE").arg(channel);
            }
            for answer in conn.send_packed_commands(&pipeline, 0, channels.len()).await? {
                understood(&answer)?;
            }
        }
        Ok(())
    }

    /// Carries this and what waits behind it, in one pipeline.
    async fn carry(&mut self, conn: &mut MultiplexedConnection, first: Ask) -> Result<(), Over> {
        let mut bytes = first.len();
        let mut asks = vec![first];
        while asks.len() < PIPELINE
            && bytes < PIPELINE_BYTES
            && let Some(ask) = self.asked.next_now()
        {
            bytes += ask.len();
            asks.push(ask);
        }
        let mut pipeline = Pipeline::with_capacity(asks.len());
        for ask in &asks {
            match ask {
                Ask::Publish { channel, message } => pipeline.cmd("SPUBLISH").arg(channel).arg(&message[..]),
                Ask::Request { servers, question, .. } => {
                    self.turn = self.turn.wrapping_add(1);
                    let command = pipeline.cmd("EVAL").arg(ASK_ONE).arg(1).arg(servers);
                    command.arg(self.turn).arg(&question[..])
                }
                Ask::Listen { channel, .. } => pipeline.cmd("SSUBSCRIBE").arg(channel),
            };
        }
        match conn.send_packed_commands(&pipeline, 0, asks.len()).await {
            Ok(answers) => asks
                .into_iter()
                .zip(answers)
                .try_for_each(|(ask, answer)| self.carried(ask, &answer)),
            Err(error) => {
                for ask in asks {
                    if let Ask::Request { number, .. } = ask {
                        self.ends.pending.settle(number, Err(BusError::Unreachable));
                    }
                }
                Err(error.into())
            }
        }
    }

    /// What Redis says to one of them.
    fn carried(&self, ask: Ask, answer: &Value) -> Result<(), Over> {
        match ask {
            Ask::Publish { .. } => {
                if let Err(Over::Lost(error)) = understood(answer) {
                    tracing::warn!(error, "Redis refuses a message");
                }
                Ok(())
            }
            Ask::Request { number, .. } => {
                match answer {
                    Value::Int(0) => self.ends.pending.settle(number, Err(BusError::NoServer)),
                    Value::Int(_) => {}
                    other => {
                        tracing::warn!(?other, "Redis refuses a request");
                        self.ends.pending.settle(number, Err(BusError::Unreachable));
                    }
                }
                Ok(())
            }
            Ask::Listen { channel, done } => {
                understood(answer)?;
                if done.send(()).is_err() {
                    // It was handed out before it was confirmed.
                    self.ends.doubt(&channel);
                }
                Ok(())
            }
        }
    }

    /// Lets go of what nobody listens to, and sees whether Redis still answers.
    async fn tidy(&self, conn: &mut MultiplexedConnection) -> Result<(), Over> {
        let mut pipeline = Pipeline::new();
        let unheard = self.ends.tidy();
        for channel in &unheard {
            pipeline.cmd("SUNSUBSCRIBE").arg(channel);
        }
        pipeline.cmd("PING");
        for answer in conn.send_packed_commands(&pipeline, 0, unheard.len() + 1).await? {
            understood(&answer)?;
        }
        Ok(())
    }
}

async fn connect(
    client: redis::Client,
    ends: Arc<Ends>,
    lost: Arc<Notify>,
) -> redis::RedisResult<MultiplexedConnection> {
    let pushed = move |push: PushInfo| -> Result<(), redis::aio::SendError> {
        match push.kind {
            PushKind::SMessage => heard(&ends, push.data),
            PushKind::Disconnection => lost.notify_one(),
            // Confirmations are answers, too, and dealt with there.
            _ => {}
        }
        Ok(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_DEADLINE))
        .set_response_timeout(Some(ANSWER_DEADLINE))
        .set_push_sender(pushed);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn heard(ends: &Ends, data: Vec<Value>) {
    let mut data = data.into_iter();
    let (Some(Value::BulkString(channel)), Some(Value::BulkString(message))) = (data.next(), data.next()) else {
        tracing::warn!("a push of Redis cannot be read");
        return;
    };
    match std::str::from_utf8(&channel) {
        Ok(channel) => ends.hear(channel, Bytes::from(message)),
        Err(_) => tracing::warn!("a message on a channel that is not ours"),
    }
}

/// An answer that is no error.
fn understood(answer: &Value) -> Result<(), Over> {
    match answer {
        Value::ServerError(error) => Err(Over::Lost(error.to_string())),
        _ => Ok(()),
    }
}

//! A moderator: one act after the other, each asked for over the socket until it is
//! answered. Whom they mute and ban takes no part, so nobody else's acts depend on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, UserId};
use shared::protocol::{self, Ban, ClientCommand, Format, Mute, Outcome, Unban};

use super::book::{Act, Done};
use super::hall::{Hall, Person, a_moment, act_of, is_passing};
use crate::live::{Auth, LiveClient};

/// How long a mute lasts: longer than a run.
const MUTED_SECONDS: u32 = 3_600;

/// What a moderator may do.
#[derive(Clone, Copy, Debug)]
enum Command {
    Rule(u32),
    Pin(Option<MessageId>),
    Delete(MessageId),
    Mute(UserId, bool),
    Ban(UserId, bool),
}

/// See the module.
pub struct Moderator {
    hall: Arc<Hall>,
    person: Person,
    /// Whom they mute and ban.
    other: UserId,
    rng: StdRng,
    live: Option<LiveClient>,
}

impl Moderator {
    /// A moderator whose choices follow from `seed`.
    #[must_use]
    pub fn new(hall: Arc<Hall>, person: Person, other: UserId, seed: u64) -> Self {
        Self {
            hall,
            person,
            other,
            rng: StdRng::seed_from_u64(seed),
            live: None,
        }
    }

    /// Keeps order until the show closes.
    pub async fn run(mut self) {
        while !self.hall.closing.is_cancelled() {
            let command = self.choose();
            self.command(command).await;
            let pause = Duration::from_millis(self.rng.random_range(20..150));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.hall.closing.cancelled() => {}
            }
        }
        if let Some(live) = self.live {
            live.close().await;
        }
    }

    fn choose(&mut self) -> Command {
        let message = self.hall.book.a_message(self.hall.stream, &mut self.rng);
        let (is_on, other) = (self.rng.random_ratio(1, 2), self.other);
        match (self.rng.random_range(0..5), message) {
            (0, _) => Command::Rule(self.rng.random_range(300..500)),
            (1, Some(message)) => Command::Pin(is_on.then_some(message)),
            (2, Some(message)) => Command::Delete(message),
            (3, _) => Command::Mute(other, is_on),
            _ => Command::Ban(other, is_on),
        }
    }

    async fn command(&mut self, command: Command) {
        let act = act_of(self.person.account.user);
        loop {
            match self.ask(act, command).await {
                Ok(Ok(done)) => {
                    self.hall.book.tell(act, done);
                    return;
                }
                Ok(Err(code)) if !is_passing(code) => return self.hall.book.refuse(act, code),
                Ok(Err(_)) | Err(_) => {}
            }
            if self.hall.has_given_up() {
                return self.hall.book.fault(format!("{command:?} was never answered"));
            }
            tokio::time::sleep(a_moment()).await;
        }
    }

    async fn ask(&mut self, act: Act, command: Command) -> Result<Result<Done, ErrorCode>> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.enter().await?,
        };
        let answer = live.call_as(wanted(command), act.request).await?;
        live.drain();
        self.live = Some(live);
        match answer {
            Ok(Outcome::Done) => Ok(Ok(done(command))),
            Err(Refusal { code, .. }) => Ok(Err(code)),
            Ok(outcome) => bail!("{command:?} was answered with {outcome:?}"),
        }
    }

    async fn enter(&self) -> Result<LiveClient> {
        let ticket = self.person.account.client().await?.ticket(self.hall.stream).await?;
        let mut live = LiveClient::connect(&ticket.url, Format::Json, Auth::Ticket(ticket.ticket)).await?;
        live.join(self.hall.stream, None).await?;
        Ok(live)
    }
}

fn wanted(command: Command) -> ClientCommand {
    let who = protocol::Person::User;
    match command {
        Command::Rule(max_chars) => ClientCommand::ChatMode {
            audience: None,
            links: None,
            max_chars: Some(max_chars),
        },
        Command::Pin(Some(message)) => ClientCommand::PinMessage { message },
        Command::Pin(None) => ClientCommand::UnpinMessage,
        Command::Delete(message) => ClientCommand::DeleteMessage { message },
        Command::Mute(user, true) => ClientCommand::Mute(Mute {
            user,
            seconds: MUTED_SECONDS,
            reason: String::new(),
        }),
        Command::Mute(user, false) => ClientCommand::Unmute { user },
        Command::Ban(user, true) => ClientCommand::Ban(Ban {
            who: who(user),
            seconds: None,
            reason: String::new(),
        }),
        Command::Ban(user, false) => ClientCommand::Unban(Unban { who: who(user) }),
    }
}

const fn done(command: Command) -> Done {
    match command {
        Command::Rule(max_chars) => Done::Ruled { max_chars },
        Command::Pin(message) => Done::Pinned { message },
        Command::Delete(message) => Done::Deleted { message },
        Command::Mute(user, is_muted) => Done::Muted { user, is_muted },
        Command::Ban(user, is_banned) => Done::Banned { user, is_banned },
    }
}

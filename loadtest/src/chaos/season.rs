//! One show after the other, beside the one that everybody is in: scheduled, put on air,
//! talked in, ended, over the socket and over REST in turn under the same request id; and
//! then the next one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, StreamId};
use shared::protocol::{ClientCommand, Format, Outcome, Position};

use super::book::{Act, Done};
use super::hall::{Hall, Person, a_moment, act_of, is_passing};
use crate::live::{Auth, LiveClient};
use crate::rest::{NewStream, RestClient, RestError};

/// What is done to a show.
#[derive(Clone, Debug)]
enum Command {
    Start,
    Say(String),
    End,
}

/// See the module.
pub struct Season {
    hall: Arc<Hall>,
    person: Person,
    rng: StdRng,
    live: Option<LiveClient>,
}

impl Season {
    /// A season whose choices follow from `seed`.
    #[must_use]
    pub fn new(hall: Arc<Hall>, person: Person, seed: u64) -> Self {
        Self {
            hall,
            person,
            rng: StdRng::seed_from_u64(seed),
            live: None,
        }
    }

    /// Goes on until the show that everybody is in closes.
    pub async fn run(mut self) {
        while !self.hall.closing.is_cancelled() {
            let Some(stream) = self.schedule().await else { continue };
            self.command(stream, Command::Start).await;
            for nth in 0..self.rng.random_range(1..6) {
                let text = format!("welcome {nth} to {stream}");
                self.command(stream, Command::Say(text)).await;
                let pause = Duration::from_millis(self.rng.random_range(5..80));
                tokio::time::sleep(pause).await;
            }
            self.command(stream, Command::End).await;
            if let Some(live) = self.live.take() {
                live.close().await;
            }
        }
    }

    /// Schedules a show: it has no key, so it is looked for by its title before it is asked
    /// for again.
    async fn schedule(&self) -> Option<StreamId> {
        let act = act_of(self.person.account.user);
        let title = format!("Glazes of {}", RequestId::new());
        let ask = async |rest: RestClient| {
            let known = rest.my_streams().await?;
            if let Some(known) = known.items.iter().find(|stream| stream.title == title) {
                return Ok(known.id);
            }
            let stream = NewStream {
                title: title.clone(),
                product_ids: vec![self.hall.product],
                start: false,
            };
            Ok(rest.create_stream(&stream).await?.id)
        };
        match self.hall.insist(&self.person.account, act, ask).await? {
            Ok(stream) => Some(stream),
            Err(code) => {
                self.hall.book.fault(format!("a show was refused with {code}"));
                None
            }
        }
    }

    async fn command(&mut self, stream: StreamId, command: Command) {
        let act = act_of(self.person.account.user);
        // Over REST nobody says anything.
        let mut over_rest = self.rng.random_ratio(1, 2);
        loop {
            let answer = if over_rest && !matches!(command, Command::Say(_)) {
                self.over_rest(stream, act, &command).await
            } else {
                self.over_the_socket(stream, act, &command).await
            };
            over_rest = !over_rest;
            match answer {
                Ok(Ok(done)) => {
                    self.hall.book.tell(act, done);
                    return;
                }
                Ok(Err(code)) if !is_passing(code) => return self.hall.book.refuse(act, code),
                Ok(Err(_)) | Err(_) => {}
            }
            if self.hall.has_given_up() {
                return self
                    .hall
                    .book
                    .fault(format!("{command:?} of {stream} was never answered"));
            }
            tokio::time::sleep(a_moment()).await;
        }
    }

    async fn over_rest(&self, stream: StreamId, act: Act, command: &Command) -> Result<Result<Done, ErrorCode>> {
        let rest = self.person.account.client().await?;
        let answered = match command {
            Command::Start => rest.start_stream_as(stream, act.request).await,
            Command::End => rest.end_stream_as(stream, act.request).await,
            Command::Say(_) => bail!("nothing is said over REST"),
        };
        match answered {
            Ok(_) if matches!(command, Command::Start) => Ok(Ok(Done::Started { stream })),
            Ok(_) => Ok(Ok(Done::Ended { stream })),
            Err(RestError::Refused(problem)) => Ok(Err(problem.code)),
            Err(error) => Err(error.into()),
        }
    }

    async fn over_the_socket(
        &mut self,
        stream: StreamId,
        act: Act,
        command: &Command,
    ) -> Result<Result<Done, ErrorCode>> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.enter(stream).await?,
        };
        let wanted = match command {
            Command::Start => ClientCommand::Start,
            Command::Say(text) => ClientCommand::Chat {
                text: text.clone(),
                reply_to: None,
            },
            Command::End => ClientCommand::End,
        };
        let answer = live.call_as(wanted, act.request).await?;
        live.drain();
        self.live = Some(live);
        Ok(match (command, answer) {
            (Command::Start, Ok(Outcome::Done)) => Ok(Done::Started { stream }),
            (Command::End, Ok(Outcome::Done)) => Ok(Done::Ended { stream }),
            (Command::Say(text), Ok(Outcome::Said { message, epoch, seq })) => Ok(Done::Said {
                stream,
                message,
                text: text.clone(),
                at: Position { epoch, seq },
            }),
            (_, Err(Refusal { code, .. })) => Err(code),
            (_, Ok(outcome)) => bail!("{command:?} was answered with {outcome:?}"),
        })
    }

    async fn enter(&self, stream: StreamId) -> Result<LiveClient> {
        let ticket = self.person.account.client().await?.host_ticket(stream).await?;
        let mut live = LiveClient::connect(&ticket.url, Format::Json, Auth::Ticket(ticket.ticket)).await?;
        live.join(stream, None).await?;
        Ok(live)
    }
}

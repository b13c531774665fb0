//! A bot of the simulated show: it watches like anybody, and what it sees puts things
//! on its agenda for some seconds later, as people take time to type and to decide.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::Rng;
use rand::seq::IndexedRandom;
use shared::ids::{RequestId, SaleId, StreamId};
use shared::protocol::{ClientCommand, ClientFrame, Format, Outcome, Private, Reservation, RoomEvent, ServerFrame};
use tokio::time::Instant;

use super::cast::Account;
use super::viewer::Grant;
use super::{lines, shopping};
use crate::live::{self, Auth, LiveClient};
use crate::socket::Socket;

/// Things a bot may have planned; more is forgotten.
const AGENDA_CAPACITY: usize = 32;
/// All bots react together at every so manyth second of the clock.
const WAVE_SECONDS: u64 = 12;

enum Plan {
    Say(String),
    /// Something from the list of things said at any time, and the next such plan.
    Chatter,
    React(u32),
    /// A burst of reactions, and the next such plan.
    Wave,
    Buy(SaleId),
    Pay(Reservation),
}

/// A bot in the room.
pub struct Bot {
    account: Arc<Account>,
    stream: StreamId,
    /// Buys in every sale, and soon.
    keen: bool,
    socket: Socket,
    agenda: Vec<(Instant, Plan)>,
    last_id: u64,
}

fn seconds(from: f64, to: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(rand::rng().random_range(from..to))
}

fn one_in(n: u32) -> bool {
    rand::rng().random_ratio(1, n)
}

fn pick(list: &[&'static str]) -> &'static str {
    list.choose(&mut rand::rng()).copied().unwrap_or("hello")
}

impl Bot {
    /// Gets a ticket and joins.
    pub async fn enter(account: Arc<Account>, stream: StreamId, keen: bool) -> Result<Self> {
        let ticket = account.client().await?.ticket(stream).await.context("a ticket")?;
        let mut client = LiveClient::connect(&ticket.url, Format::Json, Auth::Ticket(ticket.ticket)).await?;
        client.join(stream, None).await?;
        let (socket, _, _) = client.into_parts();
        let mut bot = Self {
            account,
            stream,
            keen,
            socket,
            agenda: Vec::new(),
            last_id: 1000,
        };
        bot.plan(seconds(1.0, 15.0), Plan::Chatter);
        bot.plan(next_wave(), Plan::Wave);
        Ok(bot)
    }

    /// Watches until it is dropped.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn watch(mut self) -> Result<()> {
        loop {
            let due = self.agenda.iter().map(|(at, _)| *at).min();
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            tokio::select! {
                payload = self.socket.receive() => {
                    let frame = live::decode(self.socket.format(), &payload?)?;
                    self.see(&frame);
                }
                () = tokio::time::sleep_until(due) => {
                    let now = Instant::now();
                    let plans: Vec<Plan> = self.agenda.extract_if(.., |(at, _)| *at <= now).map(|(_, plan)| plan).collect();
                    for plan in plans {
                        self.carry_out(plan).await?;
                    }
                }
            }
        }
    }

    fn plan(&mut self, at: Instant, plan: Plan) {
        if self.agenda.len() < AGENDA_CAPACITY {
            self.agenda.push((at, plan));
        }
    }

    fn see(&mut self, frame: &ServerFrame) {
        match frame {
            ServerFrame::Numbered(batch) => batch.m.iter().for_each(|event| self.see_event(event)),
            ServerFrame::Private(Private::Reply {
                outcome: Outcome::Held(hold),
                ..
            }) => {
                if one_in(2) {
                    self.plan(seconds(1.0, 4.0), Plan::Say(pick(&lines::ON_HELD).into()));
                }
                // Some forget to pay, and the unit is sold again.
                if !one_in(6) {
                    self.plan(seconds(5.0, 20.0), Plan::Pay(hold.clone()));
                }
            }
            ServerFrame::Ephemeral(_) | ServerFrame::Private(_) => {}
        }
    }

    fn see_event(&mut self, event: &RoomEvent) {
        match event {
            RoomEvent::Featured { product } => {
                if one_in(5) {
                    let name = product.title.split(',').next().unwrap_or(&product.title);
                    let line = pick(&lines::ON_FEATURED).replace("{}", name);
                    self.plan(seconds(1.5, 8.0), Plan::Say(line));
                }
                self.plan(seconds(0.3, 3.0), Plan::React(4));
            }
            RoomEvent::SaleOpened { sale } => {
                if one_in(4) {
                    self.plan(seconds(0.5, 6.0), Plan::Say(pick(&lines::ON_SALE).into()));
                }
                self.plan(seconds(0.2, 2.0), Plan::React(8));
                // Late enough that a visitor finds units, few enough that some stay.
                if self.keen {
                    self.plan(seconds(1.5, 5.0), Plan::Buy(sale.id));
                } else if !one_in(3) {
                    self.plan(seconds(3.0, 38.0), Plan::Buy(sale.id));
                }
            }
            RoomEvent::SaleSoldOut { .. } if one_in(3) => {
                self.plan(seconds(0.5, 5.0), Plan::Say(pick(&lines::ON_SOLD_OUT).into()));
            }
            RoomEvent::Purchase { .. } => self.plan(seconds(0.2, 2.0), Plan::React(2)),
            _ => {}
        }
    }

    async fn carry_out(&mut self, plan: Plan) -> Result<()> {
        match plan {
            Plan::Say(text) => self.say(text).await,
            Plan::Chatter => {
                self.plan(seconds(10.0, 35.0), Plan::Chatter);
                self.say(pick(&lines::CHATTER).into()).await
            }
            Plan::React(at_most) => self.react(at_most).await,
            Plan::Wave => {
                self.plan(next_wave(), Plan::Wave);
                self.plan(seconds(0.2, 1.0), Plan::React(3));
                self.plan(seconds(1.0, 2.5), Plan::React(5));
                self.react(2).await
            }
            Plan::Buy(sale) => self.send(ClientCommand::Buy { sale, quantity: 1 }).await,
            Plan::Pay(hold) => {
                let grant = Grant {
                    account: self.account.clone(),
                    hold,
                };
                // A hold that lapsed meanwhile is a buyer's bad luck, not trouble.
                if let Err(error) = shopping::buy(&grant, self.stream).await {
                    tracing::debug!(error = format!("{error:#}"), "a bot did not pay");
                }
                Ok(())
            }
        }
    }

    async fn say(&mut self, text: String) -> Result<()> {
        self.send(ClientCommand::Chat { text, reply_to: None }).await
    }

    async fn react(&mut self, at_most: u32) -> Result<()> {
        let kind = pick(&lines::REACTIONS).to_owned();
        let count = rand::rng().random_range(1..=at_most);
        self.send(ClientCommand::React { kind, count }).await
    }

    async fn send(&mut self, command: ClientCommand) -> Result<()> {
        self.last_id += 1;
        let frame = ClientFrame {
            id: self.last_id,
            request_id: Some(RequestId::new()),
            command,
        };
        Ok(self.socket.send(&frame).await?)
    }
}

/// The next moment at which all bots react, by the clock that they share.
fn next_wave() -> Instant {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let since = Duration::from_secs(now.as_secs() % WAVE_SECONDS) + Duration::from_nanos(now.subsec_nanos().into());
    Instant::now() + (Duration::from_secs(WAVE_SECONDS) - since)
}

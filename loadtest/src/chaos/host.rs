//! The host: one command after the other, each asked for until it is answered, over the
//! socket and over REST in turn under the same request id; and changes of the shop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, SaleId, VariantId};
use shared::protocol::{ClientCommand, Feature, Format, Outcome, SaleOpen, SalePrice};

use super::book::{Act, Done};
use super::hall::{Hall, Person, a_moment, act_of, is_passing};
use crate::live::{Auth, LiveClient};
use crate::rest::RestError;

/// Sales open at a time.
const SALES: usize = 3;

/// What the host may do in the room.
#[derive(Clone, Debug)]
enum Command {
    Open(SaleOpen),
    Close(SaleId),
    Feature(Option<ProductId>),
}

/// See the module.
pub struct Host {
    hall: Arc<Hall>,
    person: Person,
    rng: StdRng,
    live: Option<LiveClient>,
    price_minor: i64,
}

impl Host {
    /// A host whose choices follow from `seed`.
    #[must_use]
    pub fn new(hall: Arc<Hall>, person: Person, seed: u64) -> Self {
        Self {
            hall,
            person,
            rng: StdRng::seed_from_u64(seed),
            live: None,
            price_minor: 2_000,
        }
    }

    /// Hosts until the show closes.
    pub async fn run(mut self) {
        while !self.hall.closing.is_cancelled() {
            self.next_act().await;
            let pause = Duration::from_millis(self.rng.random_range(20..120));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.hall.closing.cancelled() => {}
            }
        }
        if let Some(live) = self.live {
            live.close().await;
        }
    }

    async fn next_act(&mut self) {
        let open = self.hall.sales();
        let variant = self.hall.variants.choose(&mut self.rng).copied();
        let Some(variant) = variant else { return };
        match self.rng.random_range(0..10) {
            _ if open.is_empty() => self.open_sale(variant).await,
            0..3 if open.len() < SALES => self.open_sale(variant).await,
            3..5 if open.len() > 1 => self.close_sale(open[0]).await,
            5 | 6 => self.reprice(variant).await,
            7 => self.restock(variant).await,
            nth => {
                let product = (nth % 2 == 0).then_some(self.hall.product);
                self.command(Command::Feature(product)).await;
            }
        }
    }

    async fn open_sale(&mut self, variant: VariantId) {
        let sale = SaleOpen {
            variant,
            quantity: match self.rng.random_ratio(1, 2) {
                // Soon sold out: then there is a line.
                true => self.rng.random_range(2..8),
                false => self.rng.random_range(20..80),
            },
            price: if self.rng.random_ratio(1, 2) {
                SalePrice::PriceMinor(1_000)
            } else {
                SalePrice::PercentOff(self.rng.random_range(10..60))
            },
            per_buyer: 20,
            hold_seconds: self.rng.random_range(1..5),
            ends_in_seconds: self.rng.random_range(5..60),
            opens_in_seconds: None,
        };
        self.command(Command::Open(sale)).await;
    }

    async fn close_sale(&mut self, sale: SaleId) {
        self.command(Command::Close(sale)).await;
        self.hall.set_open(sale, false);
    }

    async fn command(&mut self, command: Command) {
        let act = act_of(self.person.account.user);
        let mut over_rest = self.rng.random_ratio(1, 2);
        loop {
            let answer = if over_rest {
                self.over_rest(act, &command).await
            } else {
                self.over_the_socket(act, &command).await
            };
            over_rest = !over_rest;
            match answer {
                Ok(Ok(done)) => {
                    if let Done::Opened { sale, .. } = &done {
                        self.hall.set_open(*sale, true);
                    }
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

    async fn over_rest(&self, act: Act, command: &Command) -> Result<Result<Done, ErrorCode>> {
        let rest = self.person.account.client().await?;
        let (stream, key) = (self.hall.stream, act.request);
        let answered = match command {
            Command::Open(sale) => rest.open_sale_as(stream, sale, key).await.map(|opened| Done::Opened {
                sale: opened.sale,
                quantity: sale.quantity,
            }),
            Command::Close(sale) => {
                let closed = rest.close_sale_as(stream, *sale, key).await;
                closed.map(|_| Done::Closed { sale: *sale })
            }
            Command::Feature(product) => {
                let shown = match product {
                    Some(product) => rest.feature_as(stream, &feature(*product), key).await,
                    None => rest.unfeature_as(stream, key).await,
                };
                shown.map(|_| Done::Featured { product: *product })
            }
        };
        match answered {
            Ok(done) => Ok(Ok(done)),
            Err(RestError::Refused(problem)) => Ok(Err(problem.code)),
            Err(error) => Err(error.into()),
        }
    }

    async fn over_the_socket(&mut self, act: Act, command: &Command) -> Result<Result<Done, ErrorCode>> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.enter().await?,
        };
        let wanted = match command {
            Command::Open(sale) => ClientCommand::SaleOpen(sale.clone()),
            Command::Close(sale) => ClientCommand::SaleClose { sale: *sale },
            Command::Feature(Some(product)) => ClientCommand::Feature(feature(*product)),
            Command::Feature(None) => ClientCommand::Unfeature,
        };
        let answer = live.call_as(wanted, act.request).await?;
        // What the room says meanwhile is the viewers' to compare.
        live.drain();
        self.live = Some(live);
        Ok(match (command, answer) {
            (Command::Open(terms), Ok(Outcome::SaleOpened { sale })) => Ok(Done::Opened {
                sale,
                quantity: terms.quantity,
            }),
            (Command::Close(sale), Ok(Outcome::Done)) => Ok(Done::Closed { sale: *sale }),
            (Command::Feature(product), Ok(Outcome::Done)) => Ok(Done::Featured { product: *product }),
            (_, Err(Refusal { code, .. })) => Err(code),
            (_, Ok(outcome)) => bail!("{command:?} was answered with {outcome:?}"),
        })
    }

    async fn enter(&self) -> Result<LiveClient> {
        let ticket = self
            .person
            .account
            .client()
            .await?
            .host_ticket(self.hall.stream)
            .await?;
        let mut live = LiveClient::connect(&ticket.url, Format::MsgPack, Auth::Ticket(ticket.ticket)).await?;
        live.join(self.hall.stream, None).await?;
        Ok(live)
    }

    /// A price has no key: setting it twice is setting it once.
    async fn reprice(&mut self, variant: VariantId) {
        self.price_minor += 1;
        let (act, price_minor) = (act_of(self.person.account.user), self.price_minor);
        let ask = async |rest: crate::rest::RestClient| rest.change_price(variant, price_minor).await;
        match self.hall.insist(&self.person.account, act, ask).await {
            Some(Ok(_)) => drop(self.hall.book.tell(act, Done::Priced { variant, price_minor })),
            Some(Err(code)) => self.hall.book.fault(format!("a price was refused with {code}")),
            None => {}
        }
    }

    async fn restock(&mut self, variant: VariantId) {
        let delta = self.rng.random_range(1..50);
        let act = act_of(self.person.account.user);
        let ask = async |rest: crate::rest::RestClient| rest.adjust_stock_as(variant, delta, act.request).await;
        match self.hall.insist(&self.person.account, act, ask).await {
            Some(Ok(_)) => drop(self.hall.book.tell(act, Done::Adjusted { variant, delta })),
            Some(Err(code)) => self.hall.book.fault(format!("more stock was refused with {code}")),
            None => {}
        }
    }
}

const fn feature(product: ProductId) -> Feature {
    Feature { product, variant: None }
}

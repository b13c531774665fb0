//! Runs the show: who says what when, what is featured, when a sale opens, and how it
//! all ends. It asks viewers through small queues and never waits for one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::Rng;
use rand::seq::IndexedRandom;
use shared::protocol::{Feature, Position, RoomEvent};
use shared::status::StreamStatus;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::cast::{Account, Stage};
use super::progress::Progress;
use super::sale_desk::Terms;
use super::shopping::Till;
use super::viewer::{Act, Hall};
use super::{demo::DemoOptions, lines};

/// How finely the chat is paced.
const CHAT_TICK: Duration = Duration::from_millis(20);
/// How often some viewers react.
const REACTION_TICK: Duration = Duration::from_millis(250);
/// Shows at least so long have a sale whose holds lapse and are sold again.
const LONG_SHOW_SECONDS: u64 = 40;
/// How long a hold lasts that some let lapse: the others must pay within it.
const SHORT_HOLD_SECONDS: u32 = 14;
/// And so few are sold that way that all others do get through the till in time.
const SHORT_HOLD_UNITS: u32 = 25;
/// How long the last payments, answers and events may take.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);

/// The director's line to one viewer.
pub struct Usher {
    /// Who sits there; nobody: a guest.
    pub account: Option<Arc<Account>>,
    /// What to ask of them.
    pub acts: mpsc::Sender<Act>,
}

/// A show about to run.
pub struct Show {
    /// The place.
    pub stage: Stage,
    /// What viewers share.
    pub hall: Arc<Hall>,
    /// Viewers with accounts.
    pub buyers: Vec<Arc<Usher>>,
    /// All viewers.
    pub audience: Vec<Arc<Usher>>,
    /// Who pays.
    pub till: Arc<Till>,
}

impl Show {
    /// Asks a viewer. One whose queue is full is busy, and is not asked.
    pub fn ask(&self, usher: &Usher, act: Act) -> bool {
        self.hall.open.fetch_add(1, Ordering::AcqRel);
        let asked = usher.acts.try_send(act).is_ok();
        if !asked {
            self.hall.open.fetch_sub(1, Ordering::AcqRel);
        }
        asked
    }

    /// The show itself, for as long as the options say.
    pub async fn perform(&self, options: &DemoOptions, progress: Progress) -> Result<()> {
        let seconds = options.seconds.max(1);
        let until = Instant::now() + Duration::from_secs(seconds);
        let over = AtomicBool::new(false);
        let clock = async {
            let phase = progress.phase("on air", usize::try_from(seconds).unwrap_or(usize::MAX));
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            while Instant::now() < until {
                ticks.tick().await;
                phase.step();
            }
            over.store(true, Ordering::Relaxed);
        };
        let script = async {
            let outcome = tokio::try_join!(self.feature_in_turn(until, seconds), self.sales(until, seconds));
            outcome.map(|_| ())
        };
        let ((), (), (), script) = tokio::join!(
            clock,
            self.chat(options.chat_per_second, &over),
            self.react(&over),
            script
        );
        script
    }

    async fn chat(&self, per_second: u32, over: &AtomicBool) {
        let Some(mut next) = self.buyers.len().checked_sub(1) else {
            return;
        };
        let started = Instant::now();
        let mut said: u64 = 0;
        let mut ticks = tokio::time::interval(CHAT_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !over.load(Ordering::Relaxed) {
            ticks.tick().await;
            let due = started.elapsed().as_millis() * u128::from(per_second) / 1000;
            while u128::from(said) < due {
                said += 1;
                next = (next + 1) % self.buyers.len();
                let line = lines::CHATTER.choose(&mut rand::rng()).copied().unwrap_or("hello");
                // The number makes the text unique, so that its way can be timed.
                self.ask(&self.buyers[next], Act::Say(format!("{line} · {said}")));
            }
        }
    }

    async fn react(&self, over: &AtomicBool) {
        let mut ticks = tokio::time::interval(REACTION_TICK);
        while !over.load(Ordering::Relaxed) {
            ticks.tick().await;
            for _ in 0..(self.audience.len() / 50).max(1) {
                let mut rng = rand::rng();
                let kind = lines::REACTIONS.choose(&mut rng).copied().unwrap_or("heart");
                let count = rng.random_range(1..=8);
                let Some(usher) = self.audience.choose(&mut rng).cloned() else {
                    return;
                };
                self.ask(&usher, Act::React { kind, count });
            }
        }
    }

    async fn feature_in_turn(&self, until: Instant, seconds: u64) -> Result<()> {
        let turn = Duration::from_secs((seconds / 6).clamp(1, 20));
        for product in self.stage.products.iter().cycle() {
            let feature = Feature {
                product: product.id,
                variant: product.variants.first().map(|variant| variant.id),
            };
            let rest = self.stage.host.client().await?;
            rest.feature(self.stage.stream, &feature)
                .await
                .with_context(|| format!("the host features {}", product.title))?;
            if Instant::now() + turn >= until {
                break;
            }
            tokio::time::sleep(turn).await;
        }
        Ok(())
    }

    async fn sales(&self, until: Instant, seconds: u64) -> Result<()> {
        let [first, second, ..] = self.stage.products.as_slice() else {
            bail!("a show needs two products");
        };
        if self.buyers.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(seconds * 200)).await;
        let lasting = u32::try_from(seconds + 60).unwrap_or(86_400).min(86_400);
        let terms = Terms {
            quantity: self.fewer_than_buyers(),
            hold_seconds: 300,
            ends_in_seconds: lasting,
        };
        let sale = self.open_sale(first, &terms).await?;
        self.rush(sale).await;
        if seconds >= LONG_SHOW_SECONDS {
            tokio::time::sleep_until(until - Duration::from_millis(seconds * 550)).await;
            self.sell_lapsed_again(second, lasting, until).await?;
        }
        tokio::time::sleep_until(until).await;
        self.close_sale(sale).await;
        Ok(())
    }

    /// A sale whose holds are short: some lapse, and somebody else gets the units.
    async fn sell_lapsed_again(&self, product: &crate::rest::Product, lasting: u32, until: Instant) -> Result<()> {
        let terms = Terms {
            quantity: self.fewer_than_buyers().min(SHORT_HOLD_UNITS),
            hold_seconds: SHORT_HOLD_SECONDS,
            ends_in_seconds: lasting,
        };
        let sale = self.open_sale(product, &terms).await?;
        self.till.let_some_lapse(sale);
        self.rush(sale).await;
        self.till.pay_for_all(sale);
        let lapsed = Instant::now() + Duration::from_secs(u64::from(SHORT_HOLD_SECONDS) + 1);
        tokio::time::sleep_until(lapsed.min(until)).await;
        self.rush(sale).await;
        tokio::time::sleep_until(until).await;
        self.close_sale(sale).await;
        Ok(())
    }

    /// After the show: everything is answered and paid, and the room has said so.
    pub async fn settle(&self, progress: Progress) {
        if !self.until_answered(SETTLE_DEADLINE).await {
            let open = self.hall.open.load(Ordering::Acquire);
            self.hall.tally.fault(format!("{open} commands were never answered"));
        }
        let granted = self.hall.tally.granted_count();
        let phase = progress.phase("paying", granted);
        let settled = eventually(SETTLE_DEADLINE, || {
            phase.reach(self.till.settled());
            self.till.settled() >= granted
        })
        .await;
        if !settled {
            self.hall.tally.fault("some buyers never finished paying".into());
        }
        let paid = self.hall.tally.paid().len();
        let purchases = || {
            self.hall
                .record
                .count(|event| matches!(event, RoomEvent::Purchase { .. }))
        };
        if !eventually(Duration::from_secs(10), || purchases() >= paid).await {
            let line = format!("{paid} orders were paid and the room heard of {}", purchases());
            self.hall.tally.fault(line);
        }
    }

    /// The last word of the show, said by somebody and acknowledged: where everybody has
    /// to arrive.
    pub async fn last_word(&self) -> Result<Position> {
        for (nth, buyer) in self.buyers.iter().enumerate().take(5) {
            let text = format!("that was a good show, thank you · end {nth}");
            if !self.ask(buyer, Act::Say(text.clone())) {
                continue;
            }
            self.until_answered(Duration::from_secs(10)).await;
            let said = self.hall.tally.acknowledged();
            if let Some(last) = said.iter().rev().find(|message| message.text == text) {
                return Ok(last.at);
            }
        }
        bail!("the last message of the show was not acknowledged")
    }

    /// Waits until every viewer has heard the event at `target`.
    pub async fn everybody_reaches(&self, target: Position, progress: Progress) {
        let seats = &self.hall.reached;
        let phase = progress.phase("catching up", seats.len());
        let there = || {
            let count = seats
                .iter()
                .filter(|seq| seq.load(Ordering::Acquire) >= target.seq)
                .count();
            phase.reach(count);
            count
        };
        if !eventually(Duration::from_secs(30), || there() == seats.len()).await {
            let late = seats.len() - there();
            let line = format!("{late} viewers had not heard seq {} half a minute later", target.seq);
            self.hall.tally.fault(line);
        }
    }

    /// Ends the show, and returns where the room said so.
    pub async fn end(&self) -> Result<Position> {
        self.hall.over.store(true, Ordering::Relaxed);
        let rest = self.stage.host.client().await?;
        rest.end_stream(self.stage.stream)
            .await
            .context("the host ends the show")?;
        let ended = |event: &RoomEvent| {
            let ended = StreamStatus::Ended;
            matches!(event, RoomEvent::StreamStatus { status } if *status == ended).then_some(())
        };
        eventually(Duration::from_secs(10), || self.hall.record.find(ended).is_some()).await;
        let (at, ()) = self
            .hall
            .record
            .find(ended)
            .context("nobody heard that the show has ended")?;
        Ok(at)
    }
}

/// Looks again and again until `holds`, at most so long.
async fn eventually(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let by = Instant::now() + deadline;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > by {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

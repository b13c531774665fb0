//! Plays a sequence: each act is done by the product and written on the paper, and the two
//! are compared. Whoever reads a failure finds the acts in order, with what they came to.

use super::acts::{Act, Sequence};
use super::books::{Books, Ids, with_the_provider};
use super::paper::Paper;
use super::sheet::Account;
use super::tally::Tally;
use super::world::World;

/// A sequence that is being played.
pub struct Play {
    pub(super) world: World,
    pub(super) paper: Paper,
    pub(super) ids: Ids,
    log: Vec<String>,
    tally: Tally,
}

impl Play {
    /// Opens the market in which a sequence happens.
    pub async fn begin(state: core_api::State, sequence: &Sequence) -> Self {
        let (world, paper) = World::open(state, sequence).await;
        Self {
            world,
            paper,
            ids: Ids::default(),
            log: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Plays a whole sequence and lets everything come to its end.
    ///
    /// Returns what came of it, in numbers.
    ///
    /// # Errors
    /// What happened, line by line, and in what product and paper differ.
    pub async fn whole(state: core_api::State, sequence: &Sequence) -> Result<Tally, String> {
        let mut play = Self::begin(state, sequence).await;
        for step in sequence.steps.iter().filter(|step| step.kept) {
            play.step(&step.act, step.twice).await?;
        }
        play.ending().await?;
        play.tally.end(&play.paper);
        Ok(play.tally)
    }

    /// Everything that is under way comes to its end; then the provider has exactly what the
    /// books say.
    async fn ending(&mut self) -> Result<(), String> {
        for shop in 0..2 {
            self.step(&Act::Hold { shop, held: false }, false).await?;
        }
        for order in 0..self.paper.orders.len() {
            let order = u8::try_from(order).unwrap_or(u8::MAX);
            self.step(&Act::Lapse { order }, false).await?;
        }
        for _ in 0..2 {
            self.step(&Act::ProviderIsThrough, false).await?;
            self.step(&Act::Reconcile, false).await?;
            self.step(&Act::Expire, false).await?;
        }
        let theirs = with_the_provider(&self.world).await.map_err(|e| e.to_string())?;
        let ours = self.paper.accounts.get(&Account::Clearing).copied().unwrap_or_default();
        if ours == theirs {
            return Ok(());
        }
        Err(self.failed(&format!("the provider has {theirs}, the books say {ours}")))
    }

    fn failed(&self, why: &str) -> String {
        format!("{}\n{why}", self.log.join("\n"))
    }

    /// One act, by product and paper.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub async fn step(&mut self, act: &Act, twice: bool) -> Result<(), String> {
        let went = self.act(act, twice).await;
        self.tally.act(act, went.map(|(_, product)| product));
        let Some((paper, product)) = went else {
            return Ok(());
        };
        let again = if twice { ", twice" } else { "" };
        let outcome = product.err().unwrap_or("done");
        self.log
            .push(format!("{:>3}. {act:?}{again}: {outcome}", self.log.len() + 1));
        if paper != product {
            let expected = paper.err().unwrap_or("done");
            return Err(self.failed(&format!("the paper says: {expected}")));
        }
        self.compare().await
    }

    /// The last act was not refused.
    pub fn last_was_done(&self) -> bool {
        self.log.last().is_some_and(|line| line.ends_with(": done"))
    }

    /// Product and paper say the same.
    async fn compare(&mut self) -> Result<(), String> {
        let books = Books::read(&self.world).await.map_err(|e| e.to_string())?;
        let (product, paper) = (&books.shown, self.paper.shown());
        if *product != paper {
            let only = |some: &[String], others: &[String], who: &str| {
                let lines = some.iter().filter(|line| !others.contains(line));
                lines.map(|line| format!("\n  {who}: {line}")).collect::<String>()
            };
            let differ = only(product, &paper, "product") + &only(&paper, product, "paper  ");
            return Err(self.failed(&format!("product and paper differ:{differ}")));
        }
        self.ids = books.ids;
        Ok(())
    }
}

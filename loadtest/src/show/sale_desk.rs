//! The host's flash sales: opened over REST with fewer units than buyers, then
//! everybody presses buy at once, some of them twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use shared::ids::SaleId;
use shared::protocol::{SaleOpen, SalePrice};
use tokio::time::Instant;

use super::director::Show;
use super::tally::SaleHeld;
use super::viewer::Act;
use crate::rest::Product;

/// Every so manyth buyer sends the same buy again.
const AGAIN: usize = 4;
/// Every so manyth buyer tries for a second unit, which the limit forbids.
const GREEDY: usize = 20;
/// How long everybody may wait for an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// What a sale is like.
pub struct Terms {
    /// Units.
    pub quantity: u32,
    /// How long a hold lasts.
    pub hold_seconds: u32,
    /// How long the sale lasts.
    pub ends_in_seconds: u32,
}

impl Show {
    /// Units for a sale that not everybody can win.
    pub fn fewer_than_buyers(&self) -> u32 {
        u32::try_from((self.buyers.len() / 5).max(1)).unwrap_or(1)
    }

    /// Opens a sale of the product's first variant, a third off.
    pub async fn open_sale(&self, product: &Product, terms: &Terms) -> Result<SaleId> {
        let variant = product.variants.first().context("a product without variants")?;
        let sale = SaleOpen {
            variant: variant.id,
            quantity: terms.quantity,
            price: SalePrice::PriceMinor(variant.price.minor * 2 / 3),
            per_buyer: 1,
            hold_seconds: terms.hold_seconds,
            ends_in_seconds: terms.ends_in_seconds,
            opens_in_seconds: None,
        };
        let rest = self.stage.host.client().await?;
        let opened = rest
            .open_sale(self.stage.stream, &sale)
            .await
            .with_context(|| format!("the host opens a sale of {}", product.title))?;
        self.hall.tally.sale(SaleHeld {
            sale: opened.sale,
            quantity: terms.quantity,
            per_buyer: sale.per_buyer,
        });
        Ok(opened.sale)
    }

    /// Everybody presses buy. Returns when all are answered.
    pub async fn rush(&self, sale: SaleId) {
        for (nth, buyer) in self.buyers.iter().enumerate() {
            let again = nth % AGAIN == 0;
            self.ask(buyer, Act::Buy { sale, again });
        }
        for buyer in self.buyers.iter().step_by(GREEDY) {
            self.ask(buyer, Act::Buy { sale, again: false });
        }
        self.until_answered(ANSWER_DEADLINE).await;
    }

    /// Waits until no command is open, at most so long; what is open then is a fault
    /// that the last wait of the show reports.
    pub async fn until_answered(&self, deadline: Duration) -> bool {
        let by = Instant::now() + deadline;
        while self.hall.open.load(Ordering::Acquire) > 0 {
            if Instant::now() > by {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Closes a sale, unless its time is over already.
    pub async fn close_sale(&self, sale: SaleId) {
        let closed = match self.stage.host.client().await {
            Ok(rest) => rest.close_sale(self.stage.stream, sale).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            // Closed by its time: not an error of anybody's.
            if error.code().is_none_or(|code| code.http_status() != 409) {
                self.hall.tally.fault(format!("the host closes sale {sale}: {error}"));
            }
        }
    }
}

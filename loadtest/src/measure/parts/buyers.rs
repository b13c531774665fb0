//! Viewers who buy: what `holds`, `press` and `sold_out` share. Each has at most one
//! command on its way, as a person with one button has.

use std::time::Instant;

use anyhow::{Result, bail};
use shared::ids::{RequestId, SaleId};

use crate::measure::crowd::{Acts, Answer, FIRST_ID};
use crate::measure::swarm::Client;

/// See the module.
pub struct Buyers {
    sale: Option<SaleId>,
    /// Whether an answer is followed by the next attempt.
    pub again: bool,
    asked: u64,
    /// Holds granted.
    pub held: u64,
    /// Answers that nothing is left.
    pub sold_out: u64,
    /// When the last answer came.
    pub last: Instant,
}

impl Default for Buyers {
    /// Nobody has asked.
    fn default() -> Self {
        Self {
            sale: None,
            again: false,
            asked: 0,
            held: 0,
            sold_out: 0,
            last: Instant::now(),
        }
    }
}

impl Buyers {
    /// From now on it is about this sale.
    pub fn look_at(&mut self, sale: SaleId) {
        (self.sale, self.asked, self.held, self.sold_out) = (Some(sale), 0, 0, 0);
    }

    /// Asks for one unit.
    ///
    /// # Errors
    /// When there is no sale, or the connection has failed.
    pub fn ask(&mut self, client: &mut Client) -> Result<()> {
        let Some(sale) = self.sale else {
            bail!("no sale to buy from")
        };
        let (id, request) = (FIRST_ID + self.asked, RequestId::new());
        self.asked += 1;
        let frame = format!(r#"{{"id":{id},"cmd":"buy","request_id":"{request}","sale":"{sale}","quantity":1}}"#);
        Ok(client.send(frame.as_bytes())?)
    }

    /// Attempts, and those that were answered.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.asked, self.held + self.sold_out)
    }
}

impl Acts for Buyers {
    fn answered(&mut self, client: &mut Client, _: u64, answer: Answer<'_>, at: Instant) -> Result<()> {
        match answer {
            Answer::Done(b"held") => self.held += 1,
            Answer::Refused(b"sold_out") => self.sold_out += 1,
            other => bail!("seat {} was answered {other:?}", client.id),
        }
        self.last = at;
        if self.again { self.ask(client) } else { Ok(()) }
    }
}

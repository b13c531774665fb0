//! Parcels, what became of them, and when what was earned may be paid out.

use super::{May, Paper, Stage};

/// Days after arrival, and after sending where nobody says that it arrived.
const AFTER_ARRIVAL: i64 = 3;
const AFTER_SENDING: i64 = 21;

/// A parcel.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Lines and units.
    pub units: Vec<(usize, i64)>,
    /// How many days ago it was sent.
    pub sent: i64,
    /// How many days ago it arrived.
    pub arrived: Option<i64>,
}

impl Paper {
    /// Units of a line that are neither sent nor called off.
    pub fn unsent(&self, order: usize, line: usize) -> i64 {
        let sold = &self.orders[order].lines[line];
        sold.line.wanted.units - sold.cancelled - self.moved(order, line).0
    }

    /// The lines of a shop in an order.
    pub fn lines_of(&self, order: usize, shop: usize) -> Vec<usize> {
        let lines = &self.orders[order].lines;
        (0..lines.len())
            .filter(|&at| lines[at].line.wanted.shop == shop)
            .collect()
    }

    /// A shop sends so many units of its first line, or all that is left.
    pub fn send(&mut self, order: usize, shop: usize, some: Option<i64>) -> May {
        let lines = self.lines_of(order, shop);
        if self.orders[order].stage != Stage::Paid || lines.is_empty() {
            return Err("not_found");
        }
        if self.status(order) == "cancelled" {
            return Err("wrong_state");
        }
        let units: Vec<(usize, i64)> = match some {
            Some(units) if units > self.unsent(order, lines[0]) => return Err("not_enough_left"),
            Some(units) => vec![(lines[0], units)],
            None => lines
                .iter()
                .map(|&at| (at, self.unsent(order, at)))
                .filter(|(_, n)| *n > 0)
                .collect(),
        };
        if units.is_empty() {
            return Err("wrong_state");
        }
        let parcel = Parcel {
            units,
            sent: 0,
            arrived: None,
        };
        self.orders[order].parcels.push(parcel);
        Ok(())
    }

    /// The buyer has everything that was sent.
    pub fn arrive(&mut self, order: usize) -> May {
        let parcels = &mut self.orders[order].parcels;
        if parcels.is_empty() {
            return Err("wrong_state");
        }
        for parcel in parcels {
            parcel.arrived.get_or_insert(0);
        }
        Ok(())
    }

    /// Time passes.
    pub fn days(&mut self, days: i64) {
        for parcel in self.orders.iter_mut().flat_map(|o| &mut o.parcels) {
            parcel.sent += days;
            parcel.arrived = parcel.arrived.map(|ago| ago + days);
        }
        for back in &mut self.returns {
            back.answered += days;
        }
    }

    /// In how many days what a line earned may be paid out, as far as its units go.
    fn due(&self, order: usize, line: usize) -> Option<i64> {
        if self.unsent(order, line) > 0 {
            return None;
        }
        let (sent, arrived) = self.moved(order, line);
        let parcels = &self.orders[order].parcels;
        let of_line = parcels.iter().filter(|p| p.units.iter().any(|(at, _)| *at == line));
        if sent > 0 && sent == arrived {
            return of_line.filter_map(|p| p.arrived).min().map(|ago| AFTER_ARRIVAL - ago);
        }
        if sent > 0 {
            return of_line.map(|p| p.sent).min().map(|ago| AFTER_SENDING - ago);
        }
        // Called off whole: with what its shop still has in the order, or now.
        let shop = self.orders[order].lines[line].line.wanted.shop;
        let of_shop = self.lines_of(order, shop);
        if of_shop.iter().any(|&at| self.unsent(order, at) > 0) {
            return None;
        }
        let sent = of_shop.into_iter().filter(|&at| self.moved(order, at).0 > 0);
        Some(sent.filter_map(|at| self.due(order, at)).max().unwrap_or(0))
    }

    /// What is due is released, unless somebody wants to send some of it back.
    pub fn release(&mut self) {
        for order in 0..self.orders.len() {
            for line in 0..self.orders[order].lines.len() {
                let is_due = self.orders[order].stage == Stage::Paid
                    && self.due(order, line).is_some_and(|in_days| in_days <= 0);
                let open = self
                    .returns
                    .iter()
                    .any(|b| (b.order, b.line) == (order, line) && b.is_open());
                if is_due && !open && !self.is_disputed(order) {
                    self.orders[order].lines[line].released = true;
                }
            }
        }
    }

    /// The youngest arrival of a line's units, in days ago.
    pub(super) fn arrived_ago(&self, order: usize, line: usize) -> Option<i64> {
        let parcels = &self.orders[order].parcels;
        let of_line = parcels.iter().filter(|p| p.units.iter().any(|(at, _)| *at == line));
        of_line.filter_map(|p| p.arrived).min()
    }

    /// Units of a line that have arrived.
    pub(super) fn arrived(&self, order: usize, line: usize) -> i64 {
        self.moved(order, line).1
    }
}

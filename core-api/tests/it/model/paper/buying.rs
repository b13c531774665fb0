//! From a basket to a paid order, or to one that ended unpaid.

use super::{May, Order, Paper, Sold, Stage};
use crate::model::acts::Means;
use crate::model::sheet::{self, Account, Tax, Wanted};

/// Open checkouts and unpaid orders that one buyer may have.
const OPEN_MOST: usize = 10;

/// A payment as the platform knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ours {
    Processing,
    RequiresAction,
    Captured,
    Failed,
    Cancelled,
}

/// A payment as the provider knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theirs {
    Processing,
    RequiresAction,
    Succeeded,
    Declined,
    Cancelled,
}

/// An attempt to pay an order.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// With what.
    pub means: Means,
    /// What the platform knows.
    pub ours: Ours,
    /// What the provider knows.
    pub theirs: Theirs,
    /// The provider has had the time that it takes.
    pub through: bool,
    /// It was captured, and its order could not take it.
    pub late: bool,
    /// The provider was asked for a refund of it before.
    pub refunded_before: bool,
}

impl Attempt {
    fn new(means: Means) -> Self {
        let (ours, theirs) = match means {
            Means::Declined => (Ours::Failed, Theirs::Declined),
            Means::SecondStep => (Ours::RequiresAction, Theirs::RequiresAction),
            Means::AnswerLost => (Ours::Processing, Theirs::Succeeded),
            Means::Late => (Ours::Processing, Theirs::Processing),
            Means::Good | Means::RefundsLate | Means::RefundFails | Means::RefundAnswersLost => {
                (Ours::Processing, Theirs::Succeeded)
            }
        };
        Self {
            means,
            ours,
            theirs,
            through: false,
            late: false,
            refunded_before: false,
        }
    }

    /// Nobody knows yet how it ends.
    pub fn is_open(&self) -> bool {
        matches!(self.ours, Ours::Processing | Ours::RequiresAction)
    }

    /// It keeps its order from being paid otherwise.
    fn is_under_way(&self) -> bool {
        self.is_open() || self.ours == Ours::Captured
    }

    pub(super) fn shown(&self, amount: i64) -> String {
        let Self { ours, theirs, .. } = self;
        format!("{ours:?} here and {theirs:?} with the provider, of {amount}")
    }
}

impl Paper {
    /// A basket is priced and its stock held.
    pub fn check_out(&self, buyer: usize, wanted: &[Wanted], code: Option<usize>, tax: Option<Tax>) -> May<Order> {
        let unpaid = |o: &&Order| o.buyer == buyer && o.stage == Stage::Pending && !o.overdue;
        if self.orders.iter().filter(unpaid).count() >= OPEN_MOST {
            return Err("rate_limited");
        }
        let postage: Vec<_> = self.shops.iter().map(|shop| shop.postage).collect();
        let rates: Vec<_> = self.shops.iter().map(|shop| shop.rate).collect();
        let code = code.map(|nth| &self.codes[nth]);
        let lines = sheet::price(wanted, code, &postage, &rates, tax)?;
        for (nth, variant) in self.variants.iter().enumerate() {
            let units: i64 = wanted.iter().filter(|w| w.variant == nth).map(|w| w.units).sum();
            if units > variant.on_hand - variant.reserved {
                return Err("insufficient_stock");
            }
        }
        let sold = |line: sheet::Line| Sold {
            line,
            cancelled: 0,
            released: false,
        };
        Ok(Order {
            buyer,
            tax,
            total: lines.iter().map(|line| line.cells.paid(tax)).sum(),
            lines: lines.into_iter().map(sold).collect(),
            stage: Stage::Pending,
            overdue: false,
            attempts: Vec::new(),
            parcels: Vec::new(),
        })
    }

    /// A checkout becomes an order; one that costs nothing is paid with that.
    pub fn place(&mut self, order: Order) -> usize {
        let (nth, free) = (self.orders.len(), order.total == 0);
        self.orders.push(order);
        self.promise(nth, 1);
        if free {
            self.sell(nth);
        }
        nth
    }

    /// An order's units are promised, or free again.
    fn promise(&mut self, order: usize, sign: i64) {
        for sold in &self.orders[order].lines {
            self.variants[sold.line.wanted.variant].reserved += sign * sold.line.wanted.units;
        }
    }

    /// It is paid: its units, which are promised, leave, and everybody has their share.
    fn sell(&mut self, order: usize) {
        self.promise(order, -1);
        for sold in &self.orders[order].lines {
            self.variants[sold.line.wanted.variant].on_hand -= sold.line.wanted.units;
        }
        let parts: Vec<_> = { self.orders[order].lines.iter().enumerate() }
            .map(|(nth, sold)| (nth, sold.line.cells))
            .collect();
        self.orders[order].stage = Stage::Paid;
        self.share_out(order, &parts, Account::Clearing, 1);
    }

    fn may_be_had_again(&self, order: usize) -> bool {
        let lines = &self.orders[order].lines;
        self.variants.iter().enumerate().all(|(nth, variant)| {
            let of = lines.iter().filter(|sold| sold.line.wanted.variant == nth);
            of.map(|sold| sold.line.wanted.units).sum::<i64>() <= variant.on_hand - variant.reserved
        })
    }

    /// The attempt that an order was, or is being, paid by.
    pub fn attempt(&self, order: usize) -> Option<usize> {
        let attempts = &self.orders[order].attempts;
        attempts.iter().position(Attempt::is_under_way)
    }

    /// Somebody pays.
    pub fn pay(&mut self, order: usize, means: Means) -> May {
        let o = &self.orders[order];
        match o.stage {
            Stage::Pending if o.overdue => return Err("order_expired"),
            Stage::Pending => {}
            Stage::Expired => return Err("order_expired"),
            Stage::Cancelled => return Err("wrong_state"),
            Stage::Paid if self.status(order) == "cancelled" => return Err("wrong_state"),
            Stage::Paid => return Err("already_paid"),
        }
        if self.attempt(order).is_some() {
            return Err("payment_in_progress");
        }
        let attempt = Attempt::new(means);
        let (at, told) = (o.attempts.len(), attempt.means.is_told());
        self.orders[order].attempts.push(attempt);
        if told {
            self.hear(order, at);
        }
        Ok(())
    }

    /// The platform hears how an attempt stands with the provider.
    fn hear(&mut self, order: usize, at: usize) {
        let attempt = &mut self.orders[order].attempts[at];
        attempt.ours = match attempt.theirs {
            Theirs::Processing => Ours::Processing,
            Theirs::RequiresAction => Ours::RequiresAction,
            Theirs::Declined => Ours::Failed,
            Theirs::Cancelled => Ours::Cancelled,
            Theirs::Succeeded => Ours::Captured,
        };
        if attempt.theirs == Theirs::Succeeded {
            self.capture(order, at);
        }
    }

    fn capture(&mut self, order: usize, at: usize) {
        let fee = sheet::fee_of(self.orders[order].total);
        self.transfer(Account::Clearing, Account::Fees, fee);
        let takes = match self.orders[order].stage {
            Stage::Pending => true,
            Stage::Expired if self.may_be_had_again(order) => {
                self.promise(order, 1);
                true
            }
            _ => false,
        };
        if takes {
            return self.sell(order);
        }
        let amount = self.orders[order].total;
        self.orders[order].attempts[at].late = true;
        self.transfer(Account::RefundsDue, Account::Clearing, amount);
        self.give_late_back(order, at);
    }

    /// The buyer takes the second step of the last attempt; there is one.
    pub fn second_step(&mut self, order: usize) -> May {
        let at = self.orders[order].attempts.len() - 1;
        match self.orders[order].attempts[at].ours {
            Ours::RequiresAction => {}
            Ours::Captured => return Err("already_paid"),
            Ours::Processing => return Err("payment_in_progress"),
            Ours::Failed | Ours::Cancelled => return Err("wrong_state"),
        }
        self.orders[order].attempts[at].theirs = Theirs::Succeeded;
        self.hear(order, at);
        Ok(())
    }

    /// Whether the platform asks about an open payment now.
    pub fn is_asked_about(&self, order: usize) -> bool {
        let o = &self.orders[order];
        o.attempts.iter().any(|attempt| match attempt.ours {
            Ours::Processing => true,
            Ours::RequiresAction => o.overdue,
            _ => false,
        })
    }

    /// The platform asks the provider about an order's open payment, or calls it off.
    pub fn ask_about(&mut self, order: usize) {
        let overdue = self.orders[order].overdue;
        let Some(at) = self.orders[order].attempts.iter().position(Attempt::is_open) else {
            return;
        };
        let attempt = &mut self.orders[order].attempts[at];
        attempt.theirs = match attempt.theirs {
            Theirs::Processing | Theirs::RequiresAction if overdue => Theirs::Cancelled,
            Theirs::Processing if attempt.through => Theirs::Succeeded,
            as_it_was => as_it_was,
        };
        self.hear(order, at);
    }

    /// Orders whose time is over end, unless a payment of them is under way.
    pub fn expire(&mut self) {
        for nth in 0..self.orders.len() {
            let o = &self.orders[nth];
            if o.stage == Stage::Pending && o.overdue && self.attempt(nth).is_none() {
                self.end(nth, Stage::Expired);
            }
        }
    }

    /// An unpaid order ends, whatever is under way.
    pub fn end(&mut self, order: usize, stage: Stage) {
        self.orders[order].stage = stage;
        self.promise(order, -1);
    }
}

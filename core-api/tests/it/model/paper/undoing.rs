//! What goes back: calling off, and refunds with the provider's word about them.

use super::{BackState, DisputeState, May, Paper, Stage, Theirs};
use crate::model::acts::Means;
use crate::model::sheet::{Account, Cells, going_back};

/// How far a refund is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefundState {
    Submitted,
    Succeeded,
    Failed,
}

/// Why money goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Units were called off.
    CalledOff,
    /// Units came back.
    CameBack,
    /// An admin wants it.
    Goodwill,
    /// The payment came too late: all of it.
    Late,
}

/// Money on its way to a buyer.
#[derive(Clone, Debug)]
pub struct Refund {
    /// Why.
    pub why: Why,
    /// Of which order.
    pub order: usize,
    /// Of which attempt to pay it; `None`: it is of nothing.
    pub attempt: Option<usize>,
    /// How much.
    pub amount: i64,
    /// Lines, units and columns; nothing of a late payment.
    pub parts: Vec<(usize, i64, Cells)>,
    /// What the platform knows.
    pub ours: RefundState,
    /// What the provider knows; `None`: it was not asked.
    pub theirs: Option<RefundState>,
    /// The provider has had the time that it takes.
    pub through: bool,
    /// It has failed, and what was taken for it stands again.
    pub undone: bool,
    /// It has failed, and another has replaced it.
    pub replaced: bool,
}

impl Refund {
    fn new(why: Why, order: usize, attempt: Option<usize>, amount: i64) -> Self {
        Self {
            why,
            order,
            attempt,
            amount,
            parts: Vec::new(),
            ours: if amount > 0 {
                RefundState::Submitted
            } else {
                RefundState::Succeeded
            },
            theirs: None,
            through: false,
            undone: false,
            replaced: false,
        }
    }

    /// It has failed, and the buyer is still to have it.
    fn is_owed(&self) -> bool {
        self.ours == RefundState::Failed && !self.undone && !self.replaced
    }

    /// It counts: its money has gone back, is on its way, or owed.
    fn stands(&self) -> bool {
        self.ours != RefundState::Failed || self.is_owed()
    }

    /// Its outcome is not known.
    pub(super) fn is_open(&self) -> bool {
        self.ours == RefundState::Submitted
    }

    /// The provider has given it back, or is about to.
    fn has_left(&self) -> bool {
        matches!(self.theirs, Some(RefundState::Submitted | RefundState::Succeeded))
    }

    /// It is of goods of this order's line.
    pub(super) fn is_of(&self, order: usize, line: usize) -> bool {
        self.order == order && self.parts.iter().any(|(at, ..)| *at == line)
    }

    pub(super) fn shown(&self) -> String {
        let Self {
            order,
            amount,
            ours,
            why,
            ..
        } = self;
        let theirs = self
            .theirs
            .map_or_else(|| "nothing".to_owned(), |state| format!("{state:?}"));
        let owed = if self.is_owed() { ", and owed" } else { "" };
        format!("of order {order} is of {amount}, {why:?}, {ours:?} here and {theirs} with the provider{owed}")
    }
}

/// What is to go back of a line: units, and whether what is left of the shipping too.
type Asked = (usize, i64, bool);

impl Paper {
    /// What stands of a line's refunds: units, and columns.
    pub(super) fn given_back(&self, order: usize, line: usize) -> (i64, Cells) {
        let refunds = self.refunds.iter().filter(|r| r.order == order && r.stands());
        let parts = refunds.flat_map(|r| &r.parts).filter(|(at, ..)| *at == line);
        let refunded = parts.fold((0, Cells::default()), |(n, sum), (_, units, cells)| {
            (n + units, sum.plus(*cells))
        });
        // What a lost dispute took is of no units: the next that go back make up for it.
        let lost = self
            .disputes
            .iter()
            .filter(|d| d.order == order && d.state == DisputeState::Lost);
        let taken = lost.flat_map(|d| &d.taken).filter(|(at, _)| *at == line);
        taken.fold(refunded, |(n, sum), (_, cells)| (n, sum.plus(*cells)))
    }

    /// What of an order's payment has gone back, is on its way, or owed.
    pub(super) fn refunded(&self, order: usize) -> i64 {
        let refunds = self.refunds.iter().filter(|r| r.order == order && r.stands());
        refunds.map(|r| r.amount).sum()
    }

    /// Units of a line whose money has not gone back.
    pub fn left(&self, order: usize, line: usize) -> i64 {
        self.orders[order].lines[line].line.wanted.units - self.given_back(order, line).0
    }

    /// What goes back for what is asked; `None`: nothing is left of it.
    pub(super) fn decide(&mut self, why: Why, order: usize, asked: &[Asked]) -> May<Option<usize>> {
        if self.orders[order].stage != Stage::Paid {
            return Err("wrong_state");
        }
        let mut parts = Vec::new();
        for &(line, units, shipping) in asked {
            let (units_before, before) = self.given_back(order, line);
            let sold = self.orders[order].lines[line].line;
            if units_before + units > sold.wanted.units {
                return Err("refund_too_large");
            }
            let cells = going_back(&sold, units_before, before, units, shipping);
            if units > 0 || cells != Cells::default() {
                parts.push((line, units, cells));
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let tax = self.orders[order].tax;
        let amount: i64 = parts.iter().map(|(.., cells)| cells.paid(tax)).sum();
        let attempt = self.attempt(order).filter(|_| amount > 0);
        let (disputed, lost) = self.disputed(order, None);
        let left = self.orders[order].total - self.refunded(order) - disputed - lost;
        if amount > left {
            let in_question = amount <= left + disputed;
            return Err(if in_question {
                "payment_disputed"
            } else {
                "refund_too_large"
            });
        }
        let shares: Vec<_> = parts.iter().map(|&(line, _, cells)| (line, cells)).collect();
        self.share_out(order, &shares, Account::RefundsDue, -1);
        self.refunds.push(Refund {
            parts,
            ..Refund::new(why, order, attempt, amount)
        });
        Ok(Some(self.refunds.len() - 1))
    }

    /// A capture that no order takes goes back whole.
    pub(super) fn give_late_back(&mut self, order: usize, attempt: usize) {
        let amount = self.orders[order].total;
        self.refunds.push(Refund::new(Why::Late, order, Some(attempt), amount));
        self.submit(self.refunds.len() - 1);
    }

    /// The provider is asked to give a refund's money back.
    pub(super) fn submit(&mut self, refund: usize) {
        let Refund {
            order,
            attempt: Some(at),
            amount,
            ..
        } = self.refunds[refund]
        else {
            return;
        };
        if amount == 0 {
            return;
        }
        let with_banks = self.with_banks(order);
        let gone: i64 = { self.refunds.iter() }
            .filter(|r| r.attempt == Some(at) && r.order == order && r.has_left())
            .map(|r| r.amount)
            .sum();
        let is_too_much = with_banks > 0 && amount > self.orders[order].total - gone - with_banks;
        let attempt = &mut self.orders[order].attempts[at];
        debug_assert_eq!(attempt.theirs, Theirs::Succeeded);
        let first = !std::mem::replace(&mut attempt.refunded_before, true);
        let means = attempt.means;
        self.refunds[refund].theirs = Some(match means {
            _ if is_too_much => RefundState::Failed,
            Means::RefundFails if first => RefundState::Failed,
            Means::RefundsLate => RefundState::Submitted,
            _ => RefundState::Succeeded,
        });
        if means != Means::RefundAnswersLost {
            self.hear_of_refund(refund);
        }
    }

    /// The platform hears how a refund stands with the provider.
    fn hear_of_refund(&mut self, nth: usize) {
        let refund = self.refunds[nth].clone();
        match refund.theirs {
            Some(RefundState::Succeeded) => {
                self.transfer(Account::Clearing, Account::RefundsDue, refund.amount);
                self.returns_are_refunded(nth);
            }
            // What was called off or came back is the shop's no more, whoever has the money.
            Some(RefundState::Failed) if refund.why == Why::Goodwill && !self.is_backed_by_goods(&refund) => {
                self.refunds[nth].undone = true;
                let shares: Vec<_> = refund.parts.iter().map(|&(line, _, cells)| (line, cells)).collect();
                self.share_out(refund.order, &shares, Account::RefundsDue, 1);
            }
            _ => {}
        }
        if let Some(state) = refund.theirs {
            self.refunds[nth].ours = state;
        }
    }

    /// Of the lines of a refund something was called off, or came back.
    fn is_backed_by_goods(&self, refund: &Refund) -> bool {
        let came_back = |at: usize| {
            self.returns
                .iter()
                .any(|b| (b.order, b.line) == (refund.order, at) && b.is_received())
        };
        let lines = &self.orders[refund.order].lines;
        refund
            .parts
            .iter()
            .any(|&(at, ..)| lines[at].cancelled > 0 || came_back(at))
    }

    /// The platform asks about every refund whose outcome it does not know.
    pub fn ask_about_refunds(&mut self) {
        for nth in 0..self.refunds.len() {
            let refund = &mut self.refunds[nth];
            if refund.ours != RefundState::Submitted {
                continue;
            }
            if refund.through && refund.theirs == Some(RefundState::Submitted) {
                refund.theirs = Some(RefundState::Succeeded);
            }
            self.hear_of_refund(nth);
        }
    }

    /// Units are called off that were not sent; the shipping of a shop that sends nothing any
    /// more goes back too, and that of the lines named where it is asked for.
    fn call_off(&mut self, order: usize, units: &[(usize, i64)], shipping: bool) -> May<Option<usize>> {
        if units.iter().any(|&(line, n)| n > self.unsent(order, line)) || self.orders[order].stage != Stage::Paid {
            return Err("wrong_state");
        }
        let before = self.clone();
        for &(line, n) in units {
            let sold = &mut self.orders[order].lines[line];
            sold.cancelled += n;
            let variant = sold.line.wanted.variant;
            self.variants[variant].on_hand += n;
        }
        let asked: Vec<Asked> = (0..self.orders[order].lines.len())
            .map(|line| {
                let named = units.iter().find(|(at, _)| *at == line);
                let shop = self.orders[order].lines[line].line.wanted.shop;
                let sends = self.lines_of(order, shop).iter().any(|&at| {
                    let sold = &self.orders[order].lines[at];
                    sold.cancelled < sold.line.wanted.units
                });
                let goods = named.map_or(0, |(_, n)| (*n).min(self.left(order, line)));
                (line, goods, !sends || (shipping && named.is_some()))
            })
            .filter(|(_, n, shipping)| *n > 0 || *shipping)
            .collect();
        let decided = self.decide(Why::CalledOff, order, &asked);
        if decided.is_err() {
            *self = before;
        }
        decided
    }

    /// A buyer calls their order off.
    pub fn cancel(&mut self, order: usize) -> May {
        match self.status(order) {
            "pending_payment" if self.attempt(order).is_some() => Err("payment_in_progress"),
            "pending_payment" => {
                self.end(order, Stage::Cancelled);
                Ok(())
            }
            "paid" => {
                let all: Vec<_> = (0..self.orders[order].lines.len())
                    .map(|at| (at, self.unsent(order, at)))
                    .collect();
                let refund = self.call_off(order, &all, false)?;
                refund.into_iter().for_each(|nth| self.submit(nth));
                Ok(())
            }
            "cancelled" => Ok(()),
            "expired" => Err("order_expired"),
            _ => Err("wrong_state"),
        }
    }

    /// Buyer or shop call units of a line off.
    pub fn cancel_units(&mut self, order: usize, line: usize, units: i64) -> May {
        let refund = self.call_off(order, &[(line, units)], false)?;
        refund.into_iter().for_each(|nth| self.submit(nth));
        Ok(())
    }

    /// An admin gives money back, of units that stay with the buyer, or are not to be sent.
    pub fn give(&mut self, order: usize, units: &[(usize, i64)], shipping: bool, restock: bool) -> May {
        if !shipping && units.iter().any(|(_, n)| *n == 0) {
            return Err("invalid_body");
        }
        let before = self.clone();
        let decided = if restock {
            self.call_off(order, units, shipping)?
        } else {
            let asked: Vec<Asked> = units.iter().map(|&(line, n)| (line, n, shipping)).collect();
            self.decide(Why::Goodwill, order, &asked)?
        };
        let Some(refund) = decided else {
            *self = before;
            return Err("refund_too_large");
        };
        self.submit(refund);
        Ok(())
    }

    /// An admin has a refund decided anew that has failed: of all that is owed; what was
    /// undone, as far as it has not gone back otherwise.
    pub fn retry(&mut self, nth: usize) -> May {
        let failed = self.refunds[nth].clone();
        if failed.ours != RefundState::Failed || failed.replaced {
            return Err("wrong_state");
        }
        let anew = if failed.is_owed() {
            if self.refunded(failed.order) + self.with_banks(failed.order) > self.orders[failed.order].total {
                return Err("payment_disputed");
            }
            self.again(&failed)
        } else {
            let asked: Vec<Asked> = { failed.parts.iter() }
                .map(|(line, units, cells)| {
                    let units = (*units).min(self.left(failed.order, *line));
                    (*line, units, cells.shipping > 0 || cells.shipping_tax > 0)
                })
                .collect();
            self.decide(failed.why, failed.order, &asked)?
                .ok_or("refund_too_large")?
        };
        self.replace(nth, anew);
        self.submit(anew);
        Ok(())
    }

    /// The same refund again: what it is of was taken already.
    fn again(&mut self, failed: &Refund) -> usize {
        self.refunds.push(Refund {
            parts: failed.parts.clone(),
            ..Refund::new(failed.why, failed.order, failed.attempt, failed.amount)
        });
        self.refunds.len() - 1
    }

    fn replace(&mut self, nth: usize, anew: usize) {
        self.refunds[nth].replaced = true;
        for back in self.returns.iter_mut().filter(|back| back.refund == Some(nth)) {
            back.refund = Some(anew);
        }
    }

    /// The buyer has the money of a refund otherwise, which has failed.
    pub fn settle_outside(&mut self, nth: usize) -> May {
        let failed = self.refunds[nth].clone();
        if !failed.is_owed() {
            return Err("wrong_state");
        }
        let anew = self.again(&failed);
        self.replace(nth, anew);
        self.refunds[anew].ours = RefundState::Succeeded;
        self.transfer(Account::PaidOutside, Account::RefundsDue, failed.amount);
        self.returns_are_refunded(anew);
        Ok(())
    }

    fn returns_are_refunded(&mut self, refund: usize) {
        for back in self.returns.iter_mut().filter(|back| back.refund == Some(refund)) {
            back.state = BackState::Refunded;
        }
    }
}

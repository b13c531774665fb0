//! Disputes: a buyer's bank takes money of a capture back, until it is decided whose it is.

use super::{Paper, Stage};
use crate::model::sheet::{Account, Cells, taken};

/// How a dispute stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DisputeState {
    Open,
    Won,
    Lost,
}

/// A dispute.
#[derive(Clone, Debug)]
pub struct Dispute {
    /// Of which order.
    pub order: usize,
    /// How much the bank has taken.
    pub amount: i64,
    /// What of it the payment still had, beside refunds and other disputes.
    pub covered: i64,
    /// How it stands.
    pub state: DisputeState,
    /// How often it was decided.
    pub judged: u32,
    /// What was taken of the lines when it was lost.
    pub taken: Vec<(usize, Cells)>,
}

impl Dispute {
    pub(super) fn shown(&self) -> String {
        let Self {
            order,
            amount,
            covered,
            state,
            ..
        } = self;
        format!("of order {order} is of {amount}, {covered} of it covered, {state:?}")
    }
}

impl Paper {
    /// What disputes speak for of an order's payment: open ones, and lost ones.
    pub(super) fn disputed(&self, order: usize, but_for: Option<usize>) -> (i64, i64) {
        let of = |state| {
            let disputes = self.disputes.iter().enumerate();
            let mine = disputes.filter(|(nth, d)| d.order == order && d.state == state && Some(*nth) != but_for);
            mine.map(|(_, d)| d.covered).sum()
        };
        (of(DisputeState::Open), of(DisputeState::Lost))
    }

    /// A dispute of the order's payment is open.
    pub(super) fn is_disputed(&self, order: usize) -> bool {
        let mut disputes = self.disputes.iter();
        disputes.any(|d| d.order == order && d.state == DisputeState::Open)
    }

    /// What banks have taken of an order's payment and not given again.
    pub(super) fn with_banks(&self, order: usize) -> i64 {
        let disputes = self
            .disputes
            .iter()
            .filter(|d| d.order == order && d.state != DisputeState::Won);
        disputes.map(|d| d.amount).sum()
    }

    fn covers(&self, order: usize, but_for: Option<usize>, amount: i64) -> i64 {
        if self.orders[order].stage != Stage::Paid {
            return 0;
        }
        let (open, lost) = self.disputed(order, but_for);
        let left = self.orders[order].total - self.refunded(order) - open - lost;
        amount.min(left).max(0)
    }

    /// A bank disputes a capture.
    pub fn dispute(&mut self, order: usize, amount: i64) {
        let covered = self.covers(order, None, amount);
        self.transfer(Account::Clearing, Account::Disputed, amount);
        self.disputes.push(Dispute {
            order,
            amount,
            covered,
            state: DisputeState::Open,
            judged: 0,
            taken: Vec::new(),
        });
    }

    /// It is decided, or decided otherwise.
    pub fn judge(&mut self, nth: usize, to: DisputeState) {
        let Dispute {
            order, amount, state, ..
        } = self.disputes[nth];
        match (state, to) {
            (DisputeState::Open, DisputeState::Won) => self.transfer(Account::Disputed, Account::Clearing, amount),
            (DisputeState::Open, DisputeState::Lost) => self.lose(nth, order, Account::Disputed),
            // The bank takes it anew: that is another one, and the first is over.
            (DisputeState::Won, DisputeState::Lost) => {
                self.disputes[nth].judged = 2;
                self.dispute(order, amount);
                return self.judge(self.disputes.len() - 1, to);
            }
            (DisputeState::Lost, DisputeState::Won) => self.give_again(nth, order),
            _ => return,
        }
        self.disputes[nth].state = to;
        self.disputes[nth].judged += 1;
    }

    /// What is covered is taken from what is left of the lines; the rest is the platform's loss.
    fn lose(&mut self, nth: usize, order: usize, money: Account) {
        let amount = self.disputes[nth].amount;
        let covered = self.covers(order, Some(nth), amount);
        let left: Vec<Cells> = (0..self.orders[order].lines.len())
            .map(|line| {
                let whole = self.orders[order].lines[line].line.cells;
                whole.less(self.given_back(order, line).1)
            })
            .collect();
        let parts = taken(&left, covered, self.orders[order].tax);
        let parts: Vec<_> = { parts.into_iter().enumerate() }
            .filter(|(_, cells)| *cells != Cells::default())
            .collect();
        self.share_out(order, &parts, money, -1);
        self.transfer(money, Account::DisputeLosses, amount - covered);
        self.disputes[nth].covered = covered;
        self.disputes[nth].taken = parts;
    }

    /// It was lost and is won after all: everybody has again what was taken.
    fn give_again(&mut self, nth: usize, order: usize) {
        let Dispute {
            amount, covered, taken, ..
        } = self.disputes[nth].clone();
        self.share_out(order, &taken, Account::Clearing, 1);
        self.transfer(Account::DisputeLosses, Account::Clearing, amount - covered);
    }
}

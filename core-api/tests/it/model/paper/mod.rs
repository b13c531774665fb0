//! The sheet of a whole market: what every act moves, and how things stand after it, written
//! down beside the product and compared with it. An act that must be refused says with which
//! code; then nothing moves.

mod buying;
mod disputing;
mod paying_out;
mod sending;
mod sending_back;
mod undoing;

use std::collections::BTreeMap;

use super::sheet::{Account, Cells, Code, Line, Postage, Tax};

pub use buying::{Attempt, Ours, Theirs};
pub use disputing::{Dispute, DisputeState};
pub use paying_out::{Bank, Payout, PayoutState};
pub use sending::Parcel;
pub use sending_back::{Back, BackState};
pub use undoing::{Refund, RefundState, Why};

/// Nothing, or the code with which it is refused.
pub type May<T = ()> = Result<T, &'static str>;

/// A shop.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Its rate of commission, in basis points.
    pub rate: i64,
    /// What its parcels cost; `None`: nothing.
    pub postage: Option<Postage>,
    /// Its payouts are held.
    pub held: bool,
    /// Where its money goes.
    pub bank: Option<Bank>,
}

/// Something that is sold.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// By whom.
    pub shop: usize,
    /// For how much.
    pub price: i64,
    /// In the shop's hands.
    pub on_hand: i64,
    /// Promised.
    pub reserved: i64,
}

/// How an order began, or how it ended before it was paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It waits for its payment.
    Pending,
    /// It was paid.
    Paid,
    /// It was called off unpaid.
    Cancelled,
    /// It was not paid in time.
    Expired,
}

/// A line and what became of its units.
#[derive(Clone, Copy, Debug)]
pub struct Sold {
    /// What it costs.
    pub line: Line,
    /// Units called off.
    pub cancelled: i64,
    /// What it earned may be paid out.
    pub released: bool,
}

/// An order.
#[derive(Clone, Debug)]
pub struct Order {
    /// By whom.
    pub buyer: usize,
    /// How it is taxed.
    pub tax: Option<Tax>,
    /// Its lines.
    pub lines: Vec<Sold>,
    /// What it costs.
    pub total: i64,
    /// How far it is.
    pub stage: Stage,
    /// The time to pay it is over.
    pub overdue: bool,
    /// What was tried to pay it.
    pub attempts: Vec<Attempt>,
    /// What was sent of it.
    pub parcels: Vec<Parcel>,
}

/// What a line brought its shop, or took from it.
#[derive(Clone, Copy, Debug)]
pub struct Earning {
    /// Which shop.
    pub shop: usize,
    /// Of which order and line; `None`: its debt was given up.
    pub of: Option<(usize, usize)>,
    /// How much.
    pub amount: i64,
    /// The payout that it is in and that counts.
    pub payout: Option<usize>,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Paper {
    /// The least that is paid out.
    pub payout_minimum: i64,
    /// The shops.
    pub shops: Vec<Shop>,
    /// What they sell.
    pub variants: Vec<Variant>,
    /// The discount codes.
    pub codes: Vec<Code>,
    /// The orders, in the order in which they were placed.
    pub orders: Vec<Order>,
    /// The refunds, in the order in which they were decided.
    pub refunds: Vec<Refund>,
    /// The disputes, in the order in which they were heard of.
    pub disputes: Vec<Dispute>,
    /// The returns, in the order in which they were asked for.
    pub returns: Vec<Back>,
    /// What was earned.
    pub earnings: Vec<Earning>,
    /// The payouts, in the order in which they were begun.
    pub payouts: Vec<Payout>,
    /// What is in each account.
    pub accounts: BTreeMap<Account, i64>,
}

impl Paper {
    /// A market in which nothing has happened.
    pub fn new(payout_minimum: i64, shops: Vec<Shop>, variants: Vec<Variant>, codes: Vec<Code>) -> Self {
        Self {
            payout_minimum,
            shops,
            variants,
            codes,
            orders: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            returns: Vec::new(),
            earnings: Vec::new(),
            payouts: Vec::new(),
            accounts: BTreeMap::new(),
        }
    }

    fn book(&mut self, account: Account, cents: i64) {
        *self.accounts.entry(account).or_default() += cents;
    }

    fn transfer(&mut self, from: Account, to: Account, cents: i64) {
        self.book(from, -cents);
        self.book(to, cents);
    }

    /// Parts of an order's lines are sold (`sign` 1), or taken back (-1); the money comes from
    /// `money`, or goes there.
    fn share_out(&mut self, order: usize, parts: &[(usize, Cells)], money: Account, sign: i64) {
        let tax = self.orders[order].tax;
        for &(line, cells) in parts {
            let shop = self.orders[order].lines[line].line.wanted.shop;
            self.book(money, sign * cells.paid(tax));
            for (account, cents) in cells.shares(tax, shop) {
                self.book(account, sign * cents);
            }
            self.earnings.push(Earning {
                shop,
                of: Some((order, line)),
                amount: sign * cells.earned(tax),
                payout: None,
            });
        }
    }

    /// Units of a line that were sent, and that have arrived.
    fn moved(&self, order: usize, line: usize) -> (i64, i64) {
        let parcels = &self.orders[order].parcels;
        let of = |parcel: &Parcel| {
            parcel
                .units
                .iter()
                .filter(|(of, _)| *of == line)
                .map(|(_, n)| n)
                .sum::<i64>()
        };
        let arrived = parcels.iter().filter(|parcel| parcel.arrived.is_some());
        (parcels.iter().map(of).sum(), arrived.map(of).sum())
    }

    /// What an order is called, as far as its units are.
    pub fn status(&self, order: usize) -> &'static str {
        let o = &self.orders[order];
        match o.stage {
            Stage::Pending => return "pending_payment",
            Stage::Cancelled => return "cancelled",
            Stage::Expired => return "expired",
            Stage::Paid => {}
        }
        let due: i64 = o.lines.iter().map(|sold| sold.line.wanted.units - sold.cancelled).sum();
        let moved: Vec<(i64, i64)> = (0..o.lines.len()).map(|line| self.moved(order, line)).collect();
        let (sent, arrived): (i64, i64) = (moved.iter().map(|m| m.0).sum(), moved.iter().map(|m| m.1).sum());
        let gone = |sold: &Sold| sold.cancelled == sold.line.wanted.units;
        let settled = o.lines.iter().all(|sold| sold.released || gone(sold));
        match () {
            () if due == 0 => "cancelled",
            () if arrived >= due && settled => "completed",
            () if arrived >= due => "delivered",
            () if sent >= due => "shipped",
            () if sent > 0 => "partially_shipped",
            () => "paid",
        }
    }

    /// Where an earning is.
    fn whereabouts(&self, earning: &Earning) -> &'static str {
        let payout = earning.payout.map(|nth| self.payouts[nth].state);
        match (payout, earning.of) {
            (Some(PayoutState::Paid), _) => "paid_out",
            (Some(_), _) => "on_its_way",
            (None, None) => "available",
            (None, Some((order, line))) if !self.orders[order].lines[line].released => "held",
            (None, Some((order, _))) if self.is_disputed(order) => "disputed",
            (None, Some(_)) => "available",
        }
    }

    /// What a shop has in a place.
    pub fn sum_of(&self, shop: usize, place: &str) -> i64 {
        let of = self
            .earnings
            .iter()
            .filter(|e| e.shop == shop && self.whereabouts(e) == place);
        of.map(|e| e.amount).sum()
    }

    /// How everything stands, in lines that are compared with the product's.
    pub fn shown(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for (nth, order) in self.orders.iter().enumerate() {
            let (status, total) = (self.status(nth), order.total);
            shown.push(format!("order {nth} costs {total} and is {status}"));
            for (at, sold) in order.lines.iter().enumerate() {
                shown.push(self.line_shown((nth, at), sold));
            }
            for attempt in &order.attempts {
                shown.push(format!("order {nth} has a payment, {}", attempt.shown(order.total)));
            }
        }
        let refunds = self.refunds.iter().enumerate();
        shown.extend(refunds.map(|(nth, refund)| format!("refund {nth} {}", refund.shown())));
        let disputes = self.disputes.iter().enumerate();
        shown.extend(disputes.map(|(nth, dispute)| format!("dispute {nth} {}", dispute.shown())));
        let returns = self.returns.iter().enumerate();
        shown.extend(returns.map(|(nth, back)| format!("return {nth} {}", back.shown())));
        let payouts = self.payouts.iter().enumerate();
        shown.extend(payouts.map(|(nth, payout)| format!("payout {nth} {}", payout.shown())));
        for (nth, variant) in self.variants.iter().enumerate() {
            let (on_hand, reserved) = (variant.on_hand, variant.reserved);
            shown.push(format!("variant {nth} has {on_hand} on hand, {reserved} reserved"));
        }
        for shop in 0..self.shops.len() {
            let sums =
                ["held", "disputed", "available", "on_its_way", "paid_out"].map(|place| self.sum_of(shop, place));
            shown.push(format!(
                "shop {shop} has {sums:?} held, disputed, available, on its way, paid out"
            ));
        }
        let accounts = self.accounts.iter().filter(|(_, cents)| **cents != 0);
        shown.extend(accounts.map(|(account, cents)| format!("account {account:?} has {cents}")));
        shown
    }

    fn line_shown(&self, (order, at): (usize, usize), sold: &Sold) -> String {
        let (line, (sent, arrived)) = (sold.line, self.moved(order, at));
        let of = self.earnings.iter().filter(|e| e.of == Some((order, at)));
        let earned: i64 = of.map(|e| e.amount).sum();
        let back = self
            .returns
            .iter()
            .filter(|back| (back.order, back.line) == (order, at) && back.is_received());
        let returned: i64 = back.map(|back| back.units).sum();
        let Cells {
            goods,
            given,
            tax,
            shipping,
            shipping_tax,
            commission,
        } = line.cells;
        format!(
            "line {order}.{at}: gross {}, seller off {}, goods {goods}, platform off {given}, tax {tax}, shipping \
             {shipping}, its tax {shipping_tax}, commission {commission}; {} units, {} cancelled, {sent} sent, \
             {arrived} arrived, {returned} returned, released {}; earned {earned}",
            line.gross, line.seller_off, line.wanted.units, sold.cancelled, sold.released
        )
    }
}

//! Money on its way to shops.

use super::{Earning, May, Paper};
use crate::model::sheet::Account;

/// What becomes of money that is sent to a shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bank {
    Good,
    Refuses,
    Slow,
    Returns,
    AnswerLost,
}

/// How far a payout is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayoutState {
    Creating,
    Processing,
    Paid,
    Failed,
    Cancelled,
    Returned,
}

/// A payout.
#[derive(Clone, Copy, Debug)]
pub struct Payout {
    /// To whom.
    pub shop: usize,
    /// How much.
    pub amount: i64,
    /// Where to.
    pub bank: Bank,
    /// What the platform knows.
    pub state: PayoutState,
    /// What the provider knows; `None`: it was not asked.
    pub theirs: Option<PayoutState>,
    /// The provider has had the time that it takes, and the platform looks again.
    pub through: bool,
}

impl Payout {
    pub(super) fn shown(&self) -> String {
        let Self {
            shop, amount, state, ..
        } = self;
        let theirs = self
            .theirs
            .map_or_else(|| "nothing".to_owned(), |state| format!("{state:?}"));
        format!("to shop {shop} is of {amount}, {state:?} here and {theirs} with the provider")
    }
}

impl Paper {
    /// All that may be paid out to a shop is taken into a payout.
    pub fn claim(&mut self, shop: usize) -> May<usize> {
        if self.shops[shop].held {
            return Err("payouts_held");
        }
        let bank = self.shops[shop].bank.ok_or("wrong_state")?;
        let amount = self.sum_of(shop, "available");
        if amount < self.payout_minimum.max(1) {
            return Err("payout_too_small");
        }
        let nth = self.payouts.len();
        let taken: Vec<usize> = (0..self.earnings.len())
            .filter(|&at| self.earnings[at].shop == shop && self.whereabouts(&self.earnings[at]) == "available")
            .collect();
        for at in taken {
            self.earnings[at].payout = Some(nth);
        }
        self.payouts.push(Payout {
            shop,
            amount,
            bank,
            state: PayoutState::Creating,
            theirs: None,
            through: false,
        });
        self.transfer(Account::PayoutsDue, Account::Owed(shop), amount);
        Ok(nth)
    }

    /// The provider is asked to pay.
    pub fn send_payout(&mut self, nth: usize) {
        let Payout { shop, bank, state, .. } = self.payouts[nth];
        if state != PayoutState::Creating || self.shops[shop].held {
            return;
        }
        let theirs = match bank {
            Bank::Good | Bank::Returns | Bank::AnswerLost => PayoutState::Paid,
            Bank::Refuses => PayoutState::Failed,
            Bank::Slow => PayoutState::Processing,
        };
        self.payouts[nth].theirs = Some(theirs);
        self.payouts[nth].state = PayoutState::Processing;
        if bank != Bank::AnswerLost {
            self.hear_of_payout(nth);
        }
    }

    fn hear_of_payout(&mut self, nth: usize) {
        let Payout {
            shop,
            amount,
            state,
            theirs,
            ..
        } = self.payouts[nth];
        let owed = Account::Owed(shop);
        let new = match (state, theirs) {
            (PayoutState::Processing, Some(PayoutState::Paid)) => {
                self.transfer(Account::Clearing, Account::PayoutsDue, amount);
                PayoutState::Paid
            }
            (PayoutState::Processing, Some(PayoutState::Failed)) => {
                self.transfer(owed, Account::PayoutsDue, amount);
                PayoutState::Failed
            }
            (PayoutState::Paid, Some(PayoutState::Returned)) => {
                self.transfer(owed, Account::Clearing, amount);
                PayoutState::Returned
            }
            _ => return,
        };
        self.payouts[nth].state = new;
        if new != PayoutState::Paid {
            self.free(nth);
        }
    }

    fn free(&mut self, payout: usize) {
        let of = self.earnings.iter_mut().filter(|e| e.payout == Some(payout));
        of.for_each(|e| e.payout = None);
    }

    /// The shop calls a payout off that was not sent.
    pub fn cancel_payout(&mut self, nth: usize) -> May {
        let Payout {
            shop, amount, state, ..
        } = self.payouts[nth];
        if state != PayoutState::Creating {
            return Err("wrong_state");
        }
        self.payouts[nth].state = PayoutState::Cancelled;
        self.transfer(Account::Owed(shop), Account::PayoutsDue, amount);
        self.free(nth);
        Ok(())
    }

    /// The platform sends what was not sent, and asks about what it does not know. What the
    /// bank has sent back is heard of once the platform looks again.
    pub fn ask_about_payouts(&mut self) {
        for nth in 0..self.payouts.len() {
            let payout = &mut self.payouts[nth];
            match payout.state {
                PayoutState::Creating => self.send_payout(nth),
                PayoutState::Processing => {
                    if payout.through && payout.theirs == Some(PayoutState::Processing) {
                        payout.theirs = Some(PayoutState::Paid);
                    }
                    self.hear_of_payout(nth);
                }
                PayoutState::Paid if payout.through && payout.bank == Bank::Returns => {
                    payout.theirs = Some(PayoutState::Returned);
                    self.hear_of_payout(nth);
                }
                _ => {}
            }
        }
    }

    /// An admin makes a payout again that failed or came back.
    pub fn pay_again(&mut self, nth: usize) -> May {
        if !matches!(self.payouts[nth].state, PayoutState::Failed | PayoutState::Returned) {
            return Err("wrong_state");
        }
        let new = self.claim(self.payouts[nth].shop)?;
        self.send_payout(new);
        Ok(())
    }

    /// What a shop owes is given up, as far as nothing that is held for it will pay it.
    pub fn write_off(&mut self, shop: usize) -> May {
        let available = self.sum_of(shop, "available");
        let later = self.sum_of(shop, "held") + self.sum_of(shop, "disputed");
        let owes = -available.max(available + later);
        let unsettled = self.refunds.iter().any(|refund| {
            let lines = self.lines_of(refund.order, shop);
            refund.is_open() && lines.into_iter().any(|line| refund.is_of(refund.order, line))
        });
        if available >= 0 || owes <= 0 || unsettled {
            return Err("wrong_state");
        }
        self.transfer(Account::Owed(shop), Account::WriteOffs, owes);
        self.earnings.push(Earning {
            shop,
            of: None,
            amount: owes,
            payout: None,
        });
        Ok(())
    }
}

//! Units that go back to their shops.

use super::{May, Paper, Why};

/// Days within which units may be sent back, and within which they have to come.
const RETURN_DAYS: i64 = 30;
const TRANSIT_DAYS: i64 = 21;

/// How far a return is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackState {
    Requested,
    Approved,
    Rejected,
    Withdrawn,
    Received,
    Refunded,
}

/// Units on their way back to a shop.
#[derive(Clone, Debug)]
pub struct Back {
    /// Of which order.
    pub order: usize,
    /// And line.
    pub line: usize,
    /// How many.
    pub units: i64,
    /// How far it is.
    pub state: BackState,
    /// The buyer has said that it is on its way.
    pub sent: bool,
    /// How many days ago the shop answered.
    pub answered: i64,
    /// What it came to.
    pub refund: Option<usize>,
}

impl Back {
    /// It keeps what its line earned from being released.
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.state,
            BackState::Requested | BackState::Approved | BackState::Received
        )
    }

    /// The shop has it.
    pub(super) fn is_received(&self) -> bool {
        matches!(self.state, BackState::Received | BackState::Refunded)
    }

    pub(super) fn shown(&self) -> String {
        let Self {
            order,
            line,
            units,
            state,
            ..
        } = self;
        format!("of {units} of line {order}.{line} is {state:?}")
    }
}

impl Paper {
    /// A buyer asks to send units back.
    pub fn ask_back(&mut self, order: usize, line: usize, units: i64) -> May {
        let mine = self.returns.iter().filter(|b| (b.order, b.line) == (order, line));
        let taken: i64 = mine
            .filter(|b| !matches!(b.state, BackState::Rejected | BackState::Withdrawn))
            .map(|b| b.units)
            .sum();
        let in_time = self.arrived_ago(order, line).is_some_and(|ago| ago < RETURN_DAYS);
        if units > self.arrived(order, line) - taken || !in_time {
            return Err("wrong_state");
        }
        self.returns.push(Back {
            order,
            line,
            units,
            state: BackState::Requested,
            sent: false,
            answered: 0,
            refund: None,
        });
        Ok(())
    }

    /// Somebody answers a return; doing it twice is no error.
    pub fn answer(&mut self, nth: usize, to: BackState) -> May {
        let back = &mut self.returns[nth];
        let may = match back.state {
            BackState::Requested => true,
            BackState::Approved => to == BackState::Withdrawn,
            _ => false,
        };
        if !may && back.state != to {
            return Err("wrong_state");
        }
        if may {
            (back.state, back.answered) = (to, if to == BackState::Withdrawn { back.answered } else { 0 });
        }
        Ok(())
    }

    /// The buyer has sent it; saying so twice is no error.
    pub fn return_is_sent(&mut self, nth: usize) -> May {
        let back = &mut self.returns[nth];
        if !back.sent && back.state != BackState::Approved {
            return Err("wrong_state");
        }
        back.sent = true;
        Ok(())
    }

    /// Returns that were approved and not sent in time are over.
    pub fn lapse_returns(&mut self) {
        for back in &mut self.returns {
            if back.state == BackState::Approved && !back.sent && back.answered >= TRANSIT_DAYS {
                back.state = BackState::Withdrawn;
            }
        }
    }

    /// The shop has it: its money goes back, and what is good is on sale.
    pub fn receive(&mut self, nth: usize, restocked: i64, shipping: bool) -> May {
        let Back {
            order,
            line,
            units,
            state,
            ..
        } = self.returns[nth];
        if restocked > units {
            return Err("invalid_body");
        }
        if state != BackState::Approved {
            return Err("wrong_state");
        }
        let asked = (line, units.min(self.left(order, line)), shipping);
        let refund = self.decide(Why::CameBack, order, &[asked])?;
        let variant = self.orders[order].lines[line].line.wanted.variant;
        self.variants[variant].on_hand += restocked;
        let free = refund.is_none_or(|nth| self.refunds[nth].amount == 0);
        self.returns[nth].refund = refund;
        self.returns[nth].state = if free { BackState::Refunded } else { BackState::Received };
        refund.into_iter().for_each(|nth| self.submit(nth));
        Ok(())
    }
}

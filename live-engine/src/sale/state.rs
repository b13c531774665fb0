//! What a flash sale's rules are: pure, without clock or IO. The functions in
//! `migrations/` carry them out under a row lock for many buyers at once; this model
//! says the same one command at a time, and a differential test holds the two together.

use std::collections::BTreeMap;

use shared::error::ErrorCode;
use shared::ids::{RequestId, ReservationId, UserId};
use shared::protocol::Millis;
use shared::status::{Machine, ReservationStatus, SaleStatus};

/// What a sale was opened with; never changes, except that it may be ended early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Units set aside.
    pub quantity: u32,
    /// The most one buyer may hold and have bought.
    pub per_buyer: u32,
    /// How long a hold lasts, in ms.
    pub hold_ms: i64,
    /// When it opens.
    pub opens_at: Millis,
    /// When it ends.
    pub ends_at: Millis,
    /// Who sells, and so cannot buy.
    pub seller: UserId,
}

/// A hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Whose.
    pub user: UserId,
    /// Units.
    pub quantity: u32,
    /// Its status.
    pub status: ReservationStatus,
    /// Until when it is held.
    pub expires_at: Millis,
}

/// A sale with its counters and holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// What it was opened with.
    pub terms: Terms,
    /// Open or closed.
    pub status: SaleStatus,
    /// Units held or being paid.
    pub held: u32,
    /// Units sold.
    pub sold: u32,
    /// Units given back to the shop, once closed.
    pub returned: u32,
    /// Every hold there ever was.
    pub holds: BTreeMap<ReservationId, Hold>,
    /// Which hold a person's request got.
    pub requests: BTreeMap<(UserId, RequestId), ReservationId>,
}

/// A wish for units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The hold's id, if it is granted.
    pub reservation: ReservationId,
    /// The buyer.
    pub user: UserId,
    /// The buyer's name for the act.
    pub request: RequestId,
    /// Units.
    pub quantity: u32,
}

/// What may be asked of a sale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Grant a hold. Stale holds are to be swept before, see [`Sale::stale`].
    Reserve(Ask),
    /// Give a hold up.
    Release(ReservationId, UserId),
    /// An order's payment begins: all of its holds, or none.
    StartPaying(Vec<ReservationId>),
    /// The payment was captured.
    Convert(Vec<ReservationId>),
    /// The payment ended without money.
    PaymentFailed(Vec<ReservationId>),
    /// Expire what is stale; past its end, close.
    Sweep,
    /// Close.
    Close,
}

/// What has happened to a sale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Units are held.
    Granted(Ask, Millis),
    /// A hold has another status.
    Became(ReservationId, ReservationStatus),
    /// The sale is closed.
    Closed,
}

impl Sale {
    /// A sale nobody has bought from.
    #[must_use]
    pub fn open(terms: Terms) -> Self {
        Self {
            terms,
            status: SaleStatus::Open,
            held: 0,
            sold: 0,
            returned: 0,
            holds: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// Units that may still be granted.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        match self.status {
            SaleStatus::Open => self.terms.quantity - self.held - self.sold,
            SaleStatus::Closed => 0,
        }
    }

    /// When the earliest hold lapses.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Millis> {
        let held = self
            .holds
            .values()
            .filter(|hold| hold.status == ReservationStatus::Held);
        held.map(|hold| hold.expires_at).min()
    }

    /// Holds that have lapsed by `now`.
    #[must_use]
    pub fn stale(&self, now: Millis) -> Vec<Event> {
        self.holds
            .iter()
            .filter(|(_, hold)| hold.status == ReservationStatus::Held && hold.expires_at <= now)
            .map(|(id, _)| Event::Became(*id, ReservationStatus::Expired))
            .collect()
    }

    /// What a command brings about. No events: it was done before, or changes nothing.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide(&self, command: &Command, now: Millis) -> Result<Vec<Event>, ErrorCode> {
        match command {
            Command::Reserve(ask) => self.reserve(ask, now),
            Command::Release(reservation, user) => self.release(*reservation, *user),
            Command::StartPaying(holds) => self.start_paying(holds, now),
            Command::Convert(holds) => Ok(self.each_paying(holds, |_| ReservationStatus::Converted)),
            Command::PaymentFailed(holds) => Ok(self.each_paying(holds, |hold| {
                if hold.expires_at > now {
                    ReservationStatus::Held
                } else {
                    ReservationStatus::Released
                }
            })),
            Command::Sweep => {
                let mut events = self.stale(now);
                if self.status == SaleStatus::Open && now >= self.terms.ends_at {
                    events.push(Event::Closed);
                }
                Ok(events)
            }
            Command::Close if self.status == SaleStatus::Open => Ok(vec![Event::Closed]),
            Command::Close => Ok(Vec::new()),
        }
    }

    fn reserve(&self, ask: &Ask, now: Millis) -> Result<Vec<Event>, ErrorCode> {
        if let Some(earlier) = self.requests.get(&(ask.user, ask.request)) {
            return match self.holds.get(earlier) {
                Some(hold) if hold.quantity == ask.quantity => Ok(Vec::new()),
                _ => Err(ErrorCode::RequestIdReused),
            };
        }
        if self.status == SaleStatus::Closed || now >= self.terms.ends_at {
            return Err(ErrorCode::SaleClosed);
        }
        if now < self.terms.opens_at {
            return Err(ErrorCode::SaleNotOpen);
        }
        if ask.user == self.terms.seller {
            return Err(ErrorCode::OwnShop);
        }
        if self.units_of(ask.user) + ask.quantity > self.terms.per_buyer {
            return Err(ErrorCode::PurchaseLimitReached);
        }
        match self.remaining() {
            0 => Err(ErrorCode::SoldOut),
            left if left < ask.quantity => Err(ErrorCode::NotEnoughLeft),
            _ => Ok(vec![Event::Granted(*ask, now + self.terms.hold_ms)]),
        }
    }

    /// What a buyer holds, is paying for or has bought.
    #[must_use]
    pub fn units_of(&self, user: UserId) -> u32 {
        let counted = |hold: &&Hold| hold.user == user && counts(hold.status);
        self.holds.values().filter(counted).map(|hold| hold.quantity).sum()
    }

    fn release(&self, reservation: ReservationId, user: UserId) -> Result<Vec<Event>, ErrorCode> {
        let hold = self.holds.get(&reservation).filter(|hold| hold.user == user);
        match hold.ok_or(ErrorCode::NotFound)?.status {
            ReservationStatus::Held => Ok(vec![Event::Became(reservation, ReservationStatus::Released)]),
            status => after_release(status).map(|()| Vec::new()),
        }
    }

    fn start_paying(&self, holds: &[ReservationId], now: Millis) -> Result<Vec<Event>, ErrorCode> {
        let payable = |id: &ReservationId| {
            let hold = self.holds.get(id);
            hold.is_some_and(|hold| hold.status == ReservationStatus::Held && hold.expires_at > now)
        };
        if !holds.iter().all(payable) {
            return Err(ErrorCode::HoldExpired);
        }
        Ok(holds
            .iter()
            .map(|id| Event::Became(*id, ReservationStatus::Paying))
            .collect())
    }

    fn each_paying(&self, holds: &[ReservationId], to: impl Fn(&Hold) -> ReservationStatus) -> Vec<Event> {
        let found = holds.iter().filter_map(|id| self.holds.get_key_value(id));
        let paying = found.filter(|(_, hold)| hold.status == ReservationStatus::Paying);
        paying.map(|(id, hold)| Event::Became(*id, to(hold))).collect()
    }

    /// Applies what has happened.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Granted(ask, expires_at) => {
                self.held += ask.quantity;
                self.requests.insert((ask.user, ask.request), ask.reservation);
                let hold = Hold {
                    user: ask.user,
                    quantity: ask.quantity,
                    status: ReservationStatus::Held,
                    expires_at: *expires_at,
                };
                self.holds.insert(ask.reservation, hold);
            }
            Event::Became(reservation, status) => self.become_status(*reservation, *status),
            Event::Closed => {
                self.returned = self.remaining();
                self.status = SaleStatus::Closed;
            }
        }
    }

    fn become_status(&mut self, reservation: ReservationId, status: ReservationStatus) {
        let Some(hold) = self.holds.get_mut(&reservation) else {
            return;
        };
        debug_assert!(hold.status.may_become(status), "{} → {status}", hold.status);
        hold.status = status;
        match status {
            ReservationStatus::Held | ReservationStatus::Paying => {}
            ReservationStatus::Converted => {
                self.held -= hold.quantity;
                self.sold += hold.quantity;
            }
            ReservationStatus::Expired | ReservationStatus::Released => {
                self.held -= hold.quantity;
                if self.status == SaleStatus::Closed {
                    self.returned += hold.quantity;
                }
            }
        }
    }
}

/// Whether a hold counts against the limit per buyer.
const fn counts(status: ReservationStatus) -> bool {
    match status {
        ReservationStatus::Held | ReservationStatus::Paying | ReservationStatus::Converted => true,
        ReservationStatus::Expired | ReservationStatus::Released => false,
    }
}

/// What giving up a hold that is no longer held is answered: a second release is as
/// good as the first, anything else says where the hold went.
///
/// # Errors
/// See above.
pub const fn after_release(status: ReservationStatus) -> Result<(), ErrorCode> {
    match status {
        ReservationStatus::Released => Ok(()),
        ReservationStatus::Held => Err(ErrorCode::Conflict),
        ReservationStatus::Paying => Err(ErrorCode::PaymentInProgress),
        ReservationStatus::Converted => Err(ErrorCode::AlreadyPaid),
        ReservationStatus::Expired => Err(ErrorCode::HoldExpired),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const SELLER: u128 = 99;

    fn user(n: u128) -> UserId {
        UserId(Uuid::from_u128(n))
    }

    fn sale(quantity: u32, per_buyer: u32) -> Sale {
        Sale::open(Terms {
            quantity,
            per_buyer,
            hold_ms: 50,
            opens_at: 10,
            ends_at: 1_000,
            seller: user(SELLER),
        })
    }

    fn ask(n: u128, buyer: u128, quantity: u32) -> Ask {
        Ask {
            reservation: ReservationId(Uuid::from_u128(n)),
            user: user(buyer),
            request: RequestId(Uuid::from_u128(n)),
            quantity,
        }
    }

    fn act(sale: &mut Sale, command: &Command, now: Millis) -> Result<usize, ErrorCode> {
        let events = sale.decide(command, now)?;
        for event in &events {
            sale.evolve(event);
        }
        Ok(events.len())
    }

    fn reserve(sale: &mut Sale, ask: Ask, now: Millis) -> Result<usize, ErrorCode> {
        for event in sale.stale(now) {
            sale.evolve(&event);
        }
        act(sale, &Command::Reserve(ask), now)
    }

    #[test]
    fn the_last_unit_goes_to_the_first_claim() {
        let mut sale = sale(1, 1);
        assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
        assert_eq!(reserve(&mut sale, ask(2, 2, 1), 20), Err(ErrorCode::SoldOut));
        assert_eq!(
            reserve(&mut sale, ask(1, 1, 1), 20),
            Ok(0),
            "a resend is answered and takes nothing"
        );
        assert_eq!(
            reserve(&mut sale, ask(3, 2, 1), 70),
            Ok(1),
            "a lapsed hold is sold again"
        );
        assert_eq!(reserve(&mut sale, ask(1, 1, 1), 70), Ok(0), "whatever became of it");
    }

    #[test]
    fn refusals_name_the_reason() {
        let mut sale = sale(3, 2);
        assert_eq!(reserve(&mut sale, ask(1, 1, 1), 9), Err(ErrorCode::SaleNotOpen));
        assert_eq!(reserve(&mut sale, ask(1, SELLER, 1), 10), Err(ErrorCode::OwnShop));
        assert_eq!(
            reserve(&mut sale, ask(1, 1, 3), 10),
            Err(ErrorCode::PurchaseLimitReached)
        );
        assert_eq!(reserve(&mut sale, ask(1, 1, 2), 10), Ok(1));
        assert_eq!(reserve(&mut sale, ask(1, 1, 1), 10), Err(ErrorCode::RequestIdReused));
        assert_eq!(reserve(&mut sale, ask(2, 2, 2), 10), Err(ErrorCode::NotEnoughLeft));
        assert_eq!(reserve(&mut sale, ask(3, 2, 1), 1_000), Err(ErrorCode::SaleClosed));
    }

    #[test]
    fn a_hold_being_paid_does_not_lapse() {
        let mut sale = sale(1, 1);
        let hold = ReservationId(Uuid::from_u128(1));
        assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
        assert_eq!(act(&mut sale, &Command::StartPaying(vec![hold]), 69), Ok(1));
        assert_eq!(reserve(&mut sale, ask(2, 2, 1), 500), Err(ErrorCode::SoldOut));
        assert_eq!(act(&mut sale, &Command::PaymentFailed(vec![hold]), 500), Ok(1));
        assert_eq!(reserve(&mut sale, ask(3, 2, 1), 500), Ok(1));
    }

    #[derive(Clone, Debug)]
    struct Step {
        command: Command,
        later: Millis,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let hold = || (1_u128..30).prop_map(|n| ReservationId(Uuid::from_u128(n)));
        let holds = || prop::collection::btree_set(hold(), 1..3).prop_map(|set| set.into_iter().collect::<Vec<_>>());
        let command = prop_oneof![
            8 => (1_u128..30, 1_u128..6, 1_u32..4).prop_map(|(n, buyer, q)| Command::Reserve(ask(n, buyer, q))),
            2 => (hold(), 1_u128..6).prop_map(|(id, buyer)| Command::Release(id, user(buyer))),
            2 => holds().prop_map(Command::StartPaying),
            2 => holds().prop_map(Command::Convert),
            1 => holds().prop_map(Command::PaymentFailed),
            2 => Just(Command::Sweep),
            1 => Just(Command::Close),
        ];
        prop::collection::vec(
            (command, 0_i64..20).prop_map(|(command, later)| Step { command, later }),
            1..80,
        )
    }

    proptest! {
        #[test]
        fn nothing_is_promised_twice_and_no_unit_vanishes(steps in steps(), quantity in 1_u32..12, per_buyer in 1_u32..5) {
            let mut sale = sale(quantity, per_buyer);
            let mut now = 10;
            for Step { command, later } in steps {
                now += later;
                let _ = match command {
                    // An id stands for one hold, as in the database.
                    Command::Reserve(ask) if sale.holds.contains_key(&ask.reservation)
                        && !sale.requests.contains_key(&(ask.user, ask.request)) => Ok(0),
                    Command::Reserve(ask) => reserve(&mut sale, ask, now),
                    command => act(&mut sale, &command, now),
                };
                prop_assert!(sale.held + sale.sold + sale.returned <= quantity);
                if sale.status == SaleStatus::Closed {
                    prop_assert_eq!(sale.held + sale.sold + sale.returned, quantity);
                }
                let sum = |wanted: &[ReservationStatus]| -> u32 {
                    sale.holds.values().filter(|h| wanted.contains(&h.status)).map(|h| h.quantity).sum()
                };
                prop_assert_eq!(sum(&[ReservationStatus::Held, ReservationStatus::Paying]), sale.held);
                prop_assert_eq!(sum(&[ReservationStatus::Converted]), sale.sold);
                for buyer in 1..6 {
                    prop_assert!(sale.units_of(user(buyer)) <= per_buyer);
                }
            }
        }

        #[test]
        fn nobody_is_overtaken(asks in prop::collection::vec(1_u32..4, 1..40), quantity in 1_u32..30) {
            let mut sale = sale(quantity, 10);
            let mut least_refused = u32::MAX;
            for (n, wanted) in asks.into_iter().enumerate() {
                let n = n as u128 + 1_000;
                match reserve(&mut sale, ask(n, n, wanted), 20) {
                    Ok(_) => prop_assert!(wanted < least_refused, "granted what an earlier buyer was refused"),
                    Err(_) => least_refused = least_refused.min(wanted),
                }
            }
        }
    }
}

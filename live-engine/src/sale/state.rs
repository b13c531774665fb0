//! What a flash sale's rules are: pure, without clock or IO. The functions in
//! `migrations/` carry them out under a row lock for many buyers at once; this model
//! says the same one command at a time, and a differential test holds the two together.

use std::collections::{BTreeMap, BTreeSet};

use shared::error::ErrorCode;
use shared::ids::{RequestId, ReservationId, UserId};
use shared::protocol::Millis;
use shared::status::{Machine, ReservationStatus, SaleStatus, WaitStatus};

/// People in one wait list at most.
pub const LINE_MAX: usize = 5_000;
/// By how much a payment that begins prolongs a hold at most, in ms.
pub const EXTENSION_MAX_MS: i64 = 60_000;

/// What a sale was opened with; never changes, except that it may be ended early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Units set aside.
    pub quantity: u32,
    /// The most one buyer may hold, have bought and wait for.
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
    /// Whether a payment has prolonged it.
    pub extended: bool,
    /// Whether its owner would have waited for it.
    pub waits: bool,
}

/// A place in the wait list. An offered one's hold has its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its id.
    pub id: ReservationId,
    /// Whose.
    pub user: UserId,
    /// Units.
    pub quantity: u32,
    /// Its status.
    pub status: WaitStatus,
}

/// A sale with its counters, holds and wait list.
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
    /// Every place there ever was, in the order in which they joined.
    pub line: Vec<Place>,
    /// What a person's request got: a hold or a place.
    pub requests: BTreeMap<(UserId, RequestId), ReservationId>,
    /// Whom the shop does not sell to.
    pub barred: BTreeSet<UserId>,
}

/// A wish for units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The hold's id, if it is granted; the place's, if it has to wait.
    pub reservation: ReservationId,
    /// The buyer.
    pub user: UserId,
    /// The buyer's name for the act.
    pub request: RequestId,
    /// Units.
    pub quantity: u32,
    /// Whether the buyer stands in line if the units cannot be had.
    pub waits: bool,
}

/// What may be asked of a sale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Grant a hold, or a place in line. Stale holds are to be swept before, see
    /// [`Sale::lapse`].
    Reserve(Ask),
    /// Leave the wait list.
    Unwait(UserId),
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
    /// Somebody is in line.
    Joined(Ask),
    /// A place's turn has come: its units are held until then.
    Offered(ReservationId, Millis),
    /// A place is given up, or taken away.
    Left(ReservationId),
    /// A hold has another status.
    Became(ReservationId, ReservationStatus),
    /// A hold lasts until then.
    Extended(ReservationId, Millis),
    /// The sale is closed, and its wait list with it.
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
            line: Vec::new(),
            requests: BTreeMap::new(),
            barred: BTreeSet::new(),
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

    /// Those in line, the next one first.
    pub fn waiting(&self) -> impl Iterator<Item = &Place> {
        self.line.iter().filter(|place| place.status == WaitStatus::Waiting)
    }

    /// Where a place is in line: 1 is next.
    #[must_use]
    pub fn position(&self, place: ReservationId) -> Option<usize> {
        self.waiting()
            .position(|other| other.id == place)
            .map(|before| before + 1)
    }

    /// What time has brought by `now`: holds that have lapsed, and whom their units go to.
    #[must_use]
    pub fn lapse(&self, now: Millis) -> Vec<Event> {
        let stale = |hold: &Hold| hold.status == ReservationStatus::Held && hold.expires_at <= now;
        let stale = self.holds.iter().filter(|(_, hold)| stale(hold));
        let lapsed = stale.map(|(id, _)| Event::Became(*id, ReservationStatus::Expired));
        self.with_offers(lapsed.collect(), now)
    }

    /// What a command brings about. No events: it was done before, or changes nothing.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide(&self, command: &Command, now: Millis) -> Result<Vec<Event>, ErrorCode> {
        match command {
            Command::Reserve(ask) => self.reserve(ask, now),
            Command::Unwait(user) => {
                let place = self.waiting().find(|place| place.user == *user);
                Ok(place.map(|place| Event::Left(place.id)).into_iter().collect())
            }
            Command::Release(reservation, user) => {
                let released = self.release(*reservation, *user)?;
                Ok(self.with_offers(released, now))
            }
            Command::StartPaying(holds) => self.start_paying(holds, now),
            Command::Convert(holds) => {
                let mut events = self.each_paying(holds, |_| ReservationStatus::Converted);
                let after = self.after(&events);
                if self.status == SaleStatus::Open && after.sold == self.terms.quantity {
                    events.push(Event::Closed);
                }
                Ok(events)
            }
            Command::PaymentFailed(holds) => {
                let failed = self.each_paying(holds, |hold| {
                    if hold.expires_at > now {
                        ReservationStatus::Held
                    } else {
                        ReservationStatus::Released
                    }
                });
                Ok(self.with_offers(failed, now))
            }
            Command::Sweep => {
                let mut events = self.lapse(now);
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
            return match self.asked(*earlier) {
                Some(asked) if asked == (ask.quantity, ask.waits) => Ok(Vec::new()),
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
        if self.barred.contains(&ask.user) {
            return Err(ErrorCode::Banned);
        }
        if ask.waits && self.waiting().any(|place| place.user == ask.user) {
            return Err(ErrorCode::AlreadyWaiting);
        }
        if self.units_of(ask.user) + ask.quantity > self.terms.per_buyer {
            return Err(ErrorCode::PurchaseLimitReached);
        }
        // Whatever is free is enough for nobody in line: it went there first.
        match self.remaining() {
            left if left >= ask.quantity => Ok(vec![Event::Granted(*ask, now + self.terms.hold_ms)]),
            0 if !ask.waits => Err(ErrorCode::SoldOut),
            _ if !ask.waits || ask.quantity > self.terms.quantity - self.sold => Err(ErrorCode::NotEnoughLeft),
            _ if self.waiting().count() >= LINE_MAX => Err(ErrorCode::WaitlistFull),
            _ => Ok(vec![Event::Joined(*ask)]),
        }
    }

    /// What an earlier request asked for: how many, and whether it would wait.
    fn asked(&self, id: ReservationId) -> Option<(u32, bool)> {
        let hold = self.holds.get(&id).map(|hold| (hold.quantity, hold.waits));
        hold.or_else(|| Some((self.line.iter().find(|place| place.id == id)?.quantity, true)))
    }

    /// What a buyer holds, is paying for, has bought or waits for.
    #[must_use]
    pub fn units_of(&self, user: UserId) -> u32 {
        let counted = |hold: &&Hold| hold.user == user && counts(hold.status);
        let held: u32 = self.holds.values().filter(counted).map(|hold| hold.quantity).sum();
        let waiting = self.waiting().filter(|place| place.user == user);
        held + waiting.map(|place| place.quantity).sum::<u32>()
    }

    /// These events and what follows from them: whatever is free then goes to the first
    /// in line whom it is enough for. Who wants more is passed over and keeps the place.
    fn with_offers(&self, mut events: Vec<Event>, now: Millis) -> Vec<Event> {
        let after = self.after(&events);
        // Something must have come free: else there is nothing that the line has not seen.
        if events.is_empty() || after.status == SaleStatus::Closed || now >= self.terms.ends_at {
            return events;
        }
        let mut left = after.remaining();
        let offered_until = now + self.terms.hold_ms;
        for place in after.waiting() {
            if left == 0 {
                break;
            }
            if place.quantity > left {
                continue;
            }
            if self.barred.contains(&place.user) {
                events.push(Event::Left(place.id));
            } else {
                events.push(Event::Offered(place.id, offered_until));
                left -= place.quantity;
            }
        }
        events
    }

    fn after(&self, events: &[Event]) -> Self {
        let mut after = self.clone();
        for event in events {
            after.evolve(event);
        }
        after
    }

    fn release(&self, reservation: ReservationId, user: UserId) -> Result<Vec<Event>, ErrorCode> {
        let hold = self.holds.get(&reservation).filter(|hold| hold.user == user);
        match hold.ok_or(ErrorCode::NotFound)?.status {
            ReservationStatus::Held => Ok(vec![Event::Became(reservation, ReservationStatus::Released)]),
            status => after_release(status).map(|()| Vec::new()),
        }
    }

    fn start_paying(&self, holds: &[ReservationId], now: Millis) -> Result<Vec<Event>, ErrorCode> {
        let until = now + self.terms.hold_ms.min(EXTENSION_MAX_MS);
        let mut events = Vec::new();
        for id in holds {
            let hold = self.holds.get(id);
            let hold = hold.filter(|hold| hold.status == ReservationStatus::Held && hold.expires_at > now);
            let hold = hold.ok_or(ErrorCode::HoldExpired)?;
            events.push(Event::Became(*id, ReservationStatus::Paying));
            if !hold.extended && until > hold.expires_at {
                events.push(Event::Extended(*id, until));
            }
        }
        Ok(events)
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
                self.requests.insert((ask.user, ask.request), ask.reservation);
                self.hold(ask.reservation, ask.user, ask.quantity, *expires_at, ask.waits);
            }
            Event::Joined(ask) => {
                self.requests.insert((ask.user, ask.request), ask.reservation);
                self.line.push(Place {
                    id: ask.reservation,
                    user: ask.user,
                    quantity: ask.quantity,
                    status: WaitStatus::Waiting,
                });
            }
            Event::Offered(id, expires_at) => {
                if let Some(place) = self.leave(*id, WaitStatus::Offered) {
                    self.hold(place.id, place.user, place.quantity, *expires_at, true);
                }
            }
            Event::Left(id) => drop(self.leave(*id, WaitStatus::Left)),
            Event::Became(reservation, status) => self.become_status(*reservation, *status),
            Event::Extended(reservation, until) => {
                if let Some(hold) = self.holds.get_mut(reservation) {
                    (hold.expires_at, hold.extended) = (*until, true);
                }
            }
            Event::Closed => {
                self.returned = self.remaining();
                self.status = SaleStatus::Closed;
                for place in &mut self.line {
                    if place.status == WaitStatus::Waiting {
                        place.status = WaitStatus::Ended;
                    }
                }
            }
        }
    }

    fn hold(&mut self, id: ReservationId, user: UserId, quantity: u32, expires_at: Millis, waits: bool) {
        self.held += quantity;
        let hold = Hold {
            user,
            quantity,
            status: ReservationStatus::Held,
            expires_at,
            extended: false,
            waits,
        };
        self.holds.insert(id, hold);
    }

    fn leave(&mut self, id: ReservationId, status: WaitStatus) -> Option<Place> {
        let place = self.line.iter_mut().find(|place| place.id == id)?;
        debug_assert!(place.status.may_become(status), "{} → {status}", place.status);
        place.status = status;
        Some(*place)
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
pub(crate) const fn counts(status: ReservationStatus) -> bool {
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

/// What leaving the wait list is answered: one whose turn has come has a hold to give up,
/// and one who was never in line has nothing to leave.
///
/// # Errors
/// See above.
pub const fn after_unwait(status: Option<WaitStatus>) -> Result<(), ErrorCode> {
    match status {
        Some(WaitStatus::Left | WaitStatus::Ended) => Ok(()),
        Some(WaitStatus::Offered) => Err(ErrorCode::WrongState),
        Some(WaitStatus::Waiting) => Err(ErrorCode::Conflict),
        None => Err(ErrorCode::NotFound),
    }
}

#[cfg(test)]
mod tests;

//! Flash sales as the database keeps them: the pure rules that the functions in SQL are
//! held to by a differential test, one whole batch at a time, by the database's clock.
//! What must never be is counted anew here, from the holds themselves.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, ReservationId, SaleId, StreamId, UserId};
use shared::protocol::{Millis, Outcome, Reservation, SaleCard, Waiting};
use shared::status::{ReservationStatus, SaleStatus, WaitStatus};

use super::chance::Chance;
use crate::sale::state::{self, Ask, Command, Event, Sale, Terms};
use crate::sale::store::SaleState;
use crate::sale::store::reserve::{Granted, not_open};
use crate::types::SaleProgress;

/// A wish for so many units breaks the database's rules, as a row might.
pub const REFUSED_QUANTITY: u32 = 3;

/// How long a sale's own room has to sweep it before others do.
const GRACE_MS: Millis = 2_000;

/// Holds that have changed, and whose they are.
pub type Changed = Vec<(UserId, Reservation)>;

/// A sale with what viewers are shown of it.
struct Shelved {
    card: SaleCard,
    sale: Sale,
    version: i64,
    /// What leaving the wait list came to, by request.
    left: BTreeMap<(UserId, RequestId), Option<WaitStatus>>,
}

/// See the module.
#[derive(Default)]
pub struct Shelf {
    sales: BTreeMap<SaleId, Shelved>,
}

impl Shelf {
    pub fn open(&mut self, card: SaleCard, seller: UserId) {
        let terms = Terms {
            quantity: card.quantity,
            per_buyer: card.per_buyer,
            hold_ms: i64::from(card.hold_seconds) * 1000,
            opens_at: card.opens_at,
            ends_at: card.ends_at,
            seller,
        };
        let shelved = Shelved {
            version: card.version,
            sale: Sale::open(terms),
            card,
            left: BTreeMap::new(),
        };
        self.sales.insert(shelved.card.id, shelved);
    }

    /// Closes a sale; whether it was open. None: there is no such sale.
    pub fn close(&mut self, sale: SaleId, ms: Millis) -> Option<bool> {
        let shelved = self.sales.get_mut(&sale)?;
        let events = shelved.sale.decide(&Command::Close, ms).unwrap_or_default();
        shelved.apply(&events);
        Some(!events.is_empty())
    }

    /// Sales that are open or about to.
    /// Sales that are open, and those that somebody still takes for open.
    pub fn shown_sales(&self, told_open: &BTreeSet<SaleId>) -> Vec<(SaleCard, SaleStatus, Option<shared::Timestamp>)> {
        let shown = self.sales.keys().filter_map(|sale| Some((sale, self.find(*sale)?)));
        shown
            .filter(|(sale, (_, status, _))| *status == SaleStatus::Open || told_open.contains(sale))
            .map(|(_, found)| found)
            .collect()
    }

    pub fn find(&self, sale: SaleId) -> Option<(SaleCard, SaleStatus, Option<shared::Timestamp>)> {
        let shelved = self.sales.get(&sale)?;
        Some((shelved.shown(), shelved.sale.status, shelved.next_expiry()))
    }

    /// Grants what can be granted, in order, and says what lapsed on the way. None: the
    /// database refuses something in it.
    pub fn reserve(&mut self, stream: StreamId, sale: SaleId, asks: &[Ask], ms: Millis) -> Option<Granted> {
        if asks.iter().any(|ask| ask.quantity == REFUSED_QUANTITY) {
            return None;
        }
        let Some(shelved) = self.sales.get_mut(&sale) else {
            return Some(Granted {
                answers: vec![Err(ErrorCode::NotFound.into()); asks.len()],
                changed: Vec::new(),
                entries_before: 0,
                state: None,
            });
        };
        let lapsed = shelved.sale.lapse(ms);
        let changed = shelved.apply(&lapsed);
        let mut answers = Vec::with_capacity(asks.len());
        let entries_before = shelved.entries();
        let before = shelved.version;
        for ask in asks {
            let decided = shelved.sale.decide(&Command::Reserve(*ask), ms);
            let opens_in = shelved.left_until(shelved.card.opens_at, ms);
            answers.push(match decided {
                Ok(events) => {
                    shelved.apply(&events);
                    Ok(shelved.got(ask))
                }
                Err(ErrorCode::SaleNotOpen) => Err(not_open(opens_in)),
                Err(code) => Err(Refusal::from(code)),
            });
        }
        // One statement, one version.
        shelved.version = shelved.version.min(before + 1);
        Some(Granted {
            answers,
            changed,
            entries_before,
            state: Some(shelved.state(stream, ms)),
        })
    }

    /// Expires what is stale, and closes the sale when it is over; and in how long it ends.
    pub fn sweep(&mut self, stream: StreamId, sale: SaleId, ms: Millis) -> Option<(Changed, SaleState, Duration)> {
        let shelved = self.sales.get_mut(&sale)?;
        let events = shelved.sale.decide(&Command::Sweep, ms).unwrap_or_default();
        let changed = shelved.apply(&events);
        let ends_in = shelved.left_until(shelved.card.ends_at, ms);
        Some((changed, shelved.state(stream, ms), ends_in))
    }

    /// Gives a hold up: the holds that its units became, and the counters.
    pub fn release(
        &mut self,
        stream: StreamId,
        user: UserId,
        hold: ReservationId,
        ms: Millis,
    ) -> Result<(Changed, Option<SaleState>), ErrorCode> {
        let mut all = self.sales.values_mut();
        let shelved = all.find(|shelved| shelved.sale.holds.contains_key(&hold));
        let shelved = shelved.ok_or(ErrorCode::NotFound)?;
        let events = shelved.sale.decide(&Command::Release(hold, user), ms)?;
        let mut changed = shelved.apply(&events);
        changed.retain(|(_, hold)| hold.offered);
        let state = (!events.is_empty()).then(|| shelved.state(stream, ms));
        Ok((changed, state))
    }

    /// Leaves the wait list; what has become of the place.
    pub fn unwait(
        &mut self,
        stream: StreamId,
        sale: SaleId,
        key: (UserId, RequestId),
        ms: Millis,
    ) -> (Option<WaitStatus>, Option<SaleState>) {
        let Some(shelved) = self.sales.get_mut(&sale) else {
            return (None, None);
        };
        if let Some(status) = shelved.left.get(&key) {
            return (*status, None);
        }
        let events = shelved.sale.decide(&Command::Unwait(key.0), ms).unwrap_or_default();
        shelved.apply(&events);
        let place = shelved.sale.line.iter().rev().find(|place| place.user == key.0);
        let status = place.map(|place| place.status);
        shelved.left.insert(key, status);
        (status, Some(shelved.state(stream, ms)))
    }

    /// An order takes one of the holds, elsewhere: it is paid, begun or let go. Whose sale
    /// has changed.
    pub fn pay(&mut self, chance: &mut Chance, ms: Millis) -> Option<SaleId> {
        let wanted = |status| matches!(status, ReservationStatus::Held | ReservationStatus::Paying);
        let holds = self.sales.iter().flat_map(|(id, shelved)| {
            let holds = shelved.sale.holds.iter();
            holds
                .filter(|(_, hold)| wanted(hold.status))
                .map(|(hold, _)| (*id, *hold))
        });
        let holds: Vec<_> = holds.collect();
        let (sale, hold) = *holds.get(chance.index(holds.len()))?;
        let shelved = self.sales.get_mut(&sale)?;
        let command = match shelved.sale.holds.get(&hold)?.status {
            ReservationStatus::Held => Command::StartPaying(vec![hold]),
            _ if chance.percent(60) => Command::Convert(vec![hold]),
            _ => Command::PaymentFailed(vec![hold]),
        };
        let events = shelved.sale.decide(&command, ms).ok()?;
        shelved.apply(&events);
        Some(sale)
    }

    /// Payments that are under way are captured.
    pub fn capture_all(&mut self, ms: Millis) -> Vec<SaleId> {
        let mut moved = Vec::new();
        for (id, shelved) in &mut self.sales {
            let holds = shelved.sale.holds.iter();
            let paying = holds.filter(|(_, hold)| hold.status == ReservationStatus::Paying);
            let paying: Vec<_> = paying.map(|(hold, _)| *hold).collect();
            let events = shelved.sale.decide(&Command::Convert(paying), ms).unwrap_or_default();
            if !shelved.apply(&events).is_empty() || !events.is_empty() {
                moved.push(*id);
            }
        }
        moved
    }

    /// Everybody who has ever got something.
    pub fn known(&self, sale: SaleId) -> HashSet<UserId> {
        let shelved = self.sales.get(&sale);
        let requests = shelved.into_iter().flat_map(|shelved| shelved.sale.requests.keys());
        requests.map(|(user, _)| *user).collect()
    }

    /// Places with this status, in line.
    pub fn places(&self, sale: SaleId, status: WaitStatus) -> Vec<(UserId, Waiting)> {
        let shelved = self.sales.get(&sale).into_iter();
        let line = shelved.flat_map(|shelved| shelved.sale.line.iter().map(move |place| (shelved, place)));
        line.filter(|(_, place)| place.status == status)
            .map(|(shelved, place)| (place.user, shelved.waiting(place.id).expect("in line")))
            .collect()
    }

    /// Whether this request has got a hold or a place.
    pub fn has_got(&self, sale: SaleId, user: UserId, request: RequestId) -> bool {
        let shelved = self.sales.get(&sale);
        shelved.is_some_and(|shelved| shelved.sale.requests.contains_key(&(user, request)))
    }

    /// Whether this hold was granted to this person.
    pub fn has_held(&self, user: UserId, hold: &Reservation) -> bool {
        let shelved = self.sales.get(&hold.sale);
        let found = shelved.and_then(|shelved| shelved.sale.holds.get(&hold.reservation));
        found.is_some_and(|found| found.user == user && found.quantity == hold.quantity)
    }

    /// Whether this person stood in line for so many units.
    pub fn has_waited(&self, user: UserId, place: &Waiting) -> bool {
        let shelved = self.sales.get(&place.sale).into_iter();
        let mut line = shelved.flat_map(|shelved| &shelved.sale.line);
        line.any(|known| known.user == user && known.quantity == place.quantity)
    }

    /// Whether this hold is not held any more.
    pub fn is_free(&self, hold: ReservationId) -> bool {
        let mut holds = self.sales.values().filter_map(|shelved| shelved.sale.holds.get(&hold));
        holds.all(|hold| !matches!(hold.status, ReservationStatus::Held | ReservationStatus::Paying))
    }

    /// For how long the earliest hold of a sale has lapsed and not been swept, in ms.
    pub fn lapsed_for(&self, sale: SaleId, ms: Millis) -> Millis {
        let shelved = self.sales.get(&sale);
        // One whose payment had begun is held again when that fails, elsewhere: who remembers
        // that it was sold out hears of it a second later at most.
        let holds = shelved.into_iter().flat_map(|shelved| shelved.sale.holds.values());
        let held = holds.filter(|hold| hold.status == ReservationStatus::Held && !hold.extended);
        let expiry = held.map(|hold| hold.expires_at).min();
        expiry.map_or(0, |expiry| (ms - expiry).max(0))
    }

    /// Sales that somebody should have swept some seconds ago, wherever their rooms are, and
    /// in how long the next one is.
    pub fn overdue(&self, ms: Millis) -> (Vec<SaleId>, Option<Duration>) {
        let due = self.sales.iter().filter_map(|(id, shelved)| {
            let ends_at = shelved.is_open().then_some(shelved.card.ends_at);
            let due = ends_at.into_iter().chain(shelved.sale.next_expiry()).min()?;
            Some((*id, due + GRACE_MS))
        });
        let due: Vec<_> = due.collect();
        let late = due.iter().filter(|(_, due)| *due < ms).map(|(id, _)| *id).collect();
        let next = due.iter().map(|(_, due)| *due).min();
        (
            late,
            next.map(|next| Duration::from_millis(u64::try_from(next - ms).unwrap_or(0))),
        )
    }

    pub fn ids(&self) -> Vec<SaleId> {
        self.sales.keys().copied().collect()
    }

    pub fn open_count(&self) -> usize {
        self.sales.values().filter(|shelved| shelved.is_open()).count()
    }

    /// What was granted, over all sales.
    pub fn granted(&self) -> u64 {
        let holds = self.sales.values().map(|shelved| shelved.sale.holds.len() as u64);
        holds.sum()
    }

    /// Places that became holds, over all sales.
    pub fn offered(&self) -> u64 {
        let line = self.sales.values().flat_map(|shelved| &shelved.sale.line);
        line.filter(|place| place.status == WaitStatus::Offered).count() as u64
    }
}

impl Shelved {
    fn is_open(&self) -> bool {
        self.sale.status == SaleStatus::Open
    }

    /// Applies what one statement brings about; the holds that change with it.
    fn apply(&mut self, events: &[Event]) -> Changed {
        for event in events {
            if let Event::Offered(id, _) = event {
                self.check_turn(*id);
            }
            self.sale.evolve(event);
        }
        self.version += i64::from(!events.is_empty());
        self.check();
        let changed = events.iter().filter_map(|event| match event {
            Event::Became(id, _) => Some((*id, false)),
            Event::Offered(id, _) => Some((*id, true)),
            _ => None,
        });
        changed
            .filter_map(|(id, offered)| {
                let hold = Reservation {
                    offered,
                    ..self.reservation(id)
                };
                Some((self.sale.holds.get(&id)?.user, hold))
            })
            .collect()
    }

    /// Nobody who came before could have had the units.
    fn check_turn(&self, id: ReservationId) {
        let left = self.sale.remaining();
        for place in self.sale.waiting() {
            if place.id == id {
                assert!(place.quantity <= left, "more is offered than there is: {place:?}");
                return;
            }
            assert!(place.quantity > left, "{place:?} was before {id:?} in line");
        }
        panic!("{id:?} is offered something and is not in line");
    }

    /// What an ask has got, now or when it was first made.
    fn got(&self, ask: &Ask) -> Outcome {
        let id = self.sale.requests.get(&(ask.user, ask.request)).copied();
        let id = id.unwrap_or(ask.reservation);
        if self.sale.holds.contains_key(&id) {
            return Outcome::Held(self.reservation(id));
        }
        self.waiting(id).map_or(Outcome::Done, Outcome::Waiting)
    }

    fn waiting(&self, id: ReservationId) -> Option<Waiting> {
        let place = self.sale.line.iter().find(|place| place.id == id)?;
        Some(Waiting {
            sale: self.card.id,
            quantity: place.quantity,
            status: place.status,
            position: self
                .sale
                .position(id)
                .and_then(|position| u32::try_from(position).ok())
                .unwrap_or(0),
        })
    }

    fn reservation(&self, id: ReservationId) -> Reservation {
        let hold = self.sale.holds.get(&id);
        Reservation {
            reservation: id,
            sale: self.card.id,
            quantity: hold.map_or(0, |hold| hold.quantity),
            status: hold.map_or(ReservationStatus::Released, |hold| hold.status),
            expires_at: hold.map_or(0, |hold| hold.expires_at),
            offered: false,
        }
    }

    fn shown(&self) -> SaleCard {
        SaleCard {
            remaining: self.sale.remaining(),
            version: self.version,
            ..self.card.clone()
        }
    }

    fn next_expiry(&self) -> Option<shared::Timestamp> {
        self.sale
            .next_expiry()
            .and_then(chrono::DateTime::from_timestamp_millis)
    }

    fn left_until(&self, at: Millis, ms: Millis) -> Duration {
        Duration::from_millis(u64::try_from(at - ms).unwrap_or(0))
    }

    /// Holds asked for and places in line, all that ever were.
    fn entries(&self) -> i64 {
        i64::try_from(self.sale.requests.len()).unwrap_or(i64::MAX)
    }

    fn state(&self, stream: StreamId, ms: Millis) -> SaleState {
        SaleState {
            stream,
            progress: SaleProgress {
                sale: self.card.id,
                remaining: self.sale.remaining(),
                version: self.version,
                status: self.sale.status,
                next_expiry: self.next_expiry(),
            },
            waiting: u32::try_from(self.sale.waiting().count()).unwrap_or(u32::MAX),
            entries: self.entries(),
            next_expiry_in: self.sale.next_expiry().map(|at| self.left_until(at, ms)),
            opens_in: Some(self.left_until(self.card.opens_at, ms)).filter(|left| !left.is_zero()),
        }
    }

    /// Nothing is granted past the quantity or the limit per buyer.
    fn check(&self) {
        let (sale, terms) = (&self.sale, &self.sale.terms);
        let mut per_buyer: BTreeMap<UserId, u32> = BTreeMap::new();
        for hold in sale.holds.values() {
            if state::counts(hold.status) {
                *per_buyer.entry(hold.user).or_default() += hold.quantity;
            }
        }
        let all: u32 = per_buyer.values().sum();
        assert!(all <= terms.quantity, "{all} units are granted: {sale:?}");
        assert_eq!(all, sale.held + sale.sold, "the counters are not the sums of the holds");
        for (buyer, units) in per_buyer {
            assert!(units <= terms.per_buyer, "{buyer:?} has {units} units, past the limit");
        }
    }
}

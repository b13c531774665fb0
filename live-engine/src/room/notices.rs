//! Committed changes from elsewhere: outbox rows of this room, and a sale's counters.
//!
//! A row comes again until it is marked, so each is taken up once here: what it names is
//! read, what that means is told, and the row is marked with the event or for itself.
//! Pure, as a part of the core: reading is an effect.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::Refusal;
use shared::ids::{ProductId, SaleId, UserId};
use shared::live::RoomNotice;
use shared::outbox::Happened;
use shared::protocol::{Muted, Private, Reservation, RoomEvent};
use shared::rights::{Right, Rights};
use shared::status::SaleStatus;
use uuid::Uuid;

use super::core::{Core, Effect, FoundSale, Now, Read, Reading};
use super::pace::Told;
use super::state::Command;
use crate::types::SaleProgress;

/// How long a row that is done is remembered: it may have been read before it was marked.
const REMEMBERED: Duration = Duration::from_secs(30);

/// How soon counters are told again that could not be.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Row {
    /// What it names is being read.
    InWork,
    /// Its event has this number (0: none) since then.
    Done(u64, Instant),
}

/// What is read by one reading at a time, so that a later one is never the older.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Once {
    Product(ProductId),
    LineUp,
    Cover,
    Moderators,
    Words,
}

/// The rows that were taken up.
#[derive(Default)]
pub(super) struct Notices {
    rows: HashMap<Uuid, Row>,
    /// What is being read, and rows that came meanwhile.
    reading: HashMap<Once, Vec<Uuid>>,
    /// Rows that say that a sale has opened, while it is being read.
    openings: HashSet<Uuid>,
}

impl Notices {
    /// Takes a row up; false when it was already.
    pub(super) fn begin(&mut self, row: Uuid) -> bool {
        match self.rows.entry(row) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Row::InWork);
                true
            }
        }
    }

    /// A row is done, with the event of this number.
    pub(super) fn done(&mut self, row: Uuid, seq: u64, now: Instant) {
        self.rows.insert(row, Row::Done(seq, now));
    }

    /// A row could not be dealt with: it will come again.
    pub(super) fn forget(&mut self, row: Uuid) {
        self.rows.remove(&row);
        self.openings.remove(&row);
    }

    /// Forgets rows that are marked for certain.
    pub(super) fn tidy(&mut self, committed: u64, now: Instant) {
        self.rows.retain(|_, row| match row {
            Row::InWork => true,
            Row::Done(seq, at) => *seq > committed || now.saturating_duration_since(*at) < REMEMBERED,
        });
    }

    /// Whether anything is being read.
    pub(super) fn is_busy(&self) -> bool {
        self.rows.values().any(|row| matches!(row, Row::InWork))
    }
}

impl Core {
    /// Takes up outbox rows.
    pub fn notices(&mut self, mut rows: Vec<(Uuid, RoomNotice)>, now: Now) {
        // Commands in the order of their commits; their rows' ids are of several clocks.
        rows.sort_by_key(|(_, notice)| match notice {
            RoomNotice::Happened { no, .. } => *no,
            _ => i64::MAX,
        });
        let mut changed: BTreeMap<Once, Vec<Uuid>> = BTreeMap::new();
        let mut sales: BTreeMap<SaleId, Vec<Uuid>> = BTreeMap::new();
        for (row, notice) in rows {
            let is_commands = matches!(notice, RoomNotice::Happened { .. } | RoomNotice::MuteChanged { .. });
            if is_commands && self.hosts.is_busy() {
                // This may be the row of the command under way: it comes again.
                continue;
            }
            if let RoomNotice::Happened { no, event } = notice {
                match *event {
                    // Since then units may have gone, or the sale may be over.
                    RoomEvent::SaleOpened { sale } => {
                        if self.notices.begin(row) {
                            self.notices.openings.insert(row);
                            sales.entry(sale.id).or_default().push(row);
                        }
                    }
                    event => self.committed(Happened { row, no, event }, now),
                }
                continue;
            }
            if !self.notices.begin(row) {
                continue;
            }
            match notice {
                RoomNotice::ProductChanged { product }
                    if self.state.featured() == Some(product) || self.state.lists(product) =>
                {
                    changed.entry(Once::Product(product)).or_default().push(row);
                }
                // One that was not on sale may be now.
                RoomNotice::ProductChanged { .. } | RoomNotice::LineUpChanged => {
                    changed.entry(Once::LineUp).or_default().push(row);
                }
                RoomNotice::CoverChanged => changed.entry(Once::Cover).or_default().push(row),
                RoomNotice::ModeratorsChanged => changed.entry(Once::Moderators).or_default().push(row),
                RoomNotice::WordsChanged => changed.entry(Once::Words).or_default().push(row),
                RoomNotice::SaleChanged { sale } if self.state.sale(sale).is_some() => {
                    sales.entry(sale).or_default().push(row);
                }
                RoomNotice::ReservationsChanged { user, reservations } => {
                    self.effect(Effect::Read(Read::Holds(row, user, reservations)));
                }
                RoomNotice::OrderChanged { user, order, status } => {
                    self.effect(Effect::Tell(user, Private::Order { order, status }));
                    self.nothing_more([row], now);
                }
                RoomNotice::MuteChanged { user } => {
                    self.effect(Effect::Read(Read::Mute(row, user, self.mutes_made)));
                }
                RoomNotice::Banned { user } => {
                    self.turn_out(user);
                    self.happen(Command::Banned(user), Some(row), now);
                }
                RoomNotice::MessageReported { reported } => {
                    self.tell_moderators(&[Right::DeleteMessages, Right::Review], &Private::Reported(reported));
                    self.nothing_more([row], now);
                }
                RoomNotice::Purchased {
                    buyer,
                    name,
                    title,
                    quantity,
                } => {
                    let bought = Command::Purchased {
                        buyer,
                        name,
                        title,
                        quantity,
                    };
                    self.happen(bought, Some(row), now);
                }
                RoomNotice::Happened { .. } | RoomNotice::SaleChanged { .. } => {
                    self.nothing_more([row], now);
                }
            }
        }
        for (what, rows) in changed {
            self.reread(what, rows);
        }
        for (sale, rows) in sales {
            self.effect(Effect::Read(Read::Sale(sale, rows)));
        }
    }

    /// What [`Effect::Read`] has brought.
    pub fn read(&mut self, reading: Reading, now: Now) {
        match reading {
            Reading::Product(product, rows, found) => {
                self.shown_read(Once::Product(product), rows, found.map(Command::Product), now);
            }
            Reading::LineUp(rows, found) => self.shown_read(Once::LineUp, rows, found.map(Command::LineUp), now),
            Reading::Cover(rows, found) => self.shown_read(Once::Cover, rows, found.map(Command::Cover), now),
            Reading::Sale(sale, rows, found) => self.sale_read(sale, rows, found, now),
            Reading::Moderators(rows, found) => {
                self.held_read(Once::Moderators, rows, found, Self::appoint, now);
            }
            Reading::Words(rows, found) => {
                self.held_read(Once::Words, rows, found, |core, filter, _| core.block(filter), now);
            }
            Reading::Members(audience, users, found) => self.members_read(audience, users, found, now),
            Reading::Quote(user, message, quote) => self.quote_read(user, message, quote, now),
            Reading::Said(user, request, found) => self.said_read(user, request, found, now),
            Reading::Earlier(found) => self.earlier_read(found),
            Reading::Mute(row, user, made, mute) => self.mute_read(row, user, made, mute, now),
            Reading::Holds(row, user, holds) => self.holds_read(row, user, holds, now),
        }
    }

    /// Rows that cause no event are marked for themselves.
    pub(super) fn nothing_more(&mut self, rows: impl IntoIterator<Item = Uuid>, now: Now) {
        let rows: Vec<_> = rows.into_iter().collect();
        for row in &rows {
            self.notices.done(*row, 0, now.at);
        }
        self.mark(rows);
    }

    /// Rows that could not be dealt with come again.
    fn later(&mut self, rows: Vec<Uuid>) {
        rows.into_iter().for_each(|row| self.notices.forget(row));
    }

    /// A product may be another by now.
    pub(super) fn product_changed(&mut self, product: ProductId) {
        self.reread(Once::Product(product), Vec::new());
    }

    /// Reads something that has changed or, while it is being read, has it read again.
    fn reread(&mut self, what: Once, rows: Vec<Uuid>) {
        if let Some(waiting) = self.notices.reading.get_mut(&what) {
            waiting.extend(rows);
            return;
        }
        self.notices.reading.insert(what, Vec::new());
        self.effect(Effect::Read(match what {
            Once::Product(product) => Read::Product(product, rows),
            Once::LineUp => Read::LineUp(rows),
            Once::Cover => Read::Cover(rows),
            Once::Moderators => Read::Moderators(rows),
            Once::Words => Read::Words(rows),
        }));
    }

    /// What everybody is shown was read, and what that may cause.
    fn shown_read(&mut self, what: Once, rows: Vec<Uuid>, found: Result<Command, Refusal>, now: Now) {
        let waiting = self.notices.reading.remove(&what).unwrap_or_default();
        match found {
            Ok(command) => self.with_rows(command, rows, now),
            Err(_) => self.later(rows),
        }
        self.reread_if_waited(what, waiting);
    }

    /// What the room keeps to itself was read, and what it does with it.
    fn held_read<T>(
        &mut self,
        what: Once,
        rows: Vec<Uuid>,
        found: Result<T, Refusal>,
        take: impl FnOnce(&mut Self, T, Now),
        now: Now,
    ) {
        let waiting = self.notices.reading.remove(&what).unwrap_or_default();
        match found {
            Ok(found) => {
                take(self, found, now);
                self.nothing_more(rows, now);
            }
            Err(_) => self.later(rows),
        }
        self.reread_if_waited(what, waiting);
    }

    fn reread_if_waited(&mut self, what: Once, waiting: Vec<Uuid>) {
        if !waiting.is_empty() {
            self.reread(what, waiting);
        }
    }

    fn appoint(&mut self, moderators: Vec<(UserId, Rights)>, now: Now) {
        let changed = Arc::make_mut(&mut self.powers).appoint(moderators);
        if !changed.is_empty() {
            self.powers_changed(&changed, now);
        }
    }

    /// One event for several rows: the first goes with it, the others for themselves.
    fn with_rows(&mut self, command: Command, rows: Vec<Uuid>, now: Now) {
        let mut rows = rows.into_iter();
        let first = rows.next();
        if self.happen(command, first, now) {
            self.nothing_more(rows, now);
        } else {
            self.later(rows.collect());
        }
    }

    fn sale_read(&mut self, sale: SaleId, rows: Vec<Uuid>, found: Result<Option<FoundSale>, Refusal>, now: Now) {
        let Ok(found) = found else {
            self.later(rows);
            return;
        };
        let (openings, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| self.notices.openings.remove(row));
        match found {
            Some((card, status, next_expiry)) => {
                if status == SaleStatus::Open && !openings.is_empty() {
                    let opened = RoomEvent::SaleOpened { sale: card.clone() };
                    self.with_rows(Command::Committed(opened), openings, now);
                } else {
                    // It was over before anybody here heard that it began.
                    self.nothing_more(openings, now);
                }
                let progress = SaleProgress {
                    sale,
                    remaining: card.remaining,
                    version: card.version,
                    status,
                    next_expiry,
                };
                self.effect(Effect::Watch(card, next_expiry));
                self.progress(progress, now);
            }
            None => self.nothing_more(openings, now),
        }
        self.nothing_more(rows, now);
    }

    /// A command that muted somebody has not told this room, its own or a former owner's.
    fn mute_read(&mut self, row: Uuid, user: UserId, made: u64, mute: Result<Option<Muted>, Refusal>, now: Now) {
        match mute {
            Ok(mute) if made == self.mutes_made && !self.hosts.is_busy() => {
                self.mute(user, mute, now);
                self.nothing_more([row], now);
            }
            // A command has been faster, or is on its way: it is read again.
            Ok(_) | Err(_) => self.later(vec![row]),
        }
    }

    fn holds_read(&mut self, row: Uuid, user: UserId, holds: Result<Vec<Reservation>, Refusal>, now: Now) {
        let Ok(holds) = holds else {
            self.later(vec![row]);
            return;
        };
        for hold in holds {
            self.effect(Effect::Tell(user, Private::Reservation(hold)));
        }
        self.nothing_more([row], now);
    }

    /// A sale's counters have moved: told in the sale's own pace.
    pub(super) fn progress(&mut self, progress: SaleProgress, now: Now) {
        let sale = progress.sale;
        if self.state.sale(sale).is_none() {
            return;
        }
        match self.pace.note(progress, now.at) {
            Told::Never | Told::Waiting => {}
            Told::Now(progress) => self.tell(progress, now),
            Told::In(after) => self.effect(Effect::WakeSale(sale, now.at + after)),
        }
        if self.state.sale(sale).is_none() {
            self.pace.forget(sale);
        }
    }

    /// The time of [`Effect::WakeSale`] has come.
    pub fn sale_due(&mut self, sale: SaleId, now: Now) {
        if let Some(progress) = self.pace.due(sale, now.at) {
            self.tell(progress, now);
        }
    }

    /// Tells a sale's counters, if not now, then a little later: no row brings them again.
    fn tell(&mut self, progress: SaleProgress, now: Now) {
        if !self.happen(Command::Progress(progress.clone()), None, now) {
            self.effect(Effect::WakeSale(progress.sale, now.at + AGAIN));
            self.pace.put_back(progress);
        }
    }
}

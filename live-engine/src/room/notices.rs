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
use shared::protocol::{LineUpCard, Muted, Private, Reservation, RoomEvent};
use shared::rights::{Right, Rights};
use shared::status::SaleStatus;
use shared::words::WordFilter;
use uuid::Uuid;

use super::core::{Core, Effect, FoundSale, Now, Read, Reading};
use super::pace::Told;
use super::state::{Command, ProductReading};
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

/// The rows that were taken up.
#[derive(Default)]
pub(super) struct Notices {
    rows: HashMap<Uuid, Row>,
    /// Products that are being read, and rows that came meanwhile.
    products: HashMap<ProductId, Vec<Uuid>>,
    /// The same for the moderators, while they are being read.
    moderators: Option<Vec<Uuid>>,
    /// The same of the line-up, while it is being read.
    line_up: Option<Vec<Uuid>>,
    /// The same for the blocked words.
    words: Option<Vec<Uuid>>,
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
        let mut products: BTreeMap<ProductId, Vec<Uuid>> = BTreeMap::new();
        let mut sales: BTreeMap<SaleId, Vec<Uuid>> = BTreeMap::new();
        let mut line_up = Vec::new();
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
                    products.entry(product).or_default().push(row);
                }
                // One that was not on sale may be now.
                RoomNotice::ProductChanged { .. } | RoomNotice::LineUpChanged => line_up.push(row),
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
                RoomNotice::ModeratorsChanged => self.moderators_changed(vec![row]),
                RoomNotice::WordsChanged => self.words_changed(vec![row]),
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
        for (product, rows) in products {
            self.product_changed(product, rows);
        }
        self.line_up_changed(line_up);
        for (sale, rows) in sales {
            self.effect(Effect::Read(Read::Sale(sale, rows)));
        }
    }

    /// What [`Effect::Read`] has brought.
    pub fn read(&mut self, reading: Reading, now: Now) {
        match reading {
            Reading::Product(product, rows, card) => self.product_read(product, rows, card, now),
            Reading::LineUp(rows, read) => self.line_up_read(rows, read, now),
            Reading::Sale(sale, rows, found) => self.sale_read(sale, rows, found, now),
            Reading::Moderators(rows, found) => self.moderators_read(rows, found, now),
            Reading::Words(rows, found) => self.words_read(rows, found, now),
            Reading::Members(audience, users, found) => self.members_read(audience, users, found, now),
            Reading::Quote(user, message, quote) => self.quote_read(user, message, quote, now),
            Reading::Said(user, request, found) => self.said_read(user, request, found, now),
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

    /// One reading of a product at a time, so that a later one is never the older.
    pub(super) fn product_changed(&mut self, product: ProductId, rows: Vec<Uuid>) {
        if let Some(waiting) = self.notices.products.get_mut(&product) {
            waiting.extend(rows);
            return;
        }
        self.notices.products.insert(product, Vec::new());
        self.effect(Effect::Read(Read::Product(product, rows)));
    }

    fn product_read(
        &mut self,
        product: ProductId,
        rows: Vec<Uuid>,
        reading: Result<ProductReading, Refusal>,
        now: Now,
    ) {
        let waiting = self.notices.products.remove(&product).unwrap_or_default();
        match reading {
            Ok(reading) => self.with_rows(Command::Product(reading), rows, now),
            Err(_) => self.later(rows),
        }
        if !waiting.is_empty() {
            self.product_changed(product, waiting);
        }
    }

    /// One reading of the line-up at a time, as of a product.
    fn line_up_changed(&mut self, rows: Vec<Uuid>) {
        if rows.is_empty() {
            return;
        }
        if let Some(waiting) = &mut self.notices.line_up {
            waiting.extend(rows);
            return;
        }
        self.notices.line_up = Some(Vec::new());
        self.effect(Effect::Read(Read::LineUp(rows)));
    }

    fn line_up_read(&mut self, rows: Vec<Uuid>, read: Result<Vec<LineUpCard>, Refusal>, now: Now) {
        let waiting = self.notices.line_up.take().unwrap_or_default();
        match read {
            Ok(products) => self.with_rows(Command::LineUp(products), rows, now),
            Err(_) => self.later(rows),
        }
        self.line_up_changed(waiting);
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

    /// One reading at a time, as of a product.
    fn moderators_changed(&mut self, rows: Vec<Uuid>) {
        if let Some(waiting) = &mut self.notices.moderators {
            waiting.extend(rows);
            return;
        }
        self.notices.moderators = Some(Vec::new());
        self.effect(Effect::Read(Read::Moderators(rows)));
    }

    fn moderators_read(&mut self, rows: Vec<Uuid>, found: Result<Vec<(UserId, Rights)>, Refusal>, now: Now) {
        let waiting = self.notices.moderators.take().unwrap_or_default();
        match found {
            Ok(found) => {
                let changed = Arc::make_mut(&mut self.powers).appoint(found);
                if !changed.is_empty() {
                    self.powers_changed(&changed, now);
                }
                self.nothing_more(rows, now);
            }
            Err(_) => self.later(rows),
        }
        if !waiting.is_empty() {
            self.moderators_changed(waiting);
        }
    }

    /// One reading at a time, as of a product.
    fn words_changed(&mut self, rows: Vec<Uuid>) {
        if let Some(waiting) = &mut self.notices.words {
            waiting.extend(rows);
            return;
        }
        self.notices.words = Some(Vec::new());
        self.effect(Effect::Read(Read::Words(rows)));
    }

    fn words_read(&mut self, rows: Vec<Uuid>, found: Result<Arc<WordFilter>, Refusal>, now: Now) {
        let waiting = self.notices.words.take().unwrap_or_default();
        match found {
            Ok(filter) => {
                self.block(filter);
                self.nothing_more(rows, now);
            }
            Err(_) => self.later(rows),
        }
        if !waiting.is_empty() {
            self.words_changed(waiting);
        }
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

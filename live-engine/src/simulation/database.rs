//! Postgres as far as a room can tell: it keeps the contract of `persist/store.rs`,
//! `room/store` and `feed/store.rs`, one whole transaction at a time. Whether a question
//! arrives and whether its answer does is the world's business.

mod load;
mod log;

use std::collections::{BTreeMap, BTreeSet};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, ProductId, RequestId, SaleId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::outbox::Happened;
use shared::protocol::{DeletedBy, HostCommand, Millis, Outcome, ProductCard, RoomEvent, SaleCard};
use shared::status::StreamStatus;
use uuid::Uuid;

use super::chance::Chance;
use super::desk::Give;
use super::shelf::Shelf;
use super::store::GivenUp;
use crate::persist::queue::ReactionKey;
use crate::persist::sums::Sum;
use crate::persist::work::Tried;
use crate::persist::{Entry, Row};
use crate::room::core::{Read, Reading};
use crate::room::state::ProductReading;
use crate::room::store::chat::Held;
use crate::room::store::host::{HostAct, HostDone};
use crate::room::store::load::LoadedRoom;

/// A text that the database refuses, as if it broke a constraint.
pub const REFUSED: &str = "refuse this";
/// How long a lease lasts, in microseconds: as in production.
pub const LEASE_US: u64 = 6_000_000;

/// A numbered row as stored.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "some hundreds, in a test")]
pub enum Stored {
    Row(Row),
    Reject,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub epoch: i64,
    pub owner: u64,
    pub until_us: u64,
}

struct OutboxRow {
    id: Uuid,
    notice: RoomNotice,
    delivered: bool,
}

/// See the module.
pub struct Database {
    pub stream: StreamId,
    pub host: UserId,
    pub lease: Lease,
    pub rows: BTreeMap<(i64, u64), Stored>,
    outbox: Vec<OutboxRow>,
    /// Those of them that an event was stored with.
    stored_with: BTreeSet<Uuid>,
    keys: BTreeMap<(UserId, RequestId), (HostCommand, Outcome)>,
    pub reactions: BTreeMap<ReactionKey, u64>,
    writers: BTreeMap<u64, i64>,
    status: StreamStatus,
    featured: Option<ProductCard>,
    product: ProductCard,
    pub shelf: Shelf,
    deleted: BTreeSet<MessageId>,
    held: BTreeMap<(UserId, RequestId), (MessageId, i64)>,
    ids: u128,
    command_no: i64,
    /// So many messages are known to a room that opens.
    said_at_most: usize,
}

impl Database {
    pub fn new(stream: StreamId, host: UserId, said_at_most: usize) -> Self {
        Self {
            stream,
            host,
            lease: Lease {
                epoch: 0,
                owner: 0,
                until_us: 0,
            },
            rows: BTreeMap::new(),
            outbox: Vec::new(),
            stored_with: BTreeSet::new(),
            keys: BTreeMap::new(),
            reactions: BTreeMap::new(),
            writers: BTreeMap::new(),
            status: StreamStatus::Live,
            featured: None,
            product: ProductCard {
                id: ProductId(Uuid::from_u128(7)),
                title: "Bowl".into(),
                image_url: String::new(),
                currency: "EUR".into(),
                version: 1,
                variants: Vec::new(),
                featured_variant: None,
            },
            shelf: Shelf::default(),
            deleted: BTreeSet::new(),
            held: BTreeMap::new(),
            ids: 1 << 100,
            command_no: 0,
            said_at_most,
        }
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// Takes the room, or says until when it is another's.
    pub fn acquire(&mut self, owner: u64, us: u64, ms: Millis) -> Result<(i64, Box<LoadedRoom>), u64> {
        if self.lease.owner != owner && self.lease.until_us > us {
            return Err(self.lease.until_us);
        }
        self.lease = Lease {
            epoch: self.lease.epoch + 1,
            owner,
            until_us: us + LEASE_US,
        };
        Ok((self.lease.epoch, Box::new(self.load(ms))))
    }

    /// Whether the room is still this owner's, for another while.
    pub fn renew(&mut self, owner: u64, epoch: i64, us: u64) -> bool {
        let is_ours = self.lease.owner == owner && self.lease.epoch == epoch;
        if is_ours {
            self.lease.until_us = us + LEASE_US;
        }
        is_ours
    }

    pub fn release(&mut self, owner: u64, epoch: i64, us: u64) {
        if self.lease.owner == owner && self.lease.epoch == epoch {
            self.lease.until_us = us;
        }
    }

    /// Writes entries as far as their epoch has the room, or refuses them all.
    pub fn persist(&mut self, entries: &[Entry], is_reject: bool) -> Tried {
        let epoch = self.lease.epoch;
        let ours = || entries.iter().filter(|entry| entry.epoch == epoch);
        let is_bad = |entry: &Entry| matches!(&entry.row, Row::Chat { message, .. } if message.text == REFUSED);
        if !is_reject && ours().any(is_bad) {
            return Tried::Refused("a check constraint".into());
        }
        for entry in ours() {
            let row = if is_reject {
                Stored::Reject
            } else {
                Stored::Row(entry.row.clone())
            };
            match self.rows.get(&(epoch, entry.seq)) {
                Some(known) => assert_eq!(*known, row, "two rows are number {} of epoch {epoch}", entry.seq),
                None => {
                    let last = self.last_stored(epoch);
                    assert_eq!(entry.seq, last + 1, "what is stored of epoch {epoch} has a gap");
                    self.rows.insert((epoch, entry.seq), row);
                }
            }
            let caused = entry.outbox.clone();
            self.stored_with.extend(&caused);
            self.mark(&caused, epoch);
        }
        Tried::Stored(BTreeMap::from([(self.stream, epoch)]))
    }

    pub fn add_reactions(&mut self, writer: u64, number: i64, sums: &[Sum]) {
        let last = self.writers.entry(writer).or_insert(i64::MIN);
        if *last < number {
            *last = number;
            for (key, count) in sums {
                *self.reactions.entry(key.clone()).or_insert(0) += count;
            }
        }
    }

    /// Marks outbox rows, in the name of an epoch that has the room.
    pub fn mark(&mut self, rows: &[Uuid], epoch: i64) {
        if epoch != self.lease.epoch {
            return;
        }
        let rows: BTreeSet<_> = rows.iter().collect();
        for row in self.outbox.iter_mut().filter(|row| rows.contains(&row.id)) {
            row.delivered = true;
        }
    }

    /// Outbox rows that nobody has marked, oldest first.
    pub fn undelivered(&self) -> Vec<(Uuid, RoomNotice)> {
        let rows = self.outbox.iter().filter(|row| !row.delivered);
        rows.map(|row| (row.id, row.notice.clone())).collect()
    }

    /// A change that is committed elsewhere, for the room to hear of.
    pub fn change_product(&mut self) {
        self.product.version += 1;
        self.product.title = format!("Bowl, edition {}", self.product.version);
        if let Some(featured) = &mut self.featured {
            *featured = self.product.clone();
        }
        let notice = RoomNotice::ProductChanged {
            product: self.product.id,
        };
        self.push(notice);
    }

    /// Something happens to a hold over REST, for the room to hear of.
    pub fn pay(&mut self, chance: &mut Chance, ms: Millis) {
        if let Some(sale) = self.shelf.pay(chance, ms) {
            self.push(RoomNotice::SaleChanged { sale });
        }
    }

    /// Whatever is being paid is paid.
    pub fn capture_all(&mut self, ms: Millis) {
        for sale in self.shelf.capture_all(ms) {
            self.push(RoomNotice::SaleChanged { sale });
        }
    }

    fn push(&mut self, notice: RoomNotice) -> Uuid {
        let id = self.id();
        self.outbox.push(OutboxRow {
            id,
            notice,
            delivered: false,
        });
        id
    }

    /// Carries a host's command out, once.
    pub fn carry_out(&mut self, act: &HostAct, ms: Millis) -> Result<HostDone, Refusal> {
        if let Some((command, outcome)) = self.keys.get(&(act.user, act.request_id)) {
            if *command != act.command {
                return Err(ErrorCode::RequestIdReused.into());
            }
            return Ok(HostDone {
                outcome: outcome.clone(),
                events: Vec::new(),
                told: Vec::new(),
                muted: None,
                banned: false,
                turned_out: None,
            });
        }
        let (outcome, happened) = self.host_command(act.user, &act.command, ms)?;
        let mut events = Vec::new();
        for event in happened {
            self.command_no += 1;
            let no = self.command_no;
            let notice = RoomNotice::Happened {
                no,
                event: Box::new(event.clone()),
            };
            let row = self.push(notice);
            events.push(Happened { row, no, event });
        }
        self.keys
            .insert((act.user, act.request_id), (act.command.clone(), outcome.clone()));
        Ok(HostDone {
            outcome,
            events,
            told: Vec::new(),
            muted: None,
            banned: false,
            turned_out: None,
        })
    }

    /// Whether this act of a host was carried out.
    pub fn has_done(&self, user: UserId, request: RequestId) -> bool {
        self.keys.contains_key(&(user, request))
    }

    fn host_command(
        &mut self,
        user: UserId,
        command: &HostCommand,
        ms: Millis,
    ) -> Result<(Outcome, Vec<RoomEvent>), Refusal> {
        match command {
            HostCommand::Feature(_) => {
                self.featured = Some(self.product.clone());
                let product = self.product.clone();
                Ok((Outcome::Done, vec![RoomEvent::Featured { product }]))
            }
            HostCommand::Unfeature => {
                let shown = self.featured.take();
                Ok((
                    Outcome::Done,
                    shown.map(|_| RoomEvent::Unfeatured).into_iter().collect(),
                ))
            }
            HostCommand::SaleOpen(open) => {
                let sale = SaleId(self.id());
                let opens_at = ms + i64::from(open.opens_in_seconds.unwrap_or(0)) * 1000;
                let card = SaleCard {
                    id: sale,
                    product: self.product.id,
                    variant: open.variant,
                    title: self.product.title.clone(),
                    image_url: String::new(),
                    price_minor: 900,
                    usual_price_minor: 1900,
                    percent_off: None,
                    currency: "EUR".into(),
                    quantity: open.quantity,
                    remaining: open.quantity,
                    per_buyer: open.per_buyer,
                    hold_seconds: open.hold_seconds,
                    opens_at,
                    ends_at: opens_at + i64::from(open.ends_in_seconds) * 1000,
                    version: 1,
                };
                self.shelf.open(card.clone(), self.host);
                Ok((Outcome::SaleOpened { sale }, vec![RoomEvent::SaleOpened { sale: card }]))
            }
            HostCommand::SaleClose { sale } => {
                let was_open = self.shelf.close(*sale, ms).ok_or(ErrorCode::NotFound)?;
                let closed = was_open.then_some(RoomEvent::SaleClosed { sale: *sale });
                Ok((Outcome::Done, closed.into_iter().collect()))
            }
            HostCommand::DeleteMessage { message } => self.delete(user, *message),
            _ => Err(ErrorCode::WrongState.into()),
        }
    }

    /// A hold or a place in line is given up.
    pub fn give_up(&mut self, user: UserId, give: Give, ms: Millis) -> GivenUp {
        match give {
            Give::Hold(hold) => GivenUp::Hold(self.shelf.release(self.stream, user, hold, ms)),
            Give::Place(sale, request) => {
                let (status, state) = self.shelf.unwait(self.stream, sale, (user, request), ms);
                GivenUp::Place(status, state)
            }
        }
    }

    fn delete(&mut self, user: UserId, message: MessageId) -> Result<(Outcome, Vec<RoomEvent>), Refusal> {
        let author = self.rows.values().find_map(|row| match row {
            Stored::Row(Row::Chat { message: stored, .. }) if stored.id == message => Some(stored.author.id),
            _ => None,
        });
        let by = match author.ok_or(ErrorCode::NotFound)? {
            author if author == user => DeletedBy::Author,
            _ if user == self.host => DeletedBy::Moderator,
            _ => return Err(ErrorCode::Forbidden.into()),
        };
        let is_news = self.deleted.insert(message);
        let event = is_news.then_some(RoomEvent::MessageDeleted { message, by });
        Ok((Outcome::Done, event.into_iter().collect()))
    }

    /// Holds a message for a moderator; under which id it is held.
    pub fn hold(&mut self, held: &Held) -> Result<MessageId, Refusal> {
        if held.epoch != self.lease.epoch {
            return Err(ErrorCode::RoomUnavailable.into());
        }
        let key = (held.message.author.id, held.request_id);
        let (message, body) = *self.held.entry(key).or_insert((held.message.message, held.body));
        if body != held.body {
            return Err(ErrorCode::RequestIdReused.into());
        }
        Ok(message)
    }

    /// Whether this message of a person's is held.
    pub fn has_held(&self, user: UserId, request: RequestId, message: MessageId) -> bool {
        self.held
            .get(&(user, request))
            .is_some_and(|(held, _)| *held == message)
    }

    /// What a room reads; `None`: nothing that is played here.
    pub fn read(&self, read: Read) -> Reading {
        match read {
            Read::Product(product, rows) => {
                let found = ProductReading::OnSale(self.product.clone());
                debug_assert_eq!(product, self.product.id);
                Reading::Product(product, rows, Ok(found))
            }
            Read::LineUp(rows) => Reading::LineUp(rows, Ok(Vec::new())),
            Read::Cover(rows) => Reading::Cover(rows, Ok(String::new())),
            Read::Sale(sale, rows) => {
                let found = self.shelf.find(sale);
                Reading::Sale(sale, rows, Ok(found))
            }
            Read::Moderators(rows) => Reading::Moderators(rows, Ok(Vec::new())),
            Read::Mute(row, user, made) => Reading::Mute(row, user, made, Ok(None)),
            Read::Words(rows) => Reading::Words(rows, Ok(std::sync::Arc::default())),
            Read::Members(audience, users) => Reading::Members(audience, users.clone(), Ok(users)),
            Read::Quote(user, message, _) => Reading::Quote(user, message, Ok(None)),
            Read::Said(user, request) => Reading::Said(user, request, Ok(self.act(user, request))),
            Read::Earlier(before) => Reading::Earlier(Ok(self.earlier(before))),
            Read::Holds(row, user, _) => Reading::Holds(row, user, Ok(Vec::new())),
        }
    }
}

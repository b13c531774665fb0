//! A room as a pure thing: what may happen in it ([`RoomState::decide`]) and what follows
//! from what has happened ([`RoomState::evolve`]).
//!
//! No IO and no clock. The room and each of its shards hold a copy and evolve it by the
//! same events, so a shard's copy at a seq is exactly the room's at that seq.

mod check;
mod goods;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, ProductId, SaleId, UserId};
use shared::protocol::{
    Author, ChatMessage, ChatRules, LineUpCard, MAX_CHAT_CHARS, Millis, Position, ProductCard, Quote, RoomEvent,
    SaleCard, Snapshot, Standing, StreamCard,
};
use shared::status::{Machine as _, StreamStatus};

pub use super::doors::Doors;
use super::doors::ShowTimes;
use super::text;
use crate::types::{Own, SaleProgress};

/// How many of the last messages a snapshot shows.
pub const SNAPSHOT_MESSAGES: usize = 50;

/// Everything that a snapshot shows to all.
#[derive(Clone, PartialEq, Debug)]
pub struct RoomState {
    stream: StreamCard,
    host: UserId,
    featured: Option<ProductCard>,
    sales: BTreeMap<SaleId, SaleCard>,
    line_up: Vec<LineUpCard>,
    rules: ChatRules,
    chat: VecDeque<ChatMessage>,
    pinned: Option<ChatMessage>,
}

/// What a room is made from.
#[derive(Clone, PartialEq, Debug)]
pub struct Beginning {
    /// The show.
    pub stream: StreamCard,
    /// Whose show it is.
    pub host: UserId,
    /// The product that is shown.
    pub featured: Option<ProductCard>,
    /// Sales that are open or about to.
    pub sales: Vec<SaleCard>,
    /// The line-up's products that are on sale, in order.
    pub line_up: Vec<LineUpCard>,
    /// What holds for the chat.
    pub rules: ChatRules,
    /// The last messages, oldest first.
    pub chat: Vec<ChatMessage>,
    /// The message pinned above them.
    pub pinned: Option<ChatMessage>,
}

/// A product as it was read again.
#[derive(Clone, PartialEq, Debug)]
pub enum ProductReading {
    /// It is on sale.
    OnSale(ProductCard),
    /// It is not, or not any more.
    Gone(ProductId),
}

/// Who or what is in a room, for a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watching {
    /// Connections.
    pub viewers: u64,
    /// People, each once.
    pub people: u64,
}

/// What may be about to happen in a room.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Somebody wants to say something.
    Say {
        /// The message's id, should it be said.
        message: MessageId,
        /// Who.
        user: UserId,
        /// The display name.
        name: String,
        /// Whether it is one of the show's moderators.
        moderator: bool,
        /// What, as it came.
        text: String,
        /// The message it answers.
        reply_to: Option<MessageId>,
        /// That message in short.
        quote: Option<Quote>,
    },
    /// A host's command was committed and caused this.
    Committed(RoomEvent),
    /// A product was read again.
    Product(ProductReading),
    /// The line-up was read again: its products that are on sale, in order.
    LineUp(Vec<LineUpCard>),
    /// The show's cover was read again; empty: it has none.
    Cover(String),
    /// Somebody was banned from the shop's shows.
    Banned(UserId),
    /// A sale's counters have moved.
    Progress(SaleProgress),
    /// Something was bought.
    Purchased {
        /// Who, if they opted in.
        buyer: Option<UserId>,
        /// The buyer's name, if they opted in.
        name: Option<String>,
        /// The product's title.
        title: String,
        /// Units.
        quantity: u32,
    },
}

impl RoomState {
    /// A room from its rows.
    #[must_use]
    pub fn new(rows: Beginning) -> Self {
        let skip = rows.chat.len().saturating_sub(SNAPSHOT_MESSAGES);
        Self {
            stream: rows.stream,
            host: rows.host,
            featured: rows.featured,
            sales: rows.sales.into_iter().map(|sale| (sale.id, sale)).collect(),
            line_up: rows.line_up,
            rules: rows.rules,
            chat: rows.chat.into_iter().skip(skip).collect(),
            pinned: rows.pinned,
        }
    }

    /// What holds for the chat.
    #[must_use]
    pub const fn rules(&self) -> ChatRules {
        self.rules
    }

    /// The show.
    #[must_use]
    pub const fn stream(&self) -> &StreamCard {
        &self.stream
    }

    /// The show's status.
    #[must_use]
    pub const fn status(&self) -> StreamStatus {
        self.stream.status
    }

    /// Whose show it is.
    #[must_use]
    pub const fn host(&self) -> UserId {
        self.host
    }

    /// Whether somebody may come in now. The doors open a while before a show is to begin,
    /// for its host at any time; they close a while after its end.
    ///
    /// # Errors
    /// `TooEarly`, with the time until the doors open; `ShowOver`.
    pub fn admits(&self, is_host: bool, doors: Doors, now: Millis) -> Result<(), Refusal> {
        let times = ShowTimes {
            status: self.status(),
            scheduled_at: self.stream.scheduled_at,
            ended_at: self.stream.ended_at,
        };
        doors.admit(&times, is_host, now)
    }

    /// The product that is shown.
    #[must_use]
    pub fn featured(&self) -> Option<ProductId> {
        self.featured.as_ref().map(|product| product.id)
    }

    /// Whether a product is in the line-up, and on sale.
    #[must_use]
    pub fn lists(&self, product: ProductId) -> bool {
        self.line_up.iter().any(|card| card.id == product)
    }

    /// A sale that is open or about to.
    #[must_use]
    pub fn sale(&self, sale: SaleId) -> Option<&SaleCard> {
        self.sales.get(&sale)
    }

    /// Sales that are open or about to, in the order of their ids.
    pub fn sales(&self) -> impl Iterator<Item = &SaleCard> {
        self.sales.values()
    }

    /// Whether any sale is open or about to.
    #[must_use]
    pub fn has_sales(&self) -> bool {
        !self.sales.is_empty()
    }

    /// What happens if this is done now; nothing, if it changes nothing.
    ///
    /// # Errors
    /// Why it may not be done.
    pub fn decide(&self, command: Command, now: Millis) -> Result<Vec<RoomEvent>, Refusal> {
        match command {
            Command::Say {
                message,
                user,
                name,
                moderator,
                text,
                reply_to,
                quote,
            } => {
                if self.status().is_final() {
                    return Err(ErrorCode::StreamNotLive.into());
                }
                let text = text::normalise(&text, MAX_CHAT_CHARS)?;
                Ok(vec![RoomEvent::Chat(ChatMessage {
                    id: message,
                    author: Author {
                        id: user,
                        name,
                        host: user == self.host,
                        moderator,
                    },
                    text,
                    reply_to,
                    quote: quote.map(Box::new),
                    at: now,
                })])
            }
            Command::Committed(event) => Ok(self.committed(event, now)),
            Command::Product(ProductReading::OnSale(product)) => Ok(self.product(product)),
            Command::Product(ProductReading::Gone(product)) => Ok(self.gone(product)),
            Command::LineUp(products) => Ok(self.relisted(products)),
            Command::Cover(cover_url) if cover_url == self.stream.cover_url => Ok(Vec::new()),
            Command::Cover(cover_url) => Ok(vec![RoomEvent::Cover { cover_url }]),
            Command::Banned(user) => Ok(vec![RoomEvent::Moderation { user }]),
            Command::Progress(progress) => Ok(self.progress(&progress)),
            Command::Purchased {
                buyer,
                name,
                title,
                quantity,
            } => Ok(vec![RoomEvent::Purchase {
                buyer,
                name,
                title,
                quantity,
            }]),
        }
    }

    /// A committed event is told unless time has overtaken it: it may come late, from a
    /// room that died before it told it.
    fn committed(&self, event: RoomEvent, now: Millis) -> Vec<RoomEvent> {
        let event = match event {
            RoomEvent::SaleOpened { sale } => RoomEvent::SaleOpened {
                sale: self.newest(sale),
            },
            event => event,
        };
        let current = match &event {
            // The end has closed and put away everything.
            RoomEvent::SaleOpened { sale } => sale.ends_at > now && !self.status().is_final(),
            RoomEvent::Featured { .. } => !self.status().is_final(),
            // Whoever is first tells it, the command's answer or the sale's own clock.
            RoomEvent::SaleClosed { sale } => self.sales.contains_key(sale),
            RoomEvent::StreamStatus { status } => *status == self.status() || self.status().may_become(*status),
            RoomEvent::Chat(_)
            | RoomEvent::MessageDeleted { .. }
            | RoomEvent::ChatRules(_)
            | RoomEvent::Unfeatured
            | RoomEvent::ProductUpdated { .. }
            | RoomEvent::SaleUpdated { .. }
            | RoomEvent::SaleSoldOut { .. }
            | RoomEvent::Purchase { .. }
            | RoomEvent::Pinned { .. }
            | RoomEvent::Unpinned
            | RoomEvent::Notice { .. }
            | RoomEvent::Moderation { .. }
            | RoomEvent::Cover { .. }
            | RoomEvent::LineUp { .. }
            | RoomEvent::LineUpUpdated { .. } => true,
            RoomEvent::HostAway(_) | RoomEvent::HostBack => self.status() == StreamStatus::Live,
        };
        if current { vec![event] } else { Vec::new() }
    }

    /// Whether the room is as an event that sets something has left it.
    pub(super) fn agrees(&self, event: &RoomEvent) -> bool {
        match event {
            RoomEvent::Featured { product } => self
                .featured
                .as_ref()
                .is_some_and(|shown| (shown.id, shown.featured_variant) == (product.id, product.featured_variant)),
            RoomEvent::Unfeatured => self.featured.is_none(),
            RoomEvent::LineUp { products } => {
                let ids = |cards: &[LineUpCard]| cards.iter().map(|card| card.id).collect::<Vec<_>>();
                ids(products) == ids(&self.line_up)
            }
            RoomEvent::ChatRules(rules) => *rules == self.rules,
            RoomEvent::Pinned { message } => self.pinned.as_ref().is_some_and(|pinned| pinned.id == message.id),
            RoomEvent::Unpinned => self.pinned.is_none(),
            RoomEvent::HostAway(away) => self.stream.host_away.is_some_and(|known| known.since == away.since),
            RoomEvent::HostBack => self.stream.host_away.is_none(),
            _ => true,
        }
    }

    /// The room after an event that was decided at `at`. Total: any event, in any state.
    pub fn evolve(&mut self, event: &RoomEvent, at: Millis) {
        match event {
            RoomEvent::Chat(message) => {
                if self.chat.len() >= SNAPSHOT_MESSAGES {
                    self.chat.pop_front();
                }
                self.chat.push_back(message.clone());
            }
            RoomEvent::MessageDeleted { message, .. } => {
                self.take_out(&BTreeSet::from([*message]), None);
            }
            RoomEvent::ChatRules(rules) => self.rules = *rules,
            RoomEvent::Featured { product } | RoomEvent::ProductUpdated { product } => {
                self.featured = Some(product.clone());
            }
            RoomEvent::Unfeatured => self.featured = None,
            RoomEvent::SaleOpened { sale } => {
                self.sales.insert(sale.id, sale.clone());
            }
            RoomEvent::SaleUpdated {
                sale,
                remaining,
                version,
            } => self.count(*sale, *remaining, *version),
            RoomEvent::SaleSoldOut { sale, version } => self.count(*sale, 0, *version),
            RoomEvent::SaleClosed { sale } => {
                self.sales.remove(sale);
            }
            RoomEvent::Purchase { .. } | RoomEvent::Notice { .. } => {}
            RoomEvent::Pinned { message } => self.pinned = Some(message.clone()),
            RoomEvent::Unpinned => self.pinned = None,
            RoomEvent::Moderation { user } => {
                let shown = self.chat.iter().chain(&self.pinned);
                let theirs = shown.filter(|message| message.author.id == *user);
                let theirs = theirs.map(|message| message.id).collect();
                self.take_out(&theirs, Some(*user));
            }
            RoomEvent::StreamStatus { status } => {
                self.stream.status = *status;
                if *status == StreamStatus::Live {
                    self.stream.started_at.get_or_insert(at);
                }
                if status.is_final() {
                    self.stream.ended_at.get_or_insert(at);
                    self.stream.host_away = None;
                    self.featured = None;
                    self.sales.clear();
                }
            }
            RoomEvent::HostAway(away) => self.stream.host_away = Some(*away),
            RoomEvent::HostBack => self.stream.host_away = None,
            RoomEvent::Cover { cover_url } => self.stream.cover_url.clone_from(cover_url),
            RoomEvent::LineUp { products } => self.line_up.clone_from(products),
            RoomEvent::LineUpUpdated { product } => {
                if let Some(known) = self.line_up.iter_mut().find(|known| known.id == product.id) {
                    known.clone_from(product);
                }
            }
        }
    }

    /// Takes messages out of view, and what is quoted of them or of their author, also of
    /// one that stands too far back to be shown itself.
    fn take_out(&mut self, gone: &BTreeSet<MessageId>, author: Option<UserId>) {
        self.chat.retain(|known| !gone.contains(&known.id));
        self.pinned.take_if(|pinned| gone.contains(&pinned.id));
        for answer in self.chat.iter_mut().chain(&mut self.pinned) {
            let answers_it = answer.reply_to.is_some_and(|answered| gone.contains(&answered));
            answer.quote.take_if(|quote| answers_it || author == Some(quote.author));
        }
    }

    fn count(&mut self, sale: SaleId, remaining: u32, version: i64) {
        if let Some(known) = self.sales.get_mut(&sale)
            && version > known.version
        {
            known.remaining = remaining;
            known.version = version;
        }
    }

    /// The room as one viewer is shown it.
    #[must_use]
    pub fn snapshot(&self, at: Position, now: Millis, watching: Watching, own: Own, standing: Standing) -> Snapshot {
        Snapshot {
            at,
            now,
            stream: self.stream.clone(),
            featured: self.featured.clone(),
            sales: self.sales.values().cloned().collect(),
            line_up: self.line_up.clone(),
            viewers: watching.viewers,
            people: watching.people,
            rules: self.rules,
            chat: self.chat.iter().cloned().collect(),
            pinned: self.pinned.clone(),
            standing,
            reservations: own.reservations,
            waiting: own.waiting,
            orders: own.orders,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;

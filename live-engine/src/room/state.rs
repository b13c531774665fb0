//! A room as a pure thing: what may happen in it ([`RoomState::decide`]) and what follows
//! from what has happened ([`RoomState::evolve`]).
//!
//! No IO and no clock. The room and each of its shards hold a copy and evolve it by the
//! same events, so a shard's copy at a seq is exactly the room's at that seq.

use std::collections::{BTreeMap, VecDeque};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, OrderId, ProductId, SaleId, UserId};
use shared::protocol::{
    Author, ChatMessage, HostCommand, MAX_CHAT_CHARS, Millis, Position, ProductCard, Reservation, RoomEvent, SaleCard,
    Snapshot, StreamCard,
};
use shared::status::{Machine as _, SaleStatus, StreamStatus};

use super::text;
use crate::types::SaleProgress;

/// How many of the last messages a snapshot shows.
pub const SNAPSHOT_MESSAGES: usize = 50;

/// Everything that a snapshot shows to all.
#[derive(Clone, PartialEq, Debug)]
pub struct RoomState {
    stream: StreamCard,
    host: UserId,
    featured: Option<ProductCard>,
    sales: BTreeMap<SaleId, SaleCard>,
    chat: VecDeque<ChatMessage>,
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
    },
    /// A host's command was committed and caused this.
    Committed(RoomEvent),
    /// A product was read again.
    Product(ProductCard),
    /// A sale's counters have moved.
    Progress(SaleProgress),
    /// Something was bought.
    Purchased {
        /// The buyer's name, if they opted in.
        name: Option<String>,
        /// The product's title.
        title: String,
        /// Units.
        quantity: u32,
    },
}

impl RoomState {
    /// A room from its rows; the messages oldest first.
    #[must_use]
    pub fn new(
        stream: StreamCard,
        host: UserId,
        featured: Option<ProductCard>,
        sales: Vec<SaleCard>,
        chat: Vec<ChatMessage>,
    ) -> Self {
        let skip = chat.len().saturating_sub(SNAPSHOT_MESSAGES);
        Self {
            stream,
            host,
            featured,
            sales: sales.into_iter().map(|sale| (sale.id, sale)).collect(),
            chat: chat.into_iter().skip(skip).collect(),
        }
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

    /// The product that is shown.
    #[must_use]
    pub fn featured(&self) -> Option<ProductId> {
        self.featured.as_ref().map(|product| product.id)
    }

    /// A sale that is open or about to.
    #[must_use]
    pub fn sale(&self, sale: SaleId) -> Option<&SaleCard> {
        self.sales.get(&sale)
    }

    /// Whether any sale is open or about to.
    #[must_use]
    pub fn has_sales(&self) -> bool {
        !self.sales.is_empty()
    }

    /// Whether a command makes sense at all. Whether the show's state and rows allow it,
    /// the command's own transaction decides.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(command: &HostCommand) -> Result<(), Refusal> {
        let HostCommand::SaleOpen(sale) = command else {
            return Ok(());
        };
        let fields = [
            ("quantity", i64::from(sale.quantity), 1, 1_000_000),
            ("price_minor", sale.price_minor, 0, 100_000_000_000),
            ("per_buyer", i64::from(sale.per_buyer), 1, 1_000),
            ("hold_seconds", i64::from(sale.hold_seconds), 1, 3_600),
            ("ends_in_seconds", i64::from(sale.ends_in_seconds), 1, 86_400),
            (
                "opens_in_seconds",
                i64::from(sale.opens_in_seconds.unwrap_or(0)),
                0,
                86_400,
            ),
        ];
        for (field, value, least, most) in fields {
            if !(least..=most).contains(&value) {
                let detail = format!("{field} must be from {least} to {most}");
                return Err(Refusal::new(ErrorCode::InvalidBody, detail).at(field));
            }
        }
        Ok(())
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
                    at: now,
                })])
            }
            Command::Committed(event) => Ok(self.committed(event, now)),
            Command::Product(product) => Ok(self.product(product)),
            Command::Progress(progress) => Ok(self.progress(&progress)),
            Command::Purchased { name, title, quantity } => Ok(vec![RoomEvent::Purchase { name, title, quantity }]),
        }
    }

    /// A committed event is told unless time has overtaken it: it may come late, from a
    /// room that died before it told it.
    fn committed(&self, event: RoomEvent, now: Millis) -> Vec<RoomEvent> {
        let current = match &event {
            RoomEvent::SaleOpened { sale } => sale.ends_at > now,
            RoomEvent::StreamStatus { status } => *status == self.status() || self.status().may_become(*status),
            RoomEvent::Chat(_)
            | RoomEvent::Featured { .. }
            | RoomEvent::Unfeatured
            | RoomEvent::ProductUpdated { .. }
            | RoomEvent::SaleUpdated { .. }
            | RoomEvent::SaleSoldOut { .. }
            | RoomEvent::SaleClosed { .. }
            | RoomEvent::Purchase { .. } => true,
        };
        if current { vec![event] } else { Vec::new() }
    }

    fn product(&self, mut product: ProductCard) -> Vec<RoomEvent> {
        let Some(shown) = &self.featured else {
            return Vec::new();
        };
        product.featured_variant = shown.featured_variant;
        if product.id != shown.id || product.version < shown.version || product == *shown {
            return Vec::new();
        }
        vec![RoomEvent::ProductUpdated { product }]
    }

    fn progress(&self, progress: &SaleProgress) -> Vec<RoomEvent> {
        let (sale, version) = (progress.sale, progress.version);
        let Some(known) = self.sales.get(&sale) else {
            return Vec::new();
        };
        if progress.status == SaleStatus::Closed {
            return vec![RoomEvent::SaleClosed { sale }];
        }
        if version <= known.version || progress.remaining == known.remaining {
            return Vec::new();
        }
        if progress.remaining == 0 {
            return vec![RoomEvent::SaleSoldOut { sale, version }];
        }
        vec![RoomEvent::SaleUpdated {
            sale,
            remaining: progress.remaining,
            version,
        }]
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
            RoomEvent::Purchase { .. } => {}
            RoomEvent::StreamStatus { status } => {
                self.stream.status = *status;
                if *status == StreamStatus::Live {
                    self.stream.started_at.get_or_insert(at);
                }
                if status.is_final() {
                    self.featured = None;
                    self.sales.clear();
                }
            }
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
    pub fn snapshot(
        &self,
        at: Position,
        now: Millis,
        viewers: u64,
        reservations: Vec<Reservation>,
        orders: Vec<OrderId>,
    ) -> Snapshot {
        Snapshot {
            at,
            now,
            stream: self.stream.clone(),
            featured: self.featured.clone(),
            sales: self.sales.values().cloned().collect(),
            viewers,
            chat: self.chat.iter().cloned().collect(),
            reservations,
            orders,
        }
    }
}

#[cfg(test)]
mod tests;

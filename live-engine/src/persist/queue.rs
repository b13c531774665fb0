//! What waits to be stored: entries in order, and reactions summed up. Bounded in
//! bytes; the lock is held for a few pushes and never across an await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::Timestamp;
use shared::ids::StreamId;
use shared::protocol::{LineUpCard, ProductCard, RoomEvent};
use tokio::sync::Notify;

use super::{Backlog, Entry, MAX_BACKLOG_BYTES, MAX_CHAT_BACKLOG_BYTES, Row};

/// Rows in one transaction at most.
const BATCH_ROWS: usize = 4096;
/// About as many bytes in one transaction at most.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Sums of reactions that may wait; more are dropped, as a crash would drop them.
const MAX_REACTION_KEYS: usize = 65_536;

/// Which sum a reaction belongs to.
pub type ReactionKey = (StreamId, String, Timestamp);

/// See the module. In memory: offering to it is no IO.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    /// Woken when there is something to do.
    pub(super) wake: Notify,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    /// Of the entries here and of those being stored.
    bytes: usize,
    /// As many are here and being stored.
    rows: usize,
    reactions: HashMap<ReactionKey, u64>,
    /// Entries ever offered, and flushes ever asked for.
    asked: Mark,
}

/// How far the writer has come, or is asked to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mark {
    /// Entries stored, fenced off or rejected, ever.
    pub(super) entries: u64,
    /// Flushes whose reactions are stored, ever.
    pub(super) flushes: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes entries, all or none, each room's in order. Never blocks.
    ///
    /// # Errors
    /// `Backlog` when they do not fit any more; chat is refused a little before the rest,
    /// so that what was committed elsewhere still finds room.
    pub fn offer(&self, entries: Vec<Entry>) -> Result<(), Backlog> {
        if entries.is_empty() {
            return Ok(());
        }
        let bytes: usize = entries.iter().map(weight).sum();
        let has_chat = entries.iter().any(|entry| matches!(entry.row, Row::Chat { .. }));
        let limit = if has_chat {
            MAX_CHAT_BACKLOG_BYTES
        } else {
            MAX_BACKLOG_BYTES
        };
        {
            let mut inner = self.lock();
            if inner.bytes + bytes > limit {
                return Err(Backlog);
            }
            inner.bytes += bytes;
            inner.rows += entries.len();
            inner.asked.entries += entries.len() as u64;
            inner.entries.extend(entries);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Adds to a minute's reactions of one kind. Kept in memory for up to a second.
    pub fn add_reactions(&self, stream: StreamId, kind: &str, minute: Timestamp, count: u64) {
        let mut inner = self.lock();
        let full = inner.reactions.len() >= MAX_REACTION_KEYS;
        let key = (stream, kind.to_owned(), minute);
        match inner.reactions.get_mut(&key) {
            Some(sum) => *sum += count,
            None if full || count == 0 => {}
            None => {
                inner.reactions.insert(key, count);
            }
        }
    }

    /// What waits, about, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// How many wait, those being stored included.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.lock().rows
    }

    /// Asks for reactions too; how far the writer must come.
    pub(super) fn request_flush(&self) -> Mark {
        let until = {
            let mut inner = self.lock();
            inner.asked.flushes += 1;
            inner.asked
        };
        self.wake.notify_one();
        until
    }

    /// The next batch, oldest first. Its bytes stay counted until [`Self::settle`].
    #[must_use]
    pub fn take(&self) -> Vec<Entry> {
        let mut inner = self.lock();
        let mut bytes = 0;
        let mut count = 0;
        for entry in inner.entries.iter().take(BATCH_ROWS) {
            bytes += weight(entry);
            if count > 0 && bytes > BATCH_BYTES {
                break;
            }
            count += 1;
        }
        inner.entries.drain(..count).collect()
    }

    /// Forgets the bytes of entries that are stored, fenced off or rejected.
    pub fn settle(&self, entries: &[Entry]) {
        let bytes: usize = entries.iter().map(weight).sum();
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
        inner.rows = inner.rows.saturating_sub(entries.len());
    }

    /// Flushes ever asked for.
    pub(super) fn flushes(&self) -> u64 {
        self.lock().asked.flushes
    }

    /// The reactions so far, with the flushes that they answer.
    #[must_use]
    pub fn take_reactions(&self) -> (HashMap<ReactionKey, u64>, u64) {
        let mut inner = self.lock();
        (std::mem::take(&mut inner.reactions), inner.asked.flushes)
    }
}

/// About what an entry takes in memory.
fn weight(entry: &Entry) -> usize {
    let text = match &entry.row {
        Row::Chat { message, .. } | Row::Event(RoomEvent::Chat(message)) => {
            let quote = message
                .quote
                .as_ref()
                .map_or(0, |quote| quote.text.len() + quote.name.len());
            message.text.len() + message.author.name.len() + quote
        }
        Row::Event(RoomEvent::Featured { product } | RoomEvent::ProductUpdated { product }) => card_weight(product),
        Row::Event(RoomEvent::SaleOpened { sale }) => 200 + sale.title.len() + sale.image_url.len(),
        Row::Event(RoomEvent::Pinned { message }) => message.text.len() + message.author.name.len(),
        Row::Event(RoomEvent::Notice { author, text }) => text.len() + author.name.len(),
        Row::Event(RoomEvent::Purchase { name, title, .. }) => title.len() + name.as_ref().map_or(0, String::len),
        Row::Event(RoomEvent::Cover { cover_url }) => cover_url.len(),
        Row::Event(RoomEvent::LineUp { products }) => products.iter().map(listed_weight).sum(),
        Row::Event(RoomEvent::LineUpUpdated { product }) => listed_weight(product),
        Row::Event(
            RoomEvent::Unfeatured
            | RoomEvent::MessageDeleted { .. }
            | RoomEvent::ChatRules(_)
            | RoomEvent::Unpinned
            | RoomEvent::Moderation { .. }
            | RoomEvent::SaleUpdated { .. }
            | RoomEvent::SaleSoldOut { .. }
            | RoomEvent::SaleClosed { .. }
            | RoomEvent::StreamStatus { .. }
            | RoomEvent::HostAway(_)
            | RoomEvent::HostBack,
        ) => 0,
    };
    size_of::<Entry>() + 64 + text + entry.outbox.len() * 16
}

fn listed_weight(product: &LineUpCard) -> usize {
    size_of::<LineUpCard>() + product.title.len() + product.image_url.len()
}

fn card_weight(product: &ProductCard) -> usize {
    let options = product.variants.iter().flat_map(|variant| &variant.options);
    let options: usize = options.map(|(name, value)| 48 + name.len() + value.len()).sum();
    product.title.len() + product.image_url.len() + product.variants.len() * 64 + options
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use shared::ids::{MessageId, UserId};
    use shared::protocol::{Author, ChatMessage};

    use super::*;

    fn chat(seq: u64, text_bytes: usize) -> Entry {
        let message = ChatMessage {
            id: MessageId::new(),
            author: Author {
                id: UserId::new(),
                name: "Demo Viewer".into(),
                host: false,
                moderator: false,
            },
            text: "x".repeat(text_bytes),
            reply_to: None,
            quote: None,
            at: 0,
        };
        let row = Row::Chat { message, act: None };
        Entry {
            stream: StreamId::new(),
            epoch: 1,
            seq,
            at: Utc::now(),
            row,
            outbox: Vec::new(),
        }
    }

    #[test]
    fn a_full_backlog_refuses_chat_first_and_takes_again_what_was_settled() {
        let queue = Queue::default();
        let mut seq = 0;
        while queue.offer(vec![chat(seq, 1_000_000)]).is_ok() {
            seq += 1;
        }
        assert!(queue.bytes() <= MAX_CHAT_BACKLOG_BYTES);
        let event = Entry {
            row: Row::Event(RoomEvent::Unfeatured),
            ..chat(seq, 0)
        };
        assert_eq!(queue.offer(vec![event]), Ok(()), "what a commit has caused still fits");
        assert_eq!(queue.offer(vec![chat(seq, 1_000_000)]), Err(Backlog));
        let batch = queue.take();
        assert_eq!(
            queue.offer(vec![chat(seq, 1_000_000)]),
            Err(Backlog),
            "being stored is not stored"
        );
        queue.settle(&batch);
        assert_eq!(queue.offer(vec![chat(seq, 100_000)]), Ok(()));
    }

    #[test]
    fn batches_keep_the_order_and_stay_small() {
        let queue = Queue::default();
        queue
            .offer((1..=9000).map(|seq| chat(seq, 10)).collect())
            .expect("fits");
        let mut next = 1;
        loop {
            let batch = queue.take();
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() <= BATCH_ROWS);
            for entry in &batch {
                assert_eq!(entry.seq, next);
                next += 1;
            }
            queue.settle(&batch);
        }
        assert_eq!((next, queue.bytes(), queue.rows()), (9001, 0, 0));
    }
}

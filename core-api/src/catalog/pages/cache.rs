//! Copies of pages in memory, of products and of shops. Whoever asks while a page is being
//! read waits for that reading; what is forgotten is read again by the next who asks, also
//! when a reading is under way that may not have seen the change. No more memory than allowed
//! is kept.
//!
//! Nothing is kept unless changes are heard of: until the follower says so, every page is
//! read for itself.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::web::Bytes;
use metrics::Counter;
use shared::error::Refusal;
use shared::ids::SellerId;
use tokio::sync::OnceCell;

/// What an entry takes beside the page itself, in bytes, roughly.
const ENTRY_BYTES: usize = 512;

/// A page as it is sent.
#[derive(Debug)]
pub struct Page {
    /// JSON.
    pub body: Bytes,
    /// Its entity tag, with the quotes.
    pub etag: String,
    /// Whose it is.
    pub seller: SellerId,
}

/// What a reading came to; `None`: there is no such page.
pub type Outcome = Result<Option<Arc<Page>>, Refusal>;

/// Shared by all who wait for one reading. Taken out of the map it is an orphan: who waits
/// for it asked before the change, and nobody finds it any more.
type Slot = Arc<OnceCell<Outcome>>;

/// Pages in memory, at most so many bytes of them, by the id of what they show.
#[derive(Debug)]
pub struct Cache<K> {
    most_bytes: usize,
    /// Counts pages that were kept.
    from_memory: Counter,
    /// Counts pages that were read.
    from_database: Counter,
    inner: Mutex<Inner<K>>,
}

#[derive(Debug)]
struct Inner<K> {
    follows: bool,
    entries: HashMap<K, Entry>,
    /// The second-chance clock: entries by number, the oldest first. Numbers of entries
    /// that are gone are left behind, and passed over.
    clock: VecDeque<(K, u64)>,
    next_number: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    slot: Slot,
    number: u64,
    bytes: usize,
    used: bool,
}

impl<K: Copy + Eq + Hash> Cache<K> {
    /// Keeps nothing until [`Cache::follow`]. `metric` counts where pages come from.
    #[must_use]
    pub fn new(most_bytes: usize, metric: &'static str) -> Self {
        Self {
            most_bytes,
            from_memory: metrics::counter!(metric, "from" => "memory"),
            from_database: metrics::counter!(metric, "from" => "database"),
            inner: Mutex::new(Inner {
                follows: false,
                entries: HashMap::new(),
                clock: VecDeque::new(),
                next_number: 0,
                bytes: 0,
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K>> {
        // Every step below leaves the map sound, or does not panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page of a thing: the copy, or what `read` comes to, which is called once for
    /// all who ask meanwhile. If the caller that reads is gone, another one reads.
    ///
    /// # Errors
    /// Those of `read`, for all who waited for it.
    pub async fn get(&self, id: K, read: impl AsyncFnOnce() -> Outcome) -> Outcome {
        let Some(slot) = self.slot(id) else {
            return read().await;
        };
        if let Some(kept) = slot.get() {
            self.from_memory.increment(1);
            return kept.clone();
        }
        let outcome = slot
            .get_or_init(async || {
                self.from_database.increment(1);
                let outcome = read().await;
                self.settle(id, &slot, &outcome);
                outcome
            })
            .await;
        outcome.clone()
    }

    /// The slot of a thing, a new one where there is none; `None`: nothing is kept now.
    fn slot(&self, id: K) -> Option<Slot> {
        let mut inner = self.inner();
        if !inner.follows || self.most_bytes == 0 {
            return None;
        }
        if let Some(entry) = inner.entries.get_mut(&id) {
            entry.used = true;
            return Some(entry.slot.clone());
        }
        let slot = Slot::default();
        let number = inner.next_number;
        inner.next_number += 1;
        inner.bytes += ENTRY_BYTES;
        inner.clock.push_back((id, number));
        let entry = Entry {
            slot: slot.clone(),
            number,
            bytes: ENTRY_BYTES,
            used: false,
        };
        inner.entries.insert(id, entry);
        inner.make_room(self.most_bytes);
        Some(slot)
    }

    /// A reading is done: a page is kept, unless it was forgotten meanwhile; that there is
    /// none, or that it failed, is not.
    fn settle(&self, id: K, slot: &Slot, outcome: &Outcome) {
        let mut inner = self.inner();
        let Some(entry) = inner
            .entries
            .get_mut(&id)
            .filter(|entry| Arc::ptr_eq(&entry.slot, slot))
        else {
            return;
        };
        match outcome {
            Ok(Some(page)) => {
                let bytes = page.body.len();
                entry.bytes += bytes;
                inner.bytes += bytes;
                inner.make_room(self.most_bytes);
            }
            Ok(None) | Err(_) => inner.remove(id),
        }
    }

    /// A thing has changed.
    pub fn forget(&self, id: K) {
        self.inner().remove(id);
    }

    /// All things of a shop have changed; those being read may be its.
    pub fn forget_shop(&self, seller: SellerId) {
        let mut inner = self.inner();
        let concerned = |entry: &Entry| match entry.slot.get() {
            Some(Ok(Some(page))) => page.seller == seller,
            _ => true,
        };
        let ids: Vec<_> = inner
            .entries
            .iter()
            .filter(|(_, entry)| concerned(entry))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().for_each(|id| inner.remove(id));
    }

    /// Whether changes are heard of from now on. Either way, everything is forgotten.
    pub fn follow(&self, follows: bool) {
        let mut inner = self.inner();
        inner.follows = follows;
        inner.entries.clear();
        inner.clock.clear();
        inner.bytes = 0;
    }

    /// Entries and bytes that are kept.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.entries.len(), inner.bytes)
    }
}

impl<K: Copy + Eq + Hash> Inner<K> {
    fn remove(&mut self, id: K) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes -= entry.bytes;
        }
        // What was passed over often enough is swept, or the clock would grow with misses.
        if self.clock.len() > 2 * self.entries.len() + 1_024 {
            let entries = &self.entries;
            self.clock
                .retain(|(id, number)| entries.get(id).is_some_and(|entry| entry.number == *number));
        }
    }

    /// Who was not asked for since the clock's last round goes first.
    fn make_room(&mut self, most_bytes: usize) {
        while self.bytes > most_bytes {
            let Some((id, number)) = self.clock.pop_front() else {
                return;
            };
            match self.entries.get_mut(&id).filter(|entry| entry.number == number) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.clock.push_back((id, number));
                }
                Some(_) => self.remove(id),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use shared::error::ErrorCode;
    use shared::ids::ProductId;
    use tokio::sync::Semaphore;

    use super::*;

    fn page(text: &str) -> Outcome {
        Ok(Some(Arc::new(Page {
            body: Bytes::copy_from_slice(text.as_bytes()),
            etag: format!("\"{text}\""),
            seller: SellerId::new(),
        })))
    }

    fn text(outcome: &Outcome) -> &str {
        let page = outcome.as_ref().expect("read").as_ref().expect("there");
        std::str::from_utf8(&page.body).expect("text")
    }

    fn cache() -> Cache<ProductId> {
        let cache = Cache::new(1 << 20, "catalog_pages_total");
        cache.follow(true);
        cache
    }

    #[tokio::test]
    async fn all_who_ask_at_once_wait_for_one_reading() {
        let (cache, id) = (cache(), ProductId::new());
        let (readings, gate) = (AtomicUsize::new(0), Semaphore::new(0));
        let ask = async || {
            let outcome = cache.get(id, async || {
                readings.fetch_add(1, Ordering::Relaxed);
                gate.acquire().await.expect("open").forget();
                page("one")
            });
            assert_eq!(text(&outcome.await), "one");
        };
        let asking = futures_util::future::join_all((0..200).map(|_| ask()));
        tokio::join!(asking, async { gate.add_permits(200) });
        assert_eq!(readings.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_reading_that_began_before_a_change_is_not_kept() {
        let (cache, id) = (cache(), ProductId::new());
        let began_before = cache.get(id, async || {
            // The change commits while this reading is under way, and may not be in it.
            cache.forget(id);
            page("old")
        });
        assert_eq!(text(&began_before.await), "old");
        assert_eq!(text(&cache.get(id, async || page("new")).await), "new");
        assert_eq!(text(&cache.get(id, async || page("never read")).await), "new");
        cache.forget_shop(SellerId::new());
        assert_eq!(text(&cache.get(id, async || page("of another shop")).await), "new");
    }

    #[tokio::test]
    async fn who_reads_may_go_and_another_reads() {
        let (cache, id) = (cache(), ProductId::new());
        let stuck = cache.get(id, async || std::future::pending().await);
        let waiting = cache.get(id, async || page("second"));
        tokio::select! {
            biased;
            _ = stuck => unreachable!("it never ends"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(text(&waiting.await), "second");
    }

    #[tokio::test]
    async fn failures_and_what_is_not_there_are_not_kept() {
        let (cache, id) = (cache(), ProductId::new());
        let failed = cache.get(id, async || Err(ErrorCode::DatabaseUnavailable.into())).await;
        assert!(failed.is_err());
        assert!(matches!(cache.get(id, async || Ok(None)).await, Ok(None)));
        assert_eq!(cache.size(), (0, 0));
        for _ in 0..5_000 {
            assert!(matches!(cache.get(ProductId::new(), async || Ok(None)).await, Ok(None)));
        }
        assert!(
            cache.inner().clock.len() <= 1_025,
            "misses leave nothing behind for good"
        );
        cache.follow(false);
        assert_eq!(text(&cache.get(id, async || page("one")).await), "one");
        assert_eq!(
            text(&cache.get(id, async || page("two")).await),
            "two",
            "nothing is kept unheard"
        );
    }

    #[tokio::test]
    async fn memory_is_bounded_and_what_is_asked_for_stays() {
        let cache = Cache::new(10 * (ENTRY_BYTES + 100), "catalog_pages_total");
        cache.follow(true);
        let (wanted, long) = (ProductId::new(), "x".repeat(100));
        for _ in 0..100 {
            cache.get(wanted, async || page(&long)).await.expect("read");
            cache.get(ProductId::new(), async || page(&long)).await.expect("read");
            assert!(cache.size().1 <= 10 * (ENTRY_BYTES + 100));
        }
        assert_eq!(text(&cache.get(wanted, async || page("read again")).await), long);
    }
}

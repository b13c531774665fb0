//! Committed changes from elsewhere: outbox rows of this room, and a sale's counters.
//!
//! A row comes again until it is marked, so each is taken up once here: what it names is
//! read, what that means is told, and the row is marked with the event or for itself.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::{Duration, Instant};

use actix::{ActorFutureExt as _, AsyncContext as _, Context};
use shared::error::Refusal;
use shared::ids::{ProductId, SaleId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{Private, ProductCard, Reservation};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Room;
use super::live::Live;
use super::pace::Told;
use super::state::Command;
use super::store::load;
use crate::router::ToWorker;
use crate::types::SaleProgress;

/// How long a row that is done is remembered: it may have been read before it was marked.
const REMEMBERED: Duration = Duration::from_secs(30);

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
    pub(super) fn done(&mut self, row: Uuid, seq: u64) {
        self.rows.insert(row, Row::Done(seq, Instant::now()));
    }

    /// A row could not be dealt with: it will come again.
    fn forget(&mut self, row: Uuid) {
        self.rows.remove(&row);
    }

    /// Forgets rows that are marked for certain.
    pub(super) fn tidy(&mut self, committed: u64) {
        self.rows.retain(|_, row| match row {
            Row::InWork => true,
            Row::Done(seq, at) => *seq > committed || at.elapsed() < REMEMBERED,
        });
    }

    /// Whether anything is being read.
    pub(super) fn is_busy(&self) -> bool {
        self.rows.values().any(|row| matches!(row, Row::InWork))
    }
}

impl Live {
    /// Takes up outbox rows.
    pub(super) fn notices(&mut self, rows: Vec<(Uuid, RoomNotice)>, ctx: &mut Context<Room>) {
        let mut products: BTreeMap<ProductId, Vec<Uuid>> = BTreeMap::new();
        let mut sales: BTreeMap<SaleId, Vec<Uuid>> = BTreeMap::new();
        for (row, notice) in rows {
            if let RoomNotice::Happened { event } = notice {
                // While a command is under way this may be its row: it comes again.
                if !self.hosts.is_busy() {
                    self.committed(row, *event, ctx);
                }
                continue;
            }
            if !self.notices.begin(row) {
                continue;
            }
            match notice {
                RoomNotice::ProductChanged { product } if self.state.featured() == Some(product) => {
                    products.entry(product).or_default().push(row);
                }
                RoomNotice::SaleChanged { sale } if self.state.sale(sale).is_some() => {
                    sales.entry(sale).or_default().push(row);
                }
                RoomNotice::ReservationsChanged { user, reservations } => {
                    self.read_holds(row, user, reservations, ctx);
                }
                RoomNotice::OrderChanged { user, order, status } => {
                    self.tell(user, &Private::Order { order, status });
                    self.nothing_more([row]);
                }
                RoomNotice::Purchased { name, title, quantity } => {
                    self.notices.done(row, self.next_seq());
                    self.happen(Command::Purchased { name, title, quantity }, Some(row), ctx);
                }
                RoomNotice::Happened { .. } | RoomNotice::ProductChanged { .. } | RoomNotice::SaleChanged { .. } => {
                    self.nothing_more([row]);
                }
            }
        }
        for (product, rows) in products {
            self.product_changed(product, rows, ctx);
        }
        for (sale, rows) in sales {
            self.read_sale(sale, rows, ctx);
        }
    }

    /// Rows that cause no event are marked for themselves.
    fn nothing_more(&mut self, rows: impl IntoIterator<Item = Uuid>) {
        let rows: Vec<_> = rows.into_iter().collect();
        for row in &rows {
            self.notices.done(*row, 0);
        }
        self.shared.feed.mark_delivered(self.stream, self.epoch, rows);
    }

    fn tell(&mut self, user: UserId, message: &Private) {
        let stream = self.stream;
        self.reach
            .send_all(|| ToWorker::Personal(stream, user, message.clone()));
    }

    /// Reads one thing and goes on with it, if the room is still open then.
    fn read<T, F>(
        &self,
        ctx: &mut Context<Room>,
        read: impl FnOnce(PgPool) -> F + Send + 'static,
        then: impl FnOnce(&mut Self, Result<T, Refusal>, &mut Context<Room>) + 'static,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T, crate::db::Error>> + Send + 'static,
    {
        let db = self.shared.db.clone();
        let reading = actix::fut::wrap_future::<_, Room>(async move { db.call(read).await });
        ctx.spawn(reading.map(|result, room: &mut Room, ctx| {
            if let Some(live) = room.live() {
                then(live, result, ctx);
            }
        }));
    }

    /// One reading of a product at a time, so that a later one is never the older.
    fn product_changed(&mut self, product: ProductId, rows: Vec<Uuid>, ctx: &mut Context<Room>) {
        if let Some(waiting) = self.notices.products.get_mut(&product) {
            waiting.extend(rows);
            return;
        }
        self.notices.products.insert(product, Vec::new());
        self.read(
            ctx,
            async move |pool: PgPool| {
                let mut conn: sqlx::pool::PoolConnection<sqlx::Postgres> = pool.acquire().await?;
                Ok(load::product_card(&mut conn, product).await?)
            },
            move |live, card, ctx| live.product_read(product, rows, card, ctx),
        );
    }

    fn product_read(
        &mut self,
        product: ProductId,
        rows: Vec<Uuid>,
        card: Result<Option<ProductCard>, Refusal>,
        ctx: &mut Context<Room>,
    ) {
        let waiting = self.notices.products.remove(&product).unwrap_or_default();
        match card {
            Ok(Some(card)) => self.with_rows(Command::Product(card), rows, ctx),
            Ok(None) => self.nothing_more(rows),
            Err(_) => rows.into_iter().for_each(|row| self.notices.forget(row)),
        }
        if !waiting.is_empty() {
            self.product_changed(product, waiting, ctx);
        }
    }

    /// One event for several rows: the first goes with it, the others for themselves.
    fn with_rows(&mut self, command: Command, rows: Vec<Uuid>, ctx: &mut Context<Room>) {
        let mut rows = rows.into_iter();
        let first = rows.next();
        if let Some(row) = first {
            self.notices.done(row, self.next_seq());
        }
        self.happen(command, first, ctx);
        self.nothing_more(rows);
    }

    fn read_sale(&mut self, sale: SaleId, rows: Vec<Uuid>, ctx: &mut Context<Room>) {
        self.read(
            ctx,
            async move |pool: PgPool| {
                let mut conn = pool.acquire().await?;
                Ok(load::sale_card(&mut conn, sale).await?)
            },
            move |live, found, ctx| match found {
                Ok(found) => {
                    if let Some((card, status, next_expiry)) = found {
                        live.shared.desk.watch(live.stream, &card, next_expiry);
                        let progress = SaleProgress {
                            sale,
                            remaining: card.remaining,
                            version: card.version,
                            status,
                            next_expiry,
                        };
                        live.progress(progress, ctx);
                    }
                    live.nothing_more(rows);
                }
                Err(_) => rows.into_iter().for_each(|row| live.notices.forget(row)),
            },
        );
    }

    fn read_holds(&mut self, row: Uuid, user: UserId, holds: Vec<shared::ids::ReservationId>, ctx: &mut Context<Room>) {
        self.read(
            ctx,
            async move |pool: PgPool| {
                let mut conn = pool.acquire().await?;
                let conn: &mut PgConnection = &mut conn;
                Ok(load::holds(conn, user, &holds).await?)
            },
            move |live, holds: Result<Vec<Reservation>, Refusal>, _| match holds {
                Ok(holds) => {
                    for hold in holds {
                        live.tell(user, &Private::Reservation(hold));
                    }
                    live.nothing_more([row]);
                }
                Err(_) => live.notices.forget(row),
            },
        );
    }

    /// A sale's counters have moved: told in the sale's own pace.
    pub(super) fn progress(&mut self, progress: SaleProgress, ctx: &mut Context<Room>) {
        let sale = progress.sale;
        if self.state.sale(sale).is_none() {
            return;
        }
        match self.pace.note(progress, Instant::now()) {
            Told::Never | Told::Waiting => {}
            Told::Now(progress) => self.happen(Command::Progress(progress), None, ctx),
            Told::In(after) => {
                ctx.run_later(after, move |room, ctx| {
                    let Some(live) = room.live() else { return };
                    if let Some(progress) = live.pace.due(sale, Instant::now()) {
                        live.happen(Command::Progress(progress), None, ctx);
                    }
                });
            }
        }
        if self.state.sale(sale).is_none() {
            self.pace.forget(sale);
        }
    }
}

//! Reading what the core wants to know, on the database's threads.

use std::sync::Arc;

use shared::error::Refusal;
use shared::ids::{MessageId, StreamId};
use sqlx::PgPool;
use uuid::Uuid;

use super::core::{Read, Reading};
use super::store::said::{self, Earlier};
use super::store::{chat, load, people};
use crate::db::{Db, Error, Purpose};
use crate::engine::Shared;
use crate::metrics;

type Conn = sqlx::pool::PoolConnection<sqlx::Postgres>;

/// Reads one thing. What cannot be read is said with it.
pub(super) async fn read(shared: Arc<Shared>, stream: StreamId, read: Read) -> Reading {
    let db = &shared.db;
    match read {
        Read::Product(product, rows) => {
            let card = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                Ok(load::product_reading(&mut conn, product).await?)
            });
            Reading::Product(product, rows, card.await)
        }
        Read::LineUp(rows) => {
            let cards = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                Ok(load::line_up(&mut conn, stream).await?)
            });
            Reading::LineUp(rows, cards.await)
        }
        Read::Cover(rows) => {
            let cover = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                Ok(load::cover(&mut conn, stream).await?)
            });
            Reading::Cover(rows, cover.await)
        }
        Read::Sale(sale, rows) => {
            let found = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                Ok(load::sale_card(&mut conn, sale).await?)
            });
            Reading::Sale(sale, rows, found.await)
        }
        Read::Moderators(rows) => {
            let found = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                Ok(people::moderators(&mut conn, stream).await?)
            });
            Reading::Moderators(rows, found.await)
        }
        Read::Mute(row, user, made) => {
            let mute = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                Ok(people::mute(&mut conn, stream, user).await?)
            });
            Reading::Mute(row, user, made, mute.await)
        }
        Read::Words(rows) => {
            let filter = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                chat::words(&mut conn, stream).await
            });
            Reading::Words(rows, filter.await)
        }
        Read::Members(audience, users) => {
            let asked = users.clone();
            let found = ask(db, Purpose::Person, None, async move |mut conn: Conn| {
                Ok(chat::members(&mut conn, stream, audience, &asked).await?)
            });
            Reading::Members(audience, users, found.await)
        }
        Read::Quote(user, message, answered) => {
            let quote = ask(db, Purpose::Person, Some(user.0), async move |mut conn: Conn| {
                Ok(chat::quote(&mut conn, stream, answered).await?)
            });
            Reading::Quote(user, message, quote.await)
        }
        Read::Said(user, request) => {
            metrics::chat_looked_up();
            let said = ask(db, Purpose::Person, Some(user.0), async move |mut conn: Conn| {
                Ok(said::said(&mut conn, stream, user, request).await?)
            });
            Reading::Said(user, request, said.await)
        }
        Read::Earlier(before) => Reading::Earlier(earlier(&shared, stream, before).await),
        Read::Holds(row, user, holds) => {
            let holds = ask(db, Purpose::Command, None, async move |mut conn: Conn| {
                Ok(load::holds(&mut conn, user, &holds).await?)
            });
            Reading::Holds(row, user, holds.await)
        }
    }
}

/// A page of names, of one room at a time: however many rooms were taken over at once, this
/// takes one of the places that rooms have to open in. Safe to cancel.
async fn earlier(shared: &Shared, stream: StreamId, before: MessageId) -> Result<Earlier, Refusal> {
    let _turn = shared.names_turn.acquire().await;
    let page = ask(&shared.db, Purpose::Opening, None, async move |mut conn: Conn| {
        Ok(said::earlier(&mut conn, stream, before, said::NAMES_OF_A_PAGE).await?)
    });
    page.await
}

async fn ask<T, F>(
    db: &Db,
    purpose: Purpose,
    person: Option<Uuid>,
    read: impl FnOnce(Conn) -> F + Send + 'static,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    db.call(purpose, person, async move |pool: PgPool| {
        read(pool.acquire().await?).await
    })
    .await
}

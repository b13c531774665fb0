//! The export: one JSON object, a list for each kind of thing, written page by page while
//! it is sent, so that a person with a hundred thousand messages costs no more memory than
//! one with ten. Each page is read at its own moment.

use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use serde_json::Value;
use shared::ids::UserId;
use sqlx::PgPool;
use uuid::Uuid;

use super::store::export::{PAGE, Section, page};

/// Where an export is.
struct Cursor {
    db: PgPool,
    user: UserId,
    /// The section being written, by its place in [`Section::ALL`].
    section: usize,
    /// The last thing that was written of it.
    after: Uuid,
    /// Nothing was written of it yet.
    fresh: bool,
}

/// All that is known of a person, as the bytes of a JSON object.
///
/// The stream ends with an error when the database fails, and what was sent is then no
/// whole JSON.
pub(crate) fn export(db: PgPool, user: UserId) -> impl Stream<Item = Result<Bytes, sqlx::Error>> + use<> {
    let start = Cursor {
        db,
        user,
        section: 0,
        after: Uuid::nil(),
        fresh: true,
    };
    stream::try_unfold(start, async |mut cursor| {
        let Some(section) = Section::ALL.get(cursor.section).copied() else {
            return Ok(None);
        };
        let rows = page(&mut *cursor.db.acquire().await?, section, cursor.user, cursor.after).await?;
        let mut text = String::new();
        if cursor.fresh {
            text.push_str(if cursor.section == 0 { "{" } else { "," });
            text.push_str(&format!("{}:[", Value::from(section.name())));
        }
        let more = rows.len() >= PAGE;
        for (nth, row) in rows.into_iter().enumerate() {
            if nth > 0 || !cursor.fresh {
                text.push(',');
            }
            text.push_str(&row.value.to_string());
            cursor.after = row.id;
        }
        cursor.fresh = !more;
        if !more {
            text.push(']');
            cursor.section += 1;
            cursor.after = Uuid::nil();
        }
        if cursor.section == Section::ALL.len() {
            text.push('}');
        }
        Ok(Some((Bytes::from(text), cursor)))
    })
}

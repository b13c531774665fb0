//! SQL of `pictures`. A row goes pending → shown → dropped, and is deleted after its files;
//! or it is kept for good, where an order shows it.

use shared::ids::{PictureId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Format, Kind, Size, Stored};

/// A picture whose files are about to be written.
pub(super) struct New<'a> {
    pub stored: &'a Stored,
    pub owner: UserId,
    pub source_hash: &'a [u8],
    pub size_bytes: i64,
}

/// What one account may have.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub pictures: i64,
    pub bytes: i64,
}

/// Adds a pending picture; false: its owner has as many as one may.
pub(super) async fn insert(conn: &mut PgConnection, new: &New<'_>, share: Share) -> sqlx::Result<bool> {
    let Stored {
        id,
        kind,
        format,
        width,
        height,
    } = *new.stored;
    let done = sqlx::query!(
        "insert into pictures (id, owner_id, kind, format, width, height, source_hash, size_bytes)
         select $1, $2, $3, $4, $5, $6, $7, $8
           from (select count(*) as pictures, coalesce(sum(size_bytes), 0)::bigint as bytes
                   from pictures where owner_id = $2 and status <> 'kept') has
          where has.pictures < $9 and has.bytes + $8 <= $10",
        id.0,
        new.owner.0,
        kind.as_str(),
        format.as_str(),
        i32::try_from(width).unwrap_or(i32::MAX),
        i32::try_from(height).unwrap_or(i32::MAX),
        new.source_hash,
        new.size_bytes,
        share.pictures,
        share.bytes
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What the files of all pictures take, in bytes.
pub(super) async fn total_bytes(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select coalesce(sum(size_bytes), 0)::bigint as "bytes!" from pictures"#)
        .fetch_one(conn)
        .await
}

/// Shows a pending picture; false: it was given up in the meantime.
pub(super) async fn show(tx: &mut PgConnection, id: PictureId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update pictures set status = 'shown' where id = $1 and status = 'pending'",
        id.0
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives up pictures to which nothing refers any more; their files go after so long.
pub(super) async fn drop_shown(tx: &mut PgConnection, ids: &[Uuid], seconds: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "update pictures
            set status = 'dropped', delete_after = clock_timestamp() + make_interval(secs => $2)
          where id = any($1) and status = 'shown'",
        ids,
        seconds
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The one of these pictures that came from such a file.
pub(super) async fn from_file(conn: &mut PgConnection, ids: &[Uuid], hash: &[u8]) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!(
        r#"select id as "id: PictureId", kind as "kind: Kind", format as "format: Format", width, height
             from pictures where id = any($1) and source_hash = $2 limit 1"#,
        ids,
        hash
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| stored(row.id, row.kind, row.format, (row.width, row.height)))
        .transpose()
}

/// These pictures, in that order.
pub(super) async fn many(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Stored>> {
    let rows = sqlx::query!(
        r#"select p.id as "id: PictureId", p.kind as "kind: Kind", p.format as "format: Format", p.width, p.height
             from unnest($1::uuid[]) with ordinality as w (id, place) join pictures p on p.id = w.id
            order by w.place"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    { rows.into_iter() }
        .map(|row| stored(row.id, row.kind, row.format, (row.width, row.height)))
        .collect()
}

fn stored(id: PictureId, kind: Kind, format: Format, (width, height): (i32, i32)) -> sqlx::Result<Stored> {
    let side = |side: i32| u32::try_from(side).map_err(|error| sqlx::Error::Decode(error.into()));
    Ok(Stored {
        id,
        kind,
        format,
        width: side(width)?,
        height: side(height)?,
    })
}

/// Gives up what was begun an hour ago and never shown: whoever began it is gone, and no
/// upload takes as long.
pub(super) async fn drop_abandoned(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update pictures set status = 'dropped', delete_after = clock_timestamp()
          where id in (select id from pictures
                        where status = 'pending' and created_at < now() - interval '1 hour'
                        order by created_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Pictures whose files are to go by now, the first first.
pub(super) async fn due(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Stored>> {
    let rows = sqlx::query!(
        r#"select id as "id: PictureId", kind as "kind: Kind", format as "format: Format", width, height
             from pictures where status = 'dropped' and delete_after <= clock_timestamp()
            order by delete_after limit $1"#,
        limit
    )
    .fetch_all(conn)
    .await?;
    { rows.into_iter() }
        .map(|row| stored(row.id, row.kind, row.format, (row.width, row.height)))
        .collect()
}

/// Keeps a dropped picture for good if an order shows it; false: none does.
pub(super) async fn keep_if_ordered(conn: &mut PgConnection, picture: &Stored) -> sqlx::Result<bool> {
    let urls: Vec<String> = Size::ALL.map(|size| picture.file(size).url()).to_vec();
    // Said twice, so that the index of such addresses is known to have the answer.
    let done = sqlx::query!(
        "update pictures set status = 'kept', delete_after = null
          where id = $1 and status = 'dropped'
            and exists (select 1 from order_items where image_url = any($2) and image_url like '/media/%')",
        picture.id.0,
        &urls
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a picture whose files are gone.
pub(super) async fn delete(conn: &mut PgConnection, id: PictureId) -> sqlx::Result<()> {
    sqlx::query!("delete from pictures where id = $1 and status = 'dropped'", id.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Leaves a picture whose files could not be deleted for a while.
pub(super) async fn postpone(conn: &mut PgConnection, id: PictureId) -> sqlx::Result<()> {
    sqlx::query!(
        "update pictures set delete_after = clock_timestamp() + interval '10 minutes'
          where id = $1 and status = 'dropped'",
        id.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

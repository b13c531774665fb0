//! Pictures that people upload: taken in within bounds, written anew in three sizes, kept
//! in a folder or a bucket, shown to everybody at addresses that never change.
//!
//! The database says first and last what is in the store. A row is committed as `pending`
//! before a file of it is written, and as `shown` together with what refers to it: so no
//! crash leaves something that refers to a file that is not there, and every file that
//! nothing refers to has a row by which the job finds it. Files go before their row does.

pub mod config;
mod container;
mod develop;
pub mod handlers;
mod intake;
pub mod model;
mod objects;
mod room;
mod store;
pub mod upload_handlers;

use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;
use futures_util::future::try_join_all;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{PictureId, UserId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use config::{Bucket, MediaConfig};
use intake::Intake;
pub use model::{FileName, Kind, Picture, Size, Stored};
use objects::Objects;
use room::Room;

use crate::http::{Arrived, Entry, Result};
use crate::state::State;

/// How long the files of a picture that was replaced stay, in seconds: pages that were
/// read before show it.
const REPLACED_SECONDS: f64 = 86_400.0;
/// How long those of a picture that was deleted stay: an order that is placed meanwhile is
/// seen.
const DELETED_SECONDS: f64 = 60.0;

/// The store, and what uploads may use. Clones share them.
#[derive(Clone)]
pub struct Media {
    objects: Option<Objects>,
    intake: Intake,
    room: Room,
}

impl Media {
    /// As the settings have it.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn open(config: &MediaConfig) -> anyhow::Result<Self> {
        Ok(Self {
            objects: Objects::open(config)?,
            intake: Intake::new(config),
            room: Room::new(config.total_bytes),
        })
    }

    /// The store.
    ///
    /// # Errors
    /// `StorageUnavailable` when none is configured.
    fn objects(&self) -> Result<&Objects> {
        let none = || Refusal::new(ErrorCode::StorageUnavailable, "This server keeps no pictures");
        Ok(self.objects.as_ref().ok_or_else(none)?)
    }
}

/// A file that has arrived and of which nothing is known yet.
pub(crate) struct Upload {
    owner: UserId,
    kind: Kind,
    file: Arrived,
    _entry: Entry<UserId>,
}

/// The SHA-256 of what was sent.
pub(crate) type FileHash = [u8; 32];

impl Upload {
    /// By which the file is known again.
    pub(crate) const fn hash(&self) -> FileHash {
        *self.file.hash()
    }
}

/// Takes in the body of a request.
///
/// # Errors
/// `StorageUnavailable`, `RateLimited`, `PayloadTooLarge`, `Malformed`, `RequestTimeout`,
/// `Overloaded`.
pub(crate) async fn receive(
    state: &State,
    owner: UserId,
    kind: Kind,
    body: impl Stream<Item = std::result::Result<Bytes, PayloadError>>,
) -> Result<Upload> {
    state.media.objects()?;
    state.rates.uploads.check(&owner)?;
    let entry = state.media.intake.enter(owner)?;
    let file = state.media.intake.read(body, state.config.limits.file_wait).await?;
    Ok(Upload {
        owner,
        kind,
        file,
        _entry: entry,
    })
}

/// Whether an address is that of a picture which is kept here: it is what refers to the
/// picture that says so, and not whoever wrote the address down, or it would be named when
/// it is gone.
pub(crate) fn is_kept_here(url: &str) -> bool {
    url.starts_with("/media/")
}

/// The one of these pictures that came from the very file of this hash: who sends it again
/// has it already.
///
/// # Errors
/// When the database fails.
pub(crate) async fn same(conn: &mut PgConnection, ids: &[Uuid], hash: &FileHash) -> Result<Option<Stored>> {
    Ok(store::from_file(conn, ids, hash).await?)
}

/// Reads an upload's picture and keeps it, for [`show`] to be called within the hour.
///
/// # Errors
/// `UnsupportedMediaType` and `PictureUnfit` for what is wrong with it, `Conflict` when its
/// owner has as many as one may, `Overloaded`, `StorageUnavailable`, also when the store is
/// as full as it may be.
pub(crate) async fn keep(state: &State, upload: Upload) -> Result<Stored> {
    let kept = keep_uncounted(state, upload).await;
    let outcome = match &kept {
        Ok(_) => "kept",
        Err(error) if error.code().http_status() < 500 => "refused",
        Err(_) => "failed",
    };
    metrics::counter!("pictures_total", "outcome" => outcome).increment(1);
    kept
}

async fn keep_uncounted(state: &State, upload: Upload) -> Result<Stored> {
    let objects = state.media.objects()?;
    let Upload {
        owner,
        kind,
        file,
        _entry: entry,
    } = upload;
    let hash = *file.hash();
    let developed = state.media.intake.develop(kind, file).await?;
    let stored = Stored {
        id: PictureId::new(),
        kind,
        format: developed.format,
        width: developed.width,
        height: developed.height,
    };
    let bytes: usize = developed.files.iter().map(Vec::len).sum();
    let size_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    state.media.room.take(&state.db, size_bytes).await?;
    let new = store::New {
        stored: &stored,
        owner,
        source_hash: &hash,
        size_bytes,
    };
    let config = &state.config.media;
    let share = store::Share {
        pictures: config.pictures_per_account.into(),
        bytes: i64::try_from(config.bytes_per_account).unwrap_or(i64::MAX),
    };
    // On its own, and not in the transaction that shows it: the job must know of the files
    // even if that one never comes.
    if !store::insert(&mut *state.db.acquire().await?, &new, share).await? {
        return Err(Refusal::new(ErrorCode::Conflict, "The account has as many pictures as one may have").into());
    }
    let sizes = Size::ALL.into_iter().zip(developed.files);
    try_join_all(sizes.map(async |(size, file)| objects.put(&stored.file(size), file).await)).await?;
    drop(entry);
    Ok(stored)
}

/// Step: a kept picture is shown from the commit on. What refers to it is written after
/// this and in the same transaction.
///
/// # Errors
/// `RequestTimeout` when it took so long that the picture was given up.
pub(crate) async fn show(tx: &mut PgConnection, picture: &Stored) -> Result<()> {
    if store::show(tx, picture.id).await? {
        return Ok(());
    }
    Err(ErrorCode::RequestTimeout.into())
}

/// Step: a picture in whose place another is shown from the commit on goes in a while.
///
/// # Errors
/// When the database fails.
pub(crate) async fn replace(tx: &mut PgConnection, former: Option<PictureId>) -> Result<()> {
    if let Some(former) = former {
        store::drop_shown(tx, &[former.0], REPLACED_SECONDS).await?;
    }
    Ok(())
}

/// Step: a picture to which nothing refers from the commit on is deleted.
///
/// # Errors
/// When the database fails.
pub(crate) async fn remove(tx: &mut PgConnection, picture: PictureId) -> Result<()> {
    Ok(store::drop_shown(tx, &[picture.0], DELETED_SECONDS).await?)
}

/// Step: these pictures, in that order.
///
/// # Errors
/// When the database fails.
pub(crate) async fn many(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Stored>> {
    Ok(store::many(conn, ids).await?)
}

/// Deletes what is not shown any more and what never was: the files first, then the row.
/// Where an order shows a picture, it stays. Several processes may do it at once. Returns
/// how many were looked at.
///
/// # Errors
/// When the database fails.
pub async fn sweep(db: &PgPool, media: &Media, limit: u32) -> Result<u64> {
    let Some(objects) = &media.objects else { return Ok(0) };
    store::drop_abandoned(&mut *db.acquire().await?, limit.into()).await?;
    let due = store::due(&mut *db.acquire().await?, limit.into()).await?;
    for picture in &due {
        if store::keep_if_ordered(&mut *db.acquire().await?, picture).await? {
            continue;
        }
        // No connection is held while the store is asked.
        let names = Size::ALL.map(|size| picture.file(size));
        let deleted = try_join_all(names.iter().map(|name| objects.delete(name))).await;
        let conn = &mut *db.acquire().await?;
        match deleted {
            Ok(_) => store::delete(conn, picture.id).await?,
            Err(_) => store::postpone(conn, picture.id).await?,
        }
    }
    Ok(due.len() as u64)
}

//! The store of files: a folder, or a bucket. It knows names and bytes; what they belong
//! to is the database's to say. What it has taken is on the disk, or in the bucket.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path as FolderPath;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt as _, PutOptions, RetryConfig,
};
use shared::error::{ErrorCode, Refusal};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::config::{Bucket, MediaConfig};
use super::model::FileName;
use crate::http::{Error, Result};

/// How long one request to a bucket may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long one file may take, tried again included.
const FILE_DEADLINE: Duration = Duration::from_secs(20);
/// How often a request to a bucket is tried again.
const RETRIES: usize = 2;

/// A file that is there.
pub struct Found {
    /// How long it is.
    pub size_bytes: u64,
    /// What is in it; nothing when only what is known of it was asked for.
    pub bytes: BoxStream<'static, object_store::Result<Bytes>>,
}

/// The store. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// The same one for what is read from it: whoever gets a picture may take their time.
    reader: Arc<dyn ObjectStore>,
    /// How long what is being read may keep us waiting.
    wait: Duration,
    /// A bucket remembers what a file is; a folder has its name for that.
    has_attributes: bool,
}

impl Objects {
    /// The bucket or the folder of the configuration; `None`: there is neither.
    ///
    /// # Errors
    /// When the folder cannot be made or written to, or the bucket's settings do not go
    /// together.
    pub fn open(config: &MediaConfig) -> anyhow::Result<Option<Self>> {
        if let Some(bucket) = &config.bucket {
            // The time for a request counts until the last byte of its answer is taken.
            let in_time = ClientOptions::new().with_timeout(REQUEST_DEADLINE);
            let at_leisure = ClientOptions::new().with_timeout_disabled();
            return Ok(Some(Self {
                store: Arc::new(open_bucket(bucket, in_time)?),
                reader: Arc::new(open_bucket(bucket, at_leisure)?),
                wait: bucket.wait,
                has_attributes: true,
            }));
        }
        let Some(folder) = &config.folder else { return Ok(None) };
        let store = Arc::new(open_folder(folder)?);
        Ok(Some(Self {
            reader: store.clone(),
            store,
            wait: REQUEST_DEADLINE,
            has_attributes: false,
        }))
    }

    /// Keeps a file. One of its name is written over.
    ///
    /// # Errors
    /// `StorageUnavailable`.
    pub async fn put(&self, name: &FileName, file: Vec<u8>) -> Result<()> {
        let mut attributes = Attributes::new();
        if self.has_attributes {
            attributes.insert(Attribute::ContentType, name.format.media_type().into());
        }
        let options = PutOptions {
            attributes,
            ..PutOptions::default()
        };
        let place = place(name);
        let put = self.store.put_opts(&place, Bytes::from(file).into(), options);
        in_time(put).await.map(drop).map_err(unavailable)
    }

    /// A file, or only what is known of it; `None`: there is none of that name.
    ///
    /// # Errors
    /// `StorageUnavailable`.
    pub async fn get(&self, name: &FileName, head: bool) -> Result<Option<Found>> {
        let options = GetOptions {
            head,
            ..GetOptions::default()
        };
        match in_time(self.reader.get_opts(&place(name), options)).await {
            Ok(found) => Ok(Some(Found {
                size_bytes: found.meta.size,
                bytes: in_turn(found.into_stream(), self.wait).boxed(),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Deletes a file. That there is none is no error.
    ///
    /// # Errors
    /// `StorageUnavailable`.
    pub async fn delete(&self, name: &FileName) -> Result<()> {
        match in_time(async { self.store.delete(&place(name)).await }).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }
}

/// The bytes of a file, each piece within `wait` of when it was asked for. A timeout of the
/// whole, or of the connection, would count the time that whoever reads it takes.
fn in_turn(
    bytes: BoxStream<'static, object_store::Result<Bytes>>,
    wait: Duration,
) -> impl Stream<Item = object_store::Result<Bytes>> {
    stream::try_unfold(bytes, move |mut bytes| async move {
        // What is there is taken, however late it is asked for: the time is looked at last.
        let next = timeout(wait, bytes.try_next()).await.map_err(late)??;
        Ok(next.map(|piece| (piece, bytes)))
    })
}

fn place(name: &FileName) -> Path {
    Path::from(name.place())
}

fn late(elapsed: Elapsed) -> object_store::Error {
    object_store::Error::Generic {
        store: "media",
        source: Box::new(elapsed),
    }
}

async fn in_time<T>(work: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    timeout(FILE_DEADLINE, work)
        .await
        .unwrap_or_else(|elapsed| Err(late(elapsed)))
}

#[allow(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn unavailable(error: object_store::Error) -> Error {
    tracing::warn!(%error, "the store of pictures is in trouble");
    Refusal::from(ErrorCode::StorageUnavailable)
        .retry_after_ms(5_000)
        .into()
}

fn open_folder(folder: &FolderPath) -> anyhow::Result<LocalFileSystem> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("the folder for pictures {} cannot be made", folder.display()))?;
    let store = LocalFileSystem::new_with_prefix(folder);
    let store = store.with_context(|| format!("the folder for pictures {} cannot be opened", folder.display()))?;
    Ok(store.with_fsync(true))
}

fn open_bucket(bucket: &Bucket, client: ClientOptions) -> anyhow::Result<impl ObjectStore + use<>> {
    // The client asks for whichever the process has; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = client
        .with_connect_timeout(REQUEST_DEADLINE)
        // Only for an endpoint that is written so.
        .with_allow_http(true);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(&bucket.region)
        .with_virtual_hosted_style_request(bucket.virtual_host)
        // One by one: not everything that speaks like S3 knows the other way.
        .with_disable_bulk_delete(true)
        .with_client_options(client)
        .with_retry(RetryConfig {
            max_retries: RETRIES,
            retry_timeout: FILE_DEADLINE,
            ..RetryConfig::default()
        });
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    if let (Some(id), Some(secret)) = (&bucket.access_key, &bucket.secret_key) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
    }
    builder.build().context("the bucket for pictures (media_s3_…)")
}

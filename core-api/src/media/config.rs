//! Where pictures are kept, and what uploading them may cost.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use shared::config::{Secret, Settings};

/// Settings of uploads.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// A folder of this machine, made for its owner alone. `None`, and no bucket: nothing
    /// can be uploaded.
    pub folder: Option<PathBuf>,
    /// A bucket, which goes before the folder.
    pub bucket: Option<Bucket>,
    /// A file at most, in bytes.
    pub file_max_bytes: usize,
    /// A picture at most, in pixels.
    pub pixels_max: u64,
    /// Pictures that are read and written at once: each takes a core for a while, and memory
    /// by its pixels. Measured: 8.7 bytes a pixel for a progressive JPEG without subsampling.
    pub at_once: usize,
    /// Files under way at once hold so much memory, in bytes, whoever sends them.
    pub memory_bytes: usize,
    /// Uploads an hour of one account.
    pub uploads_per_hour: NonZeroU32,
    /// Pictures of one account.
    pub pictures_per_account: u32,
    /// What the pictures of one account may take, in bytes.
    pub bytes_per_account: u64,
    /// What all pictures may take, in bytes.
    pub total_bytes: u64,
}

/// A bucket of S3, or of what speaks like it.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Where it is, unless at AWS: `https://s3.shop.example`.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// The key's id. `None`: whatever the machine itself may do (instance or container role).
    pub access_key: Option<String>,
    /// The key.
    pub secret_key: Option<Secret>,
    /// How long it may keep us waiting for the next of what it is sending; no setting.
    pub wait: Duration,
    /// The bucket's name goes before the host's instead of into the path.
    pub virtual_host: bool,
}

/// How long a bucket may keep us waiting.
const WAIT: Duration = Duration::from_secs(10);

const fn count(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

impl Default for MediaConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
        Self {
            folder: None,
            bucket: None,
            file_max_bytes: 10 << 20,
            pixels_max: 25_000_000,
            at_once: (cores / 2).max(1),
            memory_bytes: 128 << 20,
            uploads_per_hour: count(300),
            pictures_per_account: 20_000,
            bytes_per_account: 8 << 30,
            total_bytes: 100 << 30,
        }
    }
}

impl MediaConfig {
    /// Reads the settings; what is wrong is left in `settings`, and then the answer is
    /// `None`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let folder = settings.optional("media_folder");
        let bucket = Bucket::read(settings);
        let file_max = settings.or("media_max_megabytes", default.file_max_bytes >> 20);
        let megapixels = settings.or("media_max_megapixels", default.pixels_max / 1_000_000);
        let at_once = settings.or("media_at_once", default.at_once);
        let memory = settings.or("media_memory_megabytes", default.memory_bytes >> 20);
        let per_hour = settings.or("limit_uploads_per_hour", default.uploads_per_hour);
        let pictures = settings.or("limit_pictures_per_account", default.pictures_per_account);
        let megabytes = settings.or("limit_picture_megabytes_per_account", default.bytes_per_account >> 20);
        let gigabytes = settings.or("media_total_gigabytes", default.total_bytes >> 30);
        for (key, value, most) in [
            ("media_max_megabytes", file_max, 100),
            ("media_memory_megabytes", memory, 1 << 20),
            ("media_at_once", at_once, 1_024),
        ] {
            if value.is_some_and(|value| value == 0 || value > most) {
                settings.fault(key, &format!("must be from 1 to {most}"));
            }
        }
        if megapixels.is_some_and(|value| value == 0 || value > 250) {
            settings.fault("media_max_megapixels", "must be from 1 to 250");
        }
        if file_max.zip(memory).is_some_and(|(file, memory)| file > memory) {
            settings.fault("media_memory_megabytes", "must be at least media_max_megabytes");
        }
        Some(Self {
            folder,
            bucket: bucket?,
            file_max_bytes: file_max?.saturating_mul(1 << 20),
            pixels_max: megapixels?.saturating_mul(1_000_000),
            at_once: at_once?.max(1),
            memory_bytes: memory?.saturating_mul(1 << 20),
            uploads_per_hour: per_hour?,
            pictures_per_account: pictures?,
            bytes_per_account: megabytes?.saturating_mul(1 << 20),
            total_bytes: gigabytes?.saturating_mul(1 << 30),
        })
    }
}

impl Bucket {
    fn read(settings: &mut Settings) -> Option<Option<Self>> {
        let name: Option<String> = settings.optional("media_s3_bucket");
        let endpoint: Option<String> = settings.optional("media_s3_endpoint");
        let region = settings.or("media_s3_region", "us-east-1".to_owned());
        let access_key: Option<String> = settings.optional("media_s3_access_key");
        let secret_key: Option<Secret> = settings.optional("media_s3_secret_key");
        let virtual_host = settings.or("media_s3_virtual_host", false);
        if access_key.is_some() != secret_key.is_some() {
            settings.fault("media_s3_secret_key", "goes together with media_s3_access_key");
        }
        let is_url = |text: &String| text.starts_with("https://") || text.starts_with("http://");
        if endpoint.as_ref().is_some_and(|endpoint| !is_url(endpoint)) {
            settings.fault("media_s3_endpoint", "must begin with http:// or https://");
        }
        let Some(name) = name else { return Some(None) };
        Some(Some(Self {
            name,
            endpoint,
            region: region?,
            access_key,
            secret_key,
            wait: WAIT,
            virtual_host: virtual_host?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_needs_both_halves_of_its_key_or_none() {
        fn faults<const N: usize>(pairs: [(&'static str, &'static str); N]) -> Vec<String> {
            let mut settings = Settings::from_pairs(pairs);
            let config = MediaConfig::read(&mut settings);
            let faults = settings.finish(config).err().map_or_else(Vec::new, |error| error.0);
            faults.into_iter().map(|fault| fault.key).collect()
        }
        let bucket = ("media_s3_bucket", "pictures");
        let (key, endpoint) = ("media_s3_access_key", "media_s3_endpoint");
        assert_eq!(faults([bucket]), Vec::<String>::new());
        assert_eq!(faults([bucket, (key, "a")]), ["media_s3_secret_key"]);
        assert_eq!(faults([bucket, (endpoint, "s3.shop.example")]), [endpoint]);
        assert_eq!(faults([("media_max_megabytes", "0")]), ["media_max_megabytes"]);
        let (most, memory) = (("media_max_megabytes", "50"), ("media_memory_megabytes", "10"));
        assert_eq!(faults([most, memory]), ["media_memory_megabytes"]);
    }
}

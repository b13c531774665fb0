//! The data directory: where it is unless told, and the secret that is kept in it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rand::distr::{Alphanumeric, SampleString};

/// Characters of a token secret: 256 bits and more.
const SECRET_LENGTH: usize = 48;

/// Where data is kept unless told otherwise. Root's own folder is closed to the account
/// that Postgres runs as, so root's data goes where services keep theirs.
///
/// # Errors
/// When the user has no home.
pub fn default() -> Result<PathBuf> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        let place = if is_writable(Path::new("/var/lib")) {
            "/var/lib/hawker"
        } else {
            "/var/tmp/hawker"
        };
        return Ok(PathBuf::from(place));
    }
    let parent = dirs::data_dir().ok_or_else(|| anyhow!("there is no home folder; say where with --data-dir"))?;
    Ok(parent.join("hawker"))
}

fn is_writable(dir: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(dir.as_os_str().as_encoded_bytes()) else {
        return false;
    };
    // SAFETY: the path is a C string that outlives the call.
    unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
}

/// Makes the directory, for runs whose database is elsewhere.
///
/// # Errors
/// When it cannot be made.
pub fn make(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("the data directory {} cannot be used", dir.display()))
}

/// The secret that signs tokens: random, made at the first start, kept for the next.
///
/// # Errors
/// When the file cannot be read or made.
pub fn token_secret(dir: &Path) -> Result<String> {
    let path = dir.join("token_secret");
    if let Some(secret) = read(&path)? {
        return Ok(secret);
    }
    let secret = Alphanumeric.sample_string(&mut rand::rng(), SECRET_LENGTH);
    let new = dir.join(format!("token_secret.new-{}", std::process::id()));
    let failed = || format!("cannot write {}", path.display());
    // What a killed run with this number left.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .with_context(failed)?;
    file.write_all(secret.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(failed)?;
    // A link appears whole and replaces nothing: of two that race, one wins.
    let linked = fs::hard_link(&new, &path);
    let _ = fs::remove_file(&new);
    match linked {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(&path)?.ok_or_else(|| anyhow!("{} vanished", path.display()))
        }
        Err(error) => Err(error).with_context(failed),
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(secret) => Ok(Some(secret.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("scratch");
        let secret = token_secret(dir.path()).expect("made");
        assert!(secret.len() >= 32);
        assert_eq!(token_secret(dir.path()).expect("read"), secret);
        let mode = fs::metadata(dir.path().join("token_secret"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }
}

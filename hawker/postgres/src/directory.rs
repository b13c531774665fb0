//! What lies on disk: the lock that keeps a second copy out, the cluster with its
//! password, the sockets and the log. It starts no server; it runs `initdb` only.
//!
//! ```text
//! lock           who is here
//! postgres/      made whole, or not at all
//!   data/        the cluster
//!   password     of its superuser
//! run/           the server's socket
//! postgres.log
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::distr::{Alphanumeric, SampleString};

use crate::SUPERUSER;
use crate::account::{Account, prepare};
use crate::binaries::Binaries;
use crate::error::{StartError, io_error, words};

/// The kernel takes 107 bytes; the server appends to some of its names.
const SOCKET_PATH_MAX: usize = 89;
/// The socket, named by the port that the server would have.
pub(crate) const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// A log larger than this begins anew; the former one is kept beside it.
const LOG_MAX_BYTES: u64 = 8 * 1024 * 1024;
const PASSWORD_LENGTH: usize = 40;

/// A data directory that is ours alone while this value lives.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    home: PathBuf,
    socket_dir: PathBuf,
    log_file: PathBuf,
    /// Held, not read: the lock ends with it, also when the process is killed.
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is not there, and locks it.
    pub fn open(dir: &Path) -> Result<Self, StartError> {
        let unwritable = |error: &std::io::Error| StartError::Unwritable {
            dir: dir.to_owned(),
            why: words(error),
        };
        // Parents that are made here may be passed through by the server's account.
        let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
        made.map_err(|error| unwritable(&error))?;
        let root = dir.canonicalize().map_err(|error| unwritable(&error))?;
        let lock = lock(&root, dir).map_err(|error| match error {
            StartError::Io { source, .. } => unwritable(&source),
            other => other,
        })?;
        let home = root.join("postgres");
        let socket_dir = socket_dir(&root);
        let log_file = root.join("postgres.log");
        Ok(Self {
            root,
            home,
            socket_dir,
            log_file,
            _lock: lock,
        })
    }

    /// The cluster.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Where the server's socket is.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Where the server writes.
    pub fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// Is there a cluster? It is made whole or not at all.
    pub fn has_cluster(&self) -> bool {
        self.data().join("PG_VERSION").is_file()
    }

    /// The cluster's place and major version, if there is one.
    pub fn cluster_major(&self) -> Result<Option<(PathBuf, u32)>, StartError> {
        let path = self.data().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok().map(|major| (self.root.clone(), major))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StartError::Unwritable {
                dir: self.root.clone(),
                why: words(&error),
            }),
        }
    }

    /// The uid that owns the cluster, if there is one.
    pub fn cluster_owner(&self) -> Result<Option<u32>, StartError> {
        let data = self.data();
        match data.metadata() {
            Ok(meta) => Ok(Some(meta.uid())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("cannot read", &data)(error)),
        }
    }

    /// Lets the server's account reach its files, and makes the folder of its socket.
    pub fn admit(&self, account: Option<&Account>) -> Result<(), StartError> {
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        let allow = fs::set_permissions(&self.root, Permissions::from_mode(mode));
        allow.map_err(io_error("cannot set the permissions of", &self.root))?;
        if let Some(account) = account {
            for parent in self.root.ancestors() {
                let open = account.may_enter(parent).map_err(io_error("cannot read", parent))?;
                if !open {
                    return Err(StartError::OutOfReach {
                        account: account.name.clone(),
                        parent: parent.to_owned(),
                    });
                }
            }
        }
        own_folder(&self.socket_dir, account)
    }

    /// Makes the cluster beside its place and moves it there when it is whole, so that a
    /// start that is killed in the middle leaves nothing half-made.
    pub fn make_cluster(
        &self,
        binaries: &Binaries,
        account: Option<&Account>,
        durable: bool,
    ) -> Result<(), StartError> {
        self.remove_half_made();
        let suffix = Alphanumeric.sample_string(&mut rand::rng(), 8);
        let new = self.root.join(format!("postgres.new-{suffix}"));
        own_folder(&new, account)?;
        let result = initdb(&new, binaries, account, durable);
        if result.is_err() {
            // What is left is swept at the next start.
            let _ = fs::remove_dir_all(&new);
        }
        result?;
        // A folder in the cluster's place that holds no cluster is not ours to delete.
        fs::rename(&new, &self.home).map_err(io_error("cannot make", &self.home))?;
        sync_dir(&self.root)
    }

    /// Sweeps what killed starts left. The lock says that none is under way.
    fn remove_half_made(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("postgres.new-") {
                // Its makers may be dying still and write once more: then the next start sweeps.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// The superuser's password.
    pub fn password(&self) -> Result<String, StartError> {
        read_password(&self.home)
    }

    /// The log, to append to, and its length now.
    pub fn open_log(&self) -> Result<(File, u64), StartError> {
        let path = &self.log_file;
        if path.metadata().is_ok_and(|meta| meta.len() > LOG_MAX_BYTES) {
            let former = path.with_extension("log.1");
            fs::rename(path, &former).map_err(io_error("cannot rename", path))?;
        }
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let log = log.map_err(io_error("cannot open", path))?;
        let length = log.metadata().map_err(io_error("cannot read", path))?.len();
        Ok((log, length))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.socket_dir.starts_with(&self.root) {
            // In the temporary folder, it would outlive the directory that it belongs to.
            // It stays when there is something in it, which is a killed run's.
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }
}

/// The password and the socket's folder of a server that runs in `dir`.
pub(crate) fn of_running(dir: &Path) -> Result<(String, PathBuf), StartError> {
    let root = dir.canonicalize().map_err(io_error("cannot read", dir))?;
    Ok((read_password(&root.join("postgres"))?, socket_dir(&root)))
}

fn read_password(home: &Path) -> Result<String, StartError> {
    let path = home.join("password");
    let text = fs::read_to_string(&path).map_err(io_error("cannot read", &path))?;
    Ok(text.trim().to_owned())
}

/// Takes the lock file of `root`, or says who has it. `named` is how the user calls it.
fn lock(root: &Path, named: &Path) -> Result<File, StartError> {
    let path = root.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut file = file.map_err(io_error("cannot open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is matters less than that there is somebody.
            let _ = file.read_to_string(&mut holder);
            return Err(StartError::InUse {
                dir: named.to_owned(),
                pid: holder.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(io_error("cannot lock", &path)(error)),
    }
    let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    write.map_err(io_error("cannot write", &path))?;
    Ok(file)
}

/// Beside the cluster, or, where that path is too long for a socket, in the temporary
/// folder under a name that is the directory's own.
fn socket_dir(root: &Path) -> PathBuf {
    let beside = root.join("run");
    if beside.join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_MAX {
        return beside;
    }
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    std::env::temp_dir().join(format!("hawker-{:016x}", hasher.finish()))
}

/// Makes a folder that only the server's account may use, and refuses one that is
/// somebody else's.
fn own_folder(path: &Path, account: Option<&Account>) -> Result<(), StartError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some(account) = account {
                let own = chown(path, Some(account.uid), Some(account.gid));
                own.map_err(io_error("cannot give away", path))?;
            }
            return Ok(());
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("cannot make", path)(error)),
    }
    let meta = fs::symlink_metadata(path).map_err(io_error("cannot read", path))?;
    // SAFETY: geteuid has no preconditions and cannot fail.
    let us = unsafe { libc::geteuid() };
    let owner = account.map_or(us, |account| account.uid);
    if meta.is_dir() && meta.uid() == owner && meta.mode() & 0o077 == 0 {
        Ok(())
    } else if meta.is_dir() && meta.uid() == us {
        // Made by a start that was killed before it gave the folder away.
        fs::remove_dir(path).map_err(io_error("cannot replace", path))?;
        own_folder(path, account)
    } else {
        let taken = std::io::Error::new(ErrorKind::PermissionDenied, "it belongs to somebody else");
        Err(io_error("cannot use", path)(taken))
    }
}

/// Runs `initdb` into `new/data` with a fresh password in `new/password`.
fn initdb(new: &Path, binaries: &Binaries, account: Option<&Account>, durable: bool) -> Result<(), StartError> {
    let password = new.join("password");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&password);
    let mut file = file.map_err(io_error("cannot make", &password))?;
    let secret = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH);
    let write = writeln!(file, "{secret}").and_then(|()| file.sync_all());
    write.map_err(io_error("cannot write", &password))?;
    if let Some(account) = account {
        let own = chown(&password, Some(account.uid), Some(account.gid));
        own.map_err(io_error("cannot give away", &password))?;
    }
    let mut command = Command::new(binaries.initdb());
    command.arg("-D").arg(new.join("data")).arg("--pwfile").arg(&password);
    command.args(["-U", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8"]);
    command.arg("--auth-host=scram-sha-256");
    if durable {
        command.args(["--auth-local=scram-sha-256", "--data-checksums"]);
    } else {
        // The socket's folder is closed to others anyway, and a test's hundred connections
        // do not each spend milliseconds on proving a password.
        command.args(["--auth-local=trust", "--no-sync"]);
    }
    command.current_dir(new).stdin(Stdio::null());
    // Nothing of a half-made cluster is worth finishing.
    prepare(&mut command, account, libc::SIGKILL);
    let output = command.output().map_err(|error| StartError::NotRunnable {
        path: binaries.initdb(),
        why: words(&error),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said
            .lines()
            .find(|line| line.contains("error:") || line.contains("FATAL:"));
        let line = line.or(said.lines().last()).unwrap_or("initdb failed without a word");
        return Err(StartError::Init(line.trim().to_owned()));
    }
    sync_dir(new)
}

/// Makes a rename in `dir` last.
fn sync_dir(dir: &Path) -> Result<(), StartError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("cannot sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let scratch = tempfile::tempdir().expect("scratch");
        let first = Directory::open(scratch.path()).expect("opened");
        let error = Directory::open(scratch.path()).expect_err("taken");
        assert!(matches!(error, StartError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
        drop(first);
        assert!(Directory::open(scratch.path()).is_ok());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_one_clear_line() {
        let error = Directory::open(Path::new("/proc/hawker")).expect_err("no place for it");
        let line = error.to_string();
        assert!(
            line.starts_with("the data directory /proc/hawker cannot be used: "),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }

    #[test]
    fn sockets_keep_to_paths_that_the_kernel_takes() {
        let short = socket_dir(Path::new("/var/lib/hawker"));
        assert_eq!(short, Path::new("/var/lib/hawker/run"));
        let deep = PathBuf::from(format!("/var/{}", "d".repeat(90)));
        assert!(socket_dir(&deep).join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_MAX);
        assert_eq!(socket_dir(&deep), socket_dir(&deep));
    }
}

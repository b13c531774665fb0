//! Finds the server's programs: `PG_BIN_DIR`, then the newest of Debian's, then the
//! search path. It runs nothing but `postgres --version`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::OLDEST_MAJOR;
use crate::error::{StartError, words};

/// Where Debian and Ubuntu keep one folder for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs of one version.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Finds programs for a cluster of major version `made_by`, or, for a new one, the
    /// newest there are.
    pub fn find(made_by: Option<(PathBuf, u32)>) -> Result<Self, StartError> {
        let wanted = made_by.as_ref().map(|(_, major)| *major);
        let dir = locate(
            std::env::var_os("PG_BIN_DIR").as_deref(),
            Path::new(DEBIAN),
            std::env::var_os("PATH").as_deref(),
            wanted,
        )?;
        let found = version(&dir.join("postgres"))?;
        let Some(major) = major(&found).filter(|major| *major >= OLDEST_MAJOR) else {
            return Err(StartError::TooOld { found, path: dir });
        };
        match made_by {
            Some((dir, made_by)) if made_by != major => Err(StartError::OtherVersion { dir, made_by, found }),
            _ => Ok(Self { dir }),
        }
    }

    /// The server.
    pub fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    /// The maker of clusters.
    pub fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }
}

fn locate(
    chosen: Option<&OsStr>,
    debian: &Path,
    search: Option<&OsStr>,
    wanted: Option<u32>,
) -> Result<PathBuf, StartError> {
    if let Some(chosen) = chosen.filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(chosen);
        return if is_complete(&dir) {
            Ok(dir)
        } else {
            Err(StartError::NotInBinDir(dir))
        };
    }
    let mut majors: Vec<(u32, PathBuf)> = std::fs::read_dir(debian)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.split('.').next()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .filter(|(_, dir)| is_complete(dir))
        .collect();
    majors.sort_unstable();
    let fitting = majors.iter().find(|(major, _)| Some(*major) == wanted);
    if let Some((_, dir)) = fitting.or(majors.last()) {
        return Ok(dir.clone());
    }
    std::env::split_paths(search.unwrap_or_default())
        .find(|dir| is_complete(dir))
        // A link such as /usr/local/bin/postgres finds its share directory by its target.
        .ok_or(StartError::NotFound)
}

fn is_complete(dir: &Path) -> bool {
    dir.join("postgres").is_file() && dir.join("initdb").is_file()
}

/// The version that the program says it has, such as `17.6`.
fn version(postgres: &Path) -> Result<String, StartError> {
    let refuse = |why: String| StartError::NotRunnable {
        path: postgres.to_owned(),
        why,
    };
    let output = Command::new(postgres)
        .arg("--version")
        .output()
        .map_err(|error| refuse(words(&error)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "postgres (PostgreSQL) 17.6 (Debian 17.6-1)"
    text.split_whitespace()
        .nth(2)
        .map(str::to_owned)
        .ok_or_else(|| refuse("it does not say its version".into()))
}

/// The major version; the beta of one counts as it.
fn major(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn programs(dir: &Path) {
        fs::create_dir_all(dir).expect("made");
        fs::write(dir.join("postgres"), "").expect("written");
        fs::write(dir.join("initdb"), "").expect("written");
    }

    #[test]
    fn the_chosen_folder_wins_and_must_be_right() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = scratch.path().join("mine");
        let nowhere = scratch.path().join("none");
        let find = || locate(Some(dir.as_os_str()), &nowhere, None, None);
        assert!(matches!(find(), Err(StartError::NotInBinDir(_))));
        programs(&dir);
        assert_eq!(find().expect("found"), dir);
    }

    #[test]
    fn the_newest_is_taken_unless_the_cluster_needs_another() {
        let scratch = tempfile::tempdir().expect("scratch");
        for major in ["9.6", "15", "17"] {
            programs(&scratch.path().join(major).join("bin"));
        }
        let find = |wanted| locate(None, scratch.path(), None, wanted).expect("found");
        assert_eq!(find(None), scratch.path().join("17/bin"));
        assert_eq!(find(Some(15)), scratch.path().join("15/bin"));
        assert_eq!(find(Some(16)), scratch.path().join("17/bin"));
    }

    #[test]
    fn nothing_found_says_what_to_run() {
        let error = locate(None, Path::new("/nonexistent"), None, None).expect_err("nothing there");
        assert!(error.to_string().contains("apt-get install postgresql"));
    }

    #[test]
    fn majors_are_read_from_every_kind_of_version() {
        assert_eq!(major("17.6"), Some(17));
        assert_eq!(major("18beta2"), Some(18));
        assert_eq!(major("9.6.24"), Some(9));
        assert_eq!(major("devel"), None);
    }
}

//! As whom the server runs: as ourselves, unless we are root, whom Postgres refuses.
//! Then as `postgres`, else `nobody`, or as whoever owns the cluster already.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::{StartError, io_error};

/// A user to become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// The account to switch to; `None` when we stay who we are. `owner` owns the cluster.
    pub fn choose(owner: Option<u32>) -> Result<Option<Self>, StartError> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(None);
        }
        let passwd = Path::new("/etc/passwd");
        let users = std::fs::read_to_string(passwd).map_err(io_error("cannot read", passwd))?;
        pick(&users, owner).map(Some).ok_or(StartError::NoAccount)
    }

    /// May this account pass through `dir`?
    pub fn may_enter(&self, dir: &Path) -> io::Result<bool> {
        let meta = dir.metadata()?;
        let shift = match (meta.uid() == self.uid, meta.gid() == self.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        Ok((meta.mode() >> shift) & 0o1 == 1)
    }
}

fn pick(users: &str, owner: Option<u32>) -> Option<Account> {
    let find = |fits: &dyn Fn(&Account) -> bool| {
        users
            .lines()
            .filter_map(parse)
            .find(|account| account.uid != 0 && fits(account))
    };
    // A cluster that another run made as somebody else stays theirs.
    owner
        .and_then(|uid| find(&|account| account.uid == uid))
        .or_else(|| find(&|account| account.name == "postgres"))
        .or_else(|| find(&|account| account.name == "nobody"))
}

/// Reads a line of passwd(5).
fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid })
}

/// Prepares a child: another account if one is given, a process group of its own, private
/// files, nothing of our environment, and `death_signal` when the calling thread ends.
pub(crate) fn prepare(command: &mut Command, account: Option<&Account>, death_signal: libc::c_int) {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    // Ctrl-C in a terminal reaches us, and we stop the server in order.
    command.process_group(0);
    let parent = std::process::id();
    // SAFETY: the closure runs between fork and exec and makes system calls only, all of
    // them async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            libc::umask(0o077);
            die_with_parent(death_signal, parent)
        });
    }
}

/// Asks for `signal` when the parent ends. It has to come after the change of uid, which
/// clears it; `pre_exec` does.
#[cfg(target_os = "linux")]
fn die_with_parent(signal: libc::c_int, parent: u32) -> io::Result<()> {
    // SAFETY: both calls take plain numbers and touch no memory of ours.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, signal) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before the request was heard.
        if u32::try_from(libc::getppid()).ok() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_signal: libc::c_int, _parent: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\n\
        nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n\
        postgres:x:101:104::/var/lib/postgresql:/bin/bash\n\
        someone:x:1000:1000::/home/someone:/bin/bash\n";

    #[test]
    fn root_becomes_postgres_else_nobody() {
        assert_eq!(pick(USERS, None).expect("found").uid, 101);
        let without: String = USERS
            .lines()
            .filter(|line| !line.starts_with("postgres"))
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(pick(&without, None).expect("found").name, "nobody");
        assert_eq!(pick("root:x:0:0::/:/bin/sh", None), None);
    }

    #[test]
    fn a_cluster_stays_with_its_owner_but_never_with_root() {
        assert_eq!(pick(USERS, Some(1000)).expect("found").name, "someone");
        assert_eq!(pick(USERS, Some(0)).expect("found").name, "postgres");
    }
}

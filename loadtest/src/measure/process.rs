//! Processes from outside: the CPU time they have used, the memory they hold, the cores
//! they may run on, and stopping one so that it looks away and not dead.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Which cores something runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cores {
    /// The first one: servers that are measured.
    Server,
    /// All others: the load and, unless said otherwise, the database.
    Load,
    /// All of them.
    All,
}

impl Cores {
    /// As `taskset` takes them.
    ///
    /// # Errors
    /// When the number of cores cannot be told, or there is only one.
    pub fn list(self) -> Result<String> {
        let last = std::thread::available_parallelism()
            .context("how many cores there are cannot be told")?
            .get()
            - 1;
        // What this process may use shrinks when it pins itself; the machine does not.
        let last = online().unwrap_or(last);
        if last == 0 {
            bail!("one core for the server and one for the load are needed");
        }
        Ok(match self {
            Self::Server => "0".to_owned(),
            Self::Load if last == 1 => "1".to_owned(),
            Self::Load => format!("1-{last}"),
            Self::All => format!("0-{last}"),
        })
    }
}

/// The number of the machine's last core.
fn online() -> Option<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    text.trim().rsplit(['-', ',']).next()?.parse().ok()
}

/// Lets this process, and what it starts from now on, run on `cores` only.
///
/// # Errors
/// When `taskset` is not there or refuses.
pub fn pin_self(cores: Cores) -> Result<()> {
    let done = Command::new("taskset")
        .args(["-acp", &cores.list()?, &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .context("taskset (package util-linux) is needed to pin processes to cores")?;
    if !done.success() {
        bail!("taskset did not pin this process: {done}");
    }
    Ok(())
}

/// A command that will run on `cores` only.
///
/// # Errors
/// As [`Cores::list`].
pub fn pinned(program: &std::ffi::OsStr, cores: Cores) -> Result<Command> {
    let mut command = Command::new("taskset");
    command.args(["-c", &cores.list()?]).arg(program);
    Ok(command)
}

/// The CPU time that the threads of processes have used, to the nanosecond. A thread that
/// has ended is not counted: no server measured here ends any while it is measured.
///
/// # Errors
/// When one of them is gone.
pub fn cpu(pids: &[u32]) -> Result<Duration> {
    let mut nanos = 0;
    for pid in pids {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
        for task in tasks {
            // Time on a core, time in a queue, slices; a thread may end meanwhile.
            let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let on_core = stat
                .split_whitespace()
                .next()
                .and_then(|nanos| nanos.parse::<u64>().ok());
            nanos += on_core.unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// The memory that processes hold, in bytes: resident, shared pages included.
///
/// # Errors
/// When one of them is gone.
pub fn resident_bytes(pids: &[u32]) -> Result<u64> {
    let mut bytes = 0;
    for pid in pids {
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        bytes += kib.with_context(|| format!("/proc/{pid}/status has no VmRSS"))? * 1024;
    }
    Ok(bytes)
}

/// A process and all that descend from it.
#[must_use]
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    family
}

/// Sends a signal, such as `STOP`.
///
/// # Errors
/// When `kill` refuses.
pub fn signal(pids: &[u32], name: &str) -> Result<()> {
    let done = Command::new("kill")
        .arg(format!("-{name}"))
        .args(pids.iter().map(ToString::to_string))
        .status()
        .context("kill is not there")?;
    if !done.success() {
        bail!("kill -{name}: {done}");
    }
    Ok(())
}

/// The machine's load, over one minute.
#[must_use]
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory_and_has_children() {
        let pid = std::process::id();
        let before = cpu(&[pid]).expect("this process is there");
        let mut x = 1_u64;
        while cpu(&[pid]).expect("still there") < before + Duration::from_millis(20) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(resident_bytes(&[pid]).expect("still there") > 1024 * 1024);
        let mut child = Command::new("sleep").arg("60").spawn().expect("started");
        assert!(family(pid).contains(&child.id()));
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
}

//! Asking for a password at the terminal, without showing it.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Write};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};

use super::read_password;

/// Shows nothing of what is typed for as long as it is there.
struct Silence {
    fd: i32,
    before: libc::termios,
}

impl Silence {
    fn over(terminal: &File) -> Result<Self> {
        let fd = terminal.as_raw_fd();
        // SAFETY: all zeros are a termios; `tcgetattr` fills it, and is given a descriptor
        // that is open and a place of the right size.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        let got = unsafe { libc::tcgetattr(fd, &raw mut before) };
        ensure!(got == 0, "this is no terminal: give the password with --password-stdin");
        let mut silent = before;
        silent.c_lflag &= !libc::ECHO;
        // SAFETY: as above; the settings are the terminal's own, less one.
        let set = unsafe { libc::tcsetattr(fd, libc::TCSAFLUSH, &raw const silent) };
        ensure!(set == 0, "the terminal cannot be kept from showing the password");
        Ok(Self { fd, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // SAFETY: as in `over`. An error leaves the terminal silent, and `reset` mends it.
        unsafe { libc::tcsetattr(self.fd, libc::TCSAFLUSH, &raw const self.before) };
    }
}

/// Asks twice, so that nobody is shut out by a slip.
///
/// # Errors
/// Without a terminal; when the two differ, or are too short for a password.
pub(super) fn password() -> Result<String> {
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .context("there is no terminal: give the password with --password-stdin")?;
    let mut screen = terminal.try_clone().context("the terminal")?;
    let _silence = Silence::over(&terminal)?;
    let mut keys = BufReader::new(terminal.try_clone().context("the terminal")?);
    let mut ask = |question: &str| -> Result<String> {
        write!(screen, "{question}: ")?;
        let typed = read_password(&mut keys);
        // What ended the line was not shown either.
        writeln!(screen)?;
        typed
    };
    let first = ask("Password")?;
    ensure!(ask("The same again")? == first, "the two differ");
    Ok(first)
}

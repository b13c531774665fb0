//! What the program says when it is up: short, and all that one needs to begin.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use crate::seed::catalogue::{ADMIN_EMAIL, HOST_EMAIL, VIEWER_EMAIL};

/// The banner.
pub struct Banner<'a> {
    /// Where the page is.
    pub page: &'a str,
    /// Where sockets connect.
    pub live: &'a str,
    /// Where metrics and rooms are shown to an operator.
    pub private: SocketAddr,
    /// The directory of the private Postgres; absent with one's own.
    pub data_dir: Option<&'a Path>,
    /// The demo accounts' password, where it may be shown.
    pub password: Option<&'a str>,
    /// Who moves the money, in words.
    pub payments: &'a str,
    /// A show is being simulated.
    pub show: bool,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n  Hawker {}\n", env!("CARGO_PKG_VERSION"))?;
        let note = if self.show { "   a simulated show is on air" } else { "" };
        writeln!(f, "  Page     {}/{note}", self.page)?;
        writeln!(f, "  API      {}/docs/", self.page)?;
        writeln!(f, "  Sockets  {}", self.live)?;
        writeln!(f, "  Operator http://{0}/metrics, http://{0}/debug/rooms", self.private)?;
        writeln!(f, "  Payments {}", self.payments)?;
        if let Some(dir) = self.data_dir {
            writeln!(f, "  Data     {}", dir.display())?;
        }
        if let Some(password) = self.password {
            writeln!(f, "\n  Demo accounts, for this run with the password {password}")?;
            writeln!(f, "    {VIEWER_EMAIL}   watches and buys")?;
            writeln!(f, "    {HOST_EMAIL}     runs the show")?;
            writeln!(f, "    {ADMIN_EMAIL}    runs the market")?;
        }
        writeln!(f, "\n  Ctrl-C stops everything.")
    }
}

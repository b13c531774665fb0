//! Shows run by programs: [`demo`] measures and checks a whole one, [`simulate`] keeps
//! one on air for whoever opens the page.
//!
//! `demo` goes: stage (a shop, its goods, a stream) → accounts → seats (everybody joins)
//! → on air (chat, reactions, featured products, flash sales, payments) → curtain
//! (everybody has heard the last event) → audit (what was acknowledged against what the
//! database holds). What fails on the way is a line in [`DemoReport::failures`].

mod audit;
mod bot;
mod cast;
mod demo;
mod director;
mod handles;
mod lines;
mod progress;
mod record;
mod report;
mod sale_desk;
mod shopping;
mod simulate;
mod store;
mod tally;
mod viewer;

pub(crate) use cast::Account;
pub use demo::{DemoOptions, Host, demo};
pub use progress::Progress;
pub(crate) use record::Record;
pub use report::{DemoReport, Figures, LedgerLine};
pub use simulate::{SimulateOptions, simulate};

/// How an account signs in.
#[derive(Clone)]
pub struct Credentials {
    /// Its e-mail address.
    pub email: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, ..)", self.email)
    }
}

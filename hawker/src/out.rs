//! Speaking to the user: results to standard output, troubles to standard error. Logs
//! are another matter and go through `tracing`.

use std::fmt::Display;
use std::io::Write;

/// Prints a result. A reader that has gone away is none of our business.
pub fn print(text: &impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Says what went wrong, in one line.
pub fn complain(text: &impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "hawker: {text}");
}

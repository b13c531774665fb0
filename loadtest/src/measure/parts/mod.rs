//! The parts of the measurement, each callable alone: what it does is in its file, and
//! what it should find is in its verdicts.

pub mod buyers;
pub mod chat;
pub mod fan;
pub mod growth;
pub mod holds;
pub mod memory;
pub mod orders;
pub mod outage;
pub mod press;
pub mod resume;
pub mod sold_out;

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::peers::Peers;

/// What every part is told.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The engine's program.
    pub engine: PathBuf,
    /// The servers beside it.
    pub peers: Peers,
    /// How much less than the whole: 1 is the whole, 0.1 a quick look.
    pub scale: f64,
}

impl Bench {
    /// So many, scaled, and at least `least`.
    #[must_use]
    pub fn scaled(&self, whole: usize, least: usize) -> usize {
        let scaled = (whole as f64 * self.scale).round();
        // Not negative, and far below 2^53.
        #[allow(clippy::cast_sign_loss, reason = "a scale is positive")]
        let scaled = scaled as usize;
        scaled.max(least)
    }
}

/// Finds the engine's program: named, beside this one, or in the release folder.
///
/// # Errors
/// When it is nowhere.
pub fn find_engine(named: Option<PathBuf>) -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("live-engine");
    let found = named.into_iter().chain([beside]).find(|path| path.is_file());
    let Some(found) = found else {
        bail!("there is no live-engine here: cargo build --release -p live-engine, or name it with --engine");
    };
    Ok(found.canonicalize()?)
}

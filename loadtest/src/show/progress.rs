//! Progress bars, one a phase; nothing at all where nobody looks.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether progress is shown on standard error. Bars are hidden anyway when that is
/// not a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Progress {
    /// Bars.
    #[default]
    Bars,
    /// Nothing.
    Hidden,
}

impl Progress {
    /// A bar for a phase of `length` steps.
    pub(super) fn phase(self, name: &'static str, length: usize) -> Phase {
        let target = match self {
            Self::Bars => ProgressDrawTarget::stderr(),
            Self::Hidden => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(length as u64), target);
        // A template that does not parse is a defect the tests would show; the default
        // bar does as well.
        if let Ok(style) = ProgressStyle::with_template("{msg:<18} {bar:32} {pos:>6}/{len:<6} {elapsed:>4}") {
            bar.set_style(style);
        }
        bar.set_message(name);
        Phase(bar)
    }
}

/// A phase under way; ends when it is dropped.
pub(super) struct Phase(ProgressBar);

impl Phase {
    /// One step is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// So many steps are done in all.
    pub fn reach(&self, steps: usize) {
        self.0.set_position(steps as u64);
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if !self.0.is_finished() {
            self.0.finish();
        }
    }
}

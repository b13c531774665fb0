//! How often each kind of act was done and refused, and what everything came to: whether
//! sequences get anywhere can be seen, and is held to.

use std::collections::BTreeMap;
use std::fmt;

use super::acts::Act;
use super::paper::{May, Paper};

/// Counts, by what is counted and what it came to.
#[derive(Clone, Default, Debug)]
pub struct Tally(BTreeMap<String, BTreeMap<&'static str, u64>>);

/// The kind of an act: `Buy`.
fn kind(act: &Act) -> String {
    let text = format!("{act:?}");
    text.split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Its name in the program.
fn named(state: impl fmt::Debug) -> &'static str {
    Box::leak(format!("{state:?}").into_boxed_str())
}

impl Tally {
    fn count(&mut self, what: String, outcome: &'static str) {
        *self.0.entry(what).or_default().entry(outcome).or_default() += 1;
    }

    /// An act came to this; `None`: it named nothing that there was.
    pub fn act(&mut self, act: &Act, outcome: Option<May>) {
        let outcome = outcome.map_or("nothing there", |said| said.err().unwrap_or("done"));
        self.count(kind(act), outcome);
    }

    /// A sequence ended so.
    pub fn end(&mut self, paper: &Paper) {
        for order in 0..paper.orders.len() {
            self.count("orders".to_owned(), paper.status(order));
        }
        for refund in &paper.refunds {
            let replaced = if refund.replaced {
                "Replaced"
            } else {
                named(refund.ours)
            };
            self.count(format!("refunds {:?}", refund.why), replaced);
        }
        for dispute in &paper.disputes {
            let is_turned = if dispute.judged > 1 { " after all" } else { "" };
            self.count(format!("disputes{is_turned}"), named(dispute.state));
        }
        for back in &paper.returns {
            self.count("returns".to_owned(), named(back.state));
        }
        for payout in &paper.payouts {
            self.count("payouts".to_owned(), named(payout.state));
        }
    }

    /// Adds another to it.
    pub fn add(&mut self, other: Self) {
        for (what, outcomes) in other.0 {
            let mine = self.0.entry(what).or_default();
            for (outcome, count) in outcomes {
                *mine.entry(outcome).or_default() += count;
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, outcomes) in &self.0 {
            let counts: Vec<String> = outcomes
                .iter()
                .map(|(outcome, count)| format!("{outcome} {count}"))
                .collect();
            writeln!(f, "  {what}: {}", counts.join(", "))?;
        }
        Ok(())
    }
}

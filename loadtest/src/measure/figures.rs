//! What a part of the measurement found: figures with units, and how they stand to their
//! targets; as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// A number with its unit.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// A figure held against its target.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Verdict {
    /// What is held against what.
    pub name: String,
    /// What was found.
    pub value: f64,
    /// What it must not exceed, or must reach.
    pub bound: f64,
    /// Whether the bound is an upper one.
    pub at_most: bool,
    /// Whether it was reached.
    pub met: bool,
}

/// One part's result.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Part {
    /// The part's name, as on the command line.
    pub name: &'static str,
    /// What was done, on what.
    pub conditions: String,
    /// What was found.
    pub figures: Vec<Figure>,
    /// How that stands to the targets.
    pub verdicts: Vec<Verdict>,
}

impl Part {
    /// Nothing found yet.
    #[must_use]
    pub fn new(name: &'static str, conditions: impl Into<String>) -> Self {
        Self {
            name,
            conditions: conditions.into(),
            figures: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) -> &mut Self {
        let name = name.into();
        self.figures.push(Figure { name, value, unit });
        self
    }

    /// Holds a value against an upper bound.
    pub fn at_most(&mut self, name: impl Into<String>, value: f64, bound: f64) -> &mut Self {
        self.verdict(name.into(), value, bound, true)
    }

    /// Holds a value against a lower bound.
    pub fn at_least(&mut self, name: impl Into<String>, value: f64, bound: f64) -> &mut Self {
        self.verdict(name.into(), value, bound, false)
    }

    fn verdict(&mut self, name: String, value: f64, bound: f64, at_most: bool) -> &mut Self {
        let met = if at_most { value <= bound } else { value >= bound };
        self.verdicts.push(Verdict {
            name,
            value,
            bound,
            at_most,
            met,
        });
        self
    }

    /// The part as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = format!("== {}\n   {}\n", self.name, self.conditions);
        let names = self.figures.iter().map(|figure| &figure.name);
        let width = names.chain(self.verdicts.iter().map(|verdict| &verdict.name));
        let width = width.map(|name| name.chars().count()).max().unwrap_or(0);
        for Figure { name, value, unit } in &self.figures {
            // Writing to a String does not fail.
            let _ = writeln!(out, "   {name:width$}  {:>12} {unit}", readable(*value));
        }
        for verdict in &self.verdicts {
            let sign = if verdict.at_most { "≤" } else { "≥" };
            let met = if verdict.met { "reached" } else { "MISSED" };
            let (name, value, bound) = (&verdict.name, readable(verdict.value), readable(verdict.bound));
            let _ = writeln!(out, "   {name:width$}  {value:>12} target {sign} {bound}: {met}");
        }
        out
    }
}

/// A number with three significant digits, and thousands apart.
fn readable(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 {
        let digits = format!("{:.0}", value.abs());
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .filter_map(|group| std::str::from_utf8(group).ok())
            .collect();
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", groups.join(","));
    }
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The middle one; of an even number the lower of the two. NaN of none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => values[(n - 1) / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_what_was_found_and_what_was_missed() {
        let mut part = Part::new("quiet", "one viewer");
        part.figure("latency p99", 12.345, "ms")
            .figure("deliveries", 1_234_567.0, "");
        part.at_most("latency p99", 12.345, 15.0).at_least("rate", 3.0, 4.0);
        let table = part.table();
        for expected in ["12.3 ms", "1,234,567", "≤ 15: reached", "≥ 4: MISSED"] {
            assert!(table.contains(expected), "{expected} in {table}");
        }
        assert!(serde_json::to_string(&part).expect("written").contains("\"met\":false"));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median([3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert!(median([]).is_nan());
    }
}

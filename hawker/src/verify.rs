//! Prints what `verify` proved, for people.

use std::fmt;

use shared::verify::Report;

/// A report as text.
pub struct Printed<'a>(pub &'a Report);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        for check in &report.checks {
            let mark = if check.broken == 0 { "ok    " } else { "BROKEN" };
            writeln!(f, "{mark}  {:>9}  {}", check.examined, check.proves)?;
            if check.broken > 0 {
                let sample = check.sample.join(", ");
                writeln!(
                    f,
                    "        {} of them break it ({}), such as {sample}",
                    check.broken, check.name
                )?;
            }
        }
        let broken = report.broken().count();
        let examined: i64 = report.checks.iter().map(|check| check.examined).sum();
        let verdict = if broken == 0 {
            "all hold".to_owned()
        } else {
            format!("{broken} broken")
        };
        writeln!(
            f,
            "\n{} invariants over {examined} facts: {verdict}.",
            report.checks.len()
        )?;
        if report.rejected_rows > 0 {
            writeln!(
                f,
                "{} rows were refused and kept aside in persist_rejects: look at them.",
                report.rejected_rows
            )?;
        }
        if report.undelivered_notices > 0 {
            writeln!(f, "{} notices wait to be delivered.", report.undelivered_notices)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shared::verify::Check;

    use super::*;

    #[test]
    fn what_is_broken_is_named_with_examples() {
        let check = |broken| Check {
            name: "no_oversell",
            proves: "no sale promises more units than it has",
            examined: 7,
            broken,
            sample: vec!["a".into(), "b".into()],
        };
        let report = |broken| Report {
            checks: vec![check(broken)],
            rejected_rows: 0,
            undelivered_notices: 0,
        };
        assert!(
            Printed(&report(0))
                .to_string()
                .contains("1 invariants over 7 facts: all hold.")
        );
        let text = Printed(&report(2)).to_string();
        assert!(
            text.contains("BROKEN") && text.contains("no_oversell") && text.contains("a, b"),
            "{text}"
        );
    }
}

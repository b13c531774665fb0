//! What a process measures, as data: each service lists its metrics once, with their kind,
//! unit, labels and meaning. From the list they are described to the recorder, and the
//! operator's documentation is checked against it. Measures nothing itself.

use metrics::Unit;

/// One metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Its name, as scraped; a histogram's series add `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// What tells its series apart. Their values are few: worker numbers, close codes,
    /// kinds of commands; never an id.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only up, from the process's start.
    Counter,
    /// Up and down.
    Gauge,
    /// Values in buckets.
    Histogram,
}

impl Kind {
    /// Its name, as in the Prometheus text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::new(name, Kind::Counter, unit, labels, help)
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::new(name, Kind::Gauge, unit, labels, help)
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(name, Kind::Histogram, unit, labels, help)
    }

    const fn new(
        name: &'static str,
        kind: Kind,
        unit: Unit,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit,
            labels,
            help,
        }
    }
}

/// Tells the process's recorder what the metrics are. Those without labels are there from
/// now on, at nothing, so that an alert on them does not wait for the first time.
pub fn describe(all: &[Metric]) {
    for metric in all {
        let (name, unit, help) = (metric.name, metric.unit, metric.help);
        let is_plain = metric.labels.is_empty();
        match metric.kind {
            Kind::Counter => {
                metrics::describe_counter!(name, unit, help);
                if is_plain {
                    metrics::counter!(name).increment(0);
                }
            }
            Kind::Gauge => {
                metrics::describe_gauge!(name, unit, help);
                if is_plain {
                    metrics::gauge!(name).increment(0.0);
                }
            }
            Kind::Histogram => {
                metrics::describe_histogram!(name, unit, help);
                if is_plain {
                    drop(metrics::histogram!(name));
                }
            }
        }
    }
}

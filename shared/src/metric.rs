//! What a process measures, as data: each service lists its metrics once, with their kind,
//! unit, labels and meaning. From the list they are described to the recorder, and the
//! operator's documentation is checked against it. Measures nothing itself.

use metrics::{Label, Unit};

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
    /// The values of its one label, where they are known beforehand.
    pub values: &'static [&'static str],
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
            values: &[],
            help,
        }
    }

    /// The same with what its one label may be.
    #[must_use]
    pub const fn each(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }

    /// Has its series appear that are known beforehand.
    fn begin(&self) {
        match (self.labels, self.values) {
            ([], []) => self.begin_with(Vec::new()),
            ([label], values) => values
                .iter()
                .for_each(|value| self.begin_with(vec![Label::from_static_parts(label, value)])),
            _ => {}
        }
    }

    fn begin_with(&self, labels: Vec<Label>) {
        match self.kind {
            Kind::Counter => metrics::counter!(self.name, labels).increment(0),
            Kind::Gauge => metrics::gauge!(self.name, labels).increment(0.0),
            Kind::Histogram => drop(metrics::histogram!(self.name, labels)),
        }
    }
}

/// Tells the process's recorder what the metrics are. The series that are known beforehand
/// are there from now on, at nothing, so that an alert on them does not wait for the first
/// time.
pub fn describe(all: &[Metric]) {
    for metric in all {
        let (name, unit, help) = (metric.name, metric.unit, metric.help);
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(name, unit, help),
            Kind::Gauge => metrics::describe_gauge!(name, unit, help),
            Kind::Histogram => metrics::describe_histogram!(name, unit, help),
        }
        metric.begin();
    }
}

//! Prometheus' text format: families of samples with labels.
//!
//! Knows no metric.

use std::fmt::Write as _;
use std::time::Duration;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kinds of families.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FamilyKind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// A text that grows family by family.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// Labels by name.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Durations by their size, as a scrape gets them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HistogramSnapshot {
    /// For each bound, in ascending order, how many were at most that long.
    pub buckets: Vec<(Duration, u64)>,
    /// All of them together.
    pub sum: Duration,
    /// How many there were.
    pub count: u64,
}

impl Exposition {
    /// Begins a family, whose samples follow.
    pub fn family(&mut self, name: &str, kind: FamilyKind, help: &str) {
        let kind = match kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// One sample of a counter or gauge.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        let labels = set(labels, None);
        self.line(format_args!("{name}{labels} {value}"));
    }

    /// One histogram.
    pub fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &HistogramSnapshot) {
        for (bound, count) in &histogram.buckets {
            let labels = set(labels, Some(&bound.as_secs_f64().to_string()));
            self.line(format_args!("{name}_bucket{labels} {count}"));
        }
        let count = histogram.count;
        let (all, plain) = (set(labels, Some("+Inf")), set(labels, None));
        self.line(format_args!("{name}_bucket{all} {count}"));
        self.line(format_args!("{name}_sum{plain} {}", histogram.sum.as_secs_f64()));
        self.line(format_args!("{name}_count{plain} {count}"));
    }

    /// What was written.
    pub fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes every write.
        let _written = writeln!(self.0, "{line}");
    }
}

fn set(labels: Labels<'_>, bound: Option<&str>) -> String {
    let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
    let labels: Vec<_> = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_labels_and_histograms_their_bounds() {
        let mut text = Exposition::default();
        text.family("up", FamilyKind::Gauge, "Whether it is there");
        text.sample("up", &[("link", "a\"b\\c\nd")], 1.0);
        text.sample("up", &[], 0.5);
        let buckets = vec![(Duration::from_micros(1023), 1), (Duration::from_secs(1), 1)];
        let histogram = HistogramSnapshot { buckets, sum: Duration::from_millis(2001), count: 2 };
        text.histogram("took", &[("service", "web")], &histogram);
        let text = text.into_text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..4],
            ["# HELP up Whether it is there", "# TYPE up gauge", "up{link=\"a\\\"b\\\\c\\nd\"} 1", "up 0.5",]
        );
        assert_eq!(lines[4], "took_bucket{service=\"web\",le=\"0.001023\"} 1");
        assert_eq!(
            lines[6..],
            [
                "took_bucket{service=\"web\",le=\"+Inf\"} 2",
                "took_sum{service=\"web\"} 2.001",
                "took_count{service=\"web\"} 2",
            ]
        );
    }
}

//! What was measured, what was wanted, and the one table that shows both.

use std::fmt::Write;

use super::others::{RATHOLE, WSTUNNEL};
use super::path::{DIRECT, NGINX, OURS};

/// A kind of measurement. The order is that of the table.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Measure {
    /// Answered per second, on kept connections.
    Requests,
    /// The same on more connections than any pool holds.
    ManyRequests,
    /// Answered per second, each on a connection of its own.
    Connections,
    /// Median latency on one kept connection, seconds.
    P50,
    /// 99th percentile of the same.
    P99,
    /// One download, bytes per second.
    Down,
    /// One upload, bytes per second.
    Up,
    /// Eight downloads at once, bytes per second together.
    Parallel,
    /// Memory of both sides before the first load, bytes: as if each were alone on its machine.
    IdleApart,
    /// The same on one machine, where what they share is there once.
    Idle,
    /// As before the first load, after the last.
    AfterApart,
    /// The same on one machine.
    After,
    /// The program on disk, bytes.
    Size,
}

impl Measure {
    pub(super) const ALL: [Measure; 13] = [
        Measure::Requests,
        Measure::ManyRequests,
        Measure::Connections,
        Measure::P50,
        Measure::P99,
        Measure::Down,
        Measure::Up,
        Measure::Parallel,
        Measure::IdleApart,
        Measure::Idle,
        Measure::AfterApart,
        Measure::After,
        Measure::Size,
    ];

    fn name(self) -> &'static str {
        match self {
            Measure::Requests => "requests/s, 64 kept connections",
            Measure::ManyRequests => "requests/s, 512 kept connections",
            Measure::Connections => "requests/s, a new connection each",
            Measure::P50 => "latency, median, one connection",
            Measure::P99 => "latency, 99 %, one connection",
            Measure::Down => "download, one connection",
            Measure::Up => "upload, one connection",
            Measure::Parallel => "8 downloads at once",
            Measure::IdleApart => "memory of both sides apart, idle",
            Measure::Idle => "memory of both sides together, idle",
            Measure::AfterApart => "memory of both sides apart, afterwards",
            Measure::After => "memory of both sides together, afterwards",
            Measure::Size => "size of the program",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Measure::Requests | Measure::ManyRequests | Measure::Connections => format!("{value:.0}"),
            Measure::P50 | Measure::P99 => format!("{:.0} µs", value * 1e6),
            Measure::Down | Measure::Up | Measure::Parallel => format!("{:.0} MiB/s", value / MIB),
            Measure::IdleApart | Measure::Idle | Measure::AfterApart | Measure::After | Measure::Size => {
                format!("{:.1} MiB", value / MIB)
            }
        }
    }
}

const MIB: f64 = 1024.0 * 1024.0;

/// What ours must be.
enum Goal {
    /// At least so many times as much as another.
    Above(f64, &'static str),
    /// At most so many times as much as another.
    Below(f64, &'static str),
    /// At most so many bytes.
    Within(f64),
}

/// What is wanted of ours.
const GOALS: [(Measure, Goal); 10] = [
    (Measure::Requests, Goal::Above(1.1, RATHOLE)),
    (Measure::Requests, Goal::Above(1.2, NGINX)),
    (Measure::ManyRequests, Goal::Above(1.2, RATHOLE)),
    (Measure::Connections, Goal::Above(1.8, RATHOLE)),
    (Measure::P99, Goal::Below(1.5, DIRECT)),
    (Measure::Down, Goal::Above(1.0, WSTUNNEL)),
    (Measure::Up, Goal::Above(1.1, WSTUNNEL)),
    (Measure::Parallel, Goal::Above(1.05, WSTUNNEL)),
    (Measure::Idle, Goal::Within(14.0 * MIB)),
    (Measure::Size, Goal::Within(12.0 * MIB)),
];

/// Everything that was measured: for each path and measure, one value for each run.
pub(super) struct Table {
    paths: Vec<&'static str>,
    found: Vec<(&'static str, Measure, f64)>,
}

impl Table {
    /// An empty one, with a column for each of these.
    pub(super) fn new(paths: Vec<&'static str>) -> Self {
        Table { paths, found: Vec::new() }
    }

    /// One more value; the runs come in their order.
    pub(super) fn add(&mut self, path: &'static str, measure: Measure, value: f64) {
        self.found.push((path, measure, value));
    }

    fn values(&self, path: &str, measure: Measure) -> Vec<f64> {
        let found = self.found.iter().filter(|(of, what, _)| *of == path && *what == measure);
        found.map(|(.., value)| *value).collect()
    }

    /// Of the ratios within each run, the middle one: what slows a whole run down is in both.
    fn ratio(&self, measure: Measure, other: &str) -> Option<f64> {
        let (ours, theirs) = (self.values(OURS, measure), self.values(other, measure));
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// The table, in Markdown, and how many goals were missed.
    pub(super) fn show(&self) -> (String, usize) {
        let mut missed = 0;
        let mut text = format!("| | {} | wanted of ours | found |\n", self.paths.join(" | "));
        text.push_str(&"|---".repeat(self.paths.len() + 3));
        text.push_str("|\n");
        for measure in Measure::ALL {
            let _infallible = write!(text, "| {} |", measure.name());
            for path in &self.paths {
                let value = median(self.values(path, measure));
                let value = value.map_or_else(|| "–".to_owned(), |value| measure.show(value));
                let _infallible = write!(text, " {value} |");
            }
            let verdicts = GOALS.iter().filter(|(of, _)| *of == measure).map(|(_, goal)| {
                let (wanted, found, held) = self.judge(measure, goal);
                missed += usize::from(held == Some(false));
                (wanted, if held == Some(false) { format!("**{found}, missed**") } else { found })
            });
            let (wanted, found): (Vec<_>, Vec<_>) = verdicts.unzip();
            let _infallible = writeln!(text, " {} | {} |", wanted.join("; "), found.join("; "));
        }
        (text, missed)
    }

    /// What a goal wants, what was found, and whether that is enough; `None` if there is nothing to compare with.
    fn judge(&self, measure: Measure, goal: &Goal) -> (String, String, Option<bool>) {
        let (wanted, found, held) = match *goal {
            Goal::Above(times, other) => {
                let found = self.ratio(measure, other);
                (format!("≥ {times} × {other}"), found, found.map(|found| found >= times))
            }
            Goal::Below(times, other) => {
                let found = self.ratio(measure, other);
                (format!("≤ {times} × {other}"), found, found.map(|found| found <= times))
            }
            Goal::Within(most) => {
                let found = median(self.values(OURS, measure));
                let held = found.map(|found| found <= most);
                let found = found.map_or_else(|| "not measured".to_owned(), |found| measure.show(found));
                return (format!("≤ {}", measure.show(most)), found, held);
            }
        };
        (wanted, found.map_or_else(|| "not measured".to_owned(), |found| format!("{found:.2} ×")), held)
    }
}

/// The middle value, of an even number of them the upper one.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_marked_and_one_without_a_rival_is_not() {
        let mut table = Table::new(vec![NGINX, OURS]);
        for (path, values) in [(NGINX, [100.0, 50.0, 10.0]), (OURS, [110.0, 80.0, 11.0])] {
            values.iter().for_each(|value| table.add(path, Measure::Requests, *value));
        }
        let (text, missed) = table.show();
        assert_eq!(missed, 1);
        let row = "| requests/s, 64 kept connections | 50 | 80 | ≥ 1.1 × rathole; ≥ 1.2 × nginx × 2 | not measured; \
                   **1.10 ×, missed** |";
        assert!(text.contains(row), "{text}");
    }
}

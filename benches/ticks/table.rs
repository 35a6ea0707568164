//! The table.

use std::fmt::Write as _;

use crate::bed::arrivals::Lateness;

/// One line: a contender with so many objects due.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Who.
    pub(crate) name: String,
    /// Ticks that were due.
    pub(crate) due: usize,
    /// How late their Jobs were.
    pub(crate) lateness: Lateness,
    /// Writes per tick, each with its count.
    pub(crate) writes: Vec<String>,
    /// CPU seconds of each process from rest before the tick to rest after it.
    pub(crate) cpu: Vec<f64>,
    /// Peak resident memory of each process, MiB.
    pub(crate) memory: Vec<f64>,
    /// What else to know.
    pub(crate) note: String,
}

impl Row {
    /// A tick had no Job, or two.
    pub(crate) fn is_unsound(&self) -> bool {
        self.lateness.missing + self.lateness.doubled > 0
    }

    /// When the last Job came.
    pub(crate) fn last(&self) -> Option<f64> {
        self.lateness.sorted.last().copied()
    }

    fn by_last(&self, other: &Self) -> std::cmp::Ordering {
        self.last().unwrap_or(f64::INFINITY).total_cmp(&other.last().unwrap_or(f64::INFINITY))
    }

    /// The line, with the ratio of the last Job to that of raw creates.
    pub(crate) fn line(&self, raw: Option<&Self>) -> String {
        let ratio = raw.and_then(Self::last).zip(self.last()).map(|(raw, last)| last / raw);
        let lateness = &self.lateness;
        let mut line = format!("| {} | {} ", self.due, self.name);
        let cells = [lateness.sorted.first().copied(), lateness.percentile(50), lateness.percentile(99), self.last()];
        for cell in cells {
            let _ = write!(line, "| {} ", cell.map_or_else(|| "–".to_owned(), milliseconds));
        }
        let _ = write!(line, "| {} ", ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")));
        let _ = write!(line, "| {} | {} ", lateness.missing, lateness.doubled);
        let _ = write!(line, "| {} ", self.writes.join(", "));
        let _ = write!(line, "| {} | {} ", numbers(&self.cpu, 2), numbers(&self.memory, 0));
        let _ = write!(line, "| {} |", self.note);
        line
    }
}

/// The one whose last Job came first, with the notes of all.
pub(crate) fn best(rows: &[Row]) -> Option<Row> {
    let notes: Vec<&str> = rows.iter().map(|row| row.note.as_str()).collect();
    let mut best = rows.iter().min_by(|a, b| a.by_last(b))?.clone();
    best.note = notes.join(", ");
    Some(best)
}

/// The one whose last Job came neither first nor last.
pub(crate) fn median<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<Row> {
    let mut rows: Vec<&Row> = rows.collect();
    rows.sort_by(|a, b| a.by_last(b));
    rows.get(rows.len().saturating_sub(1) / 2).map(|row| (*row).clone())
}

/// What was run, on what.
pub(crate) fn header(version: &str) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "etcd (no fsync) and kube-apiserver {version} on {cores} cores shared with the bench; load average before: {}.\n\
         No scheduler, no nodes, no Job controller and no garbage collector: no pod is made and no Job ends.\n\
         kube-controller-manager runs for CronJobs alone, with --controllers=cronjob-controller only; not for raw creates \
         and Runs.\n\
         Raised flags: --kube-api-qps=4000 --kube-api-burst=4000 --concurrent-cron-job-syncs=64.\n\
         Milliseconds from the tick (raw: from the first request) to the arrival of the Job at a client's watch.\n",
        load.join(" ")
    )
}

/// The head of the table.
pub(crate) const fn head() -> &'static str {
    "| due | contender | first ms | p50 ms | p99 ms | last ms | last / raw | missing | doubled | API writes per tick \
     | CPU s | peak MiB | |\n\
     |---:|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---:|---|"
}

fn milliseconds(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn numbers(values: &[f64], digits: usize) -> String {
    let texts: Vec<String> = values.iter().map(|value| format!("{value:.digits$}")).collect();
    if texts.is_empty() { "–".to_owned() } else { texts.join(" + ") }
}

//! What `marmot` has said, as far as it matters: facts gathered line by line, in bounded memory.
//!
//! The texts are those of `marmot ingest` from v0.5.0 on. Between them stand names from the source, so a line counts only
//! as a whole and where Marmot itself would write it.

use super::lines::Line;

const RUN_STARTED: &str = "✅ Run started (ID: ";
const RUN_COMPLETED: &str = "✅ Run completed in ";
const DISCOVERED: &str = "✅ Discovered ";
const SYNCED: &str = "✅ Assets synced: ";
const DESTROYED: &str = "✅ Deleted ";
const NO_ASSETS: &str = "⚠️  No assets discovered";
const COMPLETION_LOST: &str = "⚠️  Failed to complete run: ";
const ERRORS: &str = "Errors: ";
const FAILED: &str = "❌ ";
const ERROR: &str = "Error: ";

/// Sums over the sources of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Assets found by the sources.
    pub discovered: u64,
    /// Assets created.
    pub created: u64,
    /// Assets updated.
    pub updated: u64,
    /// Assets that were as they are. Marmot itself carries this figure on from source to source.
    pub unchanged: u64,
    /// Assets deleted.
    pub deleted: u64,
    /// Errors of single assets, where the server reports them.
    pub errors: u64,
}

/// The facts of one call of `marmot`.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// `Run started` lines.
    pub started: usize,
    /// `Run completed` lines.
    pub completed: usize,
    /// `No assets discovered` lines.
    pub without_assets: usize,
    /// The server did not take the completion of a run: why.
    pub completion_lost: Option<Line>,
    /// The newest step that failed, without its mark: `Failed to start run: …`.
    pub failed_step: Option<Line>,
    /// The first `Error: ` line on standard error, without that word.
    pub error: Option<Line>,
    /// The last line of standard output.
    pub last: Option<Line>,
    /// The last line of standard error: for those that end without a word of their own.
    pub last_error: Option<Line>,
    /// What became of the assets.
    pub sums: Sums,
}

impl Transcript {
    /// Takes in a line of standard output.
    pub fn stdout(&mut self, line: Line) {
        let text = line.text.as_str();
        if let Some(id) = text.strip_prefix(RUN_STARTED) {
            self.started += usize::from(id.ends_with(')'));
        } else if text.starts_with(RUN_COMPLETED) {
            self.completed += 1;
        } else if text == NO_ASSETS {
            self.without_assets += 1;
        } else if let Some(rest) = text.strip_prefix(DISCOVERED) {
            if let Some((count, _)) = rest.split_once(" assets in ") {
                add(&mut self.sums.discovered, count);
            }
        } else if let Some(rest) = text.strip_prefix(SYNCED).or_else(|| text.strip_prefix(DESTROYED)) {
            self.synced(rest);
        } else if let Some(rest) = text.strip_prefix(ERRORS) {
            if let Some(count) = rest.strip_suffix(" encountered") {
                add(&mut self.sums.errors, count);
            }
        } else if let Some(rest) = text.strip_prefix(COMPLETION_LOST) {
            self.completion_lost.get_or_insert_with(|| Line { text: rest.to_owned(), cut: line.cut });
        } else if let Some(rest) = text.strip_prefix(FAILED) {
            self.failed_step = Some(Line { text: rest.to_owned(), cut: line.cut });
        }
        self.last = Some(line);
    }

    /// Takes in a line of standard error.
    pub fn stderr(&mut self, line: Line) {
        if let Some(rest) = line.text.strip_prefix(ERROR) {
            self.error.get_or_insert_with(|| Line { text: rest.to_owned(), cut: line.cut });
        }
        self.last_error = Some(line);
    }

    /// `1 created, 2 updated, 3 unchanged, 4 deleted`, or `4 assets, 0 lineage edges, 0 documentation entries`.
    fn synced(&mut self, counts: &str) {
        for part in counts.split(", ") {
            match part.split_once(' ') {
                Some((count, "created")) => add(&mut self.sums.created, count),
                Some((count, "updated")) => add(&mut self.sums.updated, count),
                Some((count, "unchanged")) => self.sums.unchanged = count.parse().unwrap_or(self.sums.unchanged),
                Some((count, "deleted" | "assets")) => add(&mut self.sums.deleted, count),
                _ => {}
            }
        }
    }
}

fn add(sum: &mut u64, count: &str) {
    *sum = sum.saturating_add(count.parse().unwrap_or_default());
}

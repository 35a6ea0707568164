//! What `marmot ingest` prints, byte for byte, in three versions: a script of its calls, as its source makes them.
//!
//! `the_real_marmot_says_the_same` compares it with v0.10.0 itself. v0.9.0 has its plugins compiled in, so it loads none and
//! names no gRPC code; the texts are otherwise the same from v0.5.0 on, and what is new later is said by the server.

use std::fmt::Write as _;

/// A version of `marmot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V0_9_0,
    V0_10_0,
    /// Commit 12197cc.
    Head,
}

pub const VERSIONS: [Version; 3] = [Version::V0_9_0, Version::V0_10_0, Version::Head];

/// Stands for a time that was measured.
pub const TIME: &str = "51.2ms";
pub const LOADED: &str = "{\"level\":\"info\",\"plugin\":\"/plugins/marmot-plugin-shelf\",\
                          \"time\":\"2026-01-01T00:00:00Z\",\"message\":\"Loaded external plugin\"}\n";
pub const USAGE: &str = "Usage:
  marmot ingest [flags]

Flags:
  -c, --config string   Path to ingestion config file (required)
  -d, --destroy         Delete all resources for this pipeline (requires confirmation)
  -h, --help            help for ingest
  -q, --quiet           Hide info logs, show errors only (default true)

Global Flags:
      --api-key string   API key for authentication
      --host string      Marmot API host (default: http://localhost:8080)
  -o, --output string    Output format: table, json, yaml (default: table)

";

const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const CYAN: &str = "\u{1b}[36m";
const RED: &str = "\u{1b}[31m";
const RESET: &str = "\u{1b}[0m";

/// Assets of one batch by what became of them.
#[derive(Clone, Copy, Default)]
pub struct Batch {
    pub found: usize,
    pub created: usize,
    pub updated: usize,
    pub unchanged: usize,
    /// Stale ones, removed by the server.
    pub deleted: usize,
    /// Refused, and said so.
    pub errors: usize,
    pub lineage: usize,
}

/// One call of `marmot`, on its way.
#[derive(Clone)]
pub struct Cli {
    version: Version,
    pub stdout: String,
    pub stderr: String,
    sums: Batch,
}

impl Cli {
    /// Started, its plugins loaded; nothing is printed to standard output yet.
    pub fn new(version: Version) -> Self {
        let stderr = if version == Version::V0_9_0 { "" } else { LOADED };
        Self { version, stdout: String::new(), stderr: stderr.to_owned(), sums: Batch::default() }
    }

    /// The config is read.
    pub fn reads(mut self) -> Self {
        self.stdout += "Pipeline: books\n\n";
        self
    }

    /// A source's turn.
    pub fn source(mut self, name: &str) -> Self {
        let line = "-".repeat(name.len() + 4);
        let _ = write!(self.stdout, "📊 {name}\n{line}\n");
        self
    }

    pub fn asks_to_start(mut self) -> Self {
        self.stdout += "  Starting run...\n";
        self
    }

    pub fn starts(self) -> Self {
        let mut cli = self.asks_to_start();
        cli.stdout += "  ✅ Run started (ID: 3779ad54)\n  Discovering assets...\n";
        cli
    }

    /// The whole command fails; `step` is empty where nothing is said on standard output.
    pub fn fails(mut self, step: &str, why: &str) -> Self {
        let why = match why.strip_prefix("rpc error: ").and_then(|why| why.split_once(" desc = ")) {
            Some((_, plain)) if self.version == Version::V0_9_0 => plain,
            _ => why,
        };
        if !step.is_empty() {
            let _ = writeln!(self.stdout, "  ❌ {step}: {why}");
        }
        let _ = write!(self.stderr, "Error: {why}\n{USAGE}");
        self
    }

    pub fn discovers(mut self, found: usize) -> Self {
        if found == 0 {
            self.stdout += "  ⚠️  No assets discovered\n";
            return self;
        }
        let _ = write!(self.stdout, "  ✅ Discovered {found} assets in {TIME}\n  Syncing assets...\n");
        for index in 1..=found {
            let _ = write!(self.stdout, "\r  Preparing assets ({index}/{found})");
        }
        self.stdout += "\r  Syncing with server...";
        self
    }

    pub fn clears_progress(mut self) -> Self {
        self.stdout += "\r\u{1b}[K";
        self
    }

    /// Discovers, sends and completes.
    pub fn brings(self, batch: Batch) -> Self {
        self.discovers(batch.found).syncs(batch).completes(batch.errors)
    }

    pub fn syncs(self, batch: Batch) -> Self {
        let mut cli = self.clears_progress();
        let kinds = [
            (batch.errors, RED, "-"),
            (batch.created, GREEN, "+"),
            (batch.updated, YELLOW, "~"),
            (batch.unchanged, CYAN, "="),
        ];
        // Of those that are lost nothing is said; here they are the first.
        let lost = batch.found.saturating_sub(kinds.iter().map(|(count, ..)| count).sum());
        let told = kinds.iter().flat_map(|(count, colour, symbol)| vec![(colour, symbol); *count]);
        for (index, (colour, symbol)) in (lost..).zip(told) {
            let _ = writeln!(cli.stdout, "  {colour}{symbol} Book.Shelf.book {index}{RESET}");
        }
        for index in 0..batch.lineage {
            let _ = writeln!(cli.stdout, "  {GREEN}+ lineage.CONTAINS.mrn://a -> mrn://book/shelf/book-{index}{RESET}");
        }
        for index in 0..batch.deleted {
            let _ = writeln!(cli.stdout, "  {RED}- asset.mrn://book/shelf/gone-{index}{RESET}");
        }
        cli.sums.created += batch.created;
        cli.sums.updated += batch.updated;
        cli.sums.unchanged += batch.unchanged;
        cli.sums.deleted += batch.deleted;
        cli.sums.errors += batch.errors;
        cli.sums.lineage += batch.lineage;
        let unchanged = match cli.sums.unchanged {
            0 => String::new(),
            count => format!("{count} unchanged, "),
        };
        let Batch { created, updated, deleted, .. } = batch;
        let _ = writeln!(
            cli.stdout,
            "  ✅ Assets synced: {created} created, {updated} updated, {unchanged}{deleted} deleted"
        );
        cli
    }

    /// The server did not take the completion.
    pub fn cannot_complete(mut self, why: &str) -> Self {
        let _ = writeln!(self.stdout, "  ⚠️  Failed to complete run: {why}");
        self
    }

    pub fn completes(mut self, errors: usize) -> Self {
        let _ = writeln!(self.stdout, "  ✅ Run completed in {TIME}");
        if errors > 0 {
            let _ = writeln!(self.stdout, "  ⚠️  {errors} errors encountered");
        }
        self.stdout += "\n";
        self
    }

    /// The end of a command that calls itself a success.
    pub fn sums_up(mut self) -> Self {
        let sums = self.sums;
        let kinds = [
            (sums.created, GREEN, "created"),
            (sums.updated, YELLOW, "updated"),
            (sums.unchanged, CYAN, "unchanged"),
            (sums.deleted, RED, "deleted"),
        ];
        let some = kinds.iter().filter(|(count, ..)| *count > 0);
        let changes: Vec<String> = some.map(|(count, colour, word)| format!("{colour}{count} {word}{RESET}")).collect();
        if !changes.is_empty() {
            let _ = writeln!(self.stdout, "Assets: {}", changes.join(", "));
        }
        if sums.lineage > 0 {
            let _ = writeln!(self.stdout, "Lineage: {GREEN}{} created{RESET}", sums.lineage);
        }
        if sums.errors > 0 {
            let _ = writeln!(self.stdout, "Errors: {RED}{} encountered{RESET}", sums.errors);
            let _ = writeln!(self.stdout, "\n{YELLOW}⚠️  Some operations completed with errors{RESET}\n");
        } else {
            let _ = writeln!(self.stdout, "\n{GREEN}✅ All operations completed successfully{RESET}\n");
        }
        self
    }

    /// `--destroy`, up to its question.
    pub fn asks(self) -> Self {
        let mut cli = self.reads();
        cli.stdout += "⚠️  WARNING: This will permanently delete ALL resources from pipeline: books\n   \
                       This includes all assets, lineage, and documentation created by any source in this pipeline.\n\n\
                       This action cannot be undone. Are you sure you want to continue? (y/N): ";
        cli
    }

    pub fn told_no(mut self) -> Self {
        self.stdout += "Operation cancelled.\n";
        self
    }

    pub fn told_yes(mut self) -> Self {
        self.stdout += "\n  Destroying pipeline resources...\n";
        self
    }

    pub fn destroys(mut self, assets: usize) -> Self {
        let summary = "\n🗑️  Destruction Summary\nPipeline: books\n";
        if assets == 0 {
            let _ = writeln!(self.stdout, "  ⚠️  No resources found to delete\n{summary}");
            let _ = writeln!(self.stdout, "{YELLOW}⚠️  No resources were found to delete{RESET}\n");
            return self;
        }
        let _ = writeln!(self.stdout, "  ✅ Deleted {assets} assets, 0 lineage edges, 0 documentation entries");
        self.stdout += "  Deleted entities:\n";
        for index in 0..assets.min(10) {
            let _ = writeln!(self.stdout, "    - mrn://book/shelf/book-{index}");
        }
        if assets > 10 {
            let _ = writeln!(self.stdout, "    ... and {} more", assets - 10);
        }
        let _ = writeln!(self.stdout, "{summary}Deleted: {RED}{assets} assets{RESET}");
        let _ = writeln!(self.stdout, "\n{GREEN}✅ All pipeline resources have been permanently deleted{RESET}\n");
        self
    }
}

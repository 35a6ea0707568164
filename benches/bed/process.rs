//! Controllers as processes, and what they cost.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// A controller; killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Where it writes.
    log: PathBuf,
}

impl Process {
    /// Starts a program with its output in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        let child = child.with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// CPU seconds used so far, by user and kernel.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = self.read(&path)?;
        // The program's name, in brackets, may hold spaces.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: Option<Vec<f64>> =
            fields.split_whitespace().skip(11).take(2).map(|text| text.parse().ok()).collect();
        Ok(ticks.with_context(|| format!("{path} has no times"))?.iter().sum::<f64>() / TICKS_PER_SECOND)
    }

    /// Most memory it ever had resident, in MiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<f64> {
        self.kibibytes("VmHWM:")
    }

    /// Memory that is resident now, in MiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        self.kibibytes("VmRSS:")
    }

    /// From now on, [`Self::peak_memory`] is the peak since now.
    pub(crate) fn reset_peak(&self) -> anyhow::Result<()> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        std::fs::write(&path, "5").with_context(|| format!("write {path}"))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM; returns at once.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(self.child.id().to_string()).status()?;
        anyhow::ensure!(status.success(), "kill {}: {status}", self.child.id());
        Ok(())
    }

    fn kibibytes(&self, field: &str) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = self.read(&path)?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kibibytes.with_context(|| format!("{path} has no {field} {}", self.last_words()))? / 1024.0)
    }

    fn read(&self, path: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(path).with_context(|| format!("{path}: {}", self.last_words()))
    }

    /// Its log has these words.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|text| text.contains(words))
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

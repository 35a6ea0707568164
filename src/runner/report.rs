//! The termination message: the one line by which the container tells the operator how the run ended (R36).

use serde::{Deserialize, Serialize};

/// The kubelet keeps so many bytes of a termination message.
pub const MAX_BYTES: usize = 4096;
/// Longest message in words, in characters, so that counts always fit beside it.
const MAX_MESSAGE: usize = 1024;

/// How a run ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// All of it arrived.
    Succeeded,
    /// It finished, but assets or a completion were lost.
    Partial,
    /// It failed.
    Failed,
    /// It was stopped, or broke off.
    Killed,
}

/// What became of the assets.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Counts {
    /// Sources whose run was started.
    pub sources: u64,
    /// Assets found by them.
    pub discovered: u64,
    /// Assets created.
    pub created: u64,
    /// Assets updated.
    pub updated: u64,
    /// Assets left as they are.
    pub unchanged: u64,
    /// Assets deleted.
    pub deleted: u64,
    /// Errors of single assets.
    pub errors: u64,
}

/// The end of a run as the runner saw it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, as one stable word in CamelCase.
    pub reason: String,
    /// Why, in words, without secrets.
    pub message: String,
    /// What became of the assets.
    #[serde(default)]
    pub counts: Counts,
}

impl Report {
    /// A report. The message is cut where it is too long, and holds no control characters.
    #[must_use]
    pub fn new(outcome: Outcome, reason: &str, message: impl AsRef<str>, counts: Counts) -> Self {
        let mut letters = message.as_ref().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut message: String = letters.by_ref().take(MAX_MESSAGE).collect();
        if letters.next().is_some() {
            message.push('…');
        }
        Self { outcome, reason: reason.to_owned(), message, counts }
    }

    /// The exit code of the container: 0 for success alone, 3 for `Partial`, which Kubernetes must not retry.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Succeeded => 0,
            Outcome::Failed => 1,
            Outcome::Partial => PARTIAL,
            Outcome::Killed => 143,
        }
    }

    /// The line for the termination log: one JSON object of at most [`MAX_BYTES`].
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut report = self.clone();
        loop {
            let line = serde_json::to_string(&report).unwrap_or_default();
            // Quotes, backslashes and letters of several bytes make the line longer than its letters.
            let surplus = line.len().saturating_sub(MAX_BYTES);
            if surplus == 0 || report.message.is_empty() {
                return line;
            }
            let keep = report.message.chars().count().saturating_sub(surplus.div_ceil(4).max(1));
            report.message = report.message.chars().take(keep).collect();
        }
    }

    /// Reads the line back; `None` if a container of another making wrote it.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim()).ok()
    }
}

/// Exit code for [`Outcome::Partial`].
pub const PARTIAL: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    // R36
    #[test]
    fn the_line_fits_whatever_it_says() {
        for letter in ["x", "\"", "\\", "\u{7}", "\n", "ß", "😀", "\u{2028}"] {
            let report = Report::new(Outcome::Failed, "MarmotError", letter.repeat(20_000), Counts::default());
            let line = report.to_line();
            assert!(line.len() <= MAX_BYTES && !line.contains('\n'), "{letter:?}: {}", line.len());
            let back = Report::parse(&line).unwrap();
            assert_eq!((back.outcome, back.reason.as_str()), (Outcome::Failed, "MarmotError"));
        }
        assert_eq!(Report::parse("Error: no JSON"), None);
        assert_eq!(Report::parse(""), None);
        // An operator that is older or newer than the runner still understands it.
        let newer = r#"{"outcome":"Partial","reason":"X","message":"m","counts":{"created":1,"more":2},"news":[]}"#;
        assert_eq!(Report::parse(newer).unwrap().counts.created, 1);
    }

    // R36: never 0 for a non-success.
    #[test]
    fn exit_codes() {
        let code = |outcome| Report::new(outcome, "R", "", Counts::default()).exit_code();
        assert_eq!(code(Outcome::Succeeded), 0);
        assert_eq!(code(Outcome::Partial), 3);
        assert!(![0, 3].contains(&code(Outcome::Failed)) && ![0, 3].contains(&code(Outcome::Killed)));
    }
}

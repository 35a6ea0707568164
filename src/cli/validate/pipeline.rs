//! `spec.runs`: what Marmot would misread, and secrets in clear text (R36, R37, R41).

use super::{Findings, Level};
use crate::cli::manifest::{Data, Node};
use crate::{credentials, pipeline};

/// Checks `spec.runs`. Values are never printed.
pub(super) fn check(name: &str, runs: &Node, findings: &mut Findings) {
    if let Err(message) = pipeline::render(name, &runs.value().to_string()) {
        let line = misread(&message, runs).unwrap_or(runs.line);
        findings.add(Level::Error, line, "spec.runs", &message);
    }
    for (index, entry) in runs.entries().iter().enumerate() {
        walk(&format!("spec.runs[{index}]"), "", entry, findings);
    }
}

/// The line of the entry that the message is about.
fn misread(message: &str, runs: &Node) -> Option<u64> {
    let index: usize = message.strip_prefix("spec.runs[")?.split(']').next()?.parse().ok()?;
    runs.entries().get(index).map(|entry| entry.line)
}

fn walk(path: &str, key: &str, node: &Node, findings: &mut Findings) {
    match &node.data {
        Data::Map(map) => {
            for (key, value) in map {
                walk(&format!("{path}.{key}"), key, value, findings);
            }
        }
        Data::List(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                walk(&format!("{path}[{index}]"), key, entry, findings);
            }
        }
        Data::Plain(value) => {
            let Some(text) = value.as_str() else { return };
            if credentials::is_clear_text(key, text) {
                let message = "a secret in clear text: everybody who may read Runs can read it; put it into a Secret, \
                               name that in spec.env and write ${NAME} here";
                findings.add(Level::Warning, node.line, path, message);
            }
            if let Some(wrong) = credentials::broken_reference(text) {
                let message = format!("{wrong} is no reference: write ${{NAME}}, or $${{ for a literal ${{");
                findings.add(Level::Warning, node.line, path, &message);
            }
        }
    }
}

//! `marmot-operator validate`: what is wrong with manifests, before a cluster sees them.

mod pipeline;
mod schema;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use scheduler::schedule::{Schedule, Zone};
use serde_json::{Value, json};

use super::Output;
use super::manifest::{self, Node};

/// A label of every object holds the Run's name.
const MAX_NAME: usize = 63;
const API_VERSION: &str = "runs.marmotdata.io/v1alpha1";

/// Flags of `validate`.
#[derive(Args, Clone, Debug)]
pub struct ValidateArgs {
    /// Manifests; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,

    /// Fail on warnings too
    #[arg(long)]
    pub strict: bool,

    /// Form of the findings
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// It would not run.
    Error,
    /// It would run, but not well.
    Warning,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    file: String,
    all: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    file: String,
    line: u64,
    level: Level,
    field: String,
    message: String,
}

impl Findings {
    /// Notes a finding. A second error about one field would only say the same in other words.
    fn add(&mut self, level: Level, line: u64, field: &str, message: &str) {
        if level == Level::Error && self.has_error(line, field) {
            return;
        }
        let message = message.strip_prefix(field).and_then(|rest| rest.strip_prefix(' ')).unwrap_or(message);
        let (file, field, message) = (self.file.clone(), field.to_owned(), message.to_owned());
        self.all.push(Finding { file, line, level, field, message });
    }

    fn has_error(&self, line: u64, field: &str) -> bool {
        let is_same = |finding: &Finding| {
            (finding.file == self.file && finding.line == line && finding.level == Level::Error)
                && (finding.field == field
                    || finding.field.strip_prefix(field).is_some_and(|rest| rest.starts_with('[')))
        };
        self.all.iter().any(is_same)
    }

    fn errors(&self) -> usize {
        self.all.iter().filter(|finding| finding.level == Level::Error).count()
    }
}

/// Prints the findings. Exit code 1 where there are errors, 2 where a file cannot be read.
#[must_use]
pub fn main(args: &ValidateArgs) -> ExitCode {
    let mut findings = Findings::default();
    let mut names = BTreeMap::new();
    let mut runs = 0;
    for file in &args.files {
        findings.file.clone_from(file);
        let objects = match manifest::read(file) {
            Ok(objects) => objects,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        };
        for object in objects.iter().filter(|object| manifest::is_run(object)) {
            runs += 1;
            check(object, &mut names, &mut findings);
        }
    }
    findings.all.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let warnings = findings.all.len() - findings.errors();
    match args.output {
        Output::Json => println!("{:#}", as_json(&findings)),
        Output::Text => {
            for Finding { file, line, level, field, message } in &findings.all {
                println!("{file}:{line}: {}: {field}: {message}", level.as_str());
            }
            eprintln!("{runs} Runs, {} errors, {warnings} warnings", findings.errors());
        }
    }
    ExitCode::from(u8::from(findings.errors() > 0 || (args.strict && warnings > 0)))
}

fn check(run: &Node, names: &mut BTreeMap<String, (String, String)>, findings: &mut Findings) {
    let metadata = run.get("metadata");
    let text = |key: &str| metadata.and_then(|metadata| metadata.get(key)).and_then(Node::text).unwrap_or_default();
    let (name, namespace) = (text("name"), text("namespace"));
    let line = metadata.and_then(|metadata| metadata.get("name")).map_or(run.line, |name| name.line);
    if let Some(version) = run.get("apiVersion").filter(|node| node.text() != Some(API_VERSION)) {
        findings.add(
            Level::Error,
            version.line,
            "apiVersion",
            &format!("there is no such version of Run: write {API_VERSION}"),
        );
    }
    if name.is_empty() {
        findings.add(Level::Error, line, "metadata.name", "it is missing: it names the pipeline in Marmot");
    } else if name.len() > MAX_NAME {
        let message = format!("it has {} characters; labels carry it, so {MAX_NAME} is the limit", name.len());
        findings.add(Level::Error, line, "metadata.name", &message);
    } else if !is_object_name(name) {
        let message = "use small letters, digits, '-' and '.', a letter or digit first and last";
        findings.add(Level::Error, line, "metadata.name", message);
    }
    // R11
    if let Some((file, other)) = names.insert(name.to_owned(), (findings.file.clone(), namespace.to_owned())) {
        let other_name = if other.is_empty() { "of kubectl's context" } else { other.as_str() };
        let place = if other == namespace { "here twice".to_owned() } else { format!("in namespace {other_name} too") };
        let message = format!("Run {name} is {place} ({file}): both write to one pipeline in Marmot; rename one");
        let level = if other == namespace { Level::Error } else { Level::Warning };
        findings.add(level, line, "metadata.name", &message);
    }
    schema::check(run, findings);
    let Some(spec) = run.get("spec") else { return };
    check_schedule(spec, findings);
    if let Some(runs) = spec.get("runs") {
        pipeline::check(name, runs, findings);
    }
}

/// What the API server takes for a name.
fn is_object_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && part.ends_with(|letter: char| letter.is_ascii_alphanumeric())
    };
    let is_letter = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-.".contains(&letter);
    name.bytes().all(is_letter) && name.split('.').all(is_part)
}

/// R21, R22, R25
fn check_schedule(spec: &Node, findings: &mut Findings) {
    let zone = match spec.get("timeZone").and_then(|node| Some((node, node.text()?))) {
        None => Zone::utc(),
        Some((node, text)) => match Zone::parse(text) {
            Ok(zone) => zone,
            Err(error) => return findings.add(Level::Error, node.line, "spec.timeZone", &error.to_string()),
        },
    };
    let Some((node, text)) = spec.get("schedule").and_then(|node| Some((node, node.text()?))) else { return };
    match Schedule::parse(text, &zone) {
        _ if text.is_empty() => {}
        Err(error) => findings.add(Level::Error, node.line, "spec.schedule", &error.to_string()),
        Ok(schedule) if schedule.never_fires() => {
            findings.add(
                Level::Error,
                node.line,
                "spec.schedule",
                "it names a date that does not exist: it will never run",
            );
        }
        Ok(_) => {}
    }
}

fn as_json(findings: &Findings) -> Value {
    let one = |finding: &Finding| {
        json!({
            "file": finding.file,
            "line": finding.line,
            "level": finding.level.as_str(),
            "field": finding.field,
            "message": finding.message,
        })
    };
    findings.all.iter().map(one).collect()
}

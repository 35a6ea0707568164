//! The tables of docs/metrics.md are what an operator exposes that has seen everything once.

use std::collections::{BTreeMap, BTreeSet};

use marmot_operator::metrics::PREFIX;

use crate::read;
use crate::support::exposed::everything;

const MARKS: [(&str, &str); 2] = [
    ("<!-- made from src/metrics.rs: UPDATE=1 cargo test --test docs metrics -->\n", "<!-- end -->\n"),
    ("<!-- made from src/metrics/fleet.rs: UPDATE=1 cargo test --test docs metrics -->\n", "<!-- end per run -->\n"),
];
/// Labels with more values than a table can hold.
const OPEN: [&str; 5] = ["code", "run", "run_namespace", "version", "resource"];

/// A family as the classic text form names it.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else if let Some((series, labels)) = line.split_once('{') {
            let ends = ["_total", "_info", "_bucket", "_sum", "_count"];
            let name = ends.iter().find_map(|end| series.strip_suffix(end).filter(|name| families.contains_key(*name)));
            let family = families.get_mut(name.unwrap_or(series)).expect("a TYPE comes before its samples");
            let labels = labels.split_once('}').expect("labels end").0;
            for (label, value) in labels.split(',').filter_map(|label| label.split_once('=')) {
                family.labels.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
    }
    families
}

fn row(name: &str, family: &Family) -> String {
    let end = match family.kind.as_str() {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let kind = if family.kind == "info" { "gauge" } else { &family.kind };
    let label = |(label, values): (&String, &BTreeSet<String>)| {
        let mut values: Vec<&str> = values.iter().map(|value| if value.is_empty() { "\"\"" } else { value }).collect();
        values.sort_by_key(|value| value.parse::<u32>().ok());
        let values = values.join(", ");
        if OPEN.contains(&label.as_str()) { format!("`{label}`") } else { format!("`{label}`: {values}") }
    };
    let labels = family.labels.iter().filter(|(label, _)| *label != "le").map(label).collect::<Vec<_>>().join("; ");
    let unit = if name.ends_with("_seconds") { "seconds" } else { "" };
    format!("| `{name}{end}` | {kind} | {labels} | {unit} | {} |\n", family.help.trim_end_matches('.'))
}

/// The table of the families that carry the name of a Run, or of all others.
fn table(per_run: bool) -> String {
    let families = families(&everything().encode().expect("metrics can be encoded"));
    let wanted = families.iter().filter(|(_, family)| family.labels.contains_key("run") == per_run);
    let rows: String = wanted.map(|(name, family)| row(name, family)).collect();
    format!("| Name | Type | Labels | Unit | Meaning |\n|---|---|---|---|---|\n{rows}")
}

#[test]
fn docs_metrics_has_every_metric_and_no_other() {
    let is = read("docs/metrics.md").expect("docs/metrics.md is there");
    let mut wanted = is.clone();
    for ((begin, end), per_run) in MARKS.into_iter().zip([false, true]) {
        let (head, rest) = wanted.split_once(begin).expect("the first mark is there");
        let (_, tail) = rest.split_once(end).expect("the second mark is there");
        wanted = format!("{head}{begin}{}{end}{tail}", table(per_run));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"), wanted).expect("it can be written");
    } else {
        assert!(is == wanted, "docs/metrics.md is not what the code exposes: UPDATE=1 cargo test --test docs metrics");
    }
}

#[test]
fn the_words_around_the_tables_name_what_there_is() {
    let text = read("docs/metrics.md").expect("docs/metrics.md is there");
    let families = families(&everything().encode().expect("metrics can be encoded"));
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for word in words.filter(|word| word.starts_with(PREFIX) && *word != PREFIX) {
        let ends = ["", "_total", "_info", "_bucket"];
        let known = ends.iter().any(|end| word.strip_suffix(end).is_some_and(|name| families.contains_key(name)));
        assert!(known, "docs/metrics.md names {word}, which there is not");
    }
}

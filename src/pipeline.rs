//! The pipeline of a Run as Marmot reads it, and what is refused before a Job is made (R8, R41).

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// Largest `pipeline.yaml`: the API server's limit for a ConfigMap.
const MAX_LEN: usize = 1024 * 1024;

/// What the ConfigMap holds, in the order of its keys.
#[derive(Serialize)]
struct Pipeline<'a> {
    name: &'a str,
    runs: &'a [Map<String, Value>],
}

/// The text of `pipeline.yaml` for `spec.runs`.
///
/// Strings are always quoted: Marmot reads YAML 1.1, where a bare `no` or `010` is something else.
///
/// # Errors
///
/// A sentence for the Run's author if Marmot would misread the pipeline, call it a success without running it, or let
/// its entries delete each other's assets.
pub fn render(name: &str, runs: &str) -> Result<String, String> {
    let runs: Vec<Map<String, Value>> = serde_json::from_str(runs)
        .map_err(|error| format!("spec.runs must be a list of objects such as `- postgresql: {{…}}`: {error}"))?;
    if runs.is_empty() {
        return Err("spec.runs is empty: name at least one source".to_owned());
    }
    let mut seen = BTreeSet::new();
    for (index, entry) in runs.iter().enumerate() {
        if entry.is_empty() {
            return Err(format!("spec.runs[{index}] is empty: name a source such as `postgresql`"));
        }
        if let Some(source) = entry.keys().find(|source| !seen.insert(source.as_str())) {
            return Err(format!(
                "spec.runs[{index}] names source {source:?} again: within one pipeline its two entries would delete \
                 each other's assets; make a Run of its own for it"
            ));
        }
    }
    let options = serde_saphyr::ser_options! { quote_all: true };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, &Pipeline { name, runs: &runs }, options)
        .map_err(|error| format!("spec.runs cannot be written as YAML: {error}"))?;
    if text.len() > MAX_LEN {
        return Err(format!(
            "spec.runs makes a pipeline.yaml of {} bytes; the limit is 1 MiB: split the Run",
            text.len()
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // R8
    #[test]
    fn name_comes_first_keys_are_sorted_and_strings_stay_strings() {
        let text = render("orders", r#"[{"pg":{"port":5432,"host":"no","big":9007199254740993,"on":"010"}}]"#).unwrap();
        assert!(text.starts_with("name: 'orders'\nruns:\n"), "{text}");
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back["runs"][0]["pg"]["host"], "no");
        assert_eq!(back["runs"][0]["pg"]["on"], "010");
        assert_eq!(back["runs"][0]["pg"]["big"], 9_007_199_254_740_993_i64);
        let order: Vec<usize> = ["big", "host", "on", "port"].iter().map(|key| text.find(key).unwrap()).collect();
        assert!(order.is_sorted(), "{text}");
    }

    // R41
    #[test]
    fn pipelines_marmot_would_misread_are_refused_by_name() {
        for (runs, part) in [
            ("[]", "is empty"),
            ("[{}]", "spec.runs[0] is empty"),
            (r#"["postgresql"]"#, "list of objects"),
            (r#"[{"pg":{}},{"pg":{}}]"#, "spec.runs[1] names source \"pg\" again"),
        ] {
            let error = render("x", runs).unwrap_err();
            assert!(error.contains(part), "{runs}: {error}");
        }
    }
}

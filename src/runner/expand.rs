//! `${NAME}` in the pipeline, out of the environment (R36, R37).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

/// How many missing variables one error lists.
const MAX_LISTED: usize = 10;

/// What an expansion did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The variables that were used: their values are secrets, as far as anybody can tell.
    pub variables: BTreeSet<String>,
    /// Whether any text changed, if only `$${` into `${`.
    pub changed: bool,
}

/// Why a pipeline cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// Variables the container does not have.
    #[error("{}; set them in spec.env or spec.envFrom of the Run (a literal `${{` is written `$${{`)", listed(.0))]
    Unset(Vec<Unset>),
    /// A value that cannot stand in a text.
    #[error("{path}: the environment variable {variable} is not UTF-8")]
    NotText {
        /// Where it is used, such as `runs[0].postgresql.password`.
        path: String,
        /// Its name.
        variable: String,
    },
}

/// A variable that is used and not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unset {
    /// Where it is used, such as `runs[0].postgresql.password`.
    pub path: String,
    /// Its name.
    pub variable: String,
}

fn listed(unset: &[Unset]) -> String {
    let mut text: Vec<String> = unset
        .iter()
        .take(MAX_LISTED)
        .map(|one| format!("{}: the environment variable {} is not set", one.path, one.variable))
        .collect();
    if let Some(more) = unset.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        text.push(format!("and {more} more"));
    }
    text.join("; ")
}

/// What a lookup of a variable finds.
pub enum Variable {
    /// Its value.
    Text(String),
    /// A value that is not UTF-8.
    Bytes,
    /// It is not set.
    Unset,
}

/// Expands every string of `runs` in place; keys stay as they are. Only `${[A-Za-z_][A-Za-z0-9_]*}` is a reference and
/// `$${` a literal `${`; everything else, shell syntax too, stands for itself. Values are not expanded again.
///
/// # Errors
///
/// Variables that are not set, each with the place of its use, or a value that is no text.
pub fn expand(config: &mut Value, lookup: impl Fn(&str) -> Variable) -> Result<Expanded, ExpandError> {
    let mut walk = Walk { lookup, expanded: Expanded::default(), unset: Vec::new(), not_text: None };
    if let Some(runs) = config.get_mut("runs") {
        walk.value(runs, &mut "runs".to_owned());
    }
    match walk.not_text {
        Some(error) => Err(error),
        None if !walk.unset.is_empty() => Err(ExpandError::Unset(walk.unset)),
        None => Ok(walk.expanded),
    }
}

struct Walk<L> {
    lookup: L,
    expanded: Expanded,
    unset: Vec<Unset>,
    not_text: Option<ExpandError>,
}

impl<L: Fn(&str) -> Variable> Walk<L> {
    fn value(&mut self, value: &mut Value, path: &mut String) {
        let len = path.len();
        match value {
            Value::String(text) if text.contains("${") => {
                if let Some(new) = self.text(text, path) {
                    *text = new;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    // Writing to a String cannot fail.
                    let _ = write!(path, "[{index}]");
                    self.value(item, path);
                    path.truncate(len);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    path.push_str(&step(key));
                    self.value(field, path);
                    path.truncate(len);
                }
            }
            _ => {}
        }
    }

    /// The text expanded; `None` if it stays as it is.
    fn text(&mut self, text: &str, path: &str) -> Option<String> {
        let (mut new, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            new.push_str(before);
            if let Some(after) = from.strip_prefix("$${") {
                new.push_str("${");
                rest = after;
            } else if let Some((variable, after)) = reference(from) {
                match self.variable(variable, path) {
                    Some(value) => new.push_str(&value),
                    None => new.push_str(variable),
                }
                rest = after;
            } else {
                new.push('$');
                rest = from.strip_prefix('$').unwrap_or_default();
            }
        }
        new.push_str(rest);
        (new != text).then(|| {
            self.expanded.changed = true;
            new
        })
    }

    fn variable(&mut self, variable: &str, path: &str) -> Option<String> {
        match (self.lookup)(variable) {
            Variable::Text(value) => {
                self.expanded.variables.insert(variable.to_owned());
                // A value that spells its own reference changes nothing, but has been used all the same.
                self.expanded.changed = true;
                return Some(value);
            }
            Variable::Bytes => {
                let error = ExpandError::NotText { path: path.to_owned(), variable: variable.to_owned() };
                self.not_text.get_or_insert(error);
            }
            Variable::Unset => {
                self.unset.push(Unset { path: path.to_owned(), variable: variable.to_owned() });
            }
        }
        None
    }
}

/// The name in a text that starts with `${NAME}`, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("${")?.split_once('}')?;
    let mut letters = name.bytes();
    let first = letters.next()?;
    let named = (first == b'_' || first.is_ascii_alphabetic())
        && letters.all(|letter| letter == b'_' || letter.is_ascii_alphanumeric());
    named.then_some((name, after))
}

fn step(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if plain { format!(".{key}") } else { format!("[{key:?}]") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lookup(name: &str) -> Variable {
        match name {
            "USER" => Variable::Text("ingest".to_owned()),
            "PASSWORD" => Variable::Text("a\"b'\n${USER}".to_owned()),
            "_X1" => Variable::Text(String::new()),
            "LATIN1" => Variable::Bytes,
            _ => Variable::Unset,
        }
    }

    fn expanded(text: &str) -> String {
        let mut config = json!({ "name": "n", "runs": [{ "pg": { "field": text } }] });
        expand(&mut config, lookup).unwrap();
        config["runs"][0]["pg"]["field"].as_str().unwrap().to_owned()
    }

    // R36
    #[test]
    fn references_are_replaced_and_nothing_else_is() {
        for (text, wanted) in [
            ("${USER}", "ingest"),
            ("x${USER}y${USER}", "xingestyingest"),
            ("[${_X1}]", "[]"),
            // A value is data: neither quoted nor expanded again.
            ("${PASSWORD}", "a\"b'\n${USER}"),
            ("$${USER}", "${USER}"),
            ("$$${USER}", "$${USER}"),
            ("$${", "${"),
            // No shell, and no half of it.
            ("$USER", "$USER"),
            ("${USER:-x}", "${USER:-x}"),
            ("${}", "${}"),
            ("${1A}", "${1A}"),
            ("${A B}", "${A B}"),
            ("${Ä}", "${Ä}"),
            ("${USER", "${USER"),
            ("$(USER)", "$(USER)"),
            ("^[a-z]+$", "^[a-z]+$"),
            ("$", "$"),
            ("", ""),
        ] {
            assert_eq!(expanded(text), wanted, "{text}");
        }
    }

    // R36: strings of `runs`, at any depth; neither keys nor the pipeline's name nor anything beside.
    #[test]
    fn strings_of_runs_only() {
        let mut config = json!({
            "name": "${USER}", "other": "${NOPE}",
            "runs": [{ "pg": { "${USER}": 5, "deep": [{ "x": ["${USER}"] }], "number": 1.5, "flag": true } }],
        });
        let done = expand(&mut config, lookup).unwrap();
        assert_eq!(config["name"], "${USER}");
        assert_eq!(config["runs"][0]["pg"]["${USER}"], 5);
        assert_eq!(config["runs"][0]["pg"]["deep"][0]["x"][0], "ingest");
        assert_eq!(done.variables.into_iter().collect::<Vec<_>>(), ["USER"]);
        assert!(done.changed);
        assert!(!expand(&mut json!({ "runs": [{ "pg": { "a": "$x" } }] }), lookup).unwrap().changed);
        assert!(!expand(&mut json!({}), lookup).unwrap().changed);
    }

    // R37
    #[test]
    fn unset_variables_are_named_with_their_places() {
        let mut config =
            json!({ "runs": [{ "pg": { "password": "${PGPASS}" } }, { "s3": { "a.b": ["", "${KEY}"] } }] });
        let error = expand(&mut config, lookup).unwrap_err().to_string();
        assert!(error.starts_with("runs[0].pg.password: the environment variable PGPASS is not set; "), "{error}");
        assert!(error.contains("runs[1].s3[\"a.b\"][1]: the environment variable KEY is not set"), "{error}");
        assert!(error.ends_with("(a literal `${` is written `$${`)"), "{error}");
        let error = expand(&mut json!({ "runs": ["${LATIN1}"] }), lookup).unwrap_err().to_string();
        assert_eq!(error, "runs[0]: the environment variable LATIN1 is not UTF-8");
        let many: Vec<String> = (0..15).map(|index| format!("${{V{index}}}")).collect();
        let error = expand(&mut json!({ "runs": many }), lookup).unwrap_err().to_string();
        assert!(error.contains("and 5 more"), "{error}");
    }
}

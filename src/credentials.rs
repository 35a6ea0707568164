//! Credentials in `spec.runs` (R37): which values look like one, and which come from the environment instead.

use serde_json::Value;

/// Parts of keys whose value is secret.
const SECRET: [&str; 9] =
    ["password", "passwd", "secret", "token", "apikey", "privatekey", "accesskey", "credentials", "connectionstring"];
/// Keys that only sound like it.
const HARMLESS: [&str; 4] = ["tokenurl", "tokentype", "secretname", "tokenendpoint"];

/// Whether `text` under `key` is a secret that stands there for everybody to read.
#[must_use]
pub fn is_clear_text(key: &str, text: &str) -> bool {
    let key: String = key.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let is_secret = SECRET.iter().any(|part| key.contains(part)) && !HARMLESS.contains(&key.as_str());
    is_secret && !text.is_empty() && !text.contains("${") && !text.starts_with('/')
}

/// Path of the first such secret in a value.
#[must_use]
pub fn find_clear_text(path: &str, key: &str, value: &Value) -> Option<String> {
    match value {
        Value::Object(map) => map.iter().find_map(|(key, value)| find_clear_text(&format!("{path}.{key}"), key, value)),
        Value::Array(list) => {
            let mut entries = list.iter().enumerate();
            entries.find_map(|(index, value)| find_clear_text(&format!("{path}[{index}]"), key, value))
        }
        Value::String(text) => is_clear_text(key, text).then(|| path.to_owned()),
        _ => None,
    }
}

/// A `${` that starts no `${NAME}` and is not escaped (R36): the runner leaves it as it is.
#[must_use]
pub fn broken_reference(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let inside = from.get(2..).unwrap_or_default();
        let name: String = inside.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let right = inside.get(name.len()..).is_some_and(|tail| tail.starts_with('}'))
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !before.ends_with('$') && !right {
            return Some(from.chars().take(name.len() + 3).collect());
        }
        rest = inside;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // R37
    #[rstest]
    #[case("password", "hunter2", true)]
    #[case("api_key", "x", true)]
    #[case("aws-secret-access-key", "x", true)]
    #[case("password", "${DB_PASSWORD}", false)]
    #[case("password", "", false)]
    #[case("private_key", "/etc/keys/id", false)]
    #[case("token_url", "https://x", false)]
    #[case("user", "readonly", false)]
    fn secrets_are_known_by_their_keys(#[case] key: &str, #[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_clear_text(key, text), expected);
    }

    // R36
    #[rstest]
    #[case("${NAME} and $${literal", None)]
    #[case("a ${1X} b", Some("${1X}"))]
    #[case("${NAME", Some("${NAME"))]
    #[case("${}", Some("${}"))]
    #[case("no reference", None)]
    fn broken_references_are_found(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(broken_reference(text).as_deref(), expected);
    }
}

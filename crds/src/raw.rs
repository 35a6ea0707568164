//! JSON kept as the text it came in: the pipelines of ten thousand Runs need no tree in memory, and no number in them
//! loses a digit.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value as text.
///
/// Two are equal if their texts are. The debug form tells the size only: pipelines may hold passwords, which no log
/// line and no panic message may show (R37).
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Raw(Box<RawValue>);

impl Raw {
    /// The text: always one valid JSON value.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl Default for Raw {
    /// `null`.
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Raw({} bytes)", self.get().len())
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl From<serde_json::Value> for Raw {
    fn from(value: serde_json::Value) -> Self {
        // A Value always prints as JSON, and JSON always reads as RawValue.
        RawValue::from_string(value.to_string()).map(Self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_survives_to_the_last_digit() {
        let text = r#"[{"a": 1.10,  "n":123456789012345678901234567890, "b":null}]"#;
        let raw: Raw = serde_json::from_str(text).unwrap();
        assert_eq!(raw.get(), text);
        assert_eq!(serde_json::to_string(&raw).unwrap(), text);
    }

    #[test]
    fn debug_shows_no_password() {
        let raw = Raw::from(json!([{"postgresql": {"password": "hunter2"}}]));
        assert_eq!(format!("{raw:?}"), "Raw(39 bytes)");
    }
}

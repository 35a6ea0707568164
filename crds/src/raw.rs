//! JSON kept as the text it came in: the pipelines of ten thousand Runs need no tree in memory, and no number in them
//! loses a digit.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value as text.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl Default for RawJson {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        // A Value always prints as JSON, and JSON always reads as RawValue.
        RawValue::from_string(value.to_string()).map(Self).unwrap_or_default()
    }
}

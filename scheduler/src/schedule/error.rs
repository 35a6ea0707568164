//! What is wrong with a schedule or a zone, said so that it can be mended.

use super::field::Field;

/// Why a text is no schedule. `Display` is one line that names the field, the position and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem} (position {position})", prefix(*field))]
pub struct ScheduleError {
    field: Option<Field>,
    position: usize,
    problem: Problem,
}

impl ScheduleError {
    pub(super) fn new(text: &str, byte: usize, field: Option<Field>, problem: Problem) -> Self {
        let position = text.char_indices().take_while(|(at, _)| *at < byte).count() + 1;
        Self { field, position, problem }
    }

    /// The field at fault: `minute`, `hour`, `day of month`, `month` or `day of week`; `None` if it is the whole.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        self.field.map(Field::name)
    }

    /// Where in the text, counted in characters from 1.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

fn prefix(field: Option<Field>) -> String {
    field.map(|field| format!("{}: ", field.name())).unwrap_or_default()
}

/// What was found and what is allowed. Texts of the user are held [`quoted`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the schedule is empty, expected five fields or a word such as @daily")]
    Empty,
    #[error("no time zone is allowed in a schedule, use timeZone for it")]
    TimeZone,
    #[error("found {0} of 5 fields: minute, hour, day of month, month, day of week")]
    TooFewFields(usize),
    #[error("found {0} fields, expected 5: this dialect has no field for seconds or years")]
    TooManyFields(usize),
    #[error("{found} is not known, {hint}")]
    Descriptor { found: String, hint: String },
    #[error("@every: {0}")]
    Every(&'static str),
    #[error("{0} is below {1}")]
    Below(String, u64),
    #[error("{0} is above {1}")]
    Above(String, u64),
    #[error("{0} is above 6, use 0 or SUN for Sunday")]
    Sunday(String),
    #[error("{found} runs backwards, write {instead}")]
    Backwards { found: String, instead: String },
    #[error("a step of 0 leads nowhere, expected 1 or more")]
    StepZero,
    #[error("step {0} is not a number, expected 1 or more")]
    Step(String),
    #[error("a step is missing after the slash")]
    StepMissing,
    #[error("{0} has more than one hyphen")]
    Hyphens(String),
    #[error("{0} has more than one slash")]
    Slashes(String),
    #[error("{found}: this dialect has no {letter}, expected {allowed}")]
    Extension { found: String, letter: char, allowed: &'static str },
    #[error("{found} is not a number, expected {allowed}")]
    NotANumber { found: String, allowed: &'static str },
    #[error("a number is missing, expected {0}")]
    Missing(&'static str),
}

/// A user's text for a message: in quotes, on one line, and cut if long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Why a text is no time zone (R22).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// There is no text.
    #[error("the time zone is empty, expected an IANA name such as Europe/Berlin")]
    Empty,
    /// `Local`, which would mean the operator's own zone.
    #[error("Local is no time zone, expected an IANA name such as Europe/Berlin")]
    Local,
    /// An IANA name in the wrong case.
    #[error("time zone {} is not known, did you mean {meant}?", quoted(found))]
    Case {
        /// As given.
        found: String,
        /// As the database has it.
        meant: String,
    },
    /// Not in the database.
    #[error("time zone {} is not known, expected an IANA name such as Europe/Berlin", quoted(.0))]
    Unknown(String),
    /// Data that is no compiled time zone.
    #[error("the data of time zone {} cannot be read", quoted(.0))]
    Data(String),
}

//! The normal form of an expression: what `Display` prints parses to the same schedule.

use std::fmt;

use super::field::{Field, Fields, Set};
use super::{Rule, Schedule};

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Every(seconds) => write!(f, "@every {}", duration(*seconds)),
            Rule::Cron(fields) => fields.fmt(f),
        }
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", text(Field::Minute, self.minute, true))?;
        write!(f, "{} ", text(Field::Hour, self.hour, true))?;
        write!(f, "{} ", text(Field::DayOfMonth, self.day_of_month, self.any_day_of_month))?;
        write!(f, "{} ", text(Field::Month, self.month, true))?;
        f.write_str(&text(Field::DayOfWeek, self.day_of_week, self.any_day_of_week))
    }
}

/// A field as a star, as numbers with a step, or as a list of numbers and ranges. A full set may be a star only if
/// `star`: `1-31` and `*` differ beside a day of the week.
fn text(field: Field, set: Set, star: bool) -> String {
    let values: Vec<i8> = set.iter().collect();
    match values.as_slice() {
        [] => ",".to_owned(),
        _ if star && set == field.every() => "*".to_owned(),
        [first, second, .., last] if values.len() > 2 && evenly(&values) && second - first > 1 => {
            let step = second - first;
            let edge = |value: i8, edge: u64| u64::from(value.unsigned_abs()) == edge;
            let beyond = u64::from(last.unsigned_abs()) + u64::from(step.unsigned_abs()) > field.max();
            match (edge(*first, field.min()), beyond) {
                (true, true) => format!("*/{step}"),
                (false, true) => format!("{first}/{step}"),
                (_, false) => format!("{first}-{last}/{step}"),
            }
        }
        _ => {
            let runs: Vec<String> = values
                .chunk_by(|a, b| b - a == 1)
                .map(|run| match run {
                    [first, _, .., last] => format!("{first}-{last}"),
                    _ => run.iter().map(i8::to_string).collect::<Vec<_>>().join(","),
                })
                .collect();
            runs.join(",")
        }
    }
}

fn evenly(values: &[i8]) -> bool {
    let mut gaps = values.iter().zip(values.iter().skip(1)).map(|(a, b)| b - a);
    let first = gaps.next();
    gaps.all(|gap| Some(gap) == first)
}

/// As Go prints a duration, without parts that are zero.
pub(super) fn duration(seconds: i64) -> String {
    let part = |number: i64, unit: char| if number > 0 { format!("{number}{unit}") } else { String::new() };
    part(seconds / 3600, 'h') + &part(seconds / 60 % 60, 'm') + &part(seconds % 60, 's')
}

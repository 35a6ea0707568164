//! From text to bit sets, by the rules of robfig/cron v3 `ParseStandard`, including its oddities (R21).
//!
//! The rules, not the code, are those of <https://github.com/robfig/cron>, whose notice `scheduler/NOTICE` keeps.

use super::Rule;
use super::error::{Problem, ScheduleError, quoted};
use super::every;
use super::field::{Field, Fields, Set};

/// Reads a whole expression.
pub(super) fn rule(text: &str) -> Result<Rule, ScheduleError> {
    let fail = |byte, problem| Err(ScheduleError::new(text, byte, None, problem));
    if let Some(byte) = text.find("TZ") {
        return fail(byte, Problem::TimeZone);
    }
    if text.starts_with('@') {
        return descriptor(text);
    }
    let mut words = Words { text, rest: text };
    let mut next = |field| words.next().map(|word| (field, word));
    let [minute, hour, day_of_month, month, day_of_week] = Field::ALL.map(&mut next);
    let (Some(minute), Some(hour), Some(day_of_month), Some(month), Some(day_of_week)) =
        (minute, hour, day_of_month, month, day_of_week)
    else {
        let found = text.split_whitespace().count();
        return fail(text.len(), if found == 0 { Problem::Empty } else { Problem::TooFewFields(found) });
    };
    if let Some((byte, _)) = words.next() {
        return fail(byte, Problem::TooManyFields(text.split_whitespace().count()));
    }
    let read = |(field, (start, word))| Reader { text, field }.list(start, word);
    let (minute, hour) = (read(minute)?, read(hour)?);
    let (day_of_month, month, day_of_week) = (read(day_of_month)?, read(month)?, read(day_of_week)?);
    Ok(Rule::Cron(Fields {
        minute: minute.set,
        hour: hour.set,
        day_of_month: day_of_month.set,
        month: month.set,
        day_of_week: day_of_week.set,
        any_day_of_month: day_of_month.star,
        any_day_of_week: day_of_week.star,
    }))
}

/// Splits at white space and tells the byte at which each word starts.
struct Words<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.rest.trim_start();
        let (word, rest) = start.split_at(start.find(char::is_whitespace).unwrap_or(start.len()));
        self.rest = rest;
        (!word.is_empty()).then_some((self.text.len() - start.len(), word))
    }
}

/// `@hourly` and its like must match exactly, white space and case included.
fn descriptor(text: &str) -> Result<Rule, ScheduleError> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return period(text),
    };
    rule(fields)
}

fn period(text: &str) -> Result<Rule, ScheduleError> {
    const KNOWN: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    const EVERY: &str = "@every ";
    if let Some(duration) = text.strip_prefix(EVERY) {
        return every::seconds(duration)
            .map(Rule::Every)
            .map_err(|wrong| ScheduleError::new(text, EVERY.len() + wrong.at, None, Problem::Every(wrong.problem)));
    }
    let hint = match KNOWN.iter().find(|known| text.trim().eq_ignore_ascii_case(known)) {
        Some(known) => format!("write exactly {known}"),
        None => format!("expected {} or @every <duration>", KNOWN.join(", ")),
    };
    Err(ScheduleError::new(text, 0, None, Problem::Descriptor { found: quoted(text), hint }))
}

/// What a field or a part of its list says.
#[derive(Clone, Copy, Default)]
struct Parsed {
    set: Set,
    /// Some part was a star that no step above one took its meaning from.
    star: bool,
}

/// Reads one field. Starts are bytes into the whole text.
struct Reader<'a> {
    text: &'a str,
    field: Field,
}

/// A bound of a range, with where and how it was written.
#[derive(Clone, Copy)]
struct Bound<'a> {
    start: usize,
    word: &'a str,
    value: u64,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, byte: usize, problem: Problem) -> Result<T, ScheduleError> {
        Err(ScheduleError::new(self.text, byte, Some(self.field), problem))
    }

    /// `range,range`. Empty parts are skipped, even if that leaves none: `,` is a field that matches nothing.
    fn list(&self, start: usize, list: &'a str) -> Result<Parsed, ScheduleError> {
        let mut parsed = Parsed::default();
        for (start, range) in split(start, list, ',').filter(|(_, range)| !range.is_empty()) {
            let part = self.range(start, range)?;
            parsed = Parsed { set: parsed.set.union(part.set), star: parsed.star || part.star };
        }
        Ok(parsed)
    }

    /// `a`, `a-b`, `*` or `?`, each with `/step` if wanted.
    fn range(&self, start: usize, range: &'a str) -> Result<Parsed, ScheduleError> {
        let mut halves = split(start, range, '/');
        let (bounds, step) = (halves.next().unwrap_or((start, "")), halves.next());
        if let Some((byte, _)) = halves.next() {
            return self.fail(byte - 1, Problem::Slashes(quoted(range)));
        }
        let mut ends = split(bounds.0, bounds.1, '-');
        let (first, second) = (ends.next().unwrap_or(bounds), ends.next());
        // Whatever follows a star up to the slash goes unread: `*-5` is `*`.
        let star = matches!(first.1, "*" | "?");
        let (low, high) = if star {
            let edge = |value| Bound { start: first.0, word: first.1, value };
            (edge(self.field.min()), edge(self.field.max()))
        } else {
            if let Some((byte, _)) = ends.next() {
                return self.fail(byte - 1, Problem::Hyphens(quoted(bounds.1)));
            }
            let low = self.bound(first)?;
            (low, second.map_or(Ok(low), |second| self.bound(second))?)
        };
        let count = step.map_or(Ok(1), |(start, word)| self.step(start, word))?;
        self.check(low, high)?;
        // `a/step` runs from a to the end.
        let to_the_end = step.is_some() && second.is_none();
        let high = if to_the_end { self.field.max() } else { high.value };
        Ok(Parsed { set: Set::stepped(low.value, high, count), star: star && count == 1 })
    }

    fn check(&self, low: Bound<'_>, high: Bound<'_>) -> Result<(), ScheduleError> {
        let (min, max) = (self.field.min(), self.field.max());
        for bound in [low, high] {
            if bound.value < min {
                return self.fail(bound.start, Problem::Below(bound.word.to_owned(), min));
            }
            if bound.value == 7 && self.field == Field::DayOfWeek {
                return self.fail(bound.start, Problem::Sunday(bound.word.to_owned()));
            }
            if bound.value > max {
                return self.fail(bound.start, Problem::Above(bound.word.to_owned(), max));
            }
        }
        if low.value > high.value {
            let found = format!("{}-{}", low.word, high.word);
            let (last, first) = match self.field.names() {
                [first, .., last] => (last.to_ascii_uppercase(), first.to_ascii_uppercase()),
                _ => (max.to_string(), min.to_string()),
            };
            let until = if high.value == min { high.word.to_owned() } else { format!("{first}-{}", high.word) };
            let instead = format!("{}-{last},{until}", low.word);
            return self.fail(low.start, Problem::Backwards { found, instead });
        }
        Ok(())
    }

    fn bound(&self, (start, word): (usize, &'a str)) -> Result<Bound<'a>, ScheduleError> {
        let names = self.field.names();
        let value = match names.iter().zip(self.field.min()..).find(|(name, _)| is_name(word, name)) {
            Some((_, value)) => value,
            None => match number(word) {
                Some(value) => value,
                None => return self.fail(start, self.not_a_number(word)),
            },
        };
        Ok(Bound { start, word, value })
    }

    fn step(&self, start: usize, word: &str) -> Result<u64, ScheduleError> {
        match number(word) {
            Some(0) => self.fail(start, Problem::StepZero),
            Some(step) => Ok(step),
            None if word.is_empty() => self.fail(start - 1, Problem::StepMissing),
            None => self.fail(start, Problem::Step(quoted(word))),
        }
    }

    fn not_a_number(&self, word: &str) -> Problem {
        let allowed = match self.field {
            Field::Minute => "0 to 59",
            Field::Hour => "0 to 23",
            Field::DayOfMonth => "1 to 31",
            Field::Month => "1 to 12 or JAN to DEC",
            Field::DayOfWeek => "0 to 6 or SUN to SAT",
        };
        if word.is_empty() {
            return Problem::Missing(allowed);
        }
        if word.bytes().all(|c| c.is_ascii_digit()) {
            return Problem::Above(quoted(word), self.field.max());
        }
        let letters = word.trim_matches(|c: char| c.is_ascii_digit());
        let letter = letters.chars().find_map(|c| "LW#H".chars().find(|known| c.eq_ignore_ascii_case(known)));
        match letter {
            Some(letter) if letters.len() <= 2 => Problem::Extension { found: quoted(word), letter, allowed },
            _ => Problem::NotANumber { found: quoted(word), allowed },
        }
    }
}

/// The parts of `text`, which starts at byte `start`, with the byte at which each starts.
fn split(start: usize, text: &str, at: char) -> impl Iterator<Item = (usize, &str)> {
    let mut next = start;
    text.split(at).map(move |part| {
        let start = next;
        next += part.len() + at.len_utf8();
        (start, part)
    })
}

/// Names may be in any case. Go lowers the Turkish dotted capital I to a plain i, so `FRİ` is a Friday.
fn is_name(word: &str, name: &str) -> bool {
    let lowered = word.chars().map(|c| if c == '\u{130}' { 'i' } else { c.to_ascii_lowercase() });
    lowered.eq(name.chars())
}

/// Go's `Atoi`, where the number is not negative: digits, after a plus if wanted.
fn number(word: &str) -> Option<u64> {
    word.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok())
}

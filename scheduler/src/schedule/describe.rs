//! A schedule in plain English.

use super::display::duration;
use super::field::{Field, Fields, Set};
use super::{Rule, Schedule};

/// Up to so many times of day are listed as such.
const TIMES: u64 = 6;

const MONTHS: [&str; 13] = [
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl Schedule {
    /// A reading of the schedule for people, such as `at 02:30 and 14:30, on weekdays`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.rule {
            Rule::Every(seconds) => format!("every {}, counted from when the schedule took effect", duration(*seconds)),
            Rule::Cron(_) if self.never_fires() => "never, as no date and time match".to_owned(),
            Rule::Cron(fields) => {
                [Some(times(fields)), days(fields), months(fields)].into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
        }
    }
}

fn times(fields: &Fields) -> String {
    let (minutes, hours) = (fields.minute, fields.hour);
    if minutes.count() * hours.count() <= TIMES {
        let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}")));
        let day = if days(fields).is_none() { "every day at" } else { "at" };
        return format!("{day} {}", list(&times.collect::<Vec<_>>()));
    }
    let often = match (step(Field::Minute, minutes), minutes.count()) {
        (Some(1), _) => "every minute".to_owned(),
        (Some(step), _) => format!("every {step} minutes"),
        (None, 1) => format!("at minute {}", numbers(minutes)),
        (None, _) => format!("at minutes {}", numbers(minutes)),
    };
    match (step(Field::Hour, hours), hours.count()) {
        (Some(1), _) if step(Field::Minute, minutes).is_some() => often,
        (Some(1), _) => format!("{often} of every hour"),
        (Some(step), _) => format!("{often} of every {} hour from midnight", ordinal(step)),
        (None, 1) => format!("{often} of hour {}", numbers(hours)),
        (None, _) => format!("{often} of hours {}", numbers(hours)),
    }
}

/// The step of a set that runs evenly through an hour or a day and over its end.
fn step(field: Field, set: Set) -> Option<u64> {
    let size = field.max() + 1;
    (1..=size / 2).find(|step| size.is_multiple_of(*step) && set == Set::stepped(0, field.max(), *step))
}

fn ordinal(number: u64) -> String {
    match number {
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        _ => format!("{number}th"),
    }
}

/// `None` for every day.
fn days(fields: &Fields) -> Option<String> {
    let by_week = (fields.day_of_week != Field::DayOfWeek.every()).then(|| weekdays(fields.day_of_week));
    let by_month = (fields.day_of_month != Field::DayOfMonth.every()).then(|| {
        let many = if fields.day_of_month.count() == 1 { "day" } else { "days" };
        format!("on {many} {} of the month", numbers(fields.day_of_month))
    });
    if fields.any_day_of_month || fields.any_day_of_week {
        return by_month.or(by_week);
    }
    match (fields.day_of_month.is_empty(), fields.day_of_week.is_empty()) {
        (true, _) => by_week,
        (_, true) => by_month,
        // Either will do, so one that is full makes it every day.
        _ => Some(format!("{} or {}", by_month?, by_week?)),
    }
}

fn weekdays(set: Set) -> String {
    if set == Set::stepped(1, 5, 1) {
        return "on weekdays".to_owned();
    }
    if set == Set::stepped(0, 6, 6) {
        return "on Saturdays and Sundays".to_owned();
    }
    let names: Vec<_> = set.iter().filter_map(|day| name(&WEEKDAYS, day)).map(|day| format!("{day}s")).collect();
    format!("on {}", list(&names))
}

fn months(fields: &Fields) -> Option<String> {
    if fields.month == Field::Month.every() {
        return None;
    }
    let runs: Vec<_> = runs(fields.month)
        .into_iter()
        .filter_map(|(first, last)| Some((name(&MONTHS, first)?, name(&MONTHS, last)?)))
        .map(|(first, last)| if first == last { first.to_owned() } else { format!("{first} to {last}") })
        .collect();
    Some(format!("in {}", list(&runs)))
}

fn name(names: &'static [&'static str], number: i8) -> Option<&'static str> {
    names.get(usize::try_from(number).ok()?).copied()
}

fn numbers(set: Set) -> String {
    let runs: Vec<_> = runs(set)
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") })
        .collect();
    list(&runs)
}

/// Three or more numbers in a row as one; others alone.
fn runs(set: Set) -> Vec<(i8, i8)> {
    let values: Vec<i8> = set.iter().collect();
    let mut runs = Vec::new();
    for run in values.chunk_by(|a, b| b - a == 1) {
        match run {
            [first, _, .., last] => runs.push((*first, *last)),
            _ => runs.extend(run.iter().map(|value| (*value, *value))),
        }
    }
    runs
}

fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

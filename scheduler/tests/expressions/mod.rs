//! Random expressions that know what they mean, without the engine's parser.

use std::fmt;

use jiff::civil::DateTime;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const MONTHS: [&str; 12] = ["JAN", "Feb", "mar", "APR", "may", "jun", "jul", "aug", "sep", "oct", "NOV", "dec"];
const DAYS: [&str; 7] = ["SUN", "mon", "Tue", "wed", "thu", "FRI", "sat"];

/// One part of a field's list.
#[derive(Clone, Debug)]
enum Part {
    Star(&'static str),
    Stepped(&'static str, u64),
    One(u64),
    Named(u64, &'static str),
    Plus(u64),
    From(u64, u64),
    Range(u64, u64),
    RangeStepped(u64, u64, u64),
}

#[derive(Clone, Debug)]
struct Field {
    min: u64,
    parts: Vec<Part>,
}

impl Field {
    fn holds(&self, value: i8) -> bool {
        let value = u64::try_from(value).unwrap();
        self.parts.iter().any(|part| match *part {
            Part::Star(_) => true,
            Part::Stepped(_, step) => (value - self.min).is_multiple_of(step),
            Part::One(one) | Part::Plus(one) | Part::Named(one, _) => value == one,
            Part::From(from, step) => value >= from && (value - from).is_multiple_of(step),
            Part::Range(from, to) => (from..=to).contains(&value),
            Part::RangeStepped(from, to, step) => (from..=to).contains(&value) && (value - from).is_multiple_of(step),
        })
    }

    /// A star keeps its meaning for days unless a step above 1 takes it.
    fn starred(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Star(_) | Part::Stepped(_, 1)))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.parts.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            match part {
                Part::Star(star) => f.write_str(star)?,
                Part::Stepped(star, step) => write!(f, "{star}/{step}")?,
                Part::One(one) => write!(f, "{one}")?,
                Part::Plus(one) => write!(f, "+{one}")?,
                Part::Named(_, name) => f.write_str(name)?,
                Part::From(from, step) => write!(f, "{from}/{step}")?,
                Part::Range(from, to) => write!(f, "{from}-{to}")?,
                Part::RangeStepped(from, to, step) => write!(f, "{from}-{to}/{step}")?,
            }
        }
        Ok(())
    }
}

/// A whole expression; `Display` is its text.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    minute: Field,
    hour: Field,
    day_of_month: Field,
    month: Field,
    day_of_week: Field,
}

impl Expression {
    pub(crate) fn every_hour(&self) -> bool {
        (0..24).all(|hour| self.hour.holds(hour))
    }

    pub(crate) fn matches(&self, wall: DateTime) -> bool {
        let (by_month, by_week) =
            (self.day_of_month.holds(wall.day()), self.day_of_week.holds(wall.weekday().to_sunday_zero_offset()));
        let day = if self.day_of_month.starred() || self.day_of_week.starred() {
            by_month && by_week
        } else {
            by_month || by_week
        };
        self.minute.holds(wall.minute()) && self.hour.holds(wall.hour()) && self.month.holds(wall.month()) && day
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} {}", self.minute, self.hour, self.day_of_month, self.month, self.day_of_week)
    }
}

/// Any expression, sparse ones too.
pub(crate) fn any() -> impl Strategy<Value = Expression> {
    build(star_or(1, 2, 1, 31), star_or(1, 2, 1, 12))
}

/// An expression that has ticks near `wall`, most of the time.
pub(crate) fn near(wall: DateTime) -> impl Strategy<Value = Expression> {
    let (day, month) = (u64::try_from(wall.day()).unwrap(), u64::try_from(wall.month()).unwrap());
    let days = (day.saturating_sub(1).max(1)..=(day + 1).min(31)).prop_map(|day| vec![Part::One(day)]);
    let months = Just(vec![Part::Named(month, MONTHS[usize::try_from(wall.month()).unwrap() - 1])]);
    let day_of_month = prop_oneof![4 => star_or(6, 1, 1, 31), 1 => days.prop_map(|parts| Field { min: 1, parts })];
    let month = prop_oneof![5 => star_or(20, 1, 1, 12), 1 => months.prop_map(|parts| Field { min: 1, parts })];
    build(day_of_month, month)
}

fn build(
    day_of_month: impl Strategy<Value = Field>,
    month: impl Strategy<Value = Field>,
) -> impl Strategy<Value = Expression> {
    // Minutes are rarely all of them, hours often.
    (star_or(1, 6, 0, 59), star_or(3, 6, 0, 23), day_of_month, month, star_or(5, 2, 0, 6)).prop_map(
        |(minute, hour, day_of_month, month, day_of_week)| Expression {
            minute,
            hour,
            day_of_month,
            month,
            day_of_week,
        },
    )
}

/// A field that is a lone star in `stars` of `stars + lists` cases.
fn star_or(stars: u32, lists: u32, min: u64, max: u64) -> impl Strategy<Value = Field> {
    let star = select(vec!["*", "?", "*-5"]);
    let step = prop_oneof![3 => 1..=6_u64, 1 => 1..=70_u64, 1 => Just(70_000)];
    let names: &[&str] = match max {
        12 => &MONTHS,
        6 => &DAYS,
        _ => &[],
    };
    let mut by_name: Vec<Part> =
        (min..).zip(names.iter().copied()).map(|(value, name)| Part::Named(value, name)).collect();
    by_name.push(Part::Plus(max));
    let ordered = (min..=max, min..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let part = prop_oneof![
        6 => (min..=max).prop_map(Part::One),
        3 => ordered.clone().prop_map(|(from, to)| Part::Range(from, to)),
        2 => (ordered, step.clone()).prop_map(|((from, to), step)| Part::RangeStepped(from, to, step)),
        2 => (min..=max, step.clone()).prop_map(|(from, step)| Part::From(from, step)),
        2 => (star.clone(), step).prop_map(|(star, step)| Part::Stepped(star, step)),
        1 => select(by_name),
        1 => star.clone().prop_map(Part::Star),
    ];
    let parts = prop_oneof![
        stars => star.prop_map(|star| vec![Part::Star(star)]),
        lists => vec(part, 1..4),
    ];
    parts.prop_map(move |parts| Field { min, parts })
}

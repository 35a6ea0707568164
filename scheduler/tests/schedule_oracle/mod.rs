//! What R23 says, word for word and minute by minute: an oracle that shares nothing with the engine but the zone data.
//!
//! It asks jiff one question only, what the wall clock shows at an instant, and never the way back.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::expressions::Expression;

/// How far to both sides of a change of the offset an oracle looks. No zone changes twice within five days.
const REACH: i64 = 36 * 3600;

/// A zone around a change of its offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) zone: String,
    /// Unix seconds.
    pub(crate) change: i64,
}

/// Every wall-clock minute near a change, with the instant or instants at which it would run.
pub(crate) struct Oracle {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Every minute as it passes, for schedules whose hour field matches every hour.
    passing: Vec<(i64, DateTime)>,
    /// Every minute of the calendar once, for all others.
    once: Vec<(i64, DateTime)>,
}

impl Oracle {
    pub(crate) fn new(place: &Place) -> Self {
        let zone = TimeZoneDatabase::bundled().get(&place.zone).unwrap();
        let (start, end) = (place.change - REACH, place.change + REACH);
        // Monrovia was 44 minutes and 30 seconds behind until 1972.
        let step = if place.change % 60 == 0 { 60 } else { 30 };
        let passing: Vec<_> = (start..end)
            .step_by(step)
            .map(|second| (second, zone.to_datetime(Timestamp::from_second(second).unwrap())))
            .collect();
        let once = once(&passing);
        let passing = passing.into_iter().filter(|(_, wall)| wall.second() == 0).collect();
        Self { start, end, passing, once }
    }

    /// The ticks of the window, in unix seconds.
    pub(crate) fn ticks(&self, expression: &Expression) -> Vec<i64> {
        let minutes = if expression.every_hour() { &self.passing } else { &self.once };
        let mut ticks: Vec<_> =
            minutes.iter().filter(|(_, wall)| expression.matches(*wall)).map(|(second, _)| *second).collect();
        ticks.dedup();
        assert!(ticks.is_sorted());
        ticks
    }
}

/// Each minute of the calendar at the first instant that shows it, or, if none does, at the first that shows a later
/// one.
fn once(passing: &[(i64, DateTime)]) -> Vec<(i64, DateTime)> {
    let mut first = BTreeMap::new();
    for (second, wall) in passing {
        first.entry(*wall).or_insert(*second);
    }
    let minute = SignedDuration::from_mins(1);
    let (mut wall, last) = (passing[0].1, passing[passing.len() - 1].1);
    while wall.second() != 0 {
        wall = wall.checked_add(SignedDuration::from_secs(1)).unwrap();
    }
    let mut minutes = Vec::new();
    while wall <= last {
        let second = first.get(&wall).copied();
        let second = second.unwrap_or_else(|| passing.iter().find(|(_, later)| *later > wall).unwrap().0);
        minutes.push((second, wall));
        wall = wall.checked_add(minute).unwrap();
    }
    minutes
}

/// Zones with unusual changes: half an hour, a quarter, a day, at midnight, a minute past it, downwards in summer,
/// every Ramadan, three hours, seven.
pub(crate) const UNUSUAL: [&str; 32] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Africa/Windhoek",
    "America/Asuncion",
    "America/Caracas",
    "America/Goose_Bay",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Antarctica/Vostok",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
];

/// Places to look at: some changes of every zone, and many of the unusual ones.
pub(crate) fn places() -> Vec<Place> {
    let database = TimeZoneDatabase::bundled();
    let mut places = Vec::new();
    for name in database.available() {
        let zone = database.get(name.as_str()).unwrap();
        let changes = changes(&zone);
        let unusual = UNUSUAL.contains(&name.as_str());
        // The step is odd, so that both gaps and repeats come up.
        let step = if unusual { 7 } else { 101 };
        let place = |change: &i64| Place { zone: name.to_string(), change: *change };
        places.extend(changes.iter().step_by(step).map(place));
        places.extend(changes.iter().rev().take(if unusual { 2 } else { 0 }).map(place));
        if changes.is_empty() {
            places.push(place(&1_699_999_200));
        }
    }
    places
}

/// All changes from 1970 to 2100.
pub(crate) fn changes(zone: &TimeZone) -> Vec<i64> {
    let (from, until) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(4_133_980_800).unwrap());
    zone.following(from)
        .map(|change| change.timestamp())
        .take_while(|at| *at < until)
        .map(Timestamp::as_second)
        .collect()
}

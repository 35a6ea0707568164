//! The ticks of a calendar in which no offset ever changes: first, last and number, always over half-open ranges of
//! whole seconds.

use jiff::civil::{Date, DateTime};

use super::field::Fields;

/// The longest time between two matching dates is eight years, from 29 February 2096 to 29 February 2104.
const YEARS: i16 = 9;

impl Fields {
    /// The first tick at or after `from`.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let date = from.date();
        if self.days(date).has(date.day())
            && let Some((hour, minute)) = self.time_from(from)
        {
            return Some(date.at(hour, minute, 0, 0));
        }
        let date = self.date_after(date)?;
        Some(date.at(self.hour.first()?, self.minute.first()?, 0, 0))
    }

    /// The last tick before `until`.
    pub(super) fn last_before(&self, until: DateTime) -> Option<DateTime> {
        let date = until.date();
        if self.days(date).has(date.day())
            && let Some((hour, minute)) = self.time_before(until)
        {
            return Some(date.at(hour, minute, 0, 0));
        }
        let date = self.date_before(date)?;
        Some(date.at(self.hour.last()?, self.minute.last()?, 0, 0))
    }

    /// The number of ticks in `[from, until)`. Costs one step a month.
    pub(super) fn count(&self, from: DateTime, until: DateTime) -> u64 {
        if until <= from {
            return 0;
        }
        let mut ticks = 0;
        let mut month = from.date().first_of_month();
        while month < until.date().first_of_month() {
            ticks += self.days(month).count() * self.ticks_a_day();
            let Some(following) = month_after(month) else { break };
            month = following;
        }
        (ticks + self.count_in_month(until)).saturating_sub(self.count_in_month(from))
    }

    fn ticks_a_day(&self) -> u64 {
        self.hour.count() * self.minute.count()
    }

    /// The number of ticks from the start of the month to `until`.
    fn count_in_month(&self, until: DateTime) -> u64 {
        let days = self.days(until.date());
        let whole_days = days.count_below(until.day()) * self.ticks_a_day();
        if !days.has(until.day()) {
            return whole_days;
        }
        let whole_hours = self.hour.count_below(until.hour()) * self.minute.count();
        let minutes = if self.hour.has(until.hour()) { self.minute.count_below(whole_minute(until)) } else { 0 };
        whole_days + whole_hours + minutes
    }

    /// The first time of day at or after that of `from`.
    fn time_from(&self, from: DateTime) -> Option<(i8, i8)> {
        if self.hour.has(from.hour())
            && let Some(minute) = self.minute.first_from(whole_minute(from))
        {
            return Some((from.hour(), minute));
        }
        Some((self.hour.first_from(from.hour() + 1)?, self.minute.first()?))
    }

    /// The last time of day before that of `until`.
    fn time_before(&self, until: DateTime) -> Option<(i8, i8)> {
        if self.hour.has(until.hour())
            && let Some(minute) = self.minute.last_before(whole_minute(until))
        {
            return Some((until.hour(), minute));
        }
        Some((self.hour.last_before(until.hour())?, self.minute.last()?))
    }

    /// The first matching date after `date`.
    fn date_after(&self, date: Date) -> Option<Date> {
        if let Some(day) = self.days(date).first_from(date.day() + 1) {
            return Date::new(date.year(), date.month(), day).ok();
        }
        let mut month = date;
        while month.year() - date.year() <= YEARS {
            month = match self.month.first_from(month.month() + 1) {
                Some(number) => Date::new(month.year(), number, 1),
                None => Date::new(month.year() + 1, self.month.first()?, 1),
            }
            .ok()?;
            if let Some(day) = self.days(month).first() {
                return Date::new(month.year(), month.month(), day).ok();
            }
        }
        None
    }

    /// The last matching date before `date`.
    fn date_before(&self, date: Date) -> Option<Date> {
        if let Some(day) = self.days(date).last_before(date.day()) {
            return Date::new(date.year(), date.month(), day).ok();
        }
        let mut month = date;
        while date.year() - month.year() <= YEARS {
            month = match self.month.last_before(month.month()) {
                Some(number) => Date::new(month.year(), number, 1),
                None => Date::new(month.year() - 1, self.month.last()?, 1),
            }
            .ok()?;
            if let Some(day) = self.days(month).last() {
                return Date::new(month.year(), month.month(), day).ok();
            }
        }
        None
    }
}

/// The minute of the hour, rounded up: a tick is before `time` exactly if its minute is before this.
fn whole_minute(time: DateTime) -> i8 {
    time.minute() + i8::from(time.second() > 0)
}

fn month_after(date: Date) -> Option<Date> {
    let (year, month) = if date.month() == 12 { (date.year() + 1, 1) } else { (date.year(), date.month() + 1) };
    Date::new(year, month, 1).ok()
}

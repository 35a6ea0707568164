//! The five fields as bit sets.

use jiff::civil::Date;

/// A set of numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    /// `start`, `start + step`, and so on up to `end`.
    pub(super) fn stepped(start: u64, end: u64, step: u64) -> Self {
        let mut bits = 0;
        let mut value = start;
        while value <= end {
            bits |= bit(value);
            value = value.saturating_add(step.max(1));
        }
        Self(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, value: i8) -> bool {
        self.0 & bit(number(value)) != 0
    }

    pub(super) fn count(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    pub(super) fn count_below(self, value: i8) -> u64 {
        u64::from((self.0 & below(value)).count_ones())
    }

    pub(super) fn first(self) -> Option<i8> {
        (self.0 != 0).then(|| value(self.0.trailing_zeros()))
    }

    pub(super) fn last(self) -> Option<i8> {
        self.0.checked_ilog2().map(value)
    }

    /// The least member that is `value` or more.
    pub(super) fn first_from(self, value: i8) -> Option<i8> {
        Self(self.0 & !below(value)).first()
    }

    /// The greatest member less than `value`.
    pub(super) fn last_before(self, value: i8) -> Option<i8> {
        Self(self.0 & below(value)).last()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = i8> {
        (0..64).filter(move |value| self.has(*value))
    }
}

fn number(value: i8) -> u64 {
    u64::from(value.unsigned_abs())
}

fn value(position: u32) -> i8 {
    i8::try_from(position).unwrap_or(i8::MAX)
}

fn bit(value: u64) -> u64 {
    u32::try_from(value).ok().and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(0)
}

/// All bits less than `value`.
fn below(value: i8) -> u64 {
    bit(number(value)).wrapping_sub(1)
}

/// What one of the five fields is called and may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl Field {
    pub(super) const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }

    pub(super) fn min(self) -> u64 {
        match self {
            Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
        }
    }

    pub(super) fn max(self) -> u64 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 6,
        }
    }

    /// The names this field knows, the first of which stands for [`min`](Self::min).
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Minute | Self::Hour | Self::DayOfMonth => &[],
            Self::Month => &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
            Self::DayOfWeek => &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        }
    }

    /// Every value the field may hold.
    pub(super) fn every(self) -> Set {
        Set::stepped(self.min(), self.max(), 1)
    }
}

/// The five fields of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) minute: Set,
    pub(super) hour: Set,
    pub(super) day_of_month: Set,
    pub(super) month: Set,
    pub(super) day_of_week: Set,
    /// The day of the month was given by a star: then the day of the week decides alone.
    pub(super) any_day_of_month: bool,
    /// The day of the week was given by a star: then the day of the month decides alone.
    pub(super) any_day_of_week: bool,
}

impl Fields {
    /// Ticks follow elapsed time, not the wall clock (R23).
    pub(super) fn elapsed(&self) -> bool {
        self.hour == Field::Hour.every()
    }

    /// The matching days of the month that `date` lies in, none if the month does not match: days of the month *and* of the week if one of the two is a
    /// star, else either (robfig's rule, which is Vixie cron's).
    pub(super) fn days(&self, date: Date) -> Set {
        if !self.month.has(date.month()) {
            return Set::default();
        }
        let by_month = self.day_of_month.bits();
        let by_week = self.weekdays_of(date);
        let days = if self.any_day_of_month || self.any_day_of_week { by_month & by_week } else { by_month | by_week };
        Set(days & below(date.days_in_month().saturating_add(1)) & !1)
    }

    /// The days of the month of `date` that fall on a matching day of the week.
    fn weekdays_of(&self, date: Date) -> u64 {
        let week = self.day_of_week.bits();
        let weeks = week | week << 7 | week << 14 | week << 21 | week << 28 | week << 35;
        let first = date.first_of_month().weekday().to_sunday_zero_offset();
        weeks >> first.unsigned_abs() << 1
    }

    /// No date has a matching day, or no day a matching time (R25).
    pub(super) fn never_match(&self) -> bool {
        if self.minute.is_empty() || self.hour.is_empty() || self.month.is_empty() {
            return true;
        }
        // Every month has every day of the week, but not every day of the month.
        let by_week = !self.day_of_week.is_empty();
        let by_month = self.month.iter().any(|month| {
            let longest = match month {
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            self.day_of_month.first().is_some_and(|day| day <= longest)
        });
        if self.any_day_of_month || self.any_day_of_week { !(by_week && by_month) } else { !(by_week || by_month) }
    }
}

//! Time zones, and the way between the wall clock and instants.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use super::{ZoneError, at_second};

/// A time zone of the IANA database that is compiled in (R22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Looks up an IANA name such as `Europe/Berlin`, exactly as the database spells it.
    ///
    /// # Errors
    ///
    /// [`ZoneError`] if the name is empty, `Local`, spelled in another case, or not in the database.
    pub fn parse(name: &str) -> Result<Self, ZoneError> {
        if name.is_empty() {
            return Err(ZoneError::Empty);
        }
        if name.eq_ignore_ascii_case("local") {
            return Err(ZoneError::Local);
        }
        let unknown = || ZoneError::Unknown(name.to_owned());
        let zone = Self(TimeZoneDatabase::bundled().get(name).map_err(|_| unknown())?);
        if zone.0.is_unknown() {
            return Err(unknown());
        }
        if zone.name() != name {
            return Err(ZoneError::Case { found: name.to_owned(), meant: zone.name().to_owned() });
        }
        Ok(zone)
    }

    /// A zone from compiled data of one's own (RFC 9636), for those who must evaluate a schedule with another release of
    /// the database than the one compiled in.
    ///
    /// # Errors
    ///
    /// [`ZoneError::Data`] if `tzif` is not such data.
    pub fn from_tzif(name: &str, tzif: &[u8]) -> Result<Self, ZoneError> {
        TimeZone::tzif(name, tzif).map(Self).map_err(|_| ZoneError::Data(name.to_owned()))
    }

    /// Coordinated Universal Time, the zone of a Run without `timeZone`.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The zone in jiff's terms.
    #[must_use]
    pub fn time_zone(&self) -> &TimeZone {
        &self.0
    }

    pub(super) fn offset(&self, instant: Timestamp) -> Offset {
        self.0.to_offset(instant)
    }

    /// The instant at which the wall clock first shows `wall`, or, if it never does, the end of the gap it lies in.
    pub(super) fn first_instant(&self, wall: DateTime) -> Option<Timestamp> {
        match self.0.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(wall).ok()
            }
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the later offset, a time in the gap lies before the change.
                let before_change = after.to_timestamp(wall).ok()?;
                self.changes(before_change).next().map(|change| change.at)
            }
        }
    }

    /// The least wall-clock time whose [`first_instant`](Self::first_instant) is after `second`: as that function never
    /// decreases, it cuts the wall-clock ticks into those up to `second` and those after it.
    pub(super) fn wall_after(&self, second: i64) -> Option<DateTime> {
        let instant = at_second(second)?;
        let offset = self.offset(instant);
        let wall = offset.to_datetime(instant);
        if let AmbiguousOffset::Fold { before, after } = self.0.to_ambiguous_timestamp(wall).offset()
            && after == offset
            && before != offset
        {
            return Some(before.to_datetime(self.span_start(second)?));
        }
        Some(offset.to_datetime(at_second(second.checked_add(1)?)?))
    }

    /// The changes of the offset after `instant`.
    pub(super) fn changes(&self, instant: Timestamp) -> impl Iterator<Item = Change> {
        let mut before = self.offset(instant);
        self.0.following(instant).filter_map(move |transition| {
            let change = Change { at: transition.timestamp(), before, after: transition.offset() };
            before = change.after;
            (change.before != change.after).then_some(change)
        })
    }

    /// The first second from which on the offset has been what it is at `second`.
    pub(super) fn span_start(&self, second: i64) -> Option<Timestamp> {
        self.0.preceding(at_second(second.checked_add(1)?)?).next().map(|transition| transition.timestamp())
    }
}

/// A change of the offset: a gap if the offset grows, a repeat if it shrinks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) at: Timestamp,
    pub(super) before: Offset,
    pub(super) after: Offset,
}

impl Change {
    /// The wall-clock times that are skipped, as a half-open range.
    pub(super) fn gap(&self) -> Option<(DateTime, DateTime)> {
        (self.after > self.before).then(|| (self.before.to_datetime(self.at), self.after.to_datetime(self.at)))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

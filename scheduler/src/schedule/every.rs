//! Go's duration syntax, for `@every` (R24).

/// Why a text is no Go duration: the byte at which it stops to be one, and what is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotADuration {
    pub(super) at: usize,
    pub(super) problem: &'static str,
}

/// Reads what Go's `time.ParseDuration` accepts and returns whole seconds, at least one, as robfig's `Every` does.
pub(super) fn seconds(text: &str) -> Result<i64, NotADuration> {
    let nanos = nanoseconds(text)?;
    Ok((nanos / 1_000_000_000).max(1))
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The greatest magnitude of Go's `Duration`, reached only by negative ones.
const MAX: u64 = 1 << 63;

fn nanoseconds(text: &str) -> Result<i64, NotADuration> {
    let wrong = |rest: &str, problem| NotADuration { at: text.len() - rest.len(), problem };
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong(rest, "a duration such as 90s or 1h30m is missing"));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let start = rest;
        let too_long = || wrong(start, "the duration is too long");
        let (whole, after) = split(rest, |c| c.is_ascii_digit());
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split(after, |c| c.is_ascii_digit()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong(start, "a number is expected"));
        }
        let (unit, after_unit) = split(after, |c| c != '.' && !c.is_ascii_digit());
        if unit.is_empty() {
            return Err(wrong(after, "a unit is missing: h, m, s or ms"));
        }
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(wrong(after, "this unit is unknown, use h, m, s or ms"));
        };
        let whole = digits(whole).filter(|whole| *whole <= MAX / unit).ok_or_else(too_long)?;
        total = total
            .checked_add(whole * unit + part(fraction, *unit))
            .filter(|total| *total <= MAX)
            .ok_or_else(too_long)?;
        rest = after_unit;
    }
    if negative {
        return Ok(0_i64.saturating_sub_unsigned(total));
    }
    i64::try_from(total).map_err(|_| wrong(text, "the duration is too long"))
}

fn split(text: &str, within: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !within(c)).unwrap_or(text.len()))
}

/// The number that `text` spells, zero if it is empty, `None` above [`MAX`].
fn digits(text: &str) -> Option<u64> {
    text.bytes().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0')).filter(|number| *number <= MAX)
    })
}

/// `0.fraction` of a unit in nanoseconds; digits that do not fit any more are dropped.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Go reckons in floating point here, and its last digit is part of the dialect"
)]
fn part(fraction: &str, unit: u64) -> u64 {
    let mut number: u64 = 0;
    let mut scale: f64 = 1.0;
    for digit in fraction.bytes() {
        let longer = number.checked_mul(10).and_then(|number| number.checked_add(u64::from(digit - b'0')));
        match longer.filter(|longer| *longer <= MAX && number <= (MAX - 1) / 10) {
            Some(longer) => number = longer,
            None => break,
        }
        scale *= 10.0;
    }
    (number as f64 * (unit as f64 / scale)) as u64
}

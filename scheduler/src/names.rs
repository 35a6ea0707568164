//! Names of Jobs: deterministic, because the name is the lock (R9).

use jiff::Timestamp;

/// Key of the ConfigMap among the objects the API server refused: no Job has an empty name.
pub const CONFIG: &str = "";

/// Longest name of a Job: its pods carry it in a label.
pub const MAX_JOB_NAME: usize = 63;

/// Name of the Job of a tick: `<run>-<unix minutes>`, CronJob's own form; `<run>-<unix seconds>s` for a tick that is not
/// on a minute, which only `@every` has.
#[must_use]
pub fn scheduled(run: &str, tick: Timestamp) -> String {
    let seconds = tick.as_second();
    if seconds % 60 == 0 { bounded(run, &format!("{}", seconds / 60)) } else { bounded(run, &format!("{seconds}s")) }
}

/// Name of a one-shot Job.
#[must_use]
pub fn one_shot(run: &str, generation: i64) -> String {
    bounded(run, &format!("gen{generation}"))
}

/// Name of a trigger Job: `number` is the Run's running count of triggers.
#[must_use]
pub fn trigger(run: &str, number: i64) -> String {
    bounded(run, &format!("trigger-{number}"))
}

/// Name of a teardown Job: Runs of one name that come after each other have Jobs of their own.
#[must_use]
pub fn teardown(run: &str, uid: &str, number: i64) -> String {
    bounded(run, &format!("teardown-{:08x}-{number}", fnv1a(uid)))
}

/// `<run>-<suffix>`; where that is too long the run part is cut and a hash of the whole name takes the place of the
/// rest, so that two long names that begin alike stay apart.
fn bounded(run: &str, suffix: &str) -> String {
    let full = format!("{run}-{suffix}");
    if full.len() <= MAX_JOB_NAME {
        return full;
    }
    let tail = format!("-{:08x}-{suffix}", fnv1a(run));
    let keep = MAX_JOB_NAME.saturating_sub(tail.len());
    let head: String = run.chars().take(keep).collect();
    format!("{}{tail}", head.trim_end_matches(['-', '.']))
}

/// 32-bit FNV-1a. Stable for ever: names of Jobs that exist depend on it.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    // R9
    #[test]
    fn ticks_are_named_like_a_cronjob_names_them() {
        let tick = Timestamp::from_second(1_735_689_600).unwrap();
        assert_eq!(scheduled("orders", tick), "orders-28928160");
        let off = Timestamp::from_second(1_735_689_605).unwrap();
        assert_eq!(scheduled("orders", off), "orders-1735689605s");
        assert_eq!(one_shot("orders", 3), "orders-gen3");
        assert_eq!(trigger("orders", 12), "orders-trigger-12");
        assert_eq!(teardown("orders", "uid-1", 2), "orders-teardown-50c45a43-2");
    }

    // R9
    #[test]
    fn long_names_fit_and_stay_apart() {
        let (a, b) = (format!("{}a", "x".repeat(62)), format!("{}b", "x".repeat(62)));
        let names = [one_shot(&a, 1), one_shot(&b, 1)];
        assert!(names.iter().all(|name| name.len() <= MAX_JOB_NAME));
        assert_ne!(names[0], names[1]);
    }
}

//! Each tick of a Run: one Job ever, or told once as not run; never both (R16, R34).

use std::collections::{BTreeMap, BTreeSet};

use crds::SkippedTicks;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scheduler::schedule::Schedule;
use scheduler::state::LEDGER_LEN;

use crate::record::{History, Version};

/// How the ticks of one Run were dealt with.
#[derive(Default)]
pub(crate) struct Ticks {
    /// All that were due, and how often each was run or told.
    dealt: BTreeMap<Timestamp, usize>,
    /// Ticks that were not run, by reason.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// Jobs that are no tick's, and entries that do not say what they must.
    pub(crate) odd: Vec<String>,
}

impl Ticks {
    /// `jobs` are the ticks of its Jobs, one for each UID. All ticks before `until` are due.
    pub(crate) fn of(run: &History, jobs: &[Timestamp], until: Timestamp) -> Self {
        let mut ticks = Self::default();
        let Some(schedule) = &run.schedule else { return ticks };
        let since = run.since.expect("some operator saw the Run");
        let end = run.last().mark.unwrap_or(since).max(until);
        ticks.dealt = between(schedule, since, end).map(|tick| (tick, 0)).collect();
        for tick in jobs {
            match ticks.dealt.get_mut(tick) {
                Some(times) => *times += 1,
                None => ticks.odd.push(format!("a Job for {tick}, which is no tick")),
            }
        }
        let versions: Vec<&Version> = run.versions.values().collect();
        for pair in versions.windows(2) {
            ticks.note_told(pair[0], pair[1], jobs);
        }
        ticks
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.dealt.len()
    }

    /// Ticks with more than one Job, or told more than once, or both.
    pub(crate) fn doubled(&self) -> Vec<Timestamp> {
        self.dealt.iter().filter(|(_, times)| **times > 1).map(|(tick, _)| *tick).collect()
    }

    /// Ticks with neither.
    pub(crate) fn lost(&self) -> Vec<Timestamp> {
        self.dealt.iter().filter(|(_, times)| **times == 0).map(|(tick, _)| *tick).collect()
    }

    /// What one version of the Run tells that the one before it did not. An entry is about all ticks of its range but the
    /// claimed ones. These are judged one by one: they have a Job, or are told by themselves.
    fn note_told(&mut self, before: &Version, after: &Version, jobs: &[Timestamp]) {
        let Some(mut told) = newly_told(&before.ledger, &after.ledger) else {
            self.odd.push(format!("the ledger {:?} became {:?}", before.ledger, after.ledger));
            return;
        };
        told.sort_by_key(|entry| entry.to.0.duration_since(entry.from.0));
        let mut by_themselves: BTreeSet<Timestamp> = BTreeSet::new();
        for entry in told {
            let is_told = |tick: Timestamp| {
                let is_judged = before.has_claimed(tick) && (jobs.contains(&tick) || by_themselves.contains(&tick));
                [entry.from.0, entry.to.0].contains(&tick) || !(is_judged || after.has_claimed(tick))
            };
            let mut ticks = Vec::new();
            for (tick, times) in self.dealt.range_mut(entry.from.0..=entry.to.0).filter(|(tick, _)| is_told(**tick)) {
                *times += 1;
                ticks.push(*tick);
            }
            if i64::try_from(ticks.len()).unwrap() != entry.count {
                self.odd.push(format!("{entry:?} tells of {ticks:?}"));
            }
            by_themselves.extend(&ticks);
            *self.skipped.entry(entry.reason).or_default() += ticks.len();
        }
    }
}

/// All ticks in (floor, until].
fn between(schedule: &Schedule, floor: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    let next = move |after: &Timestamp| schedule.next_in(floor, *after).filter(|tick| *tick <= until);
    std::iter::successors(next(&floor), next)
}

/// The entries that are new, and what the last one of before has grown by; `None` where something else has changed, or so
/// much that it cannot be said. The ledger forgets what was told longest ago, and that only when it is full.
fn newly_told(before: &[SkippedTicks], after: &[SkippedTicks]) -> Option<Vec<SkippedTicks>> {
    let is_reversed = |entry: &SkippedTicks| entry.from.0 > entry.to.0;
    if after.iter().any(is_reversed) {
        return None;
    }
    let Some((last, older)) = before.split_last() else { return Some(after.to_vec()) };
    let forgotten = if after.len() == LEDGER_LEN { 0..=older.len() } else { 0..=0 };
    forgotten.into_iter().find_map(|forgotten| {
        let (kept, rest) = after.split_at_checked(older.len() - forgotten)?;
        let (grown, new) = rest.split_first()?;
        let count = grown.count - last.count;
        let is_grown = (&grown.reason, &grown.from) == (&last.reason, &last.from)
            && if count == 0 { grown.to == last.to } else { count > 0 && grown.to.0 > last.to.0 };
        let growth = (count > 0).then(|| {
            // Nothing is a tick so soon after another.
            let from = Time(last.to.0 + SignedDuration::from_nanos(1));
            SkippedTicks { count, from, ..grown.clone() }
        });
        (kept == &older[forgotten..] && is_grown).then(|| growth.into_iter().chain(new.iter().cloned()).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn missed(from: i64, to: i64, count: i64) -> SkippedTicks {
        SkippedTicks { reason: "Missed".to_owned(), count, from: Time(at(from)), to: Time(at(to)) }
    }

    /// What is wrong with a Run that has a tick every five seconds for half a minute, these Jobs, and these versions:
    /// claims and ledger.
    fn wrong(jobs: &[i64], versions: &[(&[i64], &[SkippedTicks])]) -> (Vec<i64>, Vec<i64>, usize) {
        let versions = versions.iter().map(|(claims, ledger)| Version {
            mark: Some(at(30)),
            ledger: ledger.to_vec(),
            claims: claims.iter().map(|tick| (tick.to_string(), Some(at(*tick)))).collect(),
            ..Version::default()
        });
        let run = History {
            schedule: Schedule::parse("@every 5s", &scheduler::schedule::Zone::utc()).ok(),
            since: Some(at(0)),
            versions: (1..).zip(std::iter::once(Version::default()).chain(versions)).collect(),
            ..History::default()
        };
        let jobs: Vec<_> = jobs.iter().map(|tick| at(*tick)).collect();
        let ticks = Ticks::of(&run, &jobs, at(30));
        assert_eq!(ticks.count(), 6);
        let seconds = |ticks: Vec<Timestamp>| ticks.iter().map(|tick| tick.duration_since(at(0)).as_secs()).collect();
        (seconds(ticks.doubled()), seconds(ticks.lost()), ticks.odd.len())
    }

    const NOTHING: (Vec<i64>, Vec<i64>, usize) = (vec![], vec![], 0);

    #[test]
    fn what_is_right_passes() {
        let told = [missed(20, 25, 2)];
        assert_eq!(wrong(&[5, 10, 15, 30], &[(&[], &told)]), NOTHING);
        assert_eq!(wrong(&[5, 10, 15, 30], &[(&[], &[missed(20, 20, 1)]), (&[], &told)]), NOTHING, "it grew");
        let late = [missed(20, 25, 2), missed(5, 5, 1)];
        assert_eq!(wrong(&[10, 15, 30], &[(&[5], &told), (&[], &late)]), NOTHING, "given up late");
        let around = [missed(5, 25, 4)];
        assert_eq!(wrong(&[10, 30], &[(&[10], &around)]), NOTHING, "one was claimed, and then run");
        assert_eq!(wrong(&[10, 30], &[(&[10], &[]), (&[], &around)]), NOTHING, "and then settled");
        let both = [missed(5, 25, 4), missed(10, 10, 1)];
        assert_eq!(wrong(&[30], &[(&[10], &around), (&[], &both)]), NOTHING, "and then given up");
        assert_eq!(wrong(&[30], &[(&[10], &[]), (&[], &both)]), NOTHING, "and given up at once");
        let one_by_one = [missed(5, 25, 5)];
        assert_eq!(wrong(&[30], &[(&[10], &[missed(5, 5, 1)]), (&[], &one_by_one)]), NOTHING);
    }

    #[test]
    fn a_full_ledger_forgets_and_nothing_is_missed() {
        let entry = |n: usize| SkippedTicks { reason: format!("reason {n}"), ..missed(5, 5, 1) };
        let before: Vec<_> = (0..LEDGER_LEN).map(entry).collect();
        let after = |forgotten: usize| -> Vec<_> { (forgotten..forgotten + LEDGER_LEN).map(entry).collect() };
        assert_eq!(newly_told(&before, &after(2)), Some(after(LEDGER_LEN)[..2].to_vec()));
        assert_eq!(newly_told(&before, &after(LEDGER_LEN)), None, "nobody knows what came between");
        assert_eq!(newly_told(&before[1..], &after(3)), Some(after(LEDGER_LEN)[..3].to_vec()));
        assert_eq!(newly_told(&before[1..], &before[2..]), None, "forgotten before it was full");
    }

    // The audit finds what is wrong.
    #[test]
    fn what_is_wrong_is_found() {
        let told = [missed(20, 25, 2)];
        assert_eq!(wrong(&[5, 15, 30], &[(&[], &told)]), (vec![], vec![10], 0), "neither run nor told");
        assert_eq!(wrong(&[5, 10, 10, 15, 30], &[(&[], &told)]), (vec![10], vec![], 0), "run twice");
        assert_eq!(wrong(&[5, 10, 15, 20, 30], &[(&[], &told)]), (vec![20], vec![], 0), "run and told");
        assert_eq!(wrong(&[5, 10, 15, 30, 31], &[(&[], &told)]), (vec![], vec![], 1), "no tick");
        let twice = [missed(20, 25, 2), missed(20, 20, 1)];
        assert_eq!(wrong(&[5, 10, 15, 30], &[(&[], &told), (&[], &twice)]), (vec![20], vec![], 0), "told twice");
        let late = [missed(20, 25, 2), missed(5, 5, 1)];
        assert_eq!(wrong(&[5, 10, 15, 30], &[(&[5], &told), (&[], &late)]), (vec![5], vec![], 0), "run and given up");
        let around = [missed(5, 25, 4)];
        assert_eq!(wrong(&[30], &[(&[10], &around), (&[], &around)]), (vec![], vec![10], 0), "claimed and forgotten");
    }

    #[test]
    fn a_count_that_does_not_match_its_range_is_found() {
        let odd = |jobs: &[i64], versions: &[(&[i64], &[SkippedTicks])]| wrong(jobs, versions).2;
        assert_eq!(odd(&[5, 10, 15, 30], &[(&[], &[missed(20, 25, 1)])]), 1, "too few");
        assert_eq!(odd(&[5, 10, 15, 30], &[(&[], &[missed(20, 25, 3)])]), 1, "too many");
        assert_eq!(odd(&[10, 30], &[(&[], &[missed(5, 25, 4)])]), 1, "a gap that was not claimed");
        let grown_by =
            |count: i64| odd(&[5, 10, 15], &[(&[], &[missed(20, 25, 2)]), (&[], &[missed(20, 30, 2 + count)])]);
        assert_eq!((grown_by(0), grown_by(1), grown_by(2)), (1, 0, 1));
        assert_eq!(odd(&[5, 10, 15, 30], &[(&[], &[missed(20, 25, 2)]), (&[], &[])]), 1, "forgotten");
        assert_eq!(odd(&[5, 10, 15, 30], &[(&[], &[missed(25, 20, 2)])]), 1, "reversed");
    }
}

//! Each tick of a Run: one Job ever, or told once as not run; never both (R16, R34).

use std::collections::{BTreeMap, BTreeSet};

use crds::SkippedTicks;
use jiff::Timestamp;
use scheduler::schedule::Schedule;

use crate::record::History;

/// How the ticks of one Run were dealt with.
#[derive(Default)]
pub(crate) struct Ticks {
    pub(crate) all: BTreeSet<Timestamp>,
    /// Ticks that were not run, by reason.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// Ticks with more than one Job, or told more than once, or both.
    pub(crate) doubled: Vec<Timestamp>,
    /// Ticks with neither.
    pub(crate) lost: Vec<Timestamp>,
    /// Jobs and entries that are no ticks of the schedule.
    pub(crate) odd: Vec<String>,
}

impl Ticks {
    /// `jobs` are the ticks of its Jobs, one for each UID; `told` what the operators said was not run, each once. The
    /// ledger alone would not do: it keeps the newest ten entries, and one that comes late may be older than these.
    pub(crate) fn of(run: &History, jobs: &[Timestamp], told: &[SkippedTicks], until: Timestamp) -> Self {
        let mut ticks = Self::default();
        let Some(schedule) = &run.schedule else { return ticks };
        let since = run.since.expect("some operator saw the Run");
        let end = run.last().mark.unwrap_or(since);
        ticks.all = between(schedule, since, end.max(until));
        let mut dealt: BTreeMap<Timestamp, usize> = ticks.all.iter().map(|tick| (*tick, 0)).collect();
        for tick in jobs {
            match dealt.get_mut(tick) {
                Some(times) => *times += 1,
                None => ticks.odd.push(format!("{}: a Job for {tick}, which is no tick", run.name)),
            }
        }
        let is_whole = |entry: &&SkippedTicks| length(&counted(&ticks.all, entry)) == entry.count;
        let (whole, with_gaps): (Vec<_>, Vec<_>) = told.iter().partition(is_whole);
        for entry in whole {
            *ticks.skipped.entry(entry.reason.clone()).or_default() += usize::try_from(entry.count).unwrap();
            for tick in counted(&ticks.all, entry) {
                *dealt.get_mut(&tick).unwrap() += 1;
            }
        }
        // Ticks that were claimed at that time are told by themselves, so what is told here is what is left.
        for entry in with_gaps {
            let left: Vec<_> = counted(&ticks.all, entry).into_iter().filter(|tick| dealt[tick] == 0).collect();
            if length(&left) < entry.count {
                ticks.odd.push(format!("{}: only {} ticks are left for {entry:?}", run.name, left.len()));
            }
            *ticks.skipped.entry(entry.reason.clone()).or_default() += left.len();
            for tick in left {
                *dealt.get_mut(&tick).unwrap() += 1;
            }
        }
        // A process that was killed between the write and its word.
        for entry in entries(run) {
            let covered = counted(&ticks.all, &entry);
            let is_whole = length(&covered) == entry.count;
            for tick in covered {
                if dealt[&tick] == 0 {
                    *ticks.skipped.entry(entry.reason.clone()).or_default() += 1;
                    dealt.insert(tick, 1);
                } else if is_whole && jobs.contains(&tick) {
                    dealt.insert(tick, 2);
                }
            }
        }
        ticks.doubled = dealt.iter().filter(|(_, times)| **times > 1).map(|(tick, _)| *tick).collect();
        ticks.lost = dealt.iter().filter(|(_, times)| **times == 0).map(|(tick, _)| *tick).collect();
        ticks
    }
}

/// All ticks in (floor, until].
fn between(schedule: &Schedule, floor: Timestamp, until: Timestamp) -> BTreeSet<Timestamp> {
    let next = |after: &Timestamp| schedule.next_in(floor, *after).filter(|tick| *tick <= until);
    std::iter::successors(next(&floor), next).collect()
}

fn length(ticks: &[Timestamp]) -> i64 {
    i64::try_from(ticks.len()).unwrap()
}

fn counted(all: &BTreeSet<Timestamp>, entry: &SkippedTicks) -> Vec<Timestamp> {
    all.range(entry.from.0..=entry.to.0).copied().collect()
}

/// Every entry there ever was in the ledger, as it stood last: the ledger keeps ten, and the newest grows.
fn entries(run: &History) -> Vec<SkippedTicks> {
    let mut entries: BTreeMap<(Timestamp, String, usize), SkippedTicks> = BTreeMap::new();
    for state in run.states.values() {
        let mut alike: BTreeMap<(Timestamp, &str), usize> = BTreeMap::new();
        for entry in &state.ledger {
            let nth = alike.entry((entry.from.0, &entry.reason)).or_default();
            *nth += 1;
            entries.insert((entry.from.0, entry.reason.clone(), *nth), entry.clone());
        }
    }
    entries.into_values().collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::record::State;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn missed(from: i64, to: i64, count: i64) -> SkippedTicks {
        SkippedTicks { reason: "Missed".to_owned(), count, from: Time(at(from)), to: Time(at(to)) }
    }

    // The audit finds what is wrong.
    #[test]
    fn a_tick_without_a_job_or_with_two_is_found() {
        let zone = scheduler::schedule::Zone::utc();
        let schedule = Schedule::parse("@every 5s", &zone).ok();
        let ledger = vec![missed(20, 25, 2)];
        let states = BTreeMap::from([(1, State { mark: Some(at(30)), ledger, ..State::default() })]);
        let run = History { schedule, since: Some(at(0)), states, ..History::default() };
        let audit = |jobs: &[i64], told: &[SkippedTicks]| {
            let jobs: Vec<_> = jobs.iter().map(|tick| at(*tick)).collect();
            let ticks = Ticks::of(&run, &jobs, told, at(30));
            assert_eq!(ticks.all.len(), 6);
            (ticks.doubled, ticks.lost, ticks.odd.len())
        };
        assert_eq!(audit(&[5, 10, 15, 30], &[]), (vec![], vec![], 0));
        assert_eq!(audit(&[5, 15, 30], &[missed(10, 10, 1)]), (vec![], vec![], 0));
        assert_eq!(audit(&[10, 30], &[missed(5, 15, 2)]), (vec![], vec![], 0), "one of them was claimed");
        assert_eq!(audit(&[5, 15, 30], &[]), (vec![], vec![at(10)], 0));
        assert_eq!(audit(&[5, 10, 10, 15, 30], &[]), (vec![at(10)], vec![], 0));
        assert_eq!(audit(&[5, 10, 15, 30], &[missed(5, 5, 1)]), (vec![at(5)], vec![], 0), "run and told");
        assert_eq!(audit(&[5, 10, 15, 20, 30], &[]), (vec![at(20)], vec![], 0), "run and in the ledger");
        assert_eq!(audit(&[5, 10, 15, 30, 31], &[]), (vec![], vec![], 1), "no tick");
    }
}

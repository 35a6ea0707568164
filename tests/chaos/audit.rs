//! The audit: what happened against what the rules promise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crds::ConcurrencyPolicy;

use crate::faults::{Fault, Inflicted};
use crate::load::Given;
use crate::record::{History, Job, Record};
use crate::ticks::Ticks;

/// The result.
#[derive(Default)]
pub(crate) struct Audit {
    versions: usize,
    runs: usize,
    ticks: usize,
    /// Jobs by kind.
    jobs: BTreeMap<String, usize>,
    skipped: BTreeMap<String, usize>,
    triggers: (usize, usize, usize),
    strays: Vec<String>,
    doubled: Vec<String>,
    lost: Vec<String>,
    overlaps: Vec<String>,
    odd: Vec<String>,
    /// By kind of fault: how often, and how long nobody led, in order.
    gaps: BTreeMap<Fault, Vec<Duration>>,
}

impl Audit {
    pub(crate) fn of(record: &Record, given: &Given, inflicted: &[Inflicted]) -> Self {
        let mut audit = Self { versions: record.versions, runs: record.runs.len(), ..Self::default() };
        audit.triggers = (given.triggers.set, given.triggers.in_doubt, 0);
        for job in record.jobs.values() {
            *audit.jobs.entry(job.kind.clone()).or_default() += 1;
            if !record.runs.contains_key(&job.run) {
                audit.strays.push(format!("{} is of no Run", job.name));
            }
        }
        for (uid, run) in &record.runs {
            let mut jobs: Vec<&Job> = record.jobs.values().filter(|job| job.run == *uid).collect();
            jobs.sort_by_key(|job| job.created);
            audit.look_at_names(&jobs);
            audit.look_for_strays(run, &jobs);
            audit.look_at_ticks(run, &jobs, given);
            audit.look_at_triggers(run, &jobs);
            audit.look_at_one_shots(run, &jobs);
            if run.policy == ConcurrencyPolicy::Forbid {
                audit.look_for_overlaps(&jobs);
            }
        }
        let asked = given.triggers.set + given.triggers.in_doubt;
        if audit.triggers.2 > asked {
            audit.odd.push(format!("{} triggers ran, {asked} were set", audit.triggers.2));
        }
        for fault in inflicted {
            audit.gaps.entry(fault.fault).or_default().extend(gap(record, fault));
        }
        audit.gaps.values_mut().for_each(|gaps| gaps.sort());
        audit
    }

    /// Whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.wrong().iter().all(|(_, list)| list.is_empty())
    }

    const fn wrong(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("doubled", &self.doubled),
            ("lost", &self.lost),
            ("overlaps", &self.overlaps),
            ("strays", &self.strays),
            ("other", &self.odd),
        ]
    }

    /// R9: a name is used once.
    fn look_at_names(&mut self, jobs: &[&Job]) {
        let mut names = BTreeSet::new();
        let again = jobs.iter().filter(|job| !names.insert(&job.name));
        self.doubled.extend(again.map(|job| format!("a second Job {}", job.name)));
    }

    /// R32: every Job was claimed when it was made, and settled some time.
    fn look_for_strays(&mut self, run: &History, jobs: &[&Job]) {
        let accounted_for = |job: &Job| run.had_claimed(&job.name, job.created) && run.settled.contains(&job.uid);
        let strays = jobs.iter().filter(|job| !accounted_for(job));
        self.strays.extend(strays.map(|job| format!("{} {}", job.name, job.uid)));
    }

    fn look_at_ticks(&mut self, run: &History, jobs: &[&Job], given: &Given) {
        let of_jobs: Vec<_> = jobs.iter().filter_map(|job| job.tick).collect();
        let ticks = Ticks::of(run, &of_jobs, given.until);
        self.ticks += ticks.count();
        self.doubled.extend(ticks.doubled().iter().map(|tick| format!("{} {tick}", run.name)));
        self.lost.extend(ticks.lost().iter().map(|tick| format!("{} {tick}", run.name)));
        self.odd.extend(ticks.odd.iter().map(|odd| format!("{}: {odd}", run.name)));
        for (reason, count) in ticks.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
    }

    /// R27: what was set was taken, each removal has its run, and nothing else has one.
    fn look_at_triggers(&mut self, run: &History, jobs: &[&Job]) {
        let last = run.last();
        let ran = jobs.iter().filter(|job| job.kind == "Trigger").map(|job| job.name.as_str());
        let ran: BTreeSet<&str> = ran.collect();
        self.triggers.2 += ran.len();
        let wanted: BTreeSet<String> = (1..=last.trigger_count).map(|n| format!("{}-trigger-{n}", run.name)).collect();
        if last.trigger_set || last.trigger_taken != last.trigger_count || !ran.iter().eq(wanted.iter()) {
            let (taken, counted) = (last.trigger_taken, last.trigger_count);
            self.odd.push(format!("{}: {taken} triggers taken, {counted} counted, ran {ran:?}", run.name));
        }
        let versions: Vec<_> = run.versions.values().collect();
        let unanswered = versions.windows(2).filter(|pair| {
            pair[0].trigger_set && !pair[1].trigger_set && pair[1].trigger_taken <= pair[0].trigger_taken
        });
        self.odd.extend(unanswered.map(|_| format!("{}: a trigger went and was not taken", run.name)));
    }

    /// R26: the newest spec has run.
    fn look_at_one_shots(&mut self, run: &History, jobs: &[&Job]) {
        let newest = format!("{}-gen{}", run.name, run.generation);
        // The end of the load sets `suspend`, which is no reason to run anew, and counts as an edit all the same.
        let before = format!("{}-gen{}", run.name, run.generation - 1);
        if run.schedule.is_none() && !jobs.iter().any(|job| job.name == newest || job.name == before) {
            self.lost.push(newest);
        }
    }

    /// R17: nothing starts beside an unfinished run.
    fn look_for_overlaps(&mut self, jobs: &[&Job]) {
        for (n, job) in jobs.iter().enumerate() {
            let beside = |earlier: &&&Job| earlier.ended.is_none_or(|ended| ended > job.created);
            if let Some(earlier) = jobs[..n].iter().find(beside) {
                self.overlaps.push(format!("{} started beside {}", job.name, earlier.name));
            }
        }
    }
}

/// From a fault until the Lease was written again: by another process, if the fault hit the leader.
fn gap(record: &Record, fault: &Inflicted) -> Option<Duration> {
    if fault.fault == Fault::KillStandby {
        return Some(Duration::ZERO);
    }
    let leads = |holder: &str| !holder.is_empty() && Some(holder) != fault.led.as_deref();
    let next = record.leaders.iter().find(|(at, holder)| *at > fault.at && leads(holder))?;
    Duration::try_from(next.0.duration_since(fault.at)).ok()
}

impl Display for Audit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (set, in_doubt, ran) = self.triggers;
        writeln!(f, "{:<36}{:>8}", "versions read", self.versions)?;
        writeln!(f, "{:<36}{:>8}", "Runs", self.runs)?;
        writeln!(f, "{:<36}{:>8}", "ticks", self.ticks)?;
        for (kind, count) in &self.jobs {
            writeln!(f, "{:<36}{count:>8}", format!("Jobs: {kind}"))?;
        }
        for (reason, count) in &self.skipped {
            writeln!(f, "{:<36}{count:>8}", format!("ticks not run: {reason}"))?;
        }
        writeln!(f, "{:<36}{set:>8}  and {in_doubt} without an answer", "triggers set")?;
        writeln!(f, "{:<36}{ran:>8}", "triggers run (some merged)")?;
        for (what, list) in self.wrong() {
            writeln!(f, "{what:<36}{:>8}", list.len())?;
            for item in list.iter().take(20) {
                writeln!(f, "    {item}")?;
            }
        }
        writeln!(f, "\n{:<20}{:>6}  until somebody led: median, longest", "fault", "times")?;
        for (fault, gaps) in &self.gaps {
            let [median, longest] =
                [gaps.get(gaps.len() / 2), gaps.last()].map(|gap| gap.map_or(0, Duration::as_millis));
            writeln!(f, "{:<20}{:>6}  {median:>7} ms {longest:>7} ms", format!("{fault:?}"), gaps.len())?;
        }
        Ok(())
    }
}

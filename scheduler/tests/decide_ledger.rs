//! The ledger of ticks not run (R13, R15, R16): each once, in the order in which they were told.
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use rstest::rstest;
use scheduler::policy::ConcurrencyPolicy::Allow;
use scheduler::state::{LEDGER_LEN, SkipReason, Skipped, State};
use support::{Creates, World, at, every, schedule_spec, tick, under};

const TENTHS: &str = "*/10 * * * *";

fn entry(reason: SkipReason, time: &str) -> Skipped {
    Skipped { reason, count: 1, from: at(time), to: at(time) }
}

// R13, R16, R33: the edit is found at the start; the ticks after the claimed one are in the ledger too.
#[test]
fn an_edit_found_after_downtime_counts_the_ticks_after_a_claim() {
    let mut world = World::new(every(TENTHS), at("10:01:00"));
    world.advance_to(at("10:09:59"));
    let schedule = schedule_spec("0 0 1 1 *", "");
    world.edit_unseen(|spec| spec.schedule = Some(schedule));
    world.restart_at(at("10:35:00"));
    world.advance_to(at("10:40:00"));
    let told = world.skips().map(|skipped| skipped.count).sum::<u64>() + world.started().len() as u64;
    assert_eq!(told, 3, "{:?} {:?}", world.started(), world.skipped());
    assert_eq!(world.started(), Vec::<&str>::new(), "10:10 is no longer the latest that was due");
}

// R15, R16: only claims of the range are left out of its count.
#[test]
fn a_claim_at_or_before_the_mark_is_not_subtracted_from_the_missed_ticks() {
    let mut world = World::new(under(Allow, TENTHS), at("10:01:00"));
    world.creates = Creates::Lost;
    world.advance_to(at("10:19:59"));
    let old = world.state.claims[&tick("10:10:00")].clone();
    world.creates = Creates::Work;
    world.advance_to(at("10:25:00"));
    world.jobs.clear();
    world.state.active_jobs.clear();
    world.state.claims = [(tick("10:10:00"), old)].into();
    world.state.mark = Some(at("10:20:00"));
    world.restart_at(at("10:55:00"));
    let missed: u64 = world.skips().filter(|skipped| skipped.from == at("10:30:00")).map(|skipped| skipped.count).sum();
    assert_eq!(missed, 2, "10:30 and 10:40");
}

// R16, R33: ticks whose creates are not answered are told once the next ones have come due, whatever becomes of those.
#[rstest]
#[case::minutely("* * * * *", "11:00:59", 59)]
#[case::every_five_seconds("@every 5s", "10:05:29", 53)]
fn ticks_overtaken_while_creates_hang_do_not_pile_up(#[case] schedule: &str, #[case] until: &str, #[case] told: u64) {
    let mut world = World::new(under(Allow, schedule), at("10:00:30"));
    world.creates = Creates::Lost;
    world.advance_to(at(until));
    let skipped: u64 = world.skips().map(|skipped| skipped.count).sum();
    assert!(skipped >= told && world.state.claims.len() <= 7, "{skipped} told, {:#?}", world.state.claims);
    assert_eq!(world.state.ledger.len(), 1, "{:#?}", world.state.ledger);
}

// R16: a late entry does not turn the newest one around.
#[test]
fn a_tick_given_up_late_does_not_reverse_a_ledger_entry() {
    let mut state = State::default();
    state.skip(&entry(SkipReason::Missed, "10:20:00"));
    state.skip(&entry(SkipReason::Missed, "10:10:00"));
    assert!(state.ledger.iter().all(|entry| entry.from <= entry.to), "{:?}", state.ledger);
    assert_eq!(state.mark, Some(at("10:20:00")));
}

// R16: each entry stands in the ledger once it is told, however old its tick is; the one told longest ago goes for it.
#[test]
fn a_tick_given_up_late_stands_in_a_full_ledger() {
    let mut state = State::default();
    let reasons = [SkipReason::Missed, SkipReason::Rejected];
    for (minute, reason) in (10..10 + LEDGER_LEN).zip(reasons.into_iter().cycle()) {
        state.skip(&entry(reason, &format!("10:{minute}:00")));
    }
    let (second, newest) = (state.ledger[1].clone(), state.mark);
    let late = entry(SkipReason::Superseded, "10:09:00");
    state.skip(&late);
    assert_eq!((state.ledger.len(), state.ledger.first(), state.ledger.last()), (10, Some(&second), Some(&late)));
    assert_eq!(state.mark, newest, "R12");
}

// R16: what follows a late entry is not merged with it, nor with what it followed.
#[test]
fn nothing_merges_across_a_tick_given_up_late() {
    let mut state = State::default();
    for time in ["10:20:00", "10:10:00", "10:30:00", "10:40:00"] {
        state.skip(&entry(SkipReason::Missed, time));
    }
    let told: Vec<_> = state.ledger.iter().map(|entry| (entry.from, entry.to, entry.count)).collect();
    let once = |time| (at(time), at(time), 1);
    assert_eq!(told, [once("10:20:00"), once("10:10:00"), (at("10:30:00"), at("10:40:00"), 2)]);
}

// R40: decide is total, whatever stands in the status.
#[test]
fn a_ledger_at_its_limit_does_not_overflow() {
    let mut state = State::default();
    state.skip(&Skipped { reason: SkipReason::Missed, count: u64::MAX, from: at("10:00:00"), to: at("10:10:00") });
    state.skip(&Skipped { reason: SkipReason::Missed, count: 1, from: at("10:20:00"), to: at("10:20:00") });
    assert_eq!(state.ledger[0].count, u64::MAX);
}

// R13, R16, R24: the floor is where suspend ends, not where it begins.
#[test]
fn suspension_does_not_move_the_anchor_of_every() {
    let mut world = World::new(every("@every 1h"), at("10:00:00"));
    world.advance_to(at("10:30:00"));
    assert_eq!(world.report.next, Some(at("11:00:00")));
    world.suspend(true);
    world.advance_to(at("11:05:00"));
    world.suspend(false);
    assert_eq!(world.skipped(), [(SkipReason::Suspended, 1)], "11:00");
    assert_eq!(world.report.next, Some(at("12:05:00")));
}

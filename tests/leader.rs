//! Leader election on the real API server (R35).
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::client::ClientBuilder;
use kube_leader_election::{LeaseLock, LeaseLockParams};
use marmot_operator::clock::{Clock, SystemClock};
use marmot_operator::leader::Term;
use marmot_operator::leader::guard::Guard;
use serde_json::json;
use support::election::{Candidate, Election, LEASE, LEASE_DURATION};

/// The system's clocks, with the wall clock off.
struct Skewed(SignedDuration);

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.0
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

fn in_micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_taken_at_once() {
    let election = Election::new().await;
    let mut first = election.candidate("first");
    let term = first.leads().await;
    let mut second = election.candidate("second");
    second.stands_by_behind("first").await;

    let released = Instant::now();
    first.release.cancel();
    let successor = second.leads().await;
    let took = released.elapsed();
    println!("handed over in {} ms", took.as_millis());
    assert!(took < LEASE_DURATION, "it ran out instead: {took:?}");
    assert!(!term.holds(&SystemClock) && successor.holds(&SystemClock));
    first.task.await.unwrap();
    assert_eq!(election.holder().await, second.identity);
    let metrics = first.metrics.encode().unwrap();
    assert!(metrics.contains("marmot_operator_leader_transitions_total 2"), "{metrics}");
    assert!(metrics.contains("marmot_operator_leader 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_looks_like_that_of_client_go() {
    let election = Election::new().await;
    let mut candidate = election.candidate("only");
    candidate.leads().await;
    candidate.release.cancel();
    candidate.task.await.unwrap();
    let spec = election.leases.get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some(""));
    assert_eq!(spec.lease_duration_seconds, Some(1));
    assert!(spec.renew_time.unwrap().0.duration_until(Timestamp::now()).as_secs() < 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced() {
    let election = Election::new().await;
    let mut first = election.candidate("first");
    first.leads().await;
    let mut second = election.candidate("second");
    second.stands_by_behind("first").await;

    let died = Instant::now();
    first.die().await;
    second.leads().await;
    println!("taken over {} ms after the leader's death", died.elapsed().as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_whose_clock_was_ahead_is_replaced_as_soon() {
    let election = Election::new().await;
    let renewed = in_micros(Timestamp::now() + SignedDuration::from_hours(1));
    let spec =
        json!({"holderIdentity": "dead", "renewTime": renewed, "leaseDurationSeconds": 3, "leaseTransitions": 4});
    election.create(spec).await;
    let started = Instant::now();
    let mut candidate = election.candidate("successor");
    candidate.leads().await;
    let took = started.elapsed();
    println!("taken over in {} ms from a holder an hour ahead", took.as_millis());
    assert!(took >= LEASE_DURATION, "{took:?}");
    assert_eq!(election.leases.get(LEASE).await.unwrap().spec.unwrap().lease_transitions, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_leader_whose_clock_is_behind_is_not_robbed() {
    let election = Election::new().await;
    let long_ago = Timestamp::now() - SignedDuration::from_hours(1);
    election.create(json!({"holderIdentity": "slow clock", "leaseDurationSeconds": 3, "leaseTransitions": 0})).await;
    let mut candidate = election.candidate("other");
    for renewal in 0..14 {
        let renewed = in_micros(long_ago + SignedDuration::from_millis(500 * renewal));
        election.patch(json!({"renewTime": renewed})).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!candidate.holds());
        assert_eq!(election.holder().await, "slow clock");
    }
    candidate.leads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_own_clock_is_wrong_leads_and_hands_over_as_any_other() {
    let election = Election::new().await;
    let mut first = election.candidate_with("first", Arc::new(Skewed(SignedDuration::from_hours(-5))));
    first.leadership.wait_for(|state| state.term().is_some()).await.unwrap();
    let mut second = election.candidate("second");
    second.stands_by_behind("first").await;
    first.release.cancel();
    second.leads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_without_spec_or_holder_is_healed_at_once() {
    for spec in [json!(null), json!({}), json!({"leaseDurationSeconds": 60, "renewTime": in_micros(Timestamp::now())})]
    {
        let election = Election::new().await;
        election.create(spec).await;
        let started = Instant::now();
        let mut candidate = election.candidate("healer");
        candidate.leads().await;
        assert!(started.elapsed() < LEASE_DURATION, "{:?}", started.elapsed());
        assert_eq!(election.holder().await, "healer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_was_taken_stops_and_leaves_it_alone() {
    let election = Election::new().await;
    let mut first = election.candidate("first");
    let term = first.leads().await;
    let spec =
        json!({"holderIdentity": "other", "renewTime": in_micros(Timestamp::now()), "leaseDurationSeconds": 3600});
    election.patch(spec).await;
    first.stands_by_behind("other").await;
    assert!(!term.holds(&SystemClock));
    first.release.cancel();
    first.task.await.unwrap();
    assert_eq!(election.holder().await, "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_deleted_makes_it_anew_before_others_may() {
    let election = Election::new().await;
    let mut first = election.candidate("first");
    let term = first.leads().await;
    let mut second = election.candidate("second");
    second.stands_by_behind("first").await;
    election.leases.delete(LEASE, &DeleteParams::default()).await.unwrap();
    let deadline = Instant::now() + LEASE_DURATION;
    while Instant::now() < deadline {
        assert!(term.holds(&SystemClock) && !second.holds());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(election.holder().await, "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_or_release_that_comes_after_a_take_over_is_refused() {
    let election = Election::new().await;
    election
        .create(json!({"holderIdentity": "first", "renewTime": in_micros(Timestamp::now()),
        "leaseDurationSeconds": 3, "leaseTransitions": 0}))
        .await;
    let judged = election.leases.get(LEASE).await.unwrap();
    let guard = Guard::default();
    guard.allow(judged.metadata.resource_version);
    let client = ClientBuilder::try_from(election.config.clone()).unwrap().with_layer(&guard).build();
    let guarded = Api::<Lease>::namespaced(client.clone(), &election.namespace);

    let renewed = in_micros(Timestamp::now());
    election.patch(json!({"holderIdentity": "second", "renewTime": renewed, "leaseTransitions": 1})).await;

    // What the crate sends to renew, to release and to take, late.
    for spec in [json!({"renewTime": renewed}), json!({"holderIdentity": ""}), json!({"holderIdentity": "first"})] {
        let late = guarded.patch(LEASE, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
        assert!(matches!(late, Err(kube::Error::Api(status)) if status.is_conflict()));
    }
    // The crate itself, reading what nobody has judged: expired by the wall clock.
    election.patch(json!({"renewTime": "2020-01-01T00:00:00.000000Z"})).await;
    let params =
        LeaseLockParams { lease_name: LEASE.to_owned(), holder_id: "first".to_owned(), lease_ttl: LEASE_DURATION };
    let robbery = LeaseLock::new(client, &election.namespace, params).try_acquire_or_renew().await;
    assert!(robbery.is_err());
    assert_eq!(election.holder().await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_ever_lead_together() {
    let election = Election::new().await;
    let mut candidates: Vec<Candidate> = Vec::new();
    for n in 0..4 {
        candidates.push(election.candidate(&format!("candidate-{n}")));
    }
    // Every term there ever was: that of a dead candidate goes on for those who still have it.
    let mut terms: Vec<(String, Term)> = Vec::new();
    let (mut changes, mut leader, mut since) = (0_u32, None, Instant::now());
    let end = Instant::now() + Duration::from_secs(25);
    while Instant::now() < end {
        let leading = candidates.iter().position(Candidate::holds);
        if leading != leader {
            (leader, since) = (leading, Instant::now());
            let led = leading.map(|n| &candidates[n]);
            terms.extend(led.and_then(|led| Some((led.identity.clone(), led.leadership.borrow().term()?.clone()))));
        }
        let holding: Vec<&str> =
            terms.iter().filter(|(_, term)| term.holds(&SystemClock)).map(|(identity, _)| identity.as_str()).collect();
        let ready = candidates.iter().filter(|candidate| candidate.holds()).count();
        assert!(holding.len() <= 1 && ready <= 1, "{holding:?} hold, {ready} candidates lead, change {changes}");
        if let Some(n) = leader
            && since.elapsed() > Duration::from_millis(300)
        {
            // Every leader leaves after a moment: in turns released, killed, and killed with its lease deleted.
            changes += 1;
            let left = std::mem::replace(&mut candidates[n], election.candidate(&format!("candidate-{n}-{changes}")));
            match changes % 3 {
                0 => {
                    left.release.cancel();
                    left.task.await.unwrap();
                }
                1 => left.die().await,
                _ => {
                    // Whoever has seen the holder respects it; a process that starts after the deletion cannot know
                    // of it, which is the limit told in the documentation of `leader`.
                    candidates[n].stands_by_behind(&left.identity).await;
                    left.die().await;
                    election.leases.delete(LEASE, &DeleteParams::default()).await.unwrap();
                }
            }
            (leader, since) = (None, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("{changes} changes of leader, never two at once");
    assert!(changes >= 6, "{changes}");
}

//! What was seen of the Lease, since when, and what that allows.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

/// The Lease as last read from the API server, and for how long it has been like that by our own monotonic clock.
/// The times inside it were written by other machines' clocks and are compared with each other, never with ours (R35).
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// `None` before the first look.
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    resource_version: Option<String>,
    /// `None` while there is no Lease.
    spec: Option<LeaseSpec>,
    since: Instant,
    /// How long the last holder seen may go on leading after its last sign of life.
    duration: Duration,
}

/// What an observation allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no Lease, and nobody who may still lead: create it.
    Absent,
    /// The Lease names us.
    Ours,
    /// Nobody holds it: it was released, is broken, or its holder has given no sign of life for the lease duration.
    /// It may be vacated and taken.
    Free,
    /// Somebody may lead.
    Held {
        /// Who; `None` when the Lease is gone from under its holder.
        holder: Option<String>,
        /// How long until it counts as dead, if it gives no sign of life.
        left: Duration,
    },
}

impl Observed {
    /// Takes in what the API server answered; `None` is "not found". `duration` stands in for a lease duration that the
    /// record does not name.
    pub(super) fn take_in(&mut self, lease: Option<&Lease>, duration: Duration, now: Instant) {
        let spec = lease.map(|lease| lease.spec.clone().unwrap_or_default());
        let resource_version = lease.and_then(|lease| lease.metadata.resource_version.clone());
        match &mut self.seen {
            // Only the record counts: an edit of a label is no sign of life.
            Some(seen) if seen.spec == spec => seen.resource_version = resource_version,
            seen => {
                let vanished = seen.as_ref().filter(|seen| spec.is_none() && seen.holder().is_some());
                let duration = vanished.map_or_else(|| promised(spec.as_ref(), duration), |seen| seen.duration);
                let vanished = vanished.is_some();
                let duration = if spec.is_none() && !vanished { Duration::ZERO } else { duration };
                *seen = Some(Seen { resource_version, spec, since: now, duration });
            }
        }
    }

    /// What may be done about the Lease by the candidate `identity`.
    pub(super) fn verdict(&self, identity: &str, now: Instant) -> Verdict {
        let Some(seen) = &self.seen else { return Verdict::Held { holder: None, left: Duration::MAX } };
        let left = seen.duration.saturating_sub(now.saturating_duration_since(seen.since));
        match (&seen.spec, seen.holder()) {
            (Some(_), Some(holder)) if holder == identity => Verdict::Ours,
            (Some(_), Some(holder)) if !left.is_zero() => Verdict::Held { holder: Some(holder.to_owned()), left },
            (Some(_), _) => Verdict::Free,
            (None, _) if left.is_zero() => Verdict::Absent,
            (None, _) => Verdict::Held { holder: None, left },
        }
    }

    /// The version that was judged.
    pub(super) fn resource_version(&self) -> Option<String> {
        self.seen.as_ref()?.resource_version.clone()
    }

    /// The Lease a watch shows is the one already judged.
    pub(super) fn is(&self, lease: Option<&Lease>) -> bool {
        let version = lease.and_then(|lease| lease.metadata.resource_version.as_ref());
        self.seen.as_ref().is_some_and(|seen| seen.resource_version.as_ref() == version)
    }

    /// The merge patch that frees the record for everybody, whatever their clocks say: no holder, and a renewal so long
    /// ago that `kube-leader-election`, which goes by the wall clock, finds it expired. It also puts in what that crate
    /// cannot do without (a Lease made by `kubectl create` has no spec at all). `None` when the record is like that
    /// already.
    pub(super) fn vacating_patch(&self) -> Option<serde_json::Value> {
        let spec = self.seen.as_ref().and_then(|seen| seen.spec.clone()).unwrap_or_default();
        let renewed = spec.renew_time.as_ref().map(|time| time.0);
        let vacant = spec.holder_identity.as_deref() == Some("")
            && renewed == Some(Timestamp::UNIX_EPOCH)
            && spec.lease_duration_seconds.is_some()
            && spec.lease_transitions.is_some();
        (!vacant).then(|| {
            serde_json::json!({
                "spec": {
                    "holderIdentity": "",
                    "renewTime": "1970-01-01T00:00:00.000000Z",
                    "leaseDurationSeconds": 1,
                    "leaseTransitions": spec.lease_transitions.unwrap_or(0),
                }
            })
        })
    }
}

impl Seen {
    fn holder(&self) -> Option<&str> {
        holder(self.spec.as_ref())
    }
}

/// The holder a record names; an empty one is none.
pub(super) fn holder(spec: Option<&LeaseSpec>) -> Option<&str> {
    spec?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// How long a holder counts as alive after its last renewal: what it has written itself, as client-go reads it too.
fn promised(spec: Option<&LeaseSpec>, otherwise: Duration) -> Duration {
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.filter(|seconds| *seconds > 0).map_or(otherwise, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Duration = Duration::from_secs(15);

    fn lease(version: &str, spec: &serde_json::Value) -> Lease {
        let lease = serde_json::json!({"metadata": {"resourceVersion": version}, "spec": spec});
        serde_json::from_value(lease).unwrap()
    }

    fn held(version: &str, renewed: &str) -> Lease {
        let spec = serde_json::json!({"holderIdentity": "a", "renewTime": renewed, "leaseDurationSeconds": 2});
        lease(version, &spec)
    }

    fn left(seconds: u64) -> Verdict {
        Verdict::Held { holder: Some("a".to_owned()), left: Duration::from_secs(seconds) }
    }

    // R35
    #[test]
    fn a_holder_lives_for_the_lease_duration_after_the_record_changed_by_our_clock() {
        let (mut observed, start) = (Observed::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        // Its clock is years behind ours: irrelevant.
        observed.take_in(Some(&held("1", "2001-01-01T00:00:00.000000Z")), OWN, at(0));
        assert_eq!(observed.verdict("b", at(0)), left(2));
        observed.take_in(Some(&held("2", "2001-01-01T00:00:01.000000Z")), OWN, at(1));
        assert_eq!(observed.verdict("b", at(2)), left(1));
        // A new version with the same record is no sign of life.
        observed.take_in(Some(&held("3", "2001-01-01T00:00:01.000000Z")), OWN, at(2));
        assert_eq!(observed.verdict("b", at(3)), Verdict::Free);
        assert_eq!(observed.resource_version().as_deref(), Some("3"));
        assert_eq!(observed.verdict("a", at(3)), Verdict::Ours);
    }

    // R35
    #[test]
    fn a_lease_without_holder_is_free_and_is_healed() {
        for spec in [serde_json::json!({}), serde_json::json!({"holderIdentity": "", "leaseDurationSeconds": 60})] {
            let (mut observed, now) = (Observed::default(), Instant::now());
            observed.take_in(Some(&lease("1", &spec)), OWN, now);
            assert_eq!(observed.verdict("b", now), Verdict::Free);
            let patch = observed.vacating_patch().unwrap();
            observed.take_in(Some(&lease("2", &patch["spec"])), OWN, now);
            assert_eq!(observed.vacating_patch(), None);
        }
    }

    // R35
    #[test]
    fn a_lease_deleted_from_under_its_holder_is_not_made_anew_before_the_holder_must_have_noticed() {
        let (mut observed, start) = (Observed::default(), Instant::now());
        observed.take_in(Some(&held("1", "2026-01-01T00:00:00.000000Z")), OWN, start);
        observed.take_in(None, OWN, start);
        let left = Duration::from_secs(2);
        assert_eq!(observed.verdict("b", start), Verdict::Held { holder: None, left });
        assert_eq!(observed.verdict("b", start + left), Verdict::Absent);
    }

    #[test]
    fn without_a_lease_it_is_made_at_once() {
        let (mut observed, now) = (Observed::default(), Instant::now());
        assert!(matches!(observed.verdict("b", now), Verdict::Held { .. }), "nothing has been seen yet");
        observed.take_in(None, OWN, now);
        assert_eq!(observed.verdict("b", now), Verdict::Absent);
    }
}

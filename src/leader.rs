//! Leader election on a Lease: `kube-leader-election` inside a frame that makes it safe (R35).
//!
//! The crate reads and writes the Lease; alone it lets two candidates win one expired lease, trusts the holder's wall
//! clock, has no loop and no deadline. The frame adds:
//!
//! - compare-and-swap: every write names the version that was judged ([`guard`]);
//! - observed time: a holder is dead when its record stood unchanged for the lease duration *by our own clock*
//!   (`record`). Its record is then vacated, which also heals a Lease without holder or spec, and only after that is
//!   the crate asked, for whose own test the record then is always expired;
//! - a renew deadline by monotonic and wall clock, earlier than the lease's end ([`term`]);
//! - a watch, so that a released lease is taken at once, with polling as the fallback;
//! - release at shutdown, in client-go's form.
//!
//! A Lease deleted by hand is made anew by its leader at once, and by a stand-by that knew the leader only after the lease
//! duration. A process that starts while there is none takes it without waiting, as client-go does: should the Lease
//! have been deleted from under a leader that is frozen just then, both lead until that leader's renew deadline.
//!
//! client-go candidates on the same Lease are understood and understand us. A lease can never exclude a leader that was
//! frozen between its check and its call; that is what claims and deterministic names are for (R32–R34).

pub mod guard;
mod record;
pub mod term;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryFutureExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use kube::client::ClientBuilder;
use kube::runtime::{WatchStreamExt, watcher};
use kube_leader_election::{LeaseLock, LeaseLockParams, LeaseLockResult};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::guard::Guard;
use self::record::{Observed, Verdict, holder};
pub use self::term::{Leadership, Sent, Term};
use crate::api_error::words;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::skew::Skew;

/// The Lease of the Go operator, so that within one namespace the two never lead at once (R31).
pub const LEASE_NAME: &str = "marmot-operator.marmotdata.io";

/// Longest time one call about the Lease may take; less where the renew deadline is short.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a release is tried when the Lease moved meanwhile.
const RELEASE_ATTEMPTS: usize = 3;

/// Who stands for election, where, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease, [`LEASE_NAME`] outside tests.
    pub lease_name: String,
    /// Name of this candidate; see [`identity`]. At most 128 characters, no two processes alike.
    pub identity: String,
    /// A holder that gives no sign of life for this long is dead. Whole seconds.
    pub lease_duration: Duration,
    /// A leader that could not renew for this long stops leading. Shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// Pause between renewals, and between looks at a lease held by another (there with up to a fifth added).
    pub retry_period: Duration,
}

/// A name for this process: the pod's name (`POD_NAME`), else the host's, and a random suffix, because a container that
/// restarts keeps both and must not take its predecessor's lease for its own.
#[must_use]
pub fn identity() -> String {
    let name = std::env::var("POD_NAME").ok().filter(|name| !name.is_empty());
    let name = name.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    // The identity is also the field manager, of at most 128 characters.
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(100).collect();
    format!("{}_{:016x}", if name.is_empty() { "marmot-operator" } else { &name }, random())
}

/// Leads without a lease (`--leader-elect=false`) until `release` is cancelled. The same shape as [`run`].
#[must_use]
pub fn alone(release: CancellationToken, metrics: &Metrics) -> (watch::Receiver<Leadership>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(Leadership::alone());
    metrics.set_leading(true);
    let task = tokio::spawn(async move {
        release.cancelled().await;
        sender.send_replace(Leadership::Standby { holder: None });
    });
    (receiver, task)
}

/// Stands for election until `release` is cancelled; then gives the lease back, if it is ours, and ends. The caller
/// cancels `release` when the work of its term is drained, since from then on somebody else leads.
///
/// `kube` is where the API server is; two clients are made of it, apart from all others, so that no queue of creates
/// delays a renewal. Errors of the API server are logged and waited out, never returned.
///
/// # Errors
/// Where no client can be made of `kube`.
pub fn run(
    config: LeaderConfig,
    kube: kube::Config,
    clock: Arc<dyn Clock>,
    release: CancellationToken,
    metrics: Arc<Metrics>,
) -> Result<(watch::Receiver<Leadership>, JoinHandle<()>), kube::Error> {
    let guard = Guard::default();
    let skew = Skew::new(Arc::clone(&clock), Arc::clone(&metrics));
    let api = guarded(kube.clone(), &guard, &skew, &config.namespace)?;
    let params = LeaseLockParams {
        lease_name: config.lease_name.clone(),
        holder_id: config.identity.clone(),
        lease_ttl: config.lease_duration,
    };
    let lock = LeaseLock::new(api.clone().into_client(), &config.namespace, params);
    let watched = Api::<Lease>::namespaced(kube::Client::try_from(kube)?, &config.namespace);
    let changes = watcher::watch_object(watched, &config.lease_name).default_backoff();
    let (state, receiver) = watch::channel(Leadership::Standby { holder: None });
    let observed = Observed::default();
    let unreadable = false;
    let elector =
        Elector { config, clock, metrics, guard, api, lock, state, observed, term: None, terms: 0, unreadable };
    Ok((receiver, tokio::spawn(elector.run(changes, release))))
}

/// The client of the Lease: no retries of its own, since a renewal is worth nothing late.
fn guarded(mut kube: kube::Config, guard: &Guard, skew: &Skew, namespace: &str) -> Result<Api<Lease>, kube::Error> {
    kube.default_retry = false;
    kube.connect_timeout = Some(CALL_TIMEOUT);
    kube.read_timeout = Some(CALL_TIMEOUT);
    kube.write_timeout = Some(CALL_TIMEOUT);
    let client = ClientBuilder::try_from(kube)?.with_layer(skew).with_layer(guard).build();
    Ok(Api::namespaced(client, namespace))
}

/// 64 random bits. The standard library seeds its hash maps from the system's random source, which is all that two
/// identities, or two stand-bys, need to differ.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Why a call about the Lease did not succeed.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Crate(#[from] kube_leader_election::Error),
    #[error("{}", words(.0))]
    Api(#[from] kube::Error),
}

struct Elector {
    config: LeaderConfig,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    guard: Guard,
    api: Api<Lease>,
    lock: LeaseLock,
    state: watch::Sender<Leadership>,
    observed: Observed,
    /// The term, from its first to its last moment; over when it does not hold.
    term: Option<Term>,
    /// Terms so far.
    terms: u64,
    /// The last look failed.
    unreadable: bool,
}

impl Elector {
    async fn run<S>(mut self, changes: S, release: CancellationToken)
    where
        S: Stream<Item = watcher::Result<Option<Lease>>> + Send,
    {
        let mut changes = std::pin::pin!(changes);
        while !release.is_cancelled() {
            let pause = if self.leads() { self.renew().await } else { self.contend().await };
            tokio::select! {
                () = release.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.change(&mut changes) => {}
            }
        }
        self.release().await;
    }

    /// Whether a term goes on; one whose deadline has passed is ended here.
    fn leads(&mut self) -> bool {
        match &self.term {
            Some(term) if term.holds(&self.clock) => true,
            Some(_) => {
                self.lose("it could not be renewed in time");
                false
            }
            None => false,
        }
    }

    /// Renews the lease. Returns the pause until the next renewal.
    async fn renew(&mut self) -> Duration {
        let Some(term) = self.term.clone() else { return Duration::ZERO };
        let sent = Sent::now(&self.clock);
        match self.ask_crate(term.remaining(&self.clock)).await {
            Ok(()) if term.holds(&self.clock) => {
                term.renew(sent, self.config.renew_deadline);
                self.metrics.observe_renewal(sent.elapsed(&self.clock));
                return self.config.retry_period;
            }
            // Too late: whoever looked at the term meanwhile saw it end. The next term follows at once.
            Ok(()) => return Duration::ZERO,
            Err(error) => tracing::debug!(%error, "could not renew the lease"),
        }
        // Refused, unanswered or taken? The record tells, and its version is needed for the next attempt.
        let limit = term.remaining(&self.clock);
        match self.look(limit).await {
            Ok(Verdict::Ours) => self.guard.allow(self.observed.resource_version()),
            Ok(Verdict::Absent) => {}
            Ok(Verdict::Held { holder: Some(holder), .. }) => {
                self.lose(&format!("it was taken by {holder}"));
                return Duration::ZERO;
            }
            Ok(Verdict::Free | Verdict::Held { holder: None, .. }) => {
                self.lose("it was taken away");
                return Duration::ZERO;
            }
            Err(error) => tracing::warn!(%error, left = ?term.remaining(&self.clock), "could not renew the lease"),
        }
        (self.config.retry_period / 2).min(term.remaining(&self.clock))
    }

    /// Takes the lease if that is allowed. Returns the pause until the next look.
    async fn contend(&mut self) -> Duration {
        let spread = f64::from(u32::try_from(random() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        let pause = self.config.retry_period.mul_f64(1.0 + 0.2 * spread);
        let limit = CALL_TIMEOUT;
        let verdict = match self.look(limit).await {
            Ok(verdict) => verdict,
            Err(error) => {
                // Once per outage: the next words are spoken when there is a verdict again.
                if !std::mem::replace(&mut self.unreadable, true) {
                    tracing::warn!(%error, lease = self.config.lease_name, "could not read the lease; trying on");
                }
                return pause;
            }
        };
        let sent = Sent::now(&self.clock);
        let taken = match verdict {
            Verdict::Held { holder, left } => {
                self.stand_by(holder);
                return pause.min(left);
            }
            Verdict::Free => match self.vacate().await {
                Ok(()) => self.ask_crate(limit).await,
                Err(error) => Err(error),
            },
            Verdict::Ours => {
                self.guard.allow(self.observed.resource_version());
                self.ask_crate(limit).await
            }
            Verdict::Absent => self.ask_crate(limit).await,
        };
        match taken {
            Ok(()) => self.begin(sent),
            // Usually another candidate was faster; the watch shows when there is something to do.
            Err(error) => tracing::debug!(%error, "did not get the lease"),
        }
        if self.term.is_some() { self.config.retry_period } else { pause }
    }

    /// Lets the crate acquire or renew, within `limit`. `Ok` means that the API server stored a record that names us.
    async fn ask_crate(&mut self, limit: Duration) -> Result<(), LeaseError> {
        let answer = self.within(limit, self.lock.try_acquire_or_renew().err_into()).await?;
        let acquired = matches!(answer, LeaseLockResult::Acquired(_));
        let (LeaseLockResult::Acquired(lease) | LeaseLockResult::NotAcquired(lease)) = answer;
        self.take_in(Some(&lease));
        match holder(lease.spec.as_ref()) {
            Some(holder) if acquired && holder == self.config.identity => {
                self.guard.allow(lease.metadata.resource_version);
                Ok(())
            }
            other => {
                let leader = other.unwrap_or_default().to_owned();
                Err(kube_leader_election::Error::ReleaseLockWhenNotLeading { leader }.into())
            }
        }
    }

    /// Frees the judged record, so that the crate finds it expired whatever its times say. If it has changed since, the
    /// API server refuses.
    async fn vacate(&mut self) -> Result<(), LeaseError> {
        self.guard.allow(self.observed.resource_version());
        if let Some(patch) = self.observed.vacating_patch() {
            let params = PatchParams { field_manager: Some(self.config.identity.clone()), ..PatchParams::default() };
            let patch = Patch::Merge(patch);
            let call = self.api.patch(&self.config.lease_name, &params, &patch).err_into();
            let lease = self.within(CALL_TIMEOUT, call).await?;
            self.take_in(Some(&lease));
            self.guard.allow(lease.metadata.resource_version);
        }
        Ok(())
    }

    /// Reads the Lease. No write is allowed over what is found until it has been judged.
    async fn look(&mut self, limit: Duration) -> Result<Verdict, LeaseError> {
        let lease = self.within(limit, self.api.get_opt(&self.config.lease_name).err_into()).await?;
        self.guard.allow(None);
        self.unreadable = false;
        self.take_in(lease.as_ref());
        Ok(self.observed.verdict(&self.config.identity, self.clock.monotonic()))
    }

    fn take_in(&mut self, lease: Option<&Lease>) {
        self.observed.take_in(lease, self.config.lease_duration, self.clock.monotonic());
    }

    /// Bounds a call by `limit`, and so that at least two fit into the renew deadline.
    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        let limit = limit.min(CALL_TIMEOUT).min(self.config.renew_deadline / 2);
        tokio::time::timeout(limit, call).await.unwrap_or(Err(LeaseError::Timeout(limit)))
    }

    /// Returns when the watch shows something the elector has to look at. It is a hint only: what counts is read anew,
    /// since a watch may lag behind our own writes.
    async fn change<S>(&self, changes: &mut S)
    where
        S: Stream<Item = watcher::Result<Option<Lease>>> + Unpin,
    {
        while let Some(change) = changes.next().await {
            match change {
                Ok(lease) if self.observed.is(lease.as_ref()) => {}
                Ok(lease) => {
                    let holder = holder(lease.as_ref().and_then(|lease| lease.spec.as_ref()));
                    if self.term.is_none() || holder != Some(&self.config.identity) {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "the watch of the lease failed; it is polled meanwhile"),
            }
        }
        std::future::pending::<()>().await;
    }

    fn begin(&mut self, sent: Sent) {
        self.terms += 1;
        let term = Term::new(self.terms, sent, self.config.renew_deadline);
        tracing::info!(identity = self.config.identity, term = self.terms, "leading");
        self.metrics.set_leading(true);
        self.term = Some(term.clone());
        self.state.send_replace(Leadership::Leading(term));
    }

    fn lose(&mut self, reason: &str) {
        if let Some(term) = self.term.take() {
            term.end();
            tracing::warn!(identity = self.config.identity, term = term.number(), reason, "lost the lease");
            self.metrics.set_leading(false);
            self.state.send_replace(Leadership::Standby { holder: None });
        }
    }

    fn stand_by(&self, leader: Option<String>) {
        self.state.send_if_modified(|state| {
            if matches!(state, Leadership::Standby { holder } if *holder == leader) {
                return false;
            }
            tracing::info!(leader = leader.as_deref().unwrap_or("nobody"), "standing by");
            *state = Leadership::Standby { holder: leader };
            true
        });
    }

    /// Gives the lease back, so that the successor need not wait for it to expire.
    async fn release(mut self) {
        let Some(term) = self.term.take() else { return };
        term.end();
        self.metrics.set_leading(false);
        self.state.send_replace(Leadership::Standby { holder: None });
        for _ in 0..RELEASE_ATTEMPTS {
            match self.within(CALL_TIMEOUT, self.lock.step_down().err_into()).await {
                Ok(()) => return tracing::info!(identity = self.config.identity, "released the lease"),
                Err(error) => tracing::debug!(%error, "could not release the lease"),
            }
            match self.look(CALL_TIMEOUT).await {
                Ok(Verdict::Ours) => self.guard.allow(self.observed.resource_version()),
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "could not read the lease"),
            }
        }
        tracing::warn!(identity = self.config.identity, "could not release the lease; it will expire");
    }
}

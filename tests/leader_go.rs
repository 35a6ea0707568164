//! An election between our candidate and one of client-go, as the Go operator has it (R31, R35).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use marmot_operator::clock::SystemClock;
use marmot_operator::leader::Term;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::cluster;
use support::election::{Election, LEASE};
use support::operator::PATIENCE;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// `tests/cluster/cmd/candidate`; killed when dropped.
struct GoCandidate {
    child: Child,
    says: UnboundedReceiver<String>,
}

impl Drop for GoCandidate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl GoCandidate {
    async fn start(election: &Election, identity: &str) -> Self {
        let mut command = Command::new(cluster::programs().unwrap().join("candidate"));
        command.arg("--kubeconfig").arg(&cluster::shared().await.kubeconfig);
        command.args(["--namespace", &election.namespace, "--lease", LEASE, "--identity", identity]);
        command.args(["--lease-duration", "3s", "--renew-deadline", "2s", "--retry-period", "500ms"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, says) = unbounded_channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, says }
    }

    /// Waits until it says so, and returns when that was.
    async fn says(&mut self, what: &str) -> Timestamp {
        let line = tokio::time::timeout(PATIENCE, self.says.recv()).await.expect("it says something in time");
        let line = line.expect("it does not end before");
        let (said, at) = line.split_once(' ').unwrap();
        assert_eq!(said, what);
        at.parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

/// Looks all the time whether one of our terms holds, also those of candidates that are dead.
#[derive(Clone, Default)]
struct Lookout {
    terms: Arc<Mutex<Vec<Term>>>,
    held: Arc<Mutex<Vec<Timestamp>>>,
}

impl Lookout {
    async fn look(self) {
        loop {
            if self.terms.lock().unwrap().iter().any(|term| term.holds(&SystemClock)) {
                self.held.lock().unwrap().push(Timestamp::now());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

// R31, R35
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_of_client_go_and_ours_hand_over_and_never_lead_together() {
    let election = Election::new().await;
    let lookout = Lookout::default();
    let looking = tokio::spawn(lookout.clone().look());
    let mut led_by_go = Vec::new();
    for round in 0..2 {
        // Both ways by release.
        let mut go = GoCandidate::start(&election, &format!("go-{round}a")).await;
        let since = go.says("leading").await;
        let mut ours = election.candidate(&format!("ours-{round}a"));
        ours.stands_by_behind(&format!("go-{round}a")).await;
        go.signal(Signal::SIGTERM);
        led_by_go.push(since..go.says("stopped").await);
        let term = ours.leads().await;
        lookout.terms.lock().unwrap().push(term);
        let mut go = GoCandidate::start(&election, &format!("go-{round}b")).await;
        ours.release.cancel();
        let since = go.says("leading").await;

        // Both ways by silent death.
        let mut ours = election.candidate(&format!("ours-{round}b"));
        ours.stands_by_behind(&format!("go-{round}b")).await;
        led_by_go.push(since..Timestamp::now());
        go.signal(Signal::SIGKILL);
        let term = ours.leads().await;
        lookout.terms.lock().unwrap().push(term);
        let mut go = GoCandidate::start(&election, &format!("go-{round}c")).await;
        ours.die().await;
        let since = go.says("leading").await;
        led_by_go.push(since..Timestamp::now());
        go.signal(Signal::SIGTERM);
        go.says("stopped").await;
    }
    looking.abort();
    let held = lookout.held.lock().unwrap();
    assert!(held.len() > 100, "our terms were seen {} times", held.len());
    let together: Vec<_> = held.iter().filter(|at| led_by_go.iter().any(|led| led.contains(at))).collect();
    assert!(together.is_empty(), "both led at {together:?}; client-go in {led_by_go:?}");
}

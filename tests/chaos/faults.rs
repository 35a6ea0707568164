//! What is done to the processes, and when.

use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;

use crate::crew::{Crew, LEASE_DURATION};

/// One kind of mishap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGTERM.
    TerminateLeader,
    /// `kill -9`.
    KillLeader,
    /// SIGSTOP until another one leads, then SIGCONT.
    FreezeLeader,
    /// `kill -9` of one that does not lead.
    KillStandby,
    /// `kill -9`; the supervisor starts it again.
    KillApiServer,
    /// SIGSTOP for up to 30 s, then SIGCONT.
    FreezeEtcd,
}

/// A fault that has been.
pub(crate) struct Inflicted {
    pub(crate) fault: Fault,
    /// When it began.
    pub(crate) at: Timestamp,
    /// The operator process it hit, if it led.
    pub(crate) led: Option<String>,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::TerminateLeader,
        Self::KillLeader,
        Self::FreezeLeader,
        Self::KillStandby,
        Self::KillApiServer,
        Self::FreezeEtcd,
    ];

    pub(crate) fn draw(random: &mut fastrand::Rng) -> Self {
        Self::ALL[random.usize(..Self::ALL.len())]
    }
}

impl Crew {
    /// Inflicts a fault and returns when it is over; that somebody leads again is not waited for.
    pub(crate) async fn inflict(&mut self, fault: Fault, random: &mut fastrand::Rng) -> Inflicted {
        // At any moment between two ticks.
        tokio::time::sleep(Duration::from_millis(random.u64(..5000))).await;
        let leader = self.led().await;
        let at = Timestamp::now();
        let name = self.member(leader).name.clone();
        println!("{at:.3} {fault:?} (leader: {name})");
        match fault {
            Fault::TerminateLeader => {
                let member = self.take(leader);
                member.signal(Signal::SIGTERM);
                member.ended().await;
            }
            Fault::KillLeader => drop(self.take(leader)),
            Fault::FreezeLeader => {
                self.member(leader).signal(Signal::SIGSTOP);
                tokio::time::sleep(LEASE_DURATION + Duration::from_millis(random.u64(1000..5000))).await;
                self.member(leader).signal(Signal::SIGCONT);
            }
            Fault::KillStandby => {
                let standby = self.standby(leader).expect("there is a stand-by");
                drop(self.take(standby));
            }
            Fault::KillApiServer => self.signal_component("kube-apiserver", Signal::SIGKILL),
            Fault::FreezeEtcd => {
                self.signal_component("etcd", Signal::SIGSTOP);
                tokio::time::sleep(Duration::from_millis(random.u64(2000..30_000))).await;
                self.signal_component("etcd", Signal::SIGCONT);
            }
        }
        let hits_leader = matches!(fault, Fault::TerminateLeader | Fault::KillLeader | Fault::FreezeLeader);
        Inflicted { fault, at, led: hits_leader.then_some(name) }
    }
}

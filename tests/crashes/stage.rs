//! Where a scenario is played: a namespace, and operators behind layers of faults. A killed operator is replaced at once,
//! or by one that stands by.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crds::Run;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::faults::Layer;
use crate::faults::call::Call;
use crate::faults::fault::Fault;
use crate::seen::Seen;
use crate::support::operator::{Operator, World};

const LEASE: &str = "marmot-operator.marmotdata.io";
const ALONE: &[&str] = &["--leader-elect=false"];
const ELECTED: &[&str] =
    &["--leader-elect-lease-duration=8s", "--leader-elect-renew-deadline=6s", "--leader-elect-retry-period=1s"];

/// What befalls the operator during a play.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Nothing.
    None,
    /// One fault, at the call of that number.
    At(usize, Fault),
    /// Its view of the world is that old, all the time.
    Lag(Duration),
    /// Its watches expire so often, and what they had not shown is lost.
    Expiry(Duration),
}

/// One play.
pub struct Stage {
    pub world: World,
    /// In front of the first operator, or of the one after it.
    pub layer: Arc<Layer>,
    pub seen: Seen,
    trouble: Trouble,
    standby: Mutex<Option<(Arc<Layer>, Operator)>>,
    keeper: Mutex<Option<AbortHandle>>,
    log: PathBuf,
}

impl Stage {
    pub async fn new(name: &str, trouble: Trouble, counts: fn(&Call) -> bool) -> Self {
        let world = World::new(name).await;
        let layer = Layer::start(&world.namespace, world.client.clone(), counts, None).await;
        match trouble {
            Trouble::None => {}
            Trouble::At(call, fault) => layer.strike(call, fault),
            Trouble::Lag(lag) => layer.views.lag(lag),
            Trouble::Expiry(pause) => drop(tokio::spawn(expire(Arc::downgrade(&layer), pause))),
        }
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.log", world.namespace));
        let seen = Seen::follow(&world).await;
        Self { world, layer, seen, trouble, standby: Mutex::default(), keeper: Mutex::default(), log }
    }

    /// Starts the operator, alone in its namespace, and another one whenever it is killed.
    pub fn start(self: &Arc<Self>) {
        let crashes = self.layer.crashes();
        self.replace(self.spawn(&self.layer, ALONE), crashes);
    }

    /// Starts an operator that leads, and one that stands by.
    pub async fn start_pair(self: &Arc<Self>) {
        let mut crashes = self.layer.crashes();
        let mut leader = self.spawn(&self.layer, ELECTED);
        let is_held = |lease: Option<&Lease>| {
            let holder = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
            holder.is_some_and(|holder| !holder.is_empty())
        };
        tokio::select! {
            led = await_condition(self.world.api::<Lease>(), LEASE, is_held) => drop(led.expect("the watch goes on")),
            died = crashes.wait_for(|crashes| *crashes > 0) => drop(died.expect("the layer is there")),
        }
        let client = self.world.client.clone();
        let layer = Layer::start(&format!("{}-2", self.world.namespace), client, Call::decides, None).await;
        let second = self.spawn(&layer, ELECTED);
        *self.standby.lock().unwrap() = Some((layer, second));
        // It only waits to be killed, and is reaped.
        let keeper = tokio::spawn(async move {
            if crashes.wait_for(|crashes| *crashes > 0).await.is_ok() {
                leader.kill();
            }
            std::future::pending::<()>().await;
        });
        *self.keeper.lock().unwrap() = Some(keeper.abort_handle());
    }

    fn replace(self: &Arc<Self>, mut operator: Operator, mut crashes: watch::Receiver<usize>) {
        let stage = Arc::downgrade(self);
        let keeper = tokio::spawn(async move {
            while crashes.changed().await.is_ok() {
                operator.kill();
                let Some(stage) = stage.upgrade() else { return };
                operator = stage.spawn(&stage.layer, ALONE);
            }
        });
        *self.keeper.lock().unwrap() = Some(keeper.abort_handle());
    }

    fn spawn(&self, layer: &Layer, more: &[&str]) -> Operator {
        let log = File::options().create(true).append(true).open(&self.log).expect("the log can be opened");
        let verbose = ["--log-level", "info,marmot_operator=debug", "--runner-image", "example.org/operator:test"];
        let more = [more, verbose.as_slice()].concat();
        let operator = self.world.operator_by(layer.kubeconfig(), &more, Stdio::from(log));
        layer.stands_before(operator.id());
        operator
    }

    /// Creates the Run of the scenario.
    pub async fn create(&self, outcome: &str, mut spec: Value) -> Run {
        spec["podAnnotations"] = json!({ "test.marmotdata.io/outcome": outcome });
        self.world.create("orders", spec).await
    }

    /// Waits until the Run is as described.
    pub async fn run_when(&self, what: &str, is: impl Fn(&crds::RunStatus) -> bool + Send + Sync) -> Run {
        Box::pin(self.world.run_when("orders", what, |run| is(&run.status.clone().unwrap_or_default()))).await
    }

    /// Changes the spec.
    pub async fn edit(&self, spec: Value) {
        self.world.patch("orders", json!({ "spec": spec })).await;
    }

    /// What was to happen.
    pub const fn trouble(&self) -> Trouble {
        self.trouble
    }

    /// It has happened.
    pub fn was_troubled(&self) -> bool {
        !matches!(self.trouble, Trouble::At(..)) || self.layer.has_struck()
    }

    /// Where the operators have logged.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The play went well: nobody will ask for the log.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(&self.log);
    }

    /// How long nobody has made a call that counts.
    pub fn quiet_for(&self) -> Duration {
        let standby = self.standby.lock().unwrap();
        let others = standby.as_ref().map(|(layer, _)| layer.quiet_for());
        others.into_iter().fold(self.layer.quiet_for(), Duration::min)
    }
}

async fn expire(layer: Weak<Layer>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(layer) = layer.upgrade() else { return };
        layer.views.expire();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().unwrap().take() {
            keeper.abort();
        }
    }
}

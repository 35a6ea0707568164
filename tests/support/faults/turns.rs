//! One call at a time, of several processes, in an order drawn from a seed.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Longest wait for others who might go first.
const LONGEST_WAIT: u64 = 40;

/// A source of numbers that is the same for the same seed (xorshift64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From `seed`; zero counts as one.
    pub const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Whoever holds it makes its call; nobody else does.
pub struct Turn(#[allow(dead_code, reason = "dropping it says that the call is over")] oneshot::Sender<()>);

/// Hands out turns.
#[derive(Clone, Debug)]
pub struct Turns(mpsc::UnboundedSender<oneshot::Sender<Turn>>);

impl Turns {
    /// Turns in an order drawn from `random`.
    pub fn new(random: Random) -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        tokio::spawn(deal(waiting, random));
        Self(sender)
    }

    /// Waits for a turn.
    pub async fn take(&self) -> Turn {
        let (sender, turn) = oneshot::channel();
        self.0.send(sender).expect("turns are dealt as long as anybody takes one");
        turn.await.expect("everybody gets a turn")
    }
}

async fn deal(mut arriving: mpsc::UnboundedReceiver<oneshot::Sender<Turn>>, mut random: Random) {
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() {
            let Some(first) = arriving.recv().await else { return };
            waiting.push(first);
        }
        tokio::time::sleep(Duration::from_millis(random.below(LONGEST_WAIT))).await;
        while let Ok(another) = arriving.try_recv() {
            waiting.push(another);
        }
        let chosen = random.below(waiting.len() as u64);
        let (turn, over) = oneshot::channel();
        if waiting.swap_remove(usize::try_from(chosen).expect("an index")).send(Turn(turn)).is_ok() {
            let _ = over.await;
        }
    }
}

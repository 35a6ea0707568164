//! How many Runs are looked at at the same time, so that one that waits for the API server delays no other (R38).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Looks at the same time. Creates are bounded by it too: with more in flight the API server gets slower, not faster.
const SLOTS: usize = 48;
/// Looks that wait for the API server, beside these. Few enough that an API server which is slow with everything is not
/// buried under more calls than it can answer in time.
const SEATS: usize = 64;
/// A look that takes longer waits for something that others need not wait for. Far more than a create takes among
/// thousands.
const MOMENT: Duration = Duration::from_millis(500);

/// Slots for looks, and seats for those that take long.
#[derive(Debug)]
pub struct Slots {
    slots: Arc<Semaphore>,
    seats: Semaphore,
}

/// One slot, free again when dropped.
#[derive(Debug)]
pub struct Slot(#[allow(dead_code, reason = "it is there to be dropped")] Option<OwnedSemaphorePermit>);

impl Default for Slots {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(SLOTS)), seats: Semaphore::new(SEATS) }
    }
}

impl Slots {
    /// Waits for a slot.
    pub async fn take(&self) -> Slot {
        Slot(Arc::clone(&self.slots).acquire_owned().await.ok())
    }

    /// Sees a look through. One that takes long gives its slot to others, and `waits` is told; where all seats are taken
    /// it keeps it. One of which it is known that it hangs takes no slot, and waits for a seat.
    pub async fn see_through(&self, slot: Slot, hangs: bool, waits: impl FnOnce(), look: impl Future<Output = ()>) {
        if hangs {
            drop(slot);
            waits();
            let _seat = self.seats.acquire().await;
            return look.await;
        }
        let mut look = std::pin::pin!(look);
        if tokio::time::timeout(MOMENT, &mut look).await.is_err() {
            let seat = self.seats.try_acquire();
            let _kept = seat.is_err().then_some(slot);
            if seat.is_ok() {
                waits();
            }
            look.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// Longer than anything here takes, in virtual time.
    const PATIENCE: Duration = Duration::from_secs(3600);

    /// Takes slots for so many looks that never end.
    async fn hang(slots: &Arc<Slots>, count: usize, known: bool) {
        for _ in 0..count {
            let (slot, slots) = (slots.take().await, Arc::clone(slots));
            tokio::spawn(async move { slots.see_through(slot, known, || (), pending()).await });
        }
    }

    // R38
    #[tokio::test(start_paused = true)]
    async fn a_hundred_looks_that_hang_let_the_others_through() {
        for known in [false, true] {
            let slots = Arc::new(Slots::default());
            let others = async {
                hang(&slots, 100, known).await;
                for _ in 0..1000 {
                    slots.see_through(slots.take().await, false, || (), ready(())).await;
                }
            };
            tokio::time::timeout(PATIENCE, others).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_are_known_to_hang_they_take_no_place() {
        let slots = Arc::new(Slots::default());
        let another = async {
            hang(&slots, 10_000, true).await;
            slots.see_through(slots.take().await, false, || (), ready(())).await;
        };
        tokio::time::timeout(PATIENCE, another).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_looks_than_places_and_seats() {
        let slots = Arc::new(Slots::default());
        let all = hang(&slots, SLOTS + SEATS + 1, false);
        assert!(tokio::time::timeout(PATIENCE, all).await.is_err());
    }
}

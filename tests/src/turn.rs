//! Taking turns.
//!
//! Runs that measure times and shares want the cores for themselves, but mostly they wait: one of them uses a tenth to a quarter of
//! two cores. So two go on at a time in each suite. One at a time made the suites take twice as long, and no more pass. The few that
//! need most of the machine, such as an overload or many programs at once, run [`alone`].

use tokio::sync::{Semaphore, SemaphorePermit};

/// Runs at a time.
const PLACES: u32 = 2;

/// Held while a run goes on.
#[derive(Debug)]
pub struct Turn {
    /// None only if the semaphore were closed, which nobody does.
    _place: Option<SemaphorePermit<'static>>,
}

/// Waits for a turn; it is over when the value is dropped.
pub async fn turn() -> Turn {
    places(1).await
}

/// Waits until no other run that takes turns goes on, and keeps them waiting.
pub async fn alone() -> Turn {
    places(PLACES).await
}

async fn places(count: u32) -> Turn {
    static TURNS: Semaphore = Semaphore::const_new(PLACES as usize);
    Turn {
        _place: TURNS.acquire_many(count).await.ok(),
    }
}

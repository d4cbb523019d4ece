//! Which write of the admin API is whose.

use crate::admin::{Write, Written};
use crate::worker::Shared;
use crate::{state, steer};

/// Carries out a write that was let in; none when nothing can be written at its path.
pub(crate) async fn carry_out(shared: &Shared, write: Write) -> Option<Written> {
    match steer::write(shared, &write).await {
        None => state::write(&shared.orders, &write).await,
        done => done,
    }
}

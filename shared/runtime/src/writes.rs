//! Which write of the admin API is whose.

use crate::admin::{Write, Written};
use crate::state;
use crate::worker::Shared;

/// Carries out a write that was let in; none when nothing can be written at its path.
pub(crate) async fn carry_out(shared: &Shared, write: Write) -> Option<Written> {
    state::write(&shared.orders, &write).await
}

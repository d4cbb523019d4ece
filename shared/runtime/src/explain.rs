//! What would happen to a request, and why not something else.

use crate::plan::Plan;
use lb_core::status::{Explain, ExplainQuery};

/// Explains a request without sending it.
pub(crate) fn explain(_plan: &Plan, _query: &ExplainQuery) -> Result<Explain, String> {
    Err("not yet".to_owned())
}

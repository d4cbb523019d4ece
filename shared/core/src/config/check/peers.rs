//! The sister replicas.

use super::duplicates::Seen;
use super::report::Report;
use crate::config::address::ServerAddress;
use crate::config::read::Path;

/// A peer that stands there twice is a slip of the hand for another one. This replica itself may be listed, so that one
/// list serves all.
pub(super) fn check(report: &mut Report<'_>, peers: &[String]) {
    let list = Path::root().key("peers");
    let mut seen = Seen::new();
    for (at, peer) in peers.iter().enumerate() {
        let Ok(address) = ServerAddress::parse(peer) else {
            continue;
        };
        if let Some(first) = seen.again(address, at) {
            let reason = format!("the peer {peer} is listed twice");
            report.repeated(
                &list.index(at),
                &list.index(first),
                reason,
                "keep one of them",
            );
        }
    }
}

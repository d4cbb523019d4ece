//! The verdict on a region in words, for log, status and `explain`.

use super::RegionNote;
use lb_core::drain::Stage;
use lb_core::region::evidence::Why;
use lb_core::status::RegionState;
use lb_core::time::Instant;

/// Why a region that is well gets nothing new.
pub(crate) const LEAVING: &str = "all of its replicas say that they leave (x-lb-draining)";

/// The reason of a state.
#[must_use]
pub(crate) fn why(why: Why) -> String {
    match why {
        Why::Nothing => "no evidence yet".to_owned(),
        Why::First => "first evidence".to_owned(),
        Why::Report(share) => {
            format!(
                "{:.0} % of its servers are healthy by its report",
                share * 100.0
            )
        }
        Why::Probes => "no replica is reachable: the probes of all failed".to_owned(),
        Why::Traffic => "gateway errors in a row across its replicas".to_owned(),
        Why::KeptByTraffic => {
            "its requests succeed although reports or probes speak against it".to_owned()
        }
        Why::Proven => "probes and reports were good for long enough".to_owned(),
        Why::Served => "its time out is over".to_owned(),
        Why::Ramped => "its share has grown to all of it".to_owned(),
        Why::Left => "its replicas said that they leave, and are gone".to_owned(),
    }
}

/// What a status page says of a region.
#[must_use]
pub(crate) fn describe(note: &RegionNote, now: Instant) -> String {
    let mut text = match note.state {
        RegionState::Drained if note.leaving => return LEAVING.to_owned(),
        RegionState::Drained | RegionState::Offline if note.order != Stage::Active => {
            return format!("{} by order", note.order.as_str().replace('_', " "));
        }
        RegionState::Drained => return "weight 0".to_owned(),
        RegionState::Healthy if !note.retained => return String::new(),
        _ => why(note.why),
    };
    if note.retained {
        text.push_str("; used all the same, since too much would go out");
    }
    if let Some(until) = note.held_until {
        let seconds = now.until(until).as_secs();
        text.push_str(&format!("; it flaps, and is held out for {seconds} s more"));
    }
    text
}

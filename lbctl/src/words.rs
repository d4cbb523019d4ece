//! Values as words: states with a shape, ages, shares.

use crate::table::{Cell, Tone};
use lb_core::drain::Stage;
use lb_core::status::{CheckStatus, EndpointState, Lifecycle, RegionState, Status};

/// An endpoint's state with its shape.
pub(crate) fn endpoint(state: EndpointState) -> Cell {
    let (shape, tone) = match state {
        EndpointState::Healthy => ('●', Tone::Good),
        EndpointState::Ramping => ('◐', Tone::Warn),
        EndpointState::Unknown => ('○', Tone::Dim),
        EndpointState::Draining => ('◔', Tone::Warn),
        EndpointState::Drained => ('◌', Tone::Dim),
        EndpointState::Ejected => ('▲', Tone::Bad),
        EndpointState::Unhealthy => ('✖', Tone::Bad),
    };
    Cell::new(format!("{shape} {}", state.as_str()), tone)
}

/// A region's state with its shape.
pub(crate) fn region(state: RegionState) -> Cell {
    let (_, tone) = region_shape(state);
    Cell::new(region_text(state), tone)
}

/// The same without colour.
pub(crate) fn region_text(state: RegionState) -> String {
    let (shape, _) = region_shape(state);
    format!("{shape} {}", state.as_str())
}

const fn region_shape(state: RegionState) -> (char, Tone) {
    match state {
        RegionState::Healthy => ('●', Tone::Good),
        RegionState::Ramping | RegionState::Degraded => ('◐', Tone::Warn),
        RegionState::Unknown => ('○', Tone::Dim),
        RegionState::Drained => ('◌', Tone::Dim),
        RegionState::Ejected => ('▲', Tone::Bad),
        RegionState::Unhealthy => ('✖', Tone::Bad),
        RegionState::Offline => ('■', Tone::Bad),
    }
}

/// How far an order is, with its shape.
pub(crate) fn drain(stage: Stage) -> Cell {
    let (shape, tone) = match stage {
        Stage::Active => ('●', Tone::Good),
        Stage::Ramping | Stage::Dialed | Stage::Undraining => ('◐', Tone::Warn),
        Stage::Draining => ('◔', Tone::Warn),
        Stage::Drained => ('◌', Tone::Dim),
        Stage::Offline => ('■', Tone::Bad),
        Stage::Suspended => ('▲', Tone::Bad),
        Stage::ExpiredUnhealthy => ('✖', Tone::Bad),
        Stage::Unknown => ('○', Tone::Dim),
    };
    Cell::new(format!("{shape} {}", stage.as_str()), tone)
}

/// Whether a replica is ready, and where it stands.
pub(crate) fn stage(status: &Status) -> Cell {
    let stage = status.lifecycle.as_str().replace('_', " ");
    match (status.ready, status.lifecycle) {
        (true, Lifecycle::Serving) => Cell::new("● ready", Tone::Good),
        (true, _) => Cell::new(format!("◔ ready, {stage}"), Tone::Warn),
        (false, Lifecycle::Starting) => Cell::new("○ starting", Tone::Warn),
        (false, _) => Cell::new(format!("✖ not ready, {stage}"), Tone::Bad),
    }
}

/// A count of faults, which is only worth a colour when it is not 0.
pub(crate) fn faults(count: u64) -> Cell {
    let tone = if count == 0 { Tone::Plain } else { Tone::Warn };
    Cell::new(count.to_string(), tone)
}

/// Healthy ones of all.
pub(crate) fn healthy(healthy: u32, total: usize) -> Cell {
    let tone = match healthy {
        0 if total > 0 => Tone::Bad,
        h if (h as usize) < total => Tone::Warn,
        _ => Tone::Plain,
    };
    Cell::new(format!("{healthy}/{total}"), tone)
}

/// The last active check: what it found and how long ago.
pub(crate) fn check(check: Option<&CheckStatus>) -> Cell {
    match check {
        None => "-".into(),
        Some(check) => {
            let tone = if check.ok { Tone::Plain } else { Tone::Bad };
            let ago = age(check.ago_ms);
            Cell::new(format!("{} {ago} ago", check.result), tone)
        }
    }
}

/// A time in its two largest units: `350ms`, `12s`, `3m05s`, `4h10m`, `2d3h`.
pub(crate) fn age(ms: u64) -> String {
    let secs = ms / 1000;
    match secs {
        0 => format!("{ms}ms"),
        1..60 => format!("{secs}s"),
        60..3600 => format!("{}m{:02}s", secs / 60, secs % 60),
        3600..86_400 => format!("{}h{:02}m", secs / 3600, secs / 60 % 60),
        _ => format!("{}d{}h", secs / 86_400, secs / 3600 % 24),
    }
}

/// A latency in milliseconds.
pub(crate) fn latency(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2}ms"),
        Some(ms) => format!("{ms:.0}ms"),
    }
}

/// A share from 0 to 1 in per cent.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

/// The part of its weight that an endpoint gets, which is only worth a colour when it is not all.
pub(crate) fn share(share: Option<f64>) -> Cell {
    let tone = match share {
        Some(share) if share < 1.0 => Tone::Warn,
        _ => Tone::Plain,
    };
    Cell::new(percent(share), tone)
}

/// A value that may be missing.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        for (ms, is) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (65_000, "1m05s"),
            (3_600_000, "1h00m"),
            (183_600_000, "2d3h"),
        ] {
            assert_eq!(age(ms), is);
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(latency(Some(0.123)), "0.12ms");
        assert_eq!(latency(Some(1234.5)), "1234ms");
        assert_eq!(percent(Some(0.666)), "67%");
        assert_eq!(percent(None), "-");
    }
}

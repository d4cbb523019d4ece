//! A record as stores keep it: a snapshot of one, so that it tells its format.

use lb_core::drain::{Record, Snapshot};

/// The record in a value.
///
/// # Errors
/// What it is instead, to be said after its key.
pub(super) fn read(value: &[u8]) -> Result<Record, String> {
    let snapshot: Snapshot =
        serde_json::from_slice(value).map_err(|error| format!("is no order: {error}"))?;
    if snapshot.format > Snapshot::FORMAT {
        let format = snapshot.format;
        return Err(format!(
            "is in format {format} of a later version: upgrade this replica"
        ));
    }
    let first = snapshot.records.into_iter().next();
    first.ok_or_else(|| "has no order".to_owned())
}

/// The value for a record.
pub(super) fn write(record: &Record) -> String {
    let snapshot = Snapshot {
        format: Snapshot::FORMAT,
        records: vec![record.clone()],
    };
    serde_json::to_string(&snapshot).unwrap_or_default()
}

//! Where orders are kept.

use super::duplicates::Seen;
use super::report::Report;
use crate::config::address::ServerAddress;
use crate::config::model::{Etcd, State, StoreKind};
use crate::config::read::{Code, Path};

pub(super) fn check(report: &mut Report<'_>, state: &State, path: &Path) {
    let key = path.key("etcd");
    match (state.store, &state.etcd) {
        (StoreKind::Etcd, None) => report.value(
            &path.key("store"),
            Code::MissingKey,
            "orders are to be kept in an etcd, and none is named",
            "add `etcd: { endpoints: [name:2379] }` beside it",
        ),
        (StoreKind::Etcd, Some(etcd)) => self::etcd(report, etcd, &key),
        (other, Some(_)) => unused(report, &key, "etcd", other),
        (_, None) => {
            let write = "name its endpoints, or remove the key";
            report.empty_section(&key, true, "no etcd is used", write);
        }
    }
    // Without the section, the defaults hold.
    if state.kubernetes.is_some() && state.store != StoreKind::Kubernetes {
        unused(report, &path.key("kubernetes"), "kubernetes", state.store);
    }
}

/// Settings of a store that isn't the one in use.
fn unused(report: &mut Report<'_>, key: &Path, name: &str, store: StoreKind) {
    report.key(
        key,
        Code::Unreachable,
        format!("`{name}` is not used: the store is {}", store.as_str()),
        format!("write `store: {name}` beside it, or remove the key"),
    );
}

fn etcd(report: &mut Report<'_>, etcd: &Etcd, path: &Path) {
    let list = path.key("endpoints");
    let mut seen = Seen::new();
    for (at, endpoint) in etcd.endpoints.iter().enumerate() {
        let Ok(address) = ServerAddress::parse(endpoint) else {
            continue;
        };
        if let Some(first) = seen.again(address, at) {
            let reason = format!("the endpoint {endpoint} is listed twice");
            report.repeated(&list.index(at), &list.index(first), reason, "keep one");
        }
    }
    let tls = etcd.tls.clone().unwrap_or_default();
    let place = path.key("tls");
    pair(
        report,
        &place,
        ("certificate", tls.certificate.is_some()),
        ("key", tls.key.is_some()),
    );
    let password = etcd.password_file.is_some();
    pair(
        report,
        path,
        ("user", etcd.user.is_some()),
        ("password_file", password),
    );
}

type Key = (&'static str, bool);

/// Two keys that make no sense without each other.
fn pair(report: &mut Report<'_>, path: &Path, a: Key, b: Key) {
    let (has, lacks) = match (a.1, b.1) {
        (true, false) => (a.0, b.0),
        (false, true) => (b.0, a.0),
        _ => return,
    };
    report.key(
        &path.key(has),
        Code::MissingKey,
        format!("{has} is of no use without {lacks}"),
        format!("add {lacks} beside it"),
    );
}

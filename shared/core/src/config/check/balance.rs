//! What a hash policy hashes.

use super::report::Report;
use crate::config::model::{Balance, Pool};
use crate::config::read::{Code, Path};

pub(super) fn check(report: &mut Report<'_>, pool: &Pool, path: &Path) {
    let Balance { policy, hash_on } = &pool.balance;
    let place = path.key("hash_on");
    let given = [
        ("header", hash_on.header.is_some()),
        ("cookie", hash_on.cookie.is_some()),
        ("path", hash_on.path),
    ];
    let given: Vec<&str> = given
        .into_iter()
        .filter_map(|(key, is)| is.then_some(key))
        .collect();
    if let [first, others @ ..] = given.as_slice() {
        for key in others {
            report.key(
                &place.key(*key),
                Code::Conflict,
                format!("the pool \"{}\" hashes on {first} already", pool.name),
                "keep one of header, cookie and path",
            );
        }
        if !policy.needs_key() {
            report.key(
                &place,
                Code::Unreachable,
                format!("the policy of the pool \"{}\" hashes nothing", pool.name),
                "set `policy: maglev` (or ring_hash, rendezvous), or remove hash_on",
            );
        }
    }
}

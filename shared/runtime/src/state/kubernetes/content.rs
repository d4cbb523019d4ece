//! What a ConfigMap says: an entry for each record, under a key that its scope gives.

use crate::state::value;
use k8s_openapi::api::core::v1::ConfigMap;
use lb_core::drain::{Record, Scope};
use std::collections::BTreeMap;

/// Most bytes of all entries; the API server refuses more than 1 MiB.
const MOST_BYTES: usize = (1 << 20) - 4096;
/// The annotation that tells whose orders they are.
const PLACE: &str = "strata/place";
/// What the API server allows for a name.
const MOST_NAME: usize = 253;

/// The entries of a ConfigMap.
#[derive(Debug, Default)]
pub(super) struct Content {
    place: String,
    entries: BTreeMap<String, Entry>,
    /// Their texts, as they are kept.
    texts: BTreeMap<String, String>,
}

/// An entry.
#[derive(Debug)]
pub(super) enum Entry {
    Record(Box<Record>),
    /// It can't be read, for this reason.
    Unread(String),
}

// === impl Content ===

impl Content {
    /// Reads a ConfigMap for the orders of `place`; none has no entries.
    ///
    /// # Errors
    /// It has another place's orders.
    pub(super) fn read(map: Option<&ConfigMap>, place: &str) -> Result<Self, String> {
        let annotations = map.and_then(|map| map.metadata.annotations.as_ref());
        if let Some(other) = annotations.and_then(|all| all.get(PLACE))
            && other != place
        {
            return Err(format!(
                "it has the orders of {other}, not of {place}: give each tier and region a state.kubernetes.name of its own"
            ));
        }
        let texts = map.and_then(|map| map.data.clone()).unwrap_or_default();
        let entries = texts.iter().map(|(key, text)| {
            let entry = match value::read(text.as_bytes()) {
                Ok(record) if self::key(&record.scope) != *key => {
                    let right = self::key(&record.scope);
                    Entry::Unread(format!("has the order of {right}"))
                }
                Ok(record) => Entry::Record(Box::new(record)),
                Err(why) => Entry::Unread(why),
            };
            (key.clone(), entry)
        });
        Ok(Self {
            place: place.to_owned(),
            entries: entries.collect(),
            texts,
        })
    }

    /// The ConfigMap to put in place of the one that was read; the rest of that stays.
    ///
    /// # Errors
    /// It doesn't fit.
    pub(super) fn write(
        &self,
        name: &str,
        before: Option<&ConfigMap>,
    ) -> Result<ConfigMap, String> {
        let bytes: usize = self
            .texts
            .iter()
            .map(|(key, text)| key.len() + text.len())
            .sum();
        if bytes > MOST_BYTES {
            return Err(format!(
                "{} orders don't fit into 1 MiB: those that ended are forgotten after a day; for more, use `store: etcd`",
                self.texts.len()
            ));
        }
        let mut map = before.cloned().unwrap_or_default();
        map.metadata.name = Some(name.to_owned());
        let annotations = map.metadata.annotations.get_or_insert_default();
        annotations.insert(PLACE.to_owned(), self.place.clone());
        map.data = Some(self.texts.clone());
        Ok(map)
    }

    pub(super) fn get(&self, scope: &Scope) -> Option<&Entry> {
        self.entries.get(&key(scope))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Record(record) => Some(&**record),
            Entry::Unread(_) => None,
        })
    }

    /// Entries that can't be read, each with its reason.
    pub(super) fn unread(&self) -> BTreeMap<String, String> {
        let unread = self.entries.iter().filter_map(|(key, entry)| match entry {
            Entry::Record(_) => None,
            Entry::Unread(why) => Some((key.clone(), why.clone())),
        });
        unread.collect()
    }

    pub(super) fn put(&mut self, record: &Record) {
        let key = key(&record.scope);
        self.texts.insert(key.clone(), value::write(record));
        self.entries
            .insert(key, Entry::Record(Box::new(record.clone())));
    }

    /// Takes records out that are still these; true when there was one.
    pub(super) fn forget(&mut self, records: &[Record]) -> bool {
        let mut has_changed = false;
        for record in records {
            let key = key(&record.scope);
            let known = self.entries.get(&key);
            if let Some(Entry::Record(known)) = known
                && known.updated == record.updated
            {
                self.entries.remove(&key);
                has_changed |= self.texts.remove(&key).is_some();
            }
        }
        has_changed
    }
}

/// An entry's key; different for different scopes. Names begin and end with a letter or digit, so the dot between
/// two of them stands alone, while each within a pool's is doubled.
fn key(scope: &Scope) -> String {
    match scope {
        Scope::Region(region) => format!("region.{region}"),
        Scope::Server { pool, server } => {
            format!("server.{}.{server}", pool.as_str().replace('.', ".."))
        }
    }
}

/// The nearest text that can be an object's name.
pub(super) fn fit(text: &str) -> String {
    let letters = text
        .chars()
        .map(|letter| match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '-',
        });
    letters.take(MOST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::name::{PoolName, RegionName, ServerName};

    fn server(pool: &str, server: &str) -> Scope {
        Scope::Server {
            pool: PoolName::new(pool).unwrap(),
            server: ServerName::new(server).unwrap(),
        }
    }

    #[test]
    fn keys_are_different_and_plain_where_names_are() {
        assert_eq!(
            key(&Scope::Region(RegionName::new("eu").unwrap())),
            "region.eu"
        );
        assert_eq!(key(&server("app", "app-1.x")), "server.app.app-1.x");
        let names = ["a", "b", "a.b", "b.a", "a..b", "a.b.a", "b..a.b", "a._b"];
        let mut seen = std::collections::BTreeSet::new();
        for pool in names {
            for name in names {
                assert!(seen.insert(key(&server(pool, name))), "{pool} {name}");
            }
        }
        assert_eq!(
            fit("strata-orders-regional-EU_1.a"),
            "strata-orders-regional-eu-1-a"
        );
    }

    #[test]
    fn another_places_orders_are_not_taken_and_what_is_unknown_is_left_alone() {
        let mut map = Content::read(None, "global/-")
            .unwrap()
            .write("o", None)
            .unwrap();
        assert!(
            Content::read(Some(&map), "regional/eu")
                .unwrap_err()
                .contains("global/-")
        );
        let garbage = ("region.eu".to_owned(), "{".to_owned());
        map.data = Some([garbage.clone()].into());
        map.metadata.resource_version = Some("7".to_owned());
        let content = Content::read(Some(&map), "global/-").unwrap();
        assert!(content.unread()["region.eu"].starts_with("is no order"));
        let again = content.write("o", Some(&map)).unwrap();
        assert_eq!(again.data, Some([garbage].into()));
        assert_eq!(again.metadata.resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_sent() {
        let mut content = Content::default();
        content
            .texts
            .insert("region.eu".to_owned(), "x".repeat(1 << 20));
        assert!(content.write("o", None).unwrap_err().contains("1 MiB"));
    }
}

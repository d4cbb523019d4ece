//! What a request asks for.

use std::collections::BTreeMap;

use http::Method;
use http::request::Parts;

use super::faults::Verb;
use super::status::Status;
use super::store::Resource;

/// A request, understood.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) verb: Verb,
    pub(super) resource: Resource,
    /// All of them without one.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    query: BTreeMap<String, String>,
}

// === impl Ask ===

impl Ask {
    pub(super) fn parse(parts: &Parts) -> Result<Self, Status> {
        let query = parts.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let (group, rest) = match path.as_slice() {
            ["api", rest @ ..] => ("", rest),
            ["apis", group, rest @ ..] => (*group, rest),
            _ => return Err(Status::no_such_path()),
        };
        let (version, namespace, plural, name) = match rest {
            [version, "namespaces", namespace, plural] => (version, Some(namespace), plural, None),
            [version, "namespaces", namespace, plural, name] => {
                (version, Some(namespace), plural, Some(name))
            }
            [version, plural] => (version, None, plural, None),
            _ => return Err(Status::no_such_path()),
        };
        let known =
            |one: &&Resource| (one.group, one.version, one.plural) == (group, *version, *plural);
        let Some(resource) = Resource::ALL.iter().find(known) else {
            return Err(Status::no_such_path());
        };
        let text = |text: &&str| (*text).to_owned();
        let mut ask = Self {
            verb: Verb::Get,
            resource: *resource,
            namespace: namespace.map(text),
            name: name.map(text),
            query,
        };
        ask.verb = ask.meant(&parts.method)?;
        Ok(ask)
    }

    fn meant(&self, method: &Method) -> Result<Verb, Status> {
        let is_watch = self.flag("watch");
        Ok(
            match (
                method.as_str(),
                self.name.is_some(),
                self.namespace.is_some(),
            ) {
                ("GET", false, _) if is_watch => Verb::Watch,
                ("GET", false, _) => Verb::List,
                ("GET", true, _) => Verb::Get,
                ("POST", false, true) => Verb::Create,
                ("PUT", true, _) => Verb::Update,
                ("PATCH", true, _) => Verb::Patch,
                ("DELETE", true, _) => Verb::Delete,
                _ => return Err(Status::not_allowed()),
            },
        )
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.query
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.query
            .get(key)
            .is_some_and(|value| value == "true" || value == "1")
    }

    /// A number, none when it isn't there.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Status> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_wrong| Status::bad(format!("{key}: Invalid value: \"{text}\"")))
    }
}

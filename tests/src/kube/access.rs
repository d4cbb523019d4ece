//! Who may do what.

use std::collections::BTreeMap;

use super::faults::Verb;
use super::store::Resource;

/// Who shows a token, and what it may do.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// As messages have it, such as `system:serviceaccount:lb:strata`.
    pub name: String,
    /// What is allowed.
    pub rules: Vec<Rule>,
}

/// A rule of a Role.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// The namespace it holds in; none: in all of them, by a ClusterRole.
    pub namespace: Option<String>,
    /// API group; empty for the core's.
    pub group: String,
    /// Such as `configmaps`.
    pub resource: String,
    /// What is allowed.
    pub verbs: Vec<Verb>,
    /// Only objects of these names; empty: all. A create has no name, a list and a watch only that of their field selector.
    pub names: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Access {
    users: Option<BTreeMap<String, User>>,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) verb: Verb,
    pub(super) resource: &'a Resource,
    pub(super) namespace: Option<&'a str>,
    pub(super) name: Option<&'a str>,
}

// === impl User ===

impl User {
    /// A service account that may do these in one namespace.
    pub fn new(name: &str, namespace: &str, resource: &Resource, verbs: &[Verb]) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            rules: vec![Rule {
                namespace: Some(namespace.to_owned()),
                group: resource.group.to_owned(),
                resource: resource.plural.to_owned(),
                verbs: verbs.to_vec(),
                names: Vec::new(),
            }],
        }
    }

    /// Only for objects of that name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        for rule in &mut self.rules {
            rule.names = vec![name.to_owned()];
        }
        self
    }

    pub(super) fn may(&self, wish: &Wish<'_>) -> bool {
        self.rules.iter().any(|rule| {
            let is_here = rule.namespace.is_none() || rule.namespace.as_deref() == wish.namespace;
            let is_this =
                rule.group == wish.resource.group && rule.resource == wish.resource.plural;
            let is_named = rule.names.is_empty()
                || wish
                    .name
                    .is_some_and(|name| rule.names.iter().any(|one| one == name));
            is_here && is_this && is_named && rule.verbs.contains(&wish.verb)
        })
    }
}

// === impl Access ===

impl Access {
    pub(super) fn allow(&mut self, token: &str, user: User) {
        self.users
            .get_or_insert_default()
            .insert(token.to_owned(), user);
    }

    pub(super) fn forbid(&mut self, token: &str) {
        self.users.get_or_insert_default().remove(token);
    }

    /// Who it is; an administrator when nobody is asked for a token.
    pub(super) fn user(&self, authorization: Option<&str>) -> Option<Option<User>> {
        let Some(users) = &self.users else {
            return Some(None);
        };
        let token = authorization?.strip_prefix("Bearer ")?;
        users.get(token).cloned().map(Some)
    }
}

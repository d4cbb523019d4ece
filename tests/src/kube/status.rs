//! Errors as the API writes them.

use serde_json::{Value, json};

use super::store::Resource;

/// An answer that says what went wrong.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) message: String,
    reason: &'static str,
    details: Option<Value>,
    /// Of the header, in seconds.
    retry_after: Option<u64>,
}

// === impl Status ===

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason,
            details: None,
            retry_after: None,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        let mut details = json!({ "kind": resource.plural });
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        self.details = Some(details);
        self
    }

    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.full());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    pub(super) fn no_such_path() -> Self {
        let mut status = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        status.details = Some(json!({}));
        status
    }

    pub(super) fn exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.full());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(super) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.full()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub(super) fn invalid(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is invalid: {why}", resource.kind);
        Self::new(422, "Invalid", message).about(resource, name)
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(super) fn forbidden(
        resource: &Resource,
        name: &str,
        (user, verb, namespace): (&str, &str, Option<&str>),
    ) -> Self {
        let named = if name.is_empty() {
            String::new()
        } else {
            format!(" \"{name}\"")
        };
        let place = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{}{named} is forbidden: User \"{user}\" cannot {verb} resource \"{}\" in API group \"{}\" {place}",
            resource.full(),
            resource.plural,
            resource.group,
        );
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    pub(super) fn expired(version: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {version} ({oldest})"),
        )
    }

    pub(super) fn continue_expired() -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.";
        Self::new(410, "Expired", message)
    }

    /// A list of a version that isn't reached yet.
    pub(super) fn too_large(version: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {version}, current: {current}");
        let mut status = Self::new(504, "Timeout", message);
        let cause =
            json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
        status.details = Some(json!({ "causes": [cause], "retryAfterSeconds": 1 }));
        status
    }

    pub(super) fn unsupported(what: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {what}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(super) fn not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message)
    }

    /// One on command. That of 429 says when to ask again in its header only, as API Priority and Fairness does.
    pub(super) fn commanded(code: u16, retry_after: Option<u32>) -> Self {
        let (reason, message) = match code {
            429 => (
                "TooManyRequests",
                "too many requests, please try again later",
            ),
            410 => (
                "Expired",
                "The resourceVersion for the provided watch is too old.",
            ),
            503 => ("ServiceUnavailable", "apiserver is shutting down"),
            _ => (
                "InternalError",
                "Internal error occurred: etcdserver: request timed out",
            ),
        };
        let mut status = Self::new(code, reason, message);
        let details = retry_after.filter(|_| code != 429);
        status.details = details.map(|seconds| json!({ "retryAfterSeconds": seconds }));
        status.retry_after = retry_after.map(u64::from);
        status
    }

    /// As the body of an answer, or the object of a watch's error.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }

    pub(super) fn retry_after(&self) -> Option<u64> {
        let said = || self.details.as_ref()?["retryAfterSeconds"].as_u64();
        self.retry_after.or_else(said)
    }
}

//! New targets: prefix rewrites and redirects.
//!
//! Both take the target as it was sent (path and query) and change nothing else of it. Both are wary
//! of `//` where parts are joined: `/api//evil.example` without its prefix would be `//evil.example`,
//! which a browser that gets it back in a `Location` reads as another host.

use super::edit::EditError;
use crate::config::model::{PathMatch, Redirect, Route};
use crate::http::head::value::is_authority;
use http::HeaderValue;

/// Replaces the matched prefix of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixRewrite {
    /// Without trailing slashes; empty for routes without a path condition.
    matched: Box<str>,
    /// Without trailing slashes.
    replacement: Box<str>,
}

/// A redirect, ready to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectPlan {
    status: u16,
    scheme: Option<&'static str>,
    host: Option<Box<str>>,
    path: Option<Box<str>>,
}

// === impl PrefixRewrite ===

impl PrefixRewrite {
    /// The rewrite of a route, or nothing when it has none.
    ///
    /// A route with an exact path has that path replaced; one without a path condition gets the
    /// prefix put in front.
    ///
    /// # Errors
    /// When the prefix is no path, or the route matches by an expression, which has no prefix.
    pub fn new(route: &Route) -> Result<Option<Self>, EditError> {
        let Some(replacement) = &route.rewrite.prefix else {
            return Ok(None);
        };
        let error = |reason: &str| EditError {
            key: "rewrite.prefix".to_owned(),
            reason: reason.to_owned(),
        };
        if !is_path(replacement) || replacement.contains('?') {
            return Err(error(
                "must start with one slash and hold no spaces, '?' or '#'",
            ));
        }
        let matched = match &route.matches.path {
            None => "",
            Some(
                PathMatch {
                    prefix: Some(p), ..
                }
                | PathMatch { exact: Some(p), .. },
            ) => p,
            Some(_) => {
                return Err(error(
                    "needs match.path.prefix: an expression has no prefix",
                ));
            }
        };
        Ok(Some(Self {
            matched: matched.trim_end_matches('/').into(),
            replacement: replacement.trim_end_matches('/').into(),
        }))
    }

    /// The new path and query for `target`, or nothing when the prefix does not match (`*` never does).
    /// One allocation.
    #[must_use]
    pub fn apply(&self, target: &str) -> Option<String> {
        let rest = target.strip_prefix(&*self.matched)?;
        let (path, query) = rest.split_at_checked(rest.find('?').unwrap_or(rest.len()))?;
        if !path.is_empty() && !path.starts_with('/') {
            return None;
        }
        let tail = path.trim_start_matches('/');
        let mut new = String::with_capacity(self.replacement.len() + 1 + tail.len() + query.len());
        new.push_str(&self.replacement);
        if !path.is_empty() || new.is_empty() {
            new.push('/');
        }
        new.push_str(tail);
        new.push_str(query);
        Some(new)
    }
}

// === impl RedirectPlan ===

impl RedirectPlan {
    /// Compiles a redirect.
    ///
    /// # Errors
    /// The first key with a fault, or `redirect` when nothing would change: an endless loop.
    pub fn new(redirect: &Redirect) -> Result<Self, EditError> {
        let error = |key: &str, reason: &str| EditError {
            key: key.to_owned(),
            reason: reason.to_owned(),
        };
        if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
            return Err(error(
                "redirect.status",
                "must be 301, 302, 303, 307 or 308",
            ));
        }
        let scheme = match redirect.scheme.as_deref() {
            None => None,
            Some("http") => Some("http"),
            Some("https") => Some("https"),
            Some(_) => return Err(error("redirect.scheme", "must be http or https")),
        };
        if redirect
            .host
            .as_ref()
            .is_some_and(|host| !is_authority(host.as_bytes()))
        {
            return Err(error(
                "redirect.host",
                "must be a host with an optional port",
            ));
        }
        if redirect.path.as_ref().is_some_and(|path| !is_path(path)) {
            return Err(error(
                "redirect.path",
                "must start with one slash and hold no spaces or '#'",
            ));
        }
        if scheme.is_none() && redirect.host.is_none() && redirect.path.is_none() {
            return Err(error(
                "redirect",
                "needs a scheme, a host or a path, or it leads back to itself",
            ));
        }
        Ok(Self {
            status: redirect.status,
            scheme,
            host: redirect.host.as_deref().map(Into::into),
            path: redirect.path.as_deref().map(Into::into),
        })
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the redirect would lead the request back to itself. It is then no answer: a browser
    /// would go round in circles, so answer 404 or refuse.
    #[must_use]
    pub fn is_loop(&self, scheme: &str, host: &str, target: &str) -> bool {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        self.scheme.is_none_or(|new| new == scheme)
            && self
                .host
                .as_deref()
                .is_none_or(|new| new.eq_ignore_ascii_case(host))
            && self
                .path
                .as_deref()
                .is_none_or(|new| new == path || new == target)
    }

    /// The `Location`, from the scheme, host and target (path and query) of the request.
    ///
    /// Parts that are not given stay: the query does when the new path has none of its own. With a new
    /// scheme but no new host, the port goes, as it belongs to the old scheme. Without any host the
    /// result is relative. Nothing when the request's parts hold bytes that no field may.
    #[must_use]
    pub fn location(&self, scheme: &str, host: &str, target: &str) -> Option<HeaderValue> {
        let target = if target.starts_with('/') { target } else { "/" };
        let (path, query) = target.split_at_checked(target.find('?').unwrap_or(target.len()))?;
        let (path, query) = match &self.path {
            Some(new) if new.contains('?') => (&**new, ""),
            Some(new) => (&**new, query),
            None => (path, query),
        };
        let host = match (&self.host, self.scheme) {
            (Some(new), _) => new,
            (None, Some(new)) if new != scheme => super::host::without_port(host),
            (None, _) => host,
        };
        let scheme = self.scheme.unwrap_or(scheme);
        let mut location =
            String::with_capacity(scheme.len() + 3 + host.len() + path.len() + query.len());
        if host.is_empty() {
            location.push('/');
            location.push_str(path.trim_start_matches('/'));
        } else {
            location.extend([scheme, "://", host, path]);
        }
        location.push_str(query);
        HeaderValue::try_from(location).ok()
    }
}

/// Whether `path` starts with exactly one slash and can stand in a target.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewrite(path: serde_json::Value, to: &str) -> Result<Option<PrefixRewrite>, EditError> {
        let route = serde_json::json!({
            "name": "r", "match": { "path": path }, "rewrite": { "prefix": to }
        });
        PrefixRewrite::new(&serde_json::from_value(route).unwrap())
    }

    fn prefix(from: &str, to: &str) -> PrefixRewrite {
        rewrite(serde_json::json!({ "prefix": from }), to)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn the_prefix_is_replaced_and_the_rest_kept() {
        for (from, to, target, want) in [
            ("/api", "/", "/api/x?q", "/x?q"),
            ("/api", "/", "/api", "/"),
            ("/api", "/", "/api?q=/a//b", "/?q=/a//b"),
            ("/api", "/", "/api/", "/"),
            ("/api/", "/", "/api/x", "/x"),
            ("/api", "/", "/api//evil.example", "/evil.example"),
            ("/api", "/", "/api/x//y", "/x//y"),
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2/", "/api", "/v2"),
            ("/api", "/v2/", "/api/x", "/v2/x"),
            ("/api", "/v2", "/api/", "/v2/"),
            ("/", "/v2", "/x", "/v2/x"),
            ("/", "/v2", "/", "/v2/"),
            ("/", "/v2", "/?q", "/v2/?q"),
        ] {
            assert_eq!(
                prefix(from, to).apply(target).as_deref(),
                Some(want),
                "{from} {to} {target}"
            );
        }
        assert_eq!(prefix("/api", "/").apply("/apis"), None);
        assert_eq!(prefix("/", "/v2").apply("*"), None);
        let exact = rewrite(serde_json::json!({ "exact": "/old" }), "/new")
            .unwrap()
            .unwrap();
        assert_eq!(exact.apply("/old?q").as_deref(), Some("/new?q"));
        assert!(rewrite(serde_json::json!({ "regex": "/a.*" }), "/").is_err());
        for bad in ["", "x", "//x", "/a b", "/a?b", "/a#b"] {
            assert!(
                rewrite(serde_json::json!({ "prefix": "/a" }), bad).is_err(),
                "{bad}"
            );
        }
    }

    fn redirect(json: serde_json::Value) -> Result<RedirectPlan, EditError> {
        RedirectPlan::new(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn parts_that_are_not_given_stay() {
        for (plan, from, want) in [
            (
                serde_json::json!({"scheme": "https"}),
                ("http", "a.b:8080", "/x?q"),
                "https://a.b/x?q",
            ),
            (
                serde_json::json!({"scheme": "https"}),
                ("https", "a.b:8443", "/x"),
                "https://a.b:8443/x",
            ),
            (
                serde_json::json!({"scheme": "https"}),
                ("http", "[::1]:80", "/"),
                "https://[::1]/",
            ),
            (
                serde_json::json!({"host": "c.d:81"}),
                ("http", "a.b", "//x"),
                "http://c.d:81//x",
            ),
            (
                serde_json::json!({"path": "/y"}),
                ("http", "a.b:80", "/x?q"),
                "http://a.b:80/y?q",
            ),
            (
                serde_json::json!({"path": "/y?z"}),
                ("http", "a.b", "/x?q"),
                "http://a.b/y?z",
            ),
            (
                serde_json::json!({"path": "/y"}),
                ("http", "a.b", "*"),
                "http://a.b/y",
            ),
            (
                serde_json::json!({"scheme": "https"}),
                ("http", "", "//evil.example/x?q"),
                "/evil.example/x?q",
            ),
        ] {
            let (scheme, host, target) = from;
            let plan = redirect(plan).unwrap();
            assert_eq!(plan.location(scheme, host, target).unwrap(), want);
            assert_eq!(plan.status(), 308);
        }
        let plan = redirect(serde_json::json!({"scheme": "https"})).unwrap();
        assert_eq!(plan.location("http", "a.b", "/x\r\nSet-Cookie: a"), None);
        assert!(plan.is_loop("https", "a.b", "/x") && !plan.is_loop("http", "a.b", "/x"));
        let plan = redirect(serde_json::json!({"host": "a.b", "path": "/y"})).unwrap();
        assert!(plan.is_loop("http", "A.B", "/y?q") && !plan.is_loop("http", "a.b", "/x"));
    }

    #[test]
    fn faults_name_the_key() {
        for (json, key) in [
            (
                serde_json::json!({"status": 300, "path": "/"}),
                "redirect.status",
            ),
            (serde_json::json!({"scheme": "ftp"}), "redirect.scheme"),
            (serde_json::json!({"host": "a.b/c"}), "redirect.host"),
            (serde_json::json!({"path": "c"}), "redirect.path"),
            (serde_json::json!({"path": "//c"}), "redirect.path"),
            (serde_json::json!({"status": 302}), "redirect"),
        ] {
            assert_eq!(redirect(json).unwrap_err().key, key);
        }
    }

    proptest! {
        #[test]
        fn a_rewritten_target_is_never_relative_to_another_host(
            from in "(/[a-z/]{0,4}){1,2}", to in "/([a-z][a-z/]{0,4})?", rest in "[a-z/?]{0,8}",
        ) {
            let from = format!("/{}", from.trim_start_matches('/'));
            if let Some(new) = prefix(&from, &to).apply(&format!("{from}{rest}")) {
                prop_assert!(new.starts_with('/') && !new.starts_with("//"), "{}", new);
            }
        }
    }
}

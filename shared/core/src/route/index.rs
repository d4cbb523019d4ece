//! The routes of one host by their paths.

use super::path::PathRule;
use std::collections::HashMap;

/// Routes of one host. Every list is in order of precedence, because routes are added in that order.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    exact: HashMap<Box<str>, Vec<usize>>,
    prefix: HashMap<Box<str>, Vec<usize>>,
    longest_prefix: usize,
    regex: Vec<usize>,
    any: Vec<usize>,
}

// === impl PathIndex ===

impl PathIndex {
    /// Adds a route, which must be less specific than those added before.
    pub(super) fn add(&mut self, path: &PathRule, route: usize) {
        match path {
            PathRule::Any => self.any.push(route),
            PathRule::Regex(..) => self.regex.push(route),
            PathRule::Prefix(prefix) => {
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefix.entry(prefix.clone()).or_default().push(route);
            }
            PathRule::Exact(exact) => self.exact.entry(exact.clone()).or_default().push(route),
        }
    }

    /// The most specific route whose literal path fits and that `is_match` takes.
    pub(super) fn find(&self, path: &str, is_match: impl Fn(usize) -> bool) -> Option<usize> {
        let first = |routes: &[usize]| routes.iter().copied().find(|route| is_match(*route));
        if !self.exact.is_empty()
            && let Some(found) = self.exact.get(path).and_then(|routes| first(routes))
        {
            return Some(found);
        }
        if !self.prefix.is_empty()
            && let Some(found) = prefixes(path, self.longest_prefix)
                .find_map(|prefix| self.prefix.get(prefix).and_then(|routes| first(routes)))
        {
            return Some(found);
        }
        first(&self.regex).or_else(|| first(&self.any))
    }
}

/// The prefixes of `path` that end at a segment's end, of at most `longest` bytes, longest first.
fn prefixes(path: &str, longest: usize) -> impl Iterator<Item = &str> {
    let whole = (path.len() <= longest).then_some(path.len());
    let reach = path.as_bytes().get(..=longest).unwrap_or(path.as_bytes());
    whole
        .into_iter()
        .chain(memchr::memrchr_iter(b'/', reach))
        .filter_map(|end| path.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_segments_and_stay_short() {
        let all = |path, longest| prefixes(path, longest).collect::<Vec<_>>();
        assert_eq!(all("/a/bc/d", 99), ["/a/bc/d", "/a/bc", "/a", ""]);
        assert_eq!(all("/a/bc/d", 5), ["/a/bc", "/a", ""]);
        assert_eq!(all("/a/bc/d", 4), ["/a", ""]);
        assert_eq!(all(&"/".repeat(8192), 3), ["///", "//", "/", ""]);
    }
}

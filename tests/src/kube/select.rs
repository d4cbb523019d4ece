//! Label and field selectors.

use serde_json::Value;

use super::status::Status;

/// What a list or a watch is restricted to.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    labels: Vec<Term>,
    name: Option<String>,
}

/// Something that labels must fulfil.
#[derive(Debug, Clone)]
enum Term {
    Is(String, String),
    IsNot(String, String),
    Has(String),
    HasNot(String),
    In(String, Vec<String>),
}

// === impl Selector ===

impl Selector {
    /// Equality, inequality, presence and `in (…)` of labels; the name alone of fields.
    pub(super) fn parse(labels: Option<&str>, fields: Option<&str>) -> Result<Self, Status> {
        let bad = |text: &str| Status::bad(format!("unable to parse requirement: {text}"));
        let mut made = Self::default();
        for text in terms(labels.unwrap_or_default()) {
            made.labels
                .push(Term::parse(&text).ok_or_else(|| bad(&text))?);
        }
        for text in terms(fields.unwrap_or_default()) {
            match text.split_once('=') {
                Some(("metadata.name", name)) => {
                    made.name = Some(name.trim_start_matches('=').to_owned());
                }
                _ => return Err(Status::bad(format!("field label not supported: {text}"))),
            }
        }
        Ok(made)
    }

    pub(super) const fn is_all(&self) -> bool {
        self.labels.is_empty() && self.name.is_none()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn fits(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let is_named = self
            .name
            .as_ref()
            .is_none_or(|name| metadata["name"] == **name);
        is_named
            && self
                .labels
                .iter()
                .all(|term| term.holds(&metadata["labels"]))
    }
}

/// Splits at commas that are not in brackets.
fn terms(text: &str) -> Vec<String> {
    let (mut all, mut current, mut depth) = (Vec::new(), String::new(), 0);
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(std::mem::take(&mut current));
                continue;
            }
            _ => {}
        }
        current.push(letter);
    }
    all.push(current);
    let trimmed = all.into_iter().map(|term| term.trim().to_owned());
    trimmed.filter(|term| !term.is_empty()).collect()
}

// === impl Term ===

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let pair = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
        if let Some(found) = text.split_once("!=") {
            let (key, value) = pair(found);
            return Some(Self::IsNot(key, value));
        }
        if let Some(found) = text.split_once("==").or_else(|| text.split_once('=')) {
            let (key, value) = pair(found);
            return Some(Self::Is(key, value));
        }
        if let Some((key, list)) = text.split_once(" in ") {
            let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
            let values = list.split(',').map(|value| value.trim().to_owned());
            return Some(Self::In(key.trim().to_owned(), values.collect()));
        }
        if text.contains([' ', '(', ')']) {
            return None;
        }
        Some(match text.strip_prefix('!') {
            Some(key) => Self::HasNot(key.to_owned()),
            None => Self::Has(text.to_owned()),
        })
    }

    fn holds(&self, labels: &Value) -> bool {
        let value = |key: &String| labels.get(key).and_then(Value::as_str);
        match self {
            Self::Is(key, wanted) => value(key) == Some(wanted),
            Self::IsNot(key, other) => value(key) != Some(other),
            Self::Has(key) => value(key).is_some(),
            Self::HasNot(key) => value(key).is_none(),
            Self::In(key, all) => {
                value(key).is_some_and(|found| all.iter().any(|one| one == found))
            }
        }
    }
}

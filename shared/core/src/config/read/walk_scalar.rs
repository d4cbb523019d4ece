//! Checks of single values, and what to write instead.

use serde_json::Value;

use super::diagnostic::{Code, quote};
use super::expect;
use super::shape::{Id, Range, Shape, Text};
use super::suggest::suggest;
use super::tree::{Kind, int_to_json};
use super::walk::{At, Walk};

// === impl Walk ===

impl Walk<'_> {
    pub(super) fn integer(&mut self, at: At<'_>, id: Id, min: i128, max: i128) -> Value {
        let Kind::Int(value) = at.item.kind else {
            return self.wrong_type(at, id);
        };
        if value < min {
            self.out_of_range(at, format!("too small: the smallest allowed is {min}"));
        } else if value > max {
            self.out_of_range(at, format!("too large: the largest allowed is {max}"));
        }
        int_to_json(value)
    }

    pub(super) fn number(&mut self, at: At<'_>, id: Id, range: &Range) -> Value {
        let value = match at.item.kind {
            Kind::Int(value) => value as f64,
            Kind::Float(value) => value,
            _ => return self.wrong_type(at, id),
        };
        if !value.is_finite() {
            self.out_of_range(at, "not a finite number".to_owned());
        } else if let Some(min) = range.min.filter(|min| value < *min) {
            self.out_of_range(at, format!("too small: the smallest allowed is {min}"));
        } else if let Some(max) = range.max.filter(|max| value > *max) {
            self.out_of_range(at, format!("too large: the largest allowed is {max}"));
        } else if let Some(above) = range.above.filter(|above| value <= *above) {
            self.out_of_range(at, format!("too small: it must be above {above}"));
        } else if let Some(below) = range.below.filter(|below| value >= *below) {
            self.out_of_range(at, format!("too large: it must be below {below}"));
        }
        at.item.to_json()
    }

    fn out_of_range(&mut self, at: At<'_>, what: String) {
        let written = expect::written(at.item.span, self.source);
        self.fault(self.finding(at, Code::OutOfRange, format!("{written} is {what}")));
    }

    pub(super) fn text(&mut self, at: At<'_>, id: Id, rules: &Text) -> Value {
        let Kind::Text(text) = &at.item.kind else {
            return self.wrong_type(at, id);
        };
        let check = rules
            .format
            .as_deref()
            .and_then(|name| Some((name, self.formats.get(name)?)));
        if let Some((_, Err(reason))) = check.map(|(name, check)| (name, check(text))) {
            let what = expect::expected(self.shapes, id);
            let reason = format!("{} is not {what}: {reason}", quote(text));
            self.fault(self.finding(at, Code::BadFormat, reason));
        } else if let Some(pattern) = rules.pattern.as_ref().filter(|p| !p.is_match(text)) {
            let reason = format!("{} does not match the pattern {pattern}", quote(text));
            self.fault(self.finding(at, Code::BadFormat, reason));
        } else {
            self.length(
                at,
                "character",
                "characters",
                text.chars().count(),
                rules.length,
            );
        }
        Value::String(text.to_string())
    }

    pub(super) fn choice(&mut self, at: At<'_>, id: Id, names: &[String]) -> Value {
        let Kind::Text(text) = &at.item.kind else {
            return self.wrong_type(at, id);
        };
        if !names.iter().any(|name| **name == **text) {
            self.not_allowed(at, text, names.iter().map(String::as_str));
        }
        Value::String(text.to_string())
    }

    /// Reports a text that is none of `names`.
    pub(super) fn not_allowed<'n>(
        &mut self,
        at: At<'_>,
        text: &str,
        names: impl Iterator<Item = &'n str> + Clone,
    ) {
        let reason = format!("{} is not allowed here", quote(text));
        let hint = format!("allowed: {}", expect::list(names.clone()));
        let meant = suggest(text, names).map(str::to_owned);
        self.fault(
            self.finding(at, Code::NotAllowed, reason)
                .hint(hint)
                .suggest(meant),
        );
    }

    /// Reports a value of another type. Returns null, so that callers can return it.
    pub(super) fn wrong_type(&mut self, at: At<'_>, id: Id) -> Value {
        let found = expect::found(at.item, self.source);
        let reason = format!(
            "found {found}, expected {}",
            expect::expected(self.shapes, id)
        );
        let (hint, suggestion) = self.advice(at, self.shapes.get(id));
        let finding = self.finding(at, Code::WrongType, reason);
        self.fault(finding.hint(hint.map(str::to_owned)).suggest(suggestion));
        Value::Null
    }

    fn advice(&self, at: At<'_>, shape: &Shape) -> (Option<&'static str>, Option<String>) {
        let written = || expect::written(at.item.span, self.source);
        match (shape, &at.item.kind) {
            (_, Kind::Null) => (Some("write a value, or remove the line"), None),
            (Shape::Bool, Kind::Text(text)) => boolean_advice(text),
            (Shape::Integer { .. } | Shape::Number(_), Kind::Text(text)) => {
                let number = text.parse::<f64>().is_ok_and(f64::is_finite);
                (
                    number.then_some("remove the quotes"),
                    number.then(|| text.to_string()),
                )
            }
            (Shape::Integer { .. }, Kind::Float(value)) => {
                let whole = value.fract() == 0.0 && value.abs() < 1e15;
                (None, whole.then(|| format!("{value:.0}")))
            }
            (Shape::Text(rules), Kind::Int(_) | Kind::Float(_) | Kind::Bool(_)) => {
                let check = rules
                    .format
                    .as_deref()
                    .and_then(|name| self.formats.get(name));
                let fits = check.is_none_or(|check| check(&written()).is_ok());
                let hint = if fits {
                    "put it in quotes"
                } else {
                    "a bare number or word is not enough here"
                };
                (Some(hint), fits.then(|| format!("{:?}", written())))
            }
            (Shape::List(_), Kind::Map(_)) => (Some("begin each entry with `- `"), None),
            (Shape::List(_), Kind::Text(text)) if text.len() > 60 || text.contains('\n') => {
                (Some("begin each entry with `- `"), None)
            }
            (Shape::List(_), Kind::Text(text)) => (
                Some("put it in brackets to make it a list"),
                Some(format!("[{text:?}]")),
            ),
            (Shape::List(_), _) => (
                Some("put it in brackets to make it a list"),
                Some(format!("[{}]", written())),
            ),
            (Shape::Object(_) | Shape::Internal { .. }, Kind::List(_)) => {
                (Some("write `key: value` lines without `- `"), None)
            }
            (Shape::Object(_) | Shape::Internal { .. }, Kind::Text(text)) if text.contains(':') => {
                (Some("put a space behind the colon"), None)
            }
            _ => (None, None),
        }
    }
}

fn boolean_advice(text: &str) -> (Option<&'static str>, Option<String>) {
    let value = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => "true",
        "false" | "no" | "off" | "n" => "false",
        _ => return (None, None),
    };
    (
        Some("only true and false are booleans, without quotes"),
        Some(value.to_owned()),
    )
}

//! Checks of single values, and what to write instead.

use serde_json::Value;

use super::code::Code;
use super::expect;
use super::render::quote;
use super::shape::{Id, Range, Shape, Text};
use super::suggest::suggest;
use super::tree::{Kind, int_to_json};
use super::walk::{At, Walk};

/// A hint, and a text to write instead.
type Advice = (Option<String>, Option<String>);

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
        let written = expect::written(at.item.span, self.sources);
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
        let found = expect::found(at.item, self.sources);
        let reason = format!(
            "found {found}, expected {}",
            expect::expected(self.shapes, id)
        );
        let (hint, suggestion) = self.advice(at, self.shapes.get(id));
        let finding = self.finding(at, Code::WrongType, reason);
        self.fault(finding.hint(hint).suggest(suggestion));
        Value::Null
    }

    /// What to do, and what to write instead.
    fn advice(&self, at: At<'_>, shape: &Shape) -> Advice {
        let say = |hint: &str| (Some(hint.to_owned()), None);
        match (shape, &at.item.kind) {
            (_, Kind::Null) => say("write a value, or remove the line"),
            (Shape::Bool, Kind::Text(text)) => boolean_advice(text),
            (Shape::Integer { .. } | Shape::Number(_), Kind::Text(text)) => {
                let number = text.parse::<f64>().is_ok_and(f64::is_finite);
                (
                    number.then(|| "remove the quotes".to_owned()),
                    number.then(|| text.to_string()),
                )
            }
            (Shape::Integer { .. }, Kind::Float(value)) => {
                let whole = value.fract() == 0.0 && value.abs() < 1e15;
                (None, whole.then(|| format!("{value:.0}")))
            }
            (Shape::Text(rules), Kind::Int(_) | Kind::Float(_) | Kind::Bool(_)) => {
                self.text_advice(at, rules)
            }
            (Shape::List(_), Kind::Map(_)) => say("begin each entry with `- `"),
            (Shape::List(_), _) => self.list_advice(at),
            (Shape::Object(_) | Shape::Internal { .. }, Kind::List(_)) => {
                say("write `key: value` lines without `- `")
            }
            (Shape::Object(_) | Shape::Internal { .. }, Kind::Text(text)) if text.contains(':') => {
                say("put a space behind the colon")
            }
            (Shape::Union { branches, .. }, _) => {
                let branches = branches.iter().map(|&branch| self.shapes.get(branch));
                let plain = branches.filter(|branch| !matches!(branch, Shape::Union { .. }));
                let mut advices = plain.map(|branch| self.advice(at, branch));
                advices.find(|(hint, _)| hint.is_some()).unwrap_or_default()
            }
            _ => (None, None),
        }
    }

    /// For a bare word or number where text is wanted: quotes, if that would do.
    fn text_advice(&self, at: At<'_>, rules: &Text) -> Advice {
        let written = expect::written(at.item.span, self.sources);
        let check = rules
            .format
            .as_deref()
            .and_then(|name| self.formats.get(name));
        if let Some(Err(reason)) = check.map(|check| check(&written)) {
            return (Some(reason), None);
        }
        let fits = rules
            .pattern
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(&written));
        let suggestion = fits.then(|| format!("\"{written}\""));
        (
            Some("put it in quotes to make it text".to_owned()),
            suggestion,
        )
    }

    /// For a single value where a list is wanted.
    fn list_advice(&self, at: At<'_>) -> Advice {
        let written = match &at.item.kind {
            Kind::Text(text) if text.len() > 60 || text.contains(char::is_control) => {
                return (Some("begin each entry with `- `".to_owned()), None);
            }
            Kind::Text(text) => format!("\"{}\"", text.escape_default()),
            _ => expect::written(at.item.span, self.sources),
        };
        (
            Some("put it in brackets to make it a list".to_owned()),
            Some(format!("[{written}]")),
        )
    }
}

fn boolean_advice(text: &str) -> Advice {
    let value = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => "true",
        "false" | "no" | "off" | "n" => "false",
        _ => return (None, None),
    };
    (
        Some("only true and false are booleans, without quotes".to_owned()),
        Some(value.to_owned()),
    )
}

//! What a plain word of YAML means: the core schema of YAML 1.2 (section 10.3.2).
//!
//! YAML 1.1 read `yes`, `on` and `no` as booleans, `1:30` as a number and `010` as eight; each has
//! turned a country code or a port mapping into nonsense somewhere. 1.2 dropped them, and so do we:
//! these words are text, and where a boolean was expected the fault says what to write.

use std::sync::Arc;

use saphyr_parser::{ScalarStyle, Tag};

use super::tree::Kind;

/// The value of a scalar, or the reason why its tag does not fit.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, String> {
    let plain = if style == ScalarStyle::Plain {
        plain(text)
    } else {
        Kind::Text(text.into())
    };
    let Some(tag) = tag else { return Ok(plain) };
    let resolved = self::plain(text);
    let fits = match tag_name(tag) {
        Some("str") => return Ok(Kind::Text(text.into())),
        Some("int") => matches!(resolved, Kind::Int(_)),
        Some("float") => matches!(resolved, Kind::Int(_) | Kind::Float(_)),
        Some("bool") => matches!(resolved, Kind::Bool(_)),
        Some("null") => matches!(resolved, Kind::Null),
        _ => return Err(format!("the tag {} is not supported", shown(tag))),
    };
    if fits {
        Ok(resolved)
    } else {
        Err(format!("the text does not fit its tag {}", shown(tag)))
    }
}

/// Whether a mapping or a list may carry this tag.
pub(super) fn collection_tag(tag: &Tag, own: &str) -> Result<(), String> {
    match tag_name(tag) {
        Some(name) if name == own || name == "str" && tag.handle == "!" => Ok(()),
        _ => Err(format!("the tag {} is not supported", shown(tag))),
    }
}

/// The name of a tag of the core schema; the bare `!` means "no guessing", which is text.
fn tag_name(tag: &Tag) -> Option<&str> {
    if tag.is_yaml_core_schema() {
        Some(&tag.suffix)
    } else {
        (tag.suffix.is_empty() && tag.handle == "!").then_some("str")
    }
}

/// The tag as it is commonly written.
fn shown(tag: &Tag) -> String {
    let handle = if tag.is_yaml_core_schema() {
        "!!"
    } else {
        &tag.handle
    };
    format!("{handle}{}", tag.suffix)
}

fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => number(text).unwrap_or_else(|| Kind::Text(Arc::from(text))),
    }
}

fn number(text: &str) -> Option<Kind> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match body {
        ".inf" | ".Inf" | ".INF" if negative => return Some(Kind::Float(f64::NEG_INFINITY)),
        ".inf" | ".Inf" | ".INF" => return Some(Kind::Float(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if body == text => return Some(Kind::Float(f64::NAN)),
        _ => {}
    }
    if !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) {
        let limit = if negative { i128::MIN } else { i128::MAX };
        return Some(Kind::Int(text.parse().unwrap_or(limit)));
    }
    is_float(body)
        .then(|| text.parse().ok().map(Kind::Float))
        .flatten()
}

/// Digits of another base; more than 128 bits count as the largest number, which fits nothing.
fn radix(digits: &str, radix: u32) -> Option<Kind> {
    let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    all.then(|| Kind::Int(i128::from_str_radix(digits, radix).unwrap_or(i128::MAX)))
}

/// `( "." digits | digits ( "." digits? )? ) ( [eE] [-+]? digits )?`
fn is_float(body: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        !text.is_empty() && digits(text)
    });
    digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()) && exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_core_schema() {
        for (text, expected) in [
            ("", Kind::Null),
            ("~", Kind::Null),
            ("true", Kind::Bool(true)),
            ("0", Kind::Int(0)),
            ("-12", Kind::Int(-12)),
            ("+12", Kind::Int(12)),
            ("007", Kind::Int(7)),
            ("0x1F", Kind::Int(31)),
            ("0o17", Kind::Int(15)),
            ("1.5", Kind::Float(1.5)),
            (".5", Kind::Float(0.5)),
            ("1.", Kind::Float(1.0)),
            ("-1e3", Kind::Float(-1000.0)),
            ("-.inf", Kind::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
        for text in [
            "yes", "on", "No", "1_000", "1:30", "0x", "0o8", "e5", "1e", ".", "-", "+", "1s", "inf",
        ] {
            assert_eq!(plain(text), Kind::Text(text.into()), "{text:?} is text");
        }
    }

    #[test]
    fn huge_integers_saturate() {
        assert_eq!(plain(&"9".repeat(100)), Kind::Int(i128::MAX));
        assert_eq!(
            plain(&format!("-{}", "9".repeat(100))),
            Kind::Int(i128::MIN)
        );
        assert_eq!(
            plain(&format!("0x{}", "f".repeat(100))),
            Kind::Int(i128::MAX)
        );
    }
}

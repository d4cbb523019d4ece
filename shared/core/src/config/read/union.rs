//! Telling the variants of an enum apart before looking into them.
//!
//! A schema says only "one of these". Tried one after another, a slip inside of the right variant
//! would be reported as "none of four shapes fits". Derived enums always have something that decides
//! which variant is meant, a key or a tag, so the unions are sorted by that once; what is left (untagged
//! enums) takes the variant with the fewest faults.

use std::collections::BTreeMap;

use super::shape::{Id, Object, Shape, Shapes};

/// Turns unions of schemas into enums where they are some.
pub(super) fn classify(shapes: &mut Shapes) {
    for id in 0..shapes.len() {
        let Shape::Union { null, branches } = shapes.get(id).clone() else {
            continue;
        };
        let parts: Vec<(Id, Shape)> = branches
            .iter()
            .map(|&branch| (branch, shapes.get(branch).clone()))
            .collect();
        let named = choices(&parts)
            .or_else(|| external(&parts))
            .or_else(|| internal(shapes, &parts));
        if let Some(named) = named {
            replace(shapes, id, null, named);
        }
    }
}

fn replace(shapes: &mut Shapes, id: Id, null: bool, named: Shape) {
    if null {
        let branch = shapes.add(named);
        shapes.set(
            id,
            Shape::Union {
                null,
                branches: vec![branch],
            },
        );
    } else {
        shapes.set(id, named);
    }
}

/// Only texts: a plain enum, whose variants have a documentation each.
fn choices(parts: &[(Id, Shape)]) -> Option<Shape> {
    let mut texts = Vec::new();
    for (_, part) in parts {
        let Shape::Choice(own) = part else {
            return None;
        };
        texts.extend(own.iter().cloned());
    }
    (!texts.is_empty()).then_some(Shape::Choice(texts))
}

/// Texts, and mappings of exactly one key: `none` or `http: { path: / }`.
fn external(parts: &[(Id, Shape)]) -> Option<Shape> {
    let mut units = Vec::new();
    let mut variants = BTreeMap::new();
    for (_, part) in parts {
        match part {
            Shape::Choice(own) => units.extend(own.iter().cloned()),
            Shape::Object(object) => {
                let (name, content) = single(object)?;
                variants.insert(name.clone(), content);
            }
            _ => return None,
        }
    }
    (units.len() + variants.len() > 1).then_some(Shape::External { units, variants })
}

fn single(object: &Object) -> Option<(&String, Id)> {
    let (name, &content) = object.properties.first_key_value()?;
    let closed = object.others.is_none() && object.patterns.is_empty();
    let only = object.properties.len() == 1 && object.required == [name.as_str()];
    (closed && only).then_some((name, content))
}

/// Mappings that have one required key in common whose text differs: `kind: http`.
fn internal(shapes: &Shapes, parts: &[(Id, Shape)]) -> Option<Shape> {
    let [(_, Shape::Object(first)), _, ..] = parts else {
        return None;
    };
    first.required.iter().find_map(|tag| {
        let mut variants = BTreeMap::new();
        for (id, part) in parts {
            variants.insert(tag_text(shapes, part, tag)?, *id);
        }
        (variants.len() == parts.len()).then(|| Shape::Internal {
            tag: tag.clone(),
            variants,
        })
    })
}

/// The one text that a variant has under its tag.
fn tag_text(shapes: &Shapes, part: &Shape, tag: &String) -> Option<String> {
    let Shape::Object(object) = part else {
        return None;
    };
    object.required.contains(tag).then_some(())?;
    match shapes.get(*object.properties.get(tag)?) {
        Shape::Choice(texts) if texts.len() == 1 => texts.first().cloned(),
        _ => None,
    }
}

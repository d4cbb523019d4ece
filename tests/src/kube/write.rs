//! Changes of objects, with what the API checks before it stores one.

use serde_json::{Value, json};

use super::status::Status;
use super::store::{Resource, Store};

/// Most bytes of an object.
const MOST_BYTES: usize = 1 << 20;
const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

// === impl Store ===

impl Store {
    /// Stores an object over whatever is there.
    pub(super) fn put(
        &mut self,
        resource: &Resource,
        namespace: &str,
        object: Value,
    ) -> Result<Value, Status> {
        let mut object = self.fit(resource, namespace, None, object)?;
        let name = name(&object);
        match self.get(resource, namespace, &name).cloned() {
            None => {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("resourceVersion");
                }
                self.create(resource, namespace, object)
            }
            Some(current) => {
                keep(&mut object, &current);
                Ok(self.replace(resource, namespace, &name, &current, object))
            }
        }
    }

    pub(super) fn create(
        &mut self,
        resource: &Resource,
        namespace: &str,
        object: Value,
    ) -> Result<Value, Status> {
        let mut object = self.fit(resource, namespace, None, object)?;
        if version(&object).is_some() {
            return Err(Status::bad(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let name = name(&object);
        if self.get(resource, namespace, &name).is_some() {
            return Err(Status::exists(resource, &name));
        }
        let number = self.number();
        object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{number:012x}"));
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        let stored = self.commit(resource, (namespace, &name), Some(object));
        Ok(stored.unwrap_or_default())
    }

    pub(super) fn update(
        &mut self,
        resource: &Resource,
        namespace: &str,
        wanted: &str,
        object: Value,
    ) -> Result<Value, Status> {
        let mut object = self.fit(resource, namespace, Some(wanted), object)?;
        let Some(current) = self.get(resource, namespace, wanted).cloned() else {
            return Err(Status::not_found(resource, wanted));
        };
        if let Some(seen) = version(&object)
            && Some(seen) != version(&current)
        {
            return Err(Status::conflict(resource, wanted, MODIFIED));
        }
        keep(&mut object, &current);
        Ok(self.replace(resource, namespace, wanted, &current, object))
    }

    /// A merge patch (RFC 7396). A resourceVersion in it must be that of the object.
    pub(super) fn patch(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Status> {
        let Some(current) = self.get(resource, namespace, name).cloned() else {
            return Err(Status::not_found(resource, name));
        };
        let mut object = current;
        merge(&mut object, patch);
        self.update(resource, namespace, name, object)
    }

    pub(super) fn delete(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Value, Status> {
        let Some(current) = self.get(resource, namespace, name) else {
            return Err(Status::not_found(resource, name));
        };
        let metadata = &current["metadata"];
        let differs = |field: &str, title: &str| {
            let wanted = options["preconditions"][field].as_str()?;
            let found = metadata[field].as_str().unwrap_or_default();
            (wanted != found).then(|| {
                let why = format!(
                    "the {title} in the precondition ({wanted}) does not match the {title} in record ({found}). The object might have been modified"
                );
                Status::conflict(resource, name, &why)
            })
        };
        let refused =
            differs("uid", "UID").or_else(|| differs("resourceVersion", "ResourceVersion"));
        if let Some(status) = refused {
            return Err(status);
        }
        let uid = metadata["uid"].clone();
        self.remove(resource, namespace, name);
        Ok(json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": { "name": name, "kind": resource.plural, "uid": uid },
        }))
    }

    /// Stores another state; the same again is no change.
    fn replace(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        current: &Value,
        object: Value,
    ) -> Value {
        if object == *current {
            return object;
        }
        let stored = self.commit(resource, (namespace, name), Some(object));
        stored.unwrap_or_default()
    }

    /// Checks an object and fills in what it may leave out.
    fn fit(
        &mut self,
        resource: &Resource,
        namespace: &str,
        wanted: Option<&str>,
        mut object: Value,
    ) -> Result<Value, Status> {
        if !object["metadata"].is_object() {
            return Err(Status::invalid(
                resource,
                "",
                "metadata.name: Required value: name or generateName is required",
            ));
        }
        for (field, expected) in [
            ("kind", resource.kind.to_owned()),
            ("apiVersion", resource.api_version()),
        ] {
            match object[field].as_str() {
                None => object[field] = json!(expected),
                Some(found) if found == expected => {}
                Some(found) => {
                    return Err(Status::bad(format!(
                        "{field}: {found} does not match {expected}"
                    )));
                }
            }
        }
        let metadata = &mut object["metadata"];
        if metadata["name"].is_null()
            && let Some(prefix) = metadata["generateName"].as_str()
        {
            metadata["name"] = json!(format!("{prefix}{:05x}", self.number()));
        }
        if metadata["namespace"]
            .as_str()
            .is_some_and(|found| found != namespace)
        {
            return Err(Status::bad(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata["namespace"] = json!(namespace);
        let name = name(&object);
        if wanted.is_some_and(|wanted| wanted != name) {
            return Err(Status::bad(
                "the name of the object does not match the name on the URL",
            ));
        }
        if !is_subdomain(&name) {
            let why = format!(
                "metadata.name: Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
            );
            return Err(Status::invalid(resource, &name, &why));
        }
        if resource.kind == "ConfigMap" {
            fits_config_map(resource, &name, &object)?;
        }
        if object.to_string().len() > MOST_BYTES {
            return Err(Status::invalid(
                resource,
                &name,
                "[]: Too long: must have at most 1048576 bytes",
            ));
        }
        Ok(object)
    }
}

fn fits_config_map(resource: &Resource, name: &str, object: &Value) -> Result<(), Status> {
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        if !value.is_string() {
            return Err(Status::bad(
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal into Go struct field ConfigMap.data of type string",
            ));
        }
        if key.is_empty()
            || !key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            return Err(Status::invalid(
                resource,
                name,
                &format!(
                    "data[{key}]: Invalid value: a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
                ),
            ));
        }
    }
    for (key, value) in object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let value = value.as_str().unwrap_or_default();
        let fits = value.len() <= 63
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && [value.as_bytes().first(), value.as_bytes().last()]
                .iter()
                .flatten()
                .all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            return Err(Status::invalid(
                resource,
                name,
                &format!(
                    "metadata.labels: Invalid value: \"{value}\" of {key}: a valid label must be an empty string or consist of alphanumeric characters"
                ),
            ));
        }
    }
    Ok(())
}

fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        ends.iter().all(|byte| byte.is_some_and(is_end))
            && bytes.iter().all(|byte| is_end(byte) || *byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn version(object: &Value) -> Option<&str> {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.filter(|version| !version.is_empty())
}

/// What nobody may change.
fn keep(object: &mut Value, current: &Value) {
    for field in ["uid", "creationTimestamp", "resourceVersion"] {
        object["metadata"][field] = current["metadata"][field].clone();
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in fields {
        match into.as_object_mut() {
            Some(object) if value.is_null() => drop(object.remove(key)),
            Some(object) => merge(object.entry(key).or_insert(Value::Null), value),
            None => {}
        }
    }
}

//! The query of `/api/v1/explain`.

use lb_core::status::{ExplainQuery, HeaderField};

/// Parameters, for the hint of an error.
pub(super) const HINT: &str =
    "parameters: method, host, path, client (an address), header (name:value, may be repeated)";

/// Reads the query of a request.
///
/// # Errors
/// A reason, when a parameter is unknown or its value can't be read.
pub(super) fn parse(query: &str) -> Result<ExplainQuery, String> {
    let mut parsed = ExplainQuery {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        ..ExplainQuery::default()
    };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match key.as_ref() {
            "method" => parsed.method = value.into_owned(),
            "host" => parsed.host = value.into_owned(),
            "path" => parsed.path = value.into_owned(),
            "client" => {
                let address = value
                    .parse()
                    .map_err(|error| format!("client \"{value}\" is not an address: {error}"))?;
                parsed.client = Some(address);
            }
            "header" => parsed.headers.push(header(&value)?),
            _ => return Err(format!("unknown parameter \"{key}\"")),
        }
    }
    Ok(parsed)
}

fn header(text: &str) -> Result<HeaderField, String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("header \"{text}\" has no colon"))?;
    let name = http::HeaderName::try_from(name.trim())
        .map_err(|error| format!("header \"{text}\" has no valid name: {error}"))?;
    let value = http::HeaderValue::try_from(value.trim())
        .map_err(|error| format!("header \"{text}\" has no valid value: {error}"))?;
    Ok(HeaderField {
        name: name.as_str().to_owned(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = parse(
            "method=POST&host=a.example&path=%2Fx%3Fy%3D1&client=2001:db8::1&header=X-A:+b&header=c:d:e",
        )
        .unwrap();
        assert_eq!(query.method, "POST");
        assert_eq!(query.path, "/x?y=1");
        assert_eq!(query.client, Some("2001:db8::1".parse().unwrap()));
        let fields: Vec<_> = query
            .headers
            .iter()
            .map(|h| (h.name.as_str(), h.value.as_str()))
            .collect();
        assert_eq!(fields, [("x-a", "b"), ("c", "d:e")]);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (bad, part) in [
            ("hots=x", "hots"),
            ("client=nobody", "not an address"),
            ("header=x", "no colon"),
            ("header=a%20b:c", "no valid name"),
            ("header=a:b%0D%0Ac", "no valid value"),
        ] {
            let reason = parse(bad).unwrap_err();
            assert!(reason.contains(part), "{bad}: {reason}");
        }
        assert_eq!(parse("").unwrap().path, "/");
    }
}

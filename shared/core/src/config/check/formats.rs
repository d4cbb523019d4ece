//! The formats that the types name in their schema, with the parsers that their readers use.

use crate::config::address::{ServerAddress, is_dns_name};
use crate::config::model::{Cidr, StatusRange};
use crate::config::read::Formats;
use crate::config::scalar::{ByteSize, DurationText, Percent};
use crate::http::head::value::{is_authority, is_token};
use crate::name::{MAX_NAME, is_name};
use crate::route::HostPattern;
use std::net::SocketAddr;

/// Memory that one compiled expression may take, in bytes; as in the route table.
const REGEX_SIZE: usize = 1 << 20;

/// Every format of the configuration's types.
#[must_use]
pub fn formats() -> Formats {
    Formats::new()
        .with("duration", |text| DurationText::parse(text).map(drop))
        .with("size", |text| ByteSize::parse(text).map(drop))
        .with("percent", |text| Percent::parse(text).map(drop))
        .with("status-range", |text| StatusRange::parse(text).map(drop))
        .with("address-range", |text| Cidr::parse(text).map(drop))
        .with("server-address", |text| {
            ServerAddress::parse(text).map(drop)
        })
        .with("host-pattern", |text| HostPattern::parse(text).map(drop))
        .with("socket-address", socket_address)
        .with("name", name)
        .with("path", path)
        .with("regex", regex)
        .with("header-name", |text| token(text, "X-Request-ID"))
        .with("method", method)
        .with("cookie-name", |text| token(text, "session"))
        .with("authority", authority)
        .with("dns-name", dns_name)
        .with("file", file)
        .with("kubernetes-name", kubernetes_name)
        .with("service-port", service_port)
}

/// What another module says is wrong, in one line: expressions are explained over several.
pub(super) fn one_line(text: &str) -> String {
    let text = text
        .rsplit_once("error: ")
        .map_or(text, |(_, explained)| explained);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

fn socket_address(text: &str) -> Result<(), String> {
    text.parse::<SocketAddr>().map(drop).map_err(|_syntax| {
        "write an address and a port, such as 0.0.0.0:8080 or [::]:8080; names are not looked up here"
            .to_owned()
    })
}

fn name(text: &str) -> Result<(), String> {
    if is_name(text) {
        return Ok(());
    }
    Err(format!(
        "use 1 to {MAX_NAME} letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
    ))
}

fn path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("it must start with a slash".to_owned());
    }
    if text.bytes().any(|b| !b.is_ascii_graphic() || b == b'#') {
        return Err("it must hold no spaces, no '#' and only ASCII".to_owned());
    }
    Ok(())
}

fn regex(text: &str) -> Result<(), String> {
    regex::bytes::RegexBuilder::new(text)
        .size_limit(REGEX_SIZE)
        .build()
        .map(drop)
        .map_err(|error| one_line(&error.to_string()))
}

fn token(text: &str, example: &str) -> Result<(), String> {
    if is_token(text.as_bytes()) {
        return Ok(());
    }
    Err(format!(
        "use letters, digits and !#$%&'*+-.^_`|~ only, as in {example}"
    ))
}

fn method(text: &str) -> Result<(), String> {
    token(text, "GET")?;
    let upper = text.to_ascii_uppercase();
    if upper != text && STANDARD_METHODS.contains(&upper.as_str()) {
        return Err(format!("methods are case-sensitive: write {upper}"));
    }
    Ok(())
}

const STANDARD_METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
];

fn authority(text: &str) -> Result<(), String> {
    if is_authority(text.as_bytes()) {
        return Ok(());
    }
    Err("write a host with an optional port, such as web.internal:8080".to_owned())
}

fn dns_name(text: &str) -> Result<(), String> {
    if is_dns_name(text) || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    Err("write a host name such as web.internal, without a port".to_owned())
}

fn file(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(())
}

/// What Kubernetes calls a DNS label (RFC 1123); Services and namespaces are called so.
fn kubernetes_name(text: &str) -> Result<(), String> {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = !text.starts_with('-') && !text.ends_with('-');
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_inner) && ends {
        return Ok(());
    }
    Err(format!(
        "use 1 to {MAX_NAME} lower-case letters, digits and '-', starting and ending with a letter or digit, without the namespace"
    ))
}

/// A port's number, or its name: what Kubernetes calls an IANA service name.
fn service_port(text: &str) -> Result<(), String> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let number = text.parse::<u16>().ok().filter(|number| *number != 0);
        return number
            .map(drop)
            .ok_or_else(|| "it is no port from 1 to 65535".to_owned());
    }
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.len() <= MAX_NAME && text.bytes().all(is_inner) {
        return Ok(());
    }
    Err("write the name of one of the Service's ports, such as http, or the servers' port in quotes, such as \"8080\"".to_owned())
}

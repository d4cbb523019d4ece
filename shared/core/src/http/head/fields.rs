//! The header fields: those that frame or route the message are read, all are checked.

use super::line::RequestLine;
use super::value::{coding, is_alike, is_authority, length, token_length};
use super::{Framing, HeadFault, Upgrade};

/// What the fields said so far.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    count: usize,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    is_chunked: bool,
    pub(super) expects_continue: bool,
    has_other_expectation: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    asks_upgrade: bool,
    upgrade: Option<Upgrade>,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Takes one line, which is not empty.
    pub(super) fn add(&mut self, line: &'a [u8], max_fields: usize) -> Result<(), HeadFault> {
        self.count += 1;
        if self.count > max_fields {
            return Err(HeadFault::FieldCount);
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err(HeadFault::Folding);
        }
        // Names are short: walking to the first byte that is no token beats searching for the colon.
        let (name, value) = line
            .split_at_checked(token_length(line))
            .ok_or(HeadFault::FieldName)?;
        let [b':', value @ ..] = value else {
            return Err(HeadFault::FieldName);
        };
        if name.is_empty() {
            return Err(HeadFault::FieldName);
        }
        // The length settles it for almost every field, which costs less than comparing names.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value.trim_ascii()),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value.trim_ascii()),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.protocol(value.trim_ascii()),
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if is_alike(name, b"content-length") => self.length(name, value),
            17 if is_alike(name, b"transfer-encoding") => self.coding(name, value),
            _ => Ok(()),
        }
    }

    /// Judges all fields together.
    pub(super) fn finish(&self, line: &RequestLine<'_>) -> Result<Framing, HeadFault> {
        match (self.host, line.authority) {
            (None, _) if !line.is_http10 => return Err(HeadFault::HostMissing),
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
                return Err(HeadFault::HostMismatch);
            }
            _ => {}
        }
        if self.has_other_expectation && !line.is_http10 {
            return Err(HeadFault::Expectation);
        }
        let framing = match (self.is_chunked, self.length) {
            (true, Some(_)) => return Err(HeadFault::CodingWithLength),
            (true, None) if line.is_http10 => return Err(HeadFault::CodingOnHttp10),
            (true, None) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        if has_body && self.upgrade() == Some(Upgrade::Websocket) {
            return Err(HeadFault::UpgradeWithBody);
        }
        Ok(framing)
    }

    /// The protocol asked for, when `Connection` names `Upgrade`.
    pub(super) fn upgrade(&self) -> Option<Upgrade> {
        self.upgrade.filter(|_| self.asks_upgrade)
    }

    fn host(&mut self, value: &'a [u8]) -> Result<(), HeadFault> {
        if self.host.is_some() {
            return Err(HeadFault::HostRepeated);
        }
        if !is_authority(value) {
            return Err(HeadFault::HostInvalid);
        }
        self.host = Some(value);
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let is_continue = value.eq_ignore_ascii_case(b"100-continue");
        self.expects_continue |= is_continue;
        self.has_other_expectation |= !is_continue;
        Ok(())
    }

    fn protocol(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let is_websocket = value.eq_ignore_ascii_case(b"websocket") && self.upgrade.is_none();
        self.upgrade = Some(if is_websocket {
            Upgrade::Websocket
        } else {
            Upgrade::Other
        });
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("close") {
                self.close = true;
            } else if is("keep-alive") {
                self.keep_alive = true;
            } else if is("upgrade") {
                self.asks_upgrade = true;
            } else if is("host") || is("content-length") || is("transfer-encoding") {
                return Err(HeadFault::ConnectionOption);
            }
        }
        Ok(())
    }

    fn length(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadFault> {
        check_dashes(name)?;
        if self.length.is_some() {
            return Err(HeadFault::LengthRepeated);
        }
        self.length = Some(length(trim_spaces(value))?);
        Ok(())
    }

    fn coding(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadFault> {
        check_dashes(name)?;
        if self.is_chunked {
            return Err(HeadFault::CodingRepeated);
        }
        coding(trim_spaces(value))?;
        self.is_chunked = true;
        Ok(())
    }
}

fn check_dashes(name: &[u8]) -> Result<(), HeadFault> {
    if name.contains(&b'_') {
        Err(HeadFault::UnderscoreName)
    } else {
        Ok(())
    }
}

/// Trims spaces only: a tab around a framing value is read differently by different parsers.
fn trim_spaces(mut value: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = value {
        value = rest;
    }
    value
}

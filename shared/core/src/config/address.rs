//! Where a server is: an address with a port, or a host name with one.
//!
//! The two differ in what follows from them: an address is used as it is, a name is resolved again and
//! again, and only a name can stand in a certificate's common case. So the text is told apart once,
//! here, and both the checks and the data plane use the result.

use std::fmt;
use std::net::SocketAddr;

/// Longest host name, in characters (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;
/// Longest label of a host name.
const MAX_LABEL: usize = 63;

/// The place of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// `10.0.0.1:80` or `[2001:db8::1]:80`.
    Socket(SocketAddr),
    /// `web.internal:80`, in lower case and without a final dot.
    Name(Box<str>, u16),
}

// === impl ServerAddress ===

impl ServerAddress {
    /// Parses `address:port`, `[address]:port` or `name:port`. The port is from 1 to 65535.
    ///
    /// # Errors
    /// A reason, when it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let write = "write 10.0.0.1:8080, [2001:db8::1]:8080 or name:8080";
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err("port 0 is no place to connect to".to_owned()),
                _ => Ok(Self::Socket(address)),
            };
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!(
                "leave out {scheme}://, which the settings of the pool say; {write}"
            ));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(format!("an IPv6 address needs brackets; {write}"));
            }
            Some(parts) => parts,
            None => return Err(format!("the port is missing; {write}")),
        };
        let port = port
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("\"{port}\" is not a port from 1 to 65535"))?;
        let host = host.strip_suffix('.').unwrap_or(host);
        if !is_dns_name(host) {
            return Err(format!(
                "\"{host}\" is neither an address nor a host name; {write}"
            ));
        }
        Ok(Self::Name(host.to_ascii_lowercase().into(), port))
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Socket(address) => address.port(),
            Self::Name(_, port) => *port,
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Whether `text` can be looked up: labels of letters, digits, `-` and `_`, at least one of them not
/// a number in the last label, so that `10.0.0.300` is a slip and not a name.
#[must_use]
pub fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or("");
    text.len() <= MAX_HOST
        && text.split('.').all(is_label)
        && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_and_names_are_told_apart() {
        for socket in ["10.0.0.1:80", "[::1]:8080"] {
            assert!(matches!(
                ServerAddress::parse(socket),
                Ok(ServerAddress::Socket(_))
            ));
        }
        let name = ServerAddress::parse("Web.Internal.:80").unwrap();
        assert_eq!(name, ServerAddress::Name("web.internal".into(), 80));
        assert_eq!(
            (name.port(), name.to_string().as_str()),
            (80, "web.internal:80")
        );
        assert!(ServerAddress::parse("_http.svc-1:1").is_ok());
    }

    #[test]
    fn slips_are_refused_with_their_cause() {
        for (text, cause) in [
            ("10.0.0.1", "port is missing"),
            ("10.0.0.1:0", "port 0"),
            ("web:0", "not a port"),
            ("web:99999", "not a port"),
            ("web:", "not a port"),
            ("10.0.0.300:80", "neither"),
            ("::1:80", "brackets"),
            ("http://web:80", "leave out http://"),
            ("web server:80", "neither"),
            ("-web:80", "neither"),
            (":80", "neither"),
            ("", "port is missing"),
        ] {
            let reason = ServerAddress::parse(text).unwrap_err();
            assert!(reason.contains(cause), "{text}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_reads_back(text in "[a-z0-9:.\\[\\]-]{0,20}") {
            if let Ok(address) = ServerAddress::parse(&text) {
                prop_assert_eq!(ServerAddress::parse(&address.to_string()), Ok(address));
            }
        }
    }
}

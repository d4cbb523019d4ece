//! Words of the command line that clap does not read by itself.

use super::args::{Expires, ServerRef};
use lb_core::config::scalar::DurationText;
use lb_core::name::{PoolName, RegionName, ServerName};

/// A region's name.
pub(super) fn region(text: &str) -> Result<RegionName, String> {
    RegionName::new(text).map_err(|error| error.to_string())
}

/// `POOL/SERVER`.
pub(super) fn server(text: &str) -> Result<ServerRef, String> {
    let (pool, server) = text
        .split_once('/')
        .ok_or("write POOL/SERVER, such as web/web-1")?;
    Ok(ServerRef {
        pool: PoolName::new(pool).map_err(|error| error.to_string())?,
        server: ServerName::new(server).map_err(|error| error.to_string())?,
    })
}

/// Whole per cent, with or without the sign.
pub(super) fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err("say a whole number of per cent, 0% to 100%".to_owned()),
    }
}

/// The same, and not nothing.
pub(super) fn share(text: &str) -> Result<u8, String> {
    match percent(text)? {
        0 => Err("a drain of 0% does nothing: say 1% to 100%, or undrain".to_owned()),
        share => Ok(share),
    }
}

/// A time, or `never`.
pub(super) fn expires(text: &str) -> Result<Expires, String> {
    match text {
        "never" => Ok(Expires::Never),
        text => crate::args::duration(text).map(|time| Expires::After(DurationText(time))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_per_cent() {
        assert_eq!((percent("30%"), percent("0")), (Ok(30), Ok(0)));
        for bad in ["101%", "-1", "0.5%", "", "%"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
        assert!(share("0%").is_err() && share("1").is_ok());
    }

    #[test]
    fn a_server_is_named_with_its_pool() {
        let web = server("web/web-1").unwrap();
        assert_eq!((web.pool.as_str(), web.server.as_str()), ("web", "web-1"));
        for bad in ["web", "web/", "/a", "a/b/c"] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_may_be_never() {
        assert_eq!(expires("never"), Ok(Expires::Never));
        assert_eq!(
            expires("4h"),
            Ok(Expires::After(DurationText::secs(4 * 3600)))
        );
        assert!(expires("0s").is_err() && expires("forever").is_err());
    }
}

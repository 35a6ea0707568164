//! Values of flags. clap puts the name of the flag before each message.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::telemetry;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// `0`: do not listen.
    Off,
    /// `:port`: on all addresses, IPv6 and IPv4.
    Port(u16),
    /// `host:port`.
    Host(String),
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::Off);
        }
        let wrong = || format!("'{text}' is no address: write ':8090', '127.0.0.1:8090' or '[::1]:8090', or 0 for off");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        match host {
            "" => Ok(Self::Port(port)),
            // An IPv6 address without brackets: its last part is no port.
            _ if host.contains(':') && !bracketed => Err(wrong()),
            _ => Ok(Self::Host(text.to_owned())),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("0"),
            Self::Port(port) => write!(f, ":{port}"),
            Self::Host(address) => f.write_str(address),
        }
    }
}

/// A boolean as Go's flags read it.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

pub(super) fn cap(text: &str) -> Result<usize, String> {
    let wrong = "write a whole number above 0, or leave the flag out for no limit";
    text.parse().ok().filter(|cap| *cap > 0).ok_or_else(|| wrong.to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a duration such as 15s or 1m30s"))
}

pub(super) fn namespace(text: &str) -> Result<String, String> {
    let wrong = "a namespace consists of at most 63 lower-case letters, digits and '-', and begins and ends with a \
                 letter or digit";
    if is_label(text) { Ok(text.to_owned()) } else { Err(wrong.to_owned()) }
}

pub(super) fn namespace_or_all(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { namespace(text) }
}

pub(super) fn service_account(text: &str) -> Result<String, String> {
    let wrong = "the name of a ServiceAccount consists of at most 253 lower-case letters, digits, '-' and '.'";
    let right = text.len() <= 253 && text.split('.').all(is_label);
    if right { Ok(text.to_owned()) } else { Err(wrong.to_owned()) }
}

pub(super) fn secret(text: &str) -> Result<String, String> {
    let wrong = "the name of a Secret consists of at most 253 lower-case letters, digits, '-' and '.'";
    service_account(text).map_err(|_| wrong.to_owned())
}

pub(super) fn image(text: &str) -> Result<String, String> {
    match text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        None => Ok(text.to_owned()),
        Some(_) => {
            Err("the name of an image has no spaces; write one such as ghcr.io/marmotdata/marmot:0.10".to_owned())
        }
    }
}

pub(super) fn url_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { url(text) }
}

fn url(text: &str) -> Result<String, String> {
    let wrong = || "write a URL such as http://marmot.marmot.svc:8080".to_owned();
    let url: http::Uri = text.parse().map_err(|_| wrong())?;
    let right = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty());
    // Pods would append their paths to it.
    if right && url.query().is_none() { Ok(text.trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

pub(super) fn log_level(text: &str) -> Result<String, String> {
    match telemetry::filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; write error, warn, info, debug or trace")),
    }
}

/// RFC 1123 label.
fn is_label(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 63
        && ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

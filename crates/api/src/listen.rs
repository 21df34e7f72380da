//! Where the program listens, and how that is written.

use std::fmt;
use std::net::Ipv6Addr;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether the port was asked for, rather than a default that may give way.
    pub(crate) is_given: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

impl Address {
    /// Where a browser on this machine finds what listens here, on the port that it got.
    pub(crate) fn shown(&self, port: u16) -> String {
        let host = if ["0.0.0.0", "::"].contains(&self.host.as_str()) { "localhost" } else { &self.host };
        authority(host, port)
    }
}

/// Host and port as they stand in a URL.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The address without the brackets that an IPv6 one has in a URL.
pub(crate) fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.filter(|inner| inner.parse::<Ipv6Addr>().is_ok()).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_has_brackets_where_a_port_follows() {
        let shown = |host: &str| {
            let address = Address { host: bare(host).to_owned(), port: 0, is_given: true };
            (address.to_string(), address.shown(8110))
        };
        assert_eq!(shown("[::1]"), shown("::1"));
        assert_eq!(shown("::1"), ("[::1]:0".to_owned(), "[::1]:8110".to_owned()));
        assert_eq!(shown("::"), ("[::]:0".to_owned(), "localhost:8110".to_owned()));
        assert_eq!(shown("127.0.0.1"), ("127.0.0.1:0".to_owned(), "127.0.0.1:8110".to_owned()));
        assert_eq!(bare("[name]"), "[name]");
    }
}

//! Who a client is, for those that are told apart by their address.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Most addresses of a chain of proxies that are looked at.
const MAX_HOPS: usize = 16;

/// The address of a client: that of the connection, unless it is one of the trusted proxies; then the last one in
/// `X-Forwarded-For` that is none. What stands before it was written by the client itself.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(&client) {
        return client;
    }
    let lines: Vec<&str> = headers.get_all(X_FORWARDED_FOR).filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(MAX_HOPS) {
        match without_port(hop.trim()) {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

/// What shares a bucket: an address, or the network of a customer, who has 2^64 addresses of version 6.
pub(crate) fn bucket_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Some proxies add the port.
fn without_port(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.split(']').next();
    let before_port = || text.rsplit_once(':').map(|(address, _)| address);
    text.parse().ok().or_else(|| bracketed().or_else(before_port)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn client(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_trusted() {
        assert_eq!(client("203.0.113.9", &["1.2.3.4"], &[]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["1.2.3.4"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_client() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        for (lines, wanted) in [
            (&["1.2.3.4"][..], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4, 10.0.0.7"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4, 10.0.0.7", "10.0.0.8"], "1.2.3.4"),
            (&["1.2.3.4:5678"], "1.2.3.4"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, unknown"], "10.0.0.1"),
            (&["10.0.0.9"], "10.0.0.9"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", lines, &trusted), wanted, "{lines:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4"], &trusted), "1.2.3.4");
    }

    #[test]
    fn a_network_of_version_6_shares_a_bucket() {
        let bucket = |text: &str| bucket_of(text.parse().unwrap()).to_string();
        assert_eq!(bucket("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(bucket("203.0.113.9"), "203.0.113.9");
    }
}

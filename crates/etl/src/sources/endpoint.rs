//! The address of a vendor's API, and the key for it.

use std::sync::Arc;

use kasparro_core::secret::Secret;
use url::Url;

use crate::http::Turns;

/// Base address and key.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    base: Url,
    key: Option<(&'static str, Secret)>,
    /// Calls to it, of prices and of listings.
    turns: Arc<Turns>,
}

impl Endpoint {
    /// A bare host gets the path under which the vendor serves (`/v1`, say): that is what people mean.
    /// `None` stands for an address that was refused; the problem is on the list by then.
    pub(crate) fn new(
        base: Option<Url>,
        vendor_path: &str,
        key: Option<(&'static str, Secret)>,
    ) -> Option<Self> {
        let mut base = base?;
        if base.path() == "/" {
            base.set_path(vendor_path);
        }
        Some(Self { base, key, turns: Arc::default() })
    }

    /// Address of a resource; `query` is percent-encoded.
    pub(crate) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Name and value of the header that carries the key.
    pub(crate) fn header(&self) -> Option<(&'static str, Secret)> {
        self.key.clone()
    }

    /// The calls to it, the same for every copy.
    pub(crate) fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    /// The host, and the port unless it is the usual one.
    pub(crate) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether the host is this machine: a mirror or simulator, to which the vendor's limits do not apply.
    pub(crate) fn is_local(&self) -> bool {
        match self.base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_built_whatever_the_base_ends_in() {
        let at = |base: &str| {
            let endpoint = Endpoint::new(Url::parse(base).ok(), "/v1", None).unwrap();
            endpoint.url(&["coins", "1move token?"], &[("a", "b c")]).to_string()
        };
        let want = "http://localhost:8/v1/coins/1move%20token%3F?a=b+c";
        for base in
            ["http://localhost:8", "http://localhost:8/", "http://localhost:8/v1", "http://localhost:8/v1/"]
        {
            assert_eq!(at(base), want);
        }
        assert_eq!(at("http://localhost:8/mirror"), "http://localhost:8/mirror/coins/1move%20token%3F?a=b+c");
    }
}

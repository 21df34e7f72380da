//! The address of the database, with what libpq should know about waiting.

use kasparro_core::address;

/// What libpq is told unless the address says otherwise: seconds to connect (its minimum), milliseconds until
/// unacknowledged data breaks a connection, seconds of silence until it is probed.
const CONNECTION_DEFAULTS: [(&str, &str); 4] = [
    ("connect_timeout", "2"),
    ("tcp_user_timeout", "10000"),
    ("keepalives_idle", "30"),
    ("fallback_application_name", "kasparro-api"),
];

/// Adds the defaults that the address does not set itself.
pub(crate) fn with_defaults(url: &str) -> String {
    let own = address::parameters(url);
    let is_set = |name: &str| own.iter().any(|(other, _)| other == name);
    let defaults: Vec<_> = CONNECTION_DEFAULTS.into_iter().filter(|(name, _)| !is_set(name)).collect();
    address::with(url, &defaults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_it_sets_itself() {
        let url = with_defaults("postgres://u:p@h/d?connect_timeout=9");
        assert!(url.starts_with("postgres://u:p@h/d?connect_timeout=9&tcp_user_timeout=10000&"), "{url}");
        let url = with_defaults("postgres://u:why?@h/d");
        assert!(url.starts_with("postgres://u:why?@h/d?connect_timeout=2&"), "{url}");
        assert!(with_defaults("postgres://h/d").starts_with("postgres://h/d?connect_timeout=2&"));
        assert!(with_defaults("host=/tmp dbname=d").starts_with("host=/tmp dbname=d connect_timeout=2 "));
    }
}

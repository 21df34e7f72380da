//! The address of a database, looked at before libpq sees it: libpq repeats what it cannot read, and what it takes for a
//! host or a database may be half of a password.

/// Tells what is wrong with an address of the form `postgresql://...`, without any part of it. What is in a string of
/// keywords is for libpq to judge.
pub(crate) fn check(address: &str) -> Result<(), &'static str> {
    let Some(rest) = ["postgresql://", "postgres://"].iter().find_map(|scheme| address.strip_prefix(scheme))
    else {
        let is_keywords = address.contains('=') && !address.contains("://");
        return is_keywords.then_some(()).ok_or(
            "it is neither like postgresql://user:password@host/database nor like host=... dbname=...",
        );
    };
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("there is a blank, tab or line end in it; in a password a blank is written %20");
    }
    if !rest.split('%').skip(1).all(is_escape) {
        return Err("a % in it is not followed by two hexadecimal digits; in a password % is written %25");
    }
    // The user ends at the first @, unless there is a / before it.
    let user_end = rest.find(['@', '/']).filter(|end| rest[*end..].starts_with('@'));
    let place = user_end.map_or(rest, |end| &rest[end + 1..]);
    let (place, _) = place.split_once('?').unwrap_or((place, ""));
    if place.contains('@') {
        return Err(
            "there is an @ behind the host; in a password @ is written %40, / is written %2F, ? is written %3F",
        );
    }
    let (hosts, _) = place.split_once('/').unwrap_or((place, ""));
    hosts.split(',').try_for_each(check_host)
}

/// What follows a % in text that can be decoded.
fn is_escape(text: &str) -> bool {
    text.get(..2).is_some_and(|code| code != "00" && code.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let port = match host.strip_prefix('[').map(|host| host.split_once(']')) {
        Some(None) => return Err("a [ in it is without its ]"),
        Some(Some((_, behind))) => behind,
        None => host.find(':').map_or("", |colon| &host[colon..]),
    };
    match port.strip_prefix(':').unwrap_or(port) {
        "" => Ok(()),
        port if port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => Err(
            "its port is not a number from 1 to 65535; in a password : is written %3A, / is written %2F, @ is written %40",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_can_read_is_left_alone() {
        for address in [
            "postgresql://",
            "postgres:///d?host=/tmp&user=u",
            "postgresql://u:p%40%2f@h:5432/d?sslmode=require",
            "postgresql://u:p?w@h1,h2:5433/d",
            "postgresql://u@[::1]:5432/d",
            "postgresql://%2Ftmp/d?password=a@b",
            "host=h password='a b'",
        ] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_address() {
        for (address, words) in [
            ("postgresql://u:canary pass@h/d", "blank"),
            ("postgresql://u:canary%zz@h/d", "%"),
            ("postgresql://u:canary%@h/d", "%"),
            ("postgresql://u:canary%00@h/d", "%"),
            ("postgresql://u:canary@[::1/d", "["),
            ("postgresql://u:canary@h:99999/d", "port"),
            ("postgresql://u:canary@[::1]:0/d", "port"),
            ("postgresql://u:canary@[::1]canary/d", "port"),
            ("postgresql://u:canary/x@h:1/d", "%2F"),
            ("postgresql://u:1234/canary@h/d", "%2F"),
            ("postgresql://u:x@canary@h/d", "%40"),
            ("mysql://u:canary@h/d?a=b", "neither"),
            ("canary", "neither"),
        ] {
            let said = check(address).unwrap_err();
            assert!(said.contains(words) && !said.contains("canary"), "{address}: {said}");
        }
    }
}

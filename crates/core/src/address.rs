//! The address of a database, looked at before libpq sees it: libpq repeats what it cannot read, and what it takes for a
//! host or a database may be half of a password.

/// Tells what is wrong with an address of the form `postgresql://...`, without any part of it. What is in a string of
/// keywords is for libpq to judge.
pub(crate) fn check(address: &str) -> Result<(), &'static str> {
    let Some(rest) = behind_scheme(address) else {
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
    let (place, _) = place_and_query(rest);
    if place.contains('@') {
        return Err(
            "there is an @ behind the host; in a password @ is written %40, / is written %2F, ? is written %3F",
        );
    }
    let (hosts, _) = place.split_once('/').unwrap_or((place, ""));
    hosts.split(',').try_for_each(check_host)
}

fn behind_scheme(address: &str) -> Option<&str> {
    ["postgresql://", "postgres://"].iter().find_map(|scheme| address.strip_prefix(scheme))
}

/// Hosts and database, and what stands behind the ?, if there is one.
fn place_and_query(rest: &str) -> (&str, Option<&str>) {
    // The user ends at the first @, unless there is a / before it.
    let user_end = rest.find(['@', '/']).filter(|end| rest[*end..].starts_with('@'));
    let place = user_end.map_or(rest, |end| &rest[end + 1..]);
    place.split_once('?').map_or((place, None), |(place, query)| (place, Some(query)))
}

/// The parameters that an address sets, in their order, as they are written in a URL (but for its user, ports and
/// database) and as they are meant in a string of keywords. libpq takes the last of several.
pub fn parameters(address: &str) -> Vec<(String, String)> {
    let Some(rest) = behind_scheme(address) else { return keywords(address) };
    let (place, query) = place_and_query(rest);
    let (hosts, _) = place.split_once('/').unwrap_or((place, ""));
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    [("host", hosts)].into_iter().chain(pairs).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Reads `name = value` pairs, in which a value may stand between single quotes and \ takes the next character as it is.
fn keywords(address: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = address;
    while let Some((name, behind)) = rest.split_once('=') {
        let behind = behind.trim_start();
        let quoted = behind.strip_prefix('\'');
        let is_end = |c: char| if quoted.is_some() { c == '\'' } else { c.is_whitespace() };
        let mut value = String::new();
        let mut characters = quoted.unwrap_or(behind).chars();
        while let Some(c) = characters.next().filter(|c| !is_end(*c)) {
            value.extend(if c == '\\' { characters.next() } else { Some(c) });
        }
        rest = characters.as_str();
        pairs.push((name.trim().to_owned(), value));
    }
    pairs
}

/// The address with more parameters behind its own. The values are such that stand for themselves in either form.
pub fn with(address: &str, more: &[(&str, &str)]) -> String {
    let mut extended = address.to_owned();
    if let Some(rest) = behind_scheme(address) {
        let mut separator = if place_and_query(rest).1.is_some() { "&" } else { "?" };
        for (name, value) in more {
            extended.extend([separator, name, "=", value]);
            separator = "&";
        }
    } else {
        // Blanks behind a = lead to the next word.
        if address.trim_end().ends_with('=')
            && keywords(address).last().is_some_and(|(_, value)| value.is_empty())
        {
            extended.push_str("''");
        }
        for (name, value) in more {
            extended.extend([" ", name, "=", if value.is_empty() { "''" } else { value }]);
        }
    }
    extended
}

/// Parameters whose numbers libpq reads only on its way to a server.
const NUMBERS: [&str; 6] = [
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];

/// Tells which number of an address is none, without the rest of it.
pub(crate) fn check_numbers(address: &str) -> Result<(), String> {
    let parameters = parameters(address);
    let value = |name: &str| {
        let last = parameters.iter().rev().find(|(other, _)| other == name);
        last.map(|(_, value)| value.trim()).filter(|value| !value.is_empty() && !value.contains('%'))
    };
    for name in NUMBERS {
        if value(name).is_some_and(|text| text.parse::<i32>().is_err()) {
            return Err(format!("its {name} is not a whole number"));
        }
    }
    let ports: Vec<&str> = value("port").map_or_else(Vec::new, |ports| ports.split(',').collect());
    if !ports.iter().all(|port| port.is_empty() || port.trim().parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err("its port is not a number from 1 to 65535".to_owned());
    }
    let hosts = value("hostaddr").or(value("host")).map_or(1, |hosts| hosts.split(',').count());
    if ports.len() > 1 && ports.len() != hosts {
        return Err(format!("it has {} ports for {hosts} hosts", ports.len()));
    }
    Ok(())
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

    #[test]
    fn parameters_of_both_forms_are_found() {
        let found = |address| {
            parameters(address).into_iter().map(|(name, value)| name + ":" + &value).collect::<Vec<_>>()
        };
        assert_eq!(
            found("postgres://u:p?w=x@h1,h2:1/d?port=5&sslmode=require"),
            ["host:h1,h2:1", "port:5", "sslmode:require"]
        );
        assert_eq!(
            found(r"host = h password='a b=\'c' port=5 user=a\ b options="),
            ["host:h", "password:a b='c", "port:5", "user:a b", "options:"]
        );
    }

    #[test]
    fn more_parameters_stand_behind_those_of_the_address() {
        let more = [("a", "1"), ("b", ""), ("c", "/x")];
        for (address, extended) in [
            ("postgres://h/d", "postgres://h/d?a=1&b=&c=/x"),
            ("postgres://u:p?w@h/d", "postgres://u:p?w@h/d?a=1&b=&c=/x"),
            ("postgres://h/d?e=f", "postgres://h/d?e=f&a=1&b=&c=/x"),
            ("host=h password='a='", "host=h password='a=' a=1 b='' c=/x"),
            ("host=h password=aGV5=", "host=h password=aGV5= a=1 b='' c=/x"),
            ("host=h password= ", "host=h password= '' a=1 b='' c=/x"),
        ] {
            assert_eq!(with(address, &more), extended);
        }
    }

    #[test]
    fn numbers_are_read_before_there_is_a_server() {
        for good in [
            "postgres://h1,h2/d?connect_timeout=5&port=1,2&keepalives=%31",
            "host=h1,h2 port=5432 connect_timeout='' tcp_user_timeout=-1",
            "hostaddr=1.2.3.4,::1 host=h port=1,",
        ] {
            assert_eq!(check_numbers(good), Ok(()), "{good}");
        }
        for (wrong, said) in [
            ("postgres://canary@h/d?connect_timeout=soon", "its connect_timeout is not a whole number"),
            ("host=h password=canary keepalives_idle='1 s'", "its keepalives_idle is not a whole number"),
            ("host=h port=99999 password=canary", "its port is not a number from 1 to 65535"),
            ("host=h1,h2 port=1,2,3", "it has 3 ports for 2 hosts"),
        ] {
            assert_eq!(check_numbers(wrong).unwrap_err(), said, "{wrong}");
        }
    }
}

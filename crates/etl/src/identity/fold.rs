//! Symbols and names, brought to the form in which two sources are compared.

/// Words that one source puts into a name and another leaves out, measured on recorded lists: without them a fifth of
/// the pairs that differ become equal, and hardly any wrong one. Versions are not among them.
const FILLERS: [&str; 10] =
    ["token", "coin", "protocol", "network", "finance", "dao", "the", "inu", "tokenized", "stock"];

/// Words that say which of two coins of one name it is. They have to be the same on both sides.
const VERSIONS: [&str; 12] =
    ["old", "legacy", "new", "v1", "v2", "v3", "v4", "bsc", "eth", "sol", "base", "classic"];

/// Words of tokens that stand for a coin of another chain, and are assets of their own.
const WRAPPERS: [&str; 18] = [
    "wrapped",
    "bridged",
    "bridge",
    "peg",
    "pegged",
    "wormhole",
    "portal",
    "multichain",
    "sollet",
    "axelar",
    "anyswap",
    "layerzero",
    "celer",
    "synapse",
    "interport",
    "heco",
    "poly",
    "avalanchebridge",
];

/// A symbol and a name, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    /// Lower case, without blanks and `$`; empty when there is none.
    pub(crate) symbol: String,
    /// Letters and digits in lower case, all words; empty when there is no name.
    pub(crate) name: String,
    /// The name in lower case as it is spelt, without the blanks around it.
    pub(crate) spelt: String,
    /// The same without fillers and versions.
    pub(crate) core: String,
    /// The versions in the name, sorted, with a blank between.
    pub(crate) versions: String,
    /// Whether it stands for a coin of another chain.
    pub(crate) is_wrapper: bool,
}

impl Folded {
    pub(crate) fn new(symbol: Option<&str>, name: Option<&str>) -> Self {
        let symbol: String =
            folded(symbol.unwrap_or_default()).filter(|c| !c.is_whitespace() && *c != '$').collect();
        let words = words(name.unwrap_or_default());
        let is = |list: &[&str], word: &String| list.contains(&word.as_str());
        let mut versions: Vec<&str> =
            words.iter().filter(|word| is(&VERSIONS, word)).map(String::as_str).collect();
        versions.sort_unstable();
        versions.dedup();
        let rest = |drop: fn(&[&str], &String) -> bool| -> String {
            words
                .iter()
                .filter(|word| !drop(&FILLERS, word) && !drop(&VERSIONS, word))
                .map(String::as_str)
                .collect()
        };
        let core = rest(|list, word| list.contains(&word.as_str()));
        let all: String = words.concat();
        Self {
            symbol,
            versions: versions.join(" "),
            is_wrapper: words.iter().any(|word| is(&WRAPPERS, word)),
            core: if core.is_empty() { all.clone() } else { core },
            name: all,
            spelt: folded(name.unwrap_or_default().trim()).collect(),
        }
    }

    /// Whether two coins may be one by their names: they are of one kind, and what is left of the names is more than the
    /// symbol over again (`EYE` and `The EYE` have nothing but a symbol in common).
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let same_name = self.name == other.name || self.core == other.core && self.core != self.symbol;
        same_name && self.is_of_one_kind(other)
    }

    /// Whether neither is an old version of the other, nor stands for it on another chain.
    pub(crate) fn is_of_one_kind(&self, other: &Self) -> bool {
        self.versions == other.versions && self.is_wrapper == other.is_wrapper
    }
}

/// Lower case; blanks of all kinds are blanks.
fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

/// The words of a name: what stands between anything but letters and digits, of whatever script.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in folded(name) {
        match words.last_mut() {
            Some(word) if c.is_alphanumeric() => word.push(c),
            // `Dragon's` is one word.
            Some(_) if matches!(c, '\'' | '’') => {}
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Letters that two names have to have in common at their beginning, if one is to be taken for a part of the other.
const PART: usize = 3;

/// Whether one name is in the other: all of its words are there, or the other begins with it (`Tomi` and `tomiNET`).
pub(crate) fn is_part(one: &str, other: &str) -> bool {
    let plain = |name: &str| -> Vec<String> {
        let mut words = words(name);
        words.retain(|word| !FILLERS.contains(&word.as_str()) && !VERSIONS.contains(&word.as_str()));
        words
    };
    let (one, other) = (plain(one), plain(other));
    let (short, long) = if one.len() <= other.len() { (&one, &other) } else { (&other, &one) };
    let (a, b) = (one.concat(), other.concat());
    let begins = a.starts_with(&b) || b.starts_with(&a);
    !short.is_empty() && short.iter().all(|word| long.contains(word))
        || begins && a.chars().count().min(b.chars().count()) >= PART
}

/// The name that CoinPaprika puts behind the symbol in its ids: `bitcoin` of `btc-bitcoin`. Made when the coin was
/// listed and never changed, so it is a witness of how the coin was called then.
pub(crate) fn name_in_id<'a>(crypto_id: &'a str, symbol: Option<&str>) -> Option<&'a str> {
    let symbol: String = folded(symbol?.trim()).filter(|c| *c != '$').collect::<String>().replace(' ', "-");
    crypto_id.strip_prefix(symbol.as_str())?.strip_prefix('-').filter(|rest| !rest.is_empty())
}

/// Whether an id ends in a number that its name does not have: the source had a coin of this name before.
pub(crate) fn is_numbered(crypto_id: &str, name: &str) -> bool {
    let Some((_, number)) = crypto_id.rsplit_once('-') else { return false };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(number)
}

/// Whether an id of CoinPaprika begins with its symbol and a number: the source had a coin of this symbol and name before.
pub(crate) fn is_numbered_symbol(crypto_id: &str, symbol: &str) -> bool {
    let Some((number, _)) = crypto_id.strip_prefix(symbol).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// A readable id of a text: lower-case letters, digits and single hyphens. Empty when it has none of them.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in folded(text) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(one: (&str, &str), other: (&str, &str)) -> bool {
        let [one, other] = [one, other].map(|(symbol, name)| Folded::new(Some(symbol), Some(name)));
        one.symbol == other.symbol && one.agrees(&other)
    }

    #[test]
    fn spellings_of_one_name_agree() {
        assert!(agree(("BTC", "Bitcoin"), ("btc", " bitcoin\u{a0}")));
        assert!(agree(("$BCLAT", "BOMBOCLAT"), ("bclat", "Bomboclat")));
        assert!(agree(("CRV", "Curve DAO Token"), ("crv", "Curve")));
        assert!(agree(("GOCHU", "Gochujang Coin"), ("gochu", "Gochujangcoin")));
        assert!(agree(("NVDAX", "NVIDIA tokenized stock (xStock)"), ("nvdax", "NVIDIA xStock")));
        assert!(agree(("赵长娥", "赵长娥"), ("赵长娥", "赵长娥")));
    }

    #[test]
    fn versions_wrappers_and_bare_symbols_do_not() {
        assert!(!agree(("QUICK", "Quickswap [OLD]"), ("quick", "Quickswap")));
        assert!(!agree(("NOW", "NOW Token"), ("now", "Now Coin")));
        assert!(!agree(("ADA", "Cardano"), ("ada", "Wrapped Cardano")));
        assert!(!agree(("USDC", "USDC"), ("usdc", "Bridged USDC")));
        assert!(!agree(("BANANA", "Banana Gun v2"), ("banana", "Banana Gun")));
    }

    #[test]
    fn names_that_are_parts_of_others() {
        for (one, other) in [
            ("AIXBT", "aixbt by Virtuals"),
            ("Doctor Evil", "Evil Coin"),
            ("EYE", "The EYE"),
            ("tomiNet", "TOMI"),
            ("VelaAI", "Vela"),
        ] {
            assert!(is_part(one, other) && is_part(other, one), "{one}, {other}");
        }
        for (one, other) in [
            ("Goracle", "Gora"),
            ("", "Anything"),
            ("The", "Coin"),
            ("Ab", "Abacus"),
            ("Now or Never", "Now and Then"),
        ] {
            assert_eq!(is_part(one, other), one == "Goracle", "{one}, {other}");
        }
    }

    #[test]
    fn the_name_in_an_id() {
        assert_eq!(name_in_id("btc-bitcoin", Some("BTC")), Some("bitcoin"));
        assert_eq!(name_in_id("aave-new", Some("AAVE")), Some("new"));
        assert_eq!(name_in_id("fetch-ai", Some("FET")), None);
        assert_eq!(name_in_id("btc-", Some("BTC")), None);
    }

    #[test]
    fn numbered_ids() {
        assert!(is_numbered("bosagora-2", "bosagora"));
        assert!(!is_numbered("avalanche", "avalanche"));
        assert!(!is_numbered("web-3", "web3"));
        assert!(is_numbered_symbol("ara5-ara", "ara"));
        for (id, symbol) in [("ara-ara", "ara"), ("b20-b20", "b20"), ("bitcoin-2", "btc"), ("ara5", "ara")] {
            assert!(!is_numbered_symbol(id, symbol), "{id}");
        }
    }

    #[test]
    fn slugs_are_plain() {
        assert_eq!(slug("Bitcoin Cash (BCH)"), "bitcoin-cash-bch");
        assert_eq!(slug("-10"), "10");
        assert_eq!(slug("龙"), "");
    }

    proptest::proptest! {
        #[test]
        fn a_slug_is_one_that_the_table_takes(text in "\\PC{0,40}") {
            let slug = slug(&text);
            let fine = slug.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
            proptest::prop_assert!(slug.is_empty() || fine, "{slug:?}");
        }
    }
}

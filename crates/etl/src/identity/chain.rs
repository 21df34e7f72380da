//! Chains under one name, and addresses in one spelling.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Platforms that CoinPaprika calls by the id of their native coin, under the name that CoinGecko gives them. One that
/// is not here keeps its own name: its addresses match nothing, rather than the wrong thing.
const PLATFORMS: [(&str, &str); 46] = [
    ("eth-ethereum", "ethereum"),
    ("bnb-binance-coin", "binance-smart-chain"),
    ("sol-solana", "solana"),
    ("matic-polygon", "polygon-pos"),
    ("pol-polygon-ecosystem-token", "polygon-pos"),
    ("arb-arbitrum", "arbitrum-one"),
    ("base-base", "base"),
    ("avax-avalanche", "avalanche"),
    ("op-optimism", "optimistic-ethereum"),
    ("ftm-fantom", "fantom"),
    ("s-sonic", "sonic"),
    ("trx-tron", "tron"),
    ("ton-toncoin", "the-open-network"),
    ("toncoin-the-open-network", "the-open-network"),
    ("sui-sui", "sui"),
    ("apt-aptos", "aptos"),
    ("near-near-protocol", "near-protocol"),
    ("ada-cardano", "cardano"),
    ("algo-algorand", "algorand"),
    ("xlm-stellar", "stellar"),
    ("xrp-xrp", "xrp"),
    ("cro-cryptocom-chain", "cronos"),
    ("cro-cronos", "cronos"),
    ("ht-huobi-token", "huobi-token"),
    ("okt-okexchain", "okex-chain"),
    ("one-harmony", "harmony-shard-0"),
    ("celo-celo", "celo"),
    ("glmr-moonbeam", "moonbeam"),
    ("movr-moonriver", "moonriver"),
    ("klay-klaytn", "klay-token"),
    ("xdai-xdai", "xdai"),
    ("gno-gnosis", "xdai"),
    ("neo-neo", "neo"),
    ("eos-eos", "eos"),
    ("waves-waves", "waves"),
    ("xem-nem", "nem"),
    ("qtum-qtum", "qtum"),
    ("etc-ethereum-classic", "ethereum-classic"),
    ("tomo-tomochain", "tomochain"),
    ("ron-ronin", "ronin"),
    ("hbar-hedera-hashgraph", "hedera-hashgraph"),
    ("egld-elrond", "elrond"),
    ("icp-internet-computer", "internet-computer"),
    ("mnt-mantle", "mantle"),
    ("pls-pulsechain", "pulsechain"),
    ("btc-bitcoin", "ordinals"),
];

/// The common name of a platform of CoinPaprika.
pub(crate) fn of_coinpaprika(platform: &str) -> &str {
    PLATFORMS.iter().find(|(theirs, _)| *theirs == platform).map_or(platform, |(_, common)| common)
}

/// An address that a source lists.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Place of the source by trust, the most trusted first.
    pub(crate) source: usize,
    pub(crate) crypto_id: String,
    pub(crate) chain: String,
    pub(crate) address: String,
    /// Whether it is listed still.
    pub(crate) is_present: bool,
}

/// Addresses that two sources have to share on a chain before their names for it are taken for one.
const WITNESSES: usize = 3;

/// The names of chains that only one source calls so, by source and name, with the name that a more trusted source has for
/// the same: the one where most of their addresses are. Vendors call new chains what they like, but an address is the
/// same everywhere.
pub(crate) fn learned(contracts: &[Listed]) -> HashMap<(usize, String), String> {
    let mut chains: BTreeMap<(usize, &str), HashSet<&str>> = BTreeMap::new();
    for one in contracts {
        chains.entry((one.source, &one.chain)).or_default().insert(&one.address);
    }
    let is_known = |source: usize, chain: &str| chains.contains_key(&(source, chain));
    let mut learned = HashMap::new();
    for ((source, chain), addresses) in &chains {
        let others = chains.iter().filter(|((other, name), _)| {
            other < source && !is_known(*source, name) && !is_known(*other, chain)
        });
        let mut shared: Vec<(usize, &str)> =
            others.map(|((_, name), theirs)| (addresses.intersection(theirs).count(), *name)).collect();
        shared.sort_unstable_by(|a, b| b.cmp(a));
        let runner_up = shared.get(1).map_or(0, |(count, _)| *count);
        if let Some((count, name)) = shared.first()
            && *count >= WITNESSES
            && *count > 2 * runner_up
        {
            learned.insert((*source, (*chain).to_owned()), (*name).to_owned());
        }
    }
    learned
}

/// Whether an id of CoinPaprika is that of the native coin of a chain, which has no contract: addresses that are listed
/// for it are wrappers.
pub(crate) fn is_native(crypto_id: &str) -> bool {
    PLATFORMS.iter().any(|(native, _)| *native == crypto_id)
}

/// An address as it is compared: `0x` and hexadecimal digits ignore case (so does Sui's `0x..::module::NAME` before the
/// first colon, where it stands for a number), everything else does not. `None` for one that says nothing: blank, or the
/// zero and `0xeeee` addresses that stand for a native coin; and for one that is none, with a NUL or too long.
pub(crate) fn address(text: &str) -> Option<String> {
    let text = Some(text.trim()).filter(|text| !text.contains('\0'))?;
    let (number, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
    let digits = number.strip_prefix("0x").or_else(|| number.strip_prefix("0X"));
    let Some(digits) = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())) else {
        return Some(text.to_owned()).filter(|text| !text.is_empty() && text.len() <= 200);
    };
    let digits = digits.to_ascii_lowercase();
    let is_placeholder = rest.is_empty() && digits.trim_matches('0').is_empty() || digits == "e".repeat(40);
    (!is_placeholder && digits.len() + rest.len() <= 198).then(|| format!("0x{digits}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_counts_where_the_chain_says_so() {
        assert_eq!(address(" 0xAbC1 ").as_deref(), Some("0xabc1"));
        let solana = "So11111111111111111111111111111111111111112";
        assert_eq!(address(solana).as_deref(), Some(solana));
        assert_eq!(address("0x2::sui::SUI").as_deref(), Some("0x2::sui::SUI"));
        assert_eq!(address("0X2D::coin::COIN").as_deref(), Some("0x2d::coin::COIN"));
        assert_eq!((address("a\0"), address("0x2\0"), address(&"a".repeat(201))), (None, None, None));
    }

    #[test]
    fn placeholders_are_no_addresses() {
        for nothing in [
            "",
            "  ",
            "0x",
            "0x0000000000000000000000000000000000000000",
            "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE",
        ] {
            assert_eq!(address(nothing), None, "{nothing}");
        }
    }

    fn listed(source: usize, chain: &str, addresses: &[&str]) -> Vec<Listed> {
        let one = |address: &&str| Listed {
            source,
            crypto_id: format!("coin-{address}"),
            chain: chain.to_owned(),
            address: (*address).to_owned(),
            is_present: true,
        };
        addresses.iter().map(one).collect()
    }

    #[test]
    fn a_chain_is_known_by_its_addresses_whatever_it_is_called() {
        let theirs = [
            listed(0, "zksync", &["0x1", "0x2", "0x3", "0x4", "0x5"]),
            listed(0, "ethereum", &["0x1", "0x2", "0x3", "0x9"]),
            listed(0, "scroll", &["0x1", "0x6", "0x7"]),
        ]
        .concat();
        let ours =
            [listed(1, "zk-zksync", &["0x1", "0x2", "0x3", "0x8"]), listed(1, "ethereum", &["0x9"])].concat();
        let learned = learned(&[theirs.clone(), ours].concat());
        assert_eq!(learned.len(), 1, "{learned:?}");
        assert_eq!(learned[&(1, "zk-zksync".to_owned())], "zksync");
        // Two witnesses are too few, and where two chains have the same addresses nothing is learned.
        for unclear in [listed(1, "zk", &["0x1", "0x2"]), listed(1, "zk", &["0x1", "0x2", "0x3"])] {
            assert!(super::learned(&[theirs.clone(), unclear].concat()).is_empty());
        }
    }

    #[test]
    fn platforms() {
        assert_eq!(of_coinpaprika("eth-ethereum"), "ethereum");
        assert_eq!(of_coinpaprika("chik-chickenkebab-finance"), "chik-chickenkebab-finance");
    }
}

//! Chains under one name, and addresses in one spelling.

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

/// Whether an id of CoinPaprika is that of the native coin of a chain, which has no contract: addresses that are listed
/// for it are wrappers.
pub(crate) fn is_native(crypto_id: &str) -> bool {
    PLATFORMS.iter().any(|(native, _)| *native == crypto_id)
}

/// An address as it is compared: `0x` and hexadecimal digits ignore case (so does Sui's `0x..::module::NAME` before the
/// first colon, where it stands for a number), everything else does not. `None` for one that says nothing: blank, or the
/// zero and `0xeeee` addresses that stand for a native coin.
pub(crate) fn address(text: &str) -> Option<String> {
    let text = text.trim();
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

    #[test]
    fn platforms() {
        assert_eq!(of_coinpaprika("eth-ethereum"), "ethereum");
        assert_eq!(of_coinpaprika("chik-chickenkebab-finance"), "chik-chickenkebab-finance");
    }
}

//! Coins every reader knows, so that a demo looks like the market and identity tests have true pairs.
//!
//! Prices and supplies are round figures of about 2026, written by hand; the ids are the public ids of both vendors.

/// One coin under the names both vendors give it.
pub(crate) struct WellKnown {
    pub(crate) coinpaprika_id: &'static str,
    pub(crate) coingecko_id: &'static str,
    /// Upper case, as CoinPaprika has it; CoinGecko's is the lower-case form.
    pub(crate) symbol: &'static str,
    pub(crate) name: &'static str,
    /// US dollars as (digits, scale).
    pub(crate) price: (u128, i32),
    /// Whole coins in circulation.
    pub(crate) supply: u128,
    /// Whole coins there can ever be; 0 when unlimited.
    pub(crate) max_supply: u128,
}

/// CoinPaprika's id, CoinGecko's id, symbol, name, price as (digits, scale), supply, maximum supply or 0.
type Row = (&'static str, &'static str, &'static str, &'static str, (u128, i32), u128, u128);

#[rustfmt::skip] // A table reads best as a table.
const TABLE: [Row; 40] = [
    ("btc-bitcoin", "bitcoin", "BTC", "Bitcoin", (84_512_337_104_116, 9), 20_061_450, 21_000_000),
    ("eth-ethereum", "ethereum", "ETH", "Ethereum", (2_871_440_518_233, 9), 120_693_212, 0),
    ("usdt-tether", "tether", "USDT", "Tether", (100_021_447, 8), 186_233_540_118, 0),
    ("xrp-xrp", "ripple", "XRP", "XRP", (205_731_844_102, 11), 60_917_338_205, 100_000_000_000),
    ("bnb-binance-coin", "binancecoin", "BNB", "BNB", (86_327_715_503, 8), 137_734_511, 200_000_000),
    ("sol-solana", "solana", "SOL", "Solana", (132_418_830_194, 9), 565_218_904, 0),
    ("usdc-usd-coin", "usd-coin", "USDC", "USDC", (99_986_231, 8), 76_104_882_391, 0),
    ("doge-dogecoin", "dogecoin", "DOGE", "Dogecoin", (13_845_602_218, 11), 161_877_236_383, 0),
    ("ada-cardano", "cardano", "ADA", "Cardano", (39_214_880_517, 11), 36_521_004_772, 45_000_000_000),
    ("trx-tron", "tron", "TRX", "TRON", (28_933_410_621, 11), 94_690_118_345, 0),
    ("link-chainlink", "chainlink", "LINK", "Chainlink", (12_706_618_832, 9), 708_099_970, 1_000_000_000),
    ("shib-shiba-inu", "shiba-inu", "SHIB", "Shiba Inu", (77_340_518_206, 16), 589_244_158_330_118, 0),
    ("bch-bitcoin-cash", "bitcoin-cash", "BCH", "Bitcoin Cash", (58_240_117_733, 8), 19_991_203, 21_000_000),
    ("ltc-litecoin", "litecoin", "LTC", "Litecoin", (7_733_902_614, 8), 76_728_511, 84_000_000),
    ("xlm-stellar", "stellar", "XLM", "Stellar", (21_740_337_115, 11), 32_402_118_276, 50_001_806_812),
    ("dot-polkadot", "polkadot", "DOT", "Polkadot", (20_411_833_752, 10), 1_652_811_337, 0),
    ("avax-avalanche", "avalanche-2", "AVAX", "Avalanche", (1_340_233_781, 8), 430_118_220, 720_000_000),
    ("uni-uniswap", "uniswap", "UNI", "Uniswap", (5_631_002_774, 9), 630_330_527, 1_000_000_000),
    ("xmr-monero", "monero", "XMR", "Monero", (4_123_370_551, 7), 18_446_744, 0),
    ("etc-ethereum-classic", "ethereum-classic", "ETC", "Ethereum Classic", (1_211_834_022, 8), 154_882_317, 210_700_000),
    ("atom-cosmos", "cosmos", "ATOM", "Cosmos Hub", (2_204_417_338, 9), 485_330_118, 0),
    ("fil-filecoin", "filecoin", "FIL", "Filecoin", (1_388_204_117, 9), 721_004_882, 0),
    ("hbar-hedera-hashgraph", "hedera-hashgraph", "HBAR", "Hedera", (11_240_337_118, 11), 42_761_204_331, 50_000_000_000),
    ("near-near-protocol", "near", "NEAR", "NEAR Protocol", (1_530_227_448, 9), 1_283_774_115, 0),
    ("algo-algorand", "algorand", "ALGO", "Algorand", (11_733_204_556, 11), 8_840_227_114, 10_000_000_000),
    ("vet-vechain", "vechain", "VET", "VeChain", (10_944_201_187, 12), 85_985_041_177, 86_712_634_466),
    ("aave-new", "aave", "AAVE", "Aave", (16_540_338_217, 8), 15_274_118, 16_000_000),
    ("qnt-quant", "quant-network", "QNT", "Quant", (7_544_118_209, 8), 14_544_176, 14_881_364),
    ("xtz-tezos", "tezos", "XTZ", "Tezos", (4_711_833_025, 10), 1_066_204_337, 0),
    ("luna-terra", "terra-luna", "LUNC", "Terra Luna Classic", (27_733_802_441, 15), 5_478_204_117_339, 0),
    ("snx-synthetix-network-token", "havven", "SNX", "Synthetix", (4_482_033_711, 10), 343_622_774, 0),
    ("hot-holo", "holotoken", "HOT", "Holo", (5_334_022_817, 13), 177_619_433_541, 177_619_433_541),
    ("bonk-bonk", "bonk", "BONK", "Bonk", (9_224_401_837, 15), 82_814_775_338_204, 0),
    ("pepe-pepe", "pepe", "PEPE", "Pepe", (41_820_337_264, 16), 420_690_000_000_000, 420_690_000_000_000),
    ("miota-iota", "iota", "IOTA", "IOTA", (913_044_172, 10), 4_229_118_337, 0),
    ("zec-zcash", "zcash", "ZEC", "Zcash", (4_022_811_735, 7), 16_447_204, 21_000_000),
    ("dash-dash", "dash", "DASH", "Dash", (423_371_102, 7), 12_530_118, 18_920_000),
    ("neo-neo", "neo", "NEO", "NEO", (362_274_018, 8), 70_538_831, 100_000_000),
    ("dai-dai", "dai", "DAI", "Dai", (99_991_204, 8), 5_365_382_702, 0),
    ("wbtc-wrapped-bitcoin", "wrapped-bitcoin", "WBTC", "Wrapped Bitcoin", (843_772_041_183, 7), 127_334, 0),
];

/// The well-known coins, largest first.
pub(crate) fn well_known() -> impl Iterator<Item = WellKnown> {
    TABLE.into_iter().map(|(coinpaprika_id, coingecko_id, symbol, name, price, supply, max_supply)| {
        WellKnown { coinpaprika_id, coingecko_id, symbol, name, price, supply, max_supply }
    })
}

/// Number of well-known coins.
pub(crate) const COUNT: usize = TABLE.len();

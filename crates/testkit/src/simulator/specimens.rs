//! One invented coin for each thing real listings do that a reader of specifications would not expect.
//!
//! The shapes were measured in bodies of both APIs from 2021 to 2026; every name, id and number
//! here is invented. A slot holds one specimen of each vendor; the two are strangers to each other.

use super::names::Identity;

/// A field of a specimen and the literal it is sent with whatever the market does.
pub(crate) type Override = (&'static str, &'static str);

/// A coin with a quirk.
pub(crate) struct Specimen {
    pub(crate) identity: Identity,
    /// US dollars as (digits, scale), where the quirk is the price.
    pub(crate) price: Option<(u128, i32)>,
    /// Significant digits its price is sent with, where that is the quirk.
    pub(crate) significant: Option<u32>,
    pub(crate) overrides: &'static [Override],
}

impl Specimen {
    fn new(id: &str, symbol: &str, name: &str, overrides: &'static [Override]) -> Self {
        Self { identity: Identity::new(id, symbol, name), price: None, significant: None, overrides }
    }

    fn priced(self, digits: u128, scale: i32, significant: u32) -> Self {
        Self { price: Some((digits, scale)), significant: Some(significant), ..self }
    }
}

/// Number of slots; both lists have this length.
pub(crate) const COUNT: usize = 20;

/// Zero means "unknown" for every one of these.
const NOTHING_KNOWN: &[Override] = &[
    ("circulating_supply", "0"),
    ("total_supply", "0"),
    ("max_supply", "0"),
    ("beta_value", "0"),
    ("volume_24h", "0"),
    ("volume_24h_change_24h", "0"),
    ("market_cap", "0"),
    ("market_cap_change_24h", "0"),
    ("percent_change_1y", "0"),
];

/// Percentages as a float of 32 bits looks when it is printed with 64.
const WIDENED: &[Override] = &[
    ("volume_24h_change_24h", "12.34000015258789"),
    ("market_cap_change_24h", "2.200000047683716"),
    ("percent_change_15m", "0.10000000149011612"),
    ("percent_change_30m", "0.30000001192092896"),
    ("percent_change_1h", "-0.699999988079071"),
    ("percent_change_6h", "1.100000023841858"),
    ("percent_change_12h", "-5.550000190734863"),
    ("percent_change_24h", "7.699999809265137"),
    ("percent_change_7d", "-31.399999618530273"),
    ("percent_change_30d", "0"),
    ("percent_change_1y", "0"),
];

/// CoinPaprika's specimens.
pub(crate) fn coinpaprika() -> Vec<Specimen> {
    let long = format!("long-{}", "a-very-long-name-".repeat(6));
    let (long_id, long_name) = (&long[..100], "The Longest Name Anybody Ever Gave ".repeat(3));
    vec![
        Specimen::new("-lantern", "LANT", "Lantern", &[]),
        Specimen::new("moss-mossy-frog-SOL", "MOSS", "Mossy Frog", &[]),
        Specimen::new("竹林-竹林", "竹林", "竹林", &[]),
        Specimen::new("nara-nara-deer-?", "NARA", "Nara Deer ?", &[]),
        Specimen::new(long_id, "LONG", &long_name[..100], &[]),
        Specimen::new("safe-safe-harbour", "SAFE", "Safe Harbour ", &[]),
        Specimen::new("zbx-zebra-exchange", "ZBX ", "Zebra Exchange", &[]),
        Specimen::new("pepe-pepe-of-the-pond", "PEPE", "Pepe of the Pond", &[]),
        Specimen::new("pepe-pepe-\"quoted\"-\\", "PEPE", "Pepe \"Quoted\" \\", &[]),
        Specimen::new("wolf-grey-wolf", "WOLF", "Grey Wolf", &[]),
        Specimen::new("wolf-grey-wolf-base", "WOLF", "Grey Wolf", &[]),
        Specimen::new("mote-mote", "MOTE", "Mote", &[]).priced(417, 20, 3),
        Specimen::new("prec-precision", "PREC", "Precision", &[]).priced(45_621_845_142_903_507, 12, 17),
        Specimen::new(
            "cosm-cosmic-supply",
            "COSM",
            "Cosmic Supply",
            &[("total_supply", "441717087252048131"), ("max_supply", "9223372036854775807")],
        )
        .priced(5_279, 14, 15),
        Specimen::new(
            "odd-odd-books",
            "ODD",
            "Odd Books",
            &[("circulating_supply", "900000"), ("total_supply", "500000"), ("max_supply", "100000")],
        ),
        Specimen::new("void-void", "VOID", "Void", NOTHING_KNOWN).priced(10_204_081_632_653, 20, 14),
        Specimen::new(
            "noath-no-high",
            "NOATH",
            "No High",
            &[("ath_price", "null"), ("ath_date", "null"), ("percent_from_price_ath", "null")],
        ),
        Specimen::new(
            "wild-wild-swings",
            "WILD",
            "Wild Swings",
            &[
                ("beta_value", "-11306703"),
                ("volume_24h_change_24h", "1538325404.5"),
                ("percent_change_24h", "-100"),
                ("percent_change_1y", "107649911.37"),
            ],
        ),
        Specimen::new("wide-widened", "WIDE", "Widened", WIDENED),
        Specimen::new("lagoon-new", "LGN", "Lagoon", &[]),
    ]
}

/// A coin CoinGecko lists but has no market for: the rows with a null `last_updated` are those with a null price.
const NO_MARKET: &[Override] = &[
    ("current_price", "null"),
    ("market_cap", "null"),
    ("market_cap_rank", "null"),
    ("fully_diluted_valuation", "null"),
    ("total_volume", "null"),
    ("high_24h", "null"),
    ("low_24h", "null"),
    ("price_change_24h", "null"),
    ("price_change_percentage_24h", "null"),
    ("market_cap_change_24h", "null"),
    ("market_cap_change_percentage_24h", "null"),
    ("circulating_supply", "null"),
    ("total_supply", "null"),
    ("max_supply", "null"),
    ("ath", "null"),
    ("ath_change_percentage", "null"),
    ("ath_date", "null"),
    ("atl", "null"),
    ("atl_change_percentage", "null"),
    ("atl_date", "null"),
    ("last_updated", "null"),
];

/// What is left of a coin that moved to another id: a supply of zero and no price.
const MIGRATED: &[Override] = &[
    ("current_price", "null"),
    ("market_cap", "0.0"),
    ("market_cap_rank", "null"),
    ("fully_diluted_valuation", "null"),
    ("total_volume", "0.0"),
    ("high_24h", "null"),
    ("low_24h", "null"),
    ("price_change_24h", "null"),
    ("price_change_percentage_24h", "null"),
    ("market_cap_change_24h", "null"),
    ("market_cap_change_percentage_24h", "null"),
    ("circulating_supply", "0.0"),
    ("total_supply", "0.0"),
    ("max_supply", "null"),
    ("last_updated", "null"),
];

/// CoinGecko's specimens.
pub(crate) fn coingecko() -> Vec<Specimen> {
    let long = "a-very-long-identifier-".repeat(4);
    let symbol = "fiftycharactersymbol".repeat(3);
    vec![
        Specimen::new("_", "_", "( ͡° ͜ʖ ͡°)", &[]),
        Specimen::new("-7", "虎", "虎", &[]),
        Specimen::new("2step token", "2step", "2Step Token", &[]),
        Specimen::new("ferryboat-[old]", "ferry", "Ferryboat [OLD]", &[]),
        Specimen::new(&long[..70], "long", &"Seventy-one characters of name ".repeat(3)[..71], &[]),
        Specimen::new("nameless-one", "", "Nameless One", &[]),
        Specimen::new("ideographic-space", "\u{3000}", "Ideographic Space", &[]),
        Specimen::new("no-break", "no\u{a0}break", "No\u{a0}Break ", &[]),
        Specimen::new("rocket-emoji", "🚀", "🚀 Rocket", &[]),
        Specimen::new("fifty-characters", &symbol[..50], "Fifty Characters", &[]),
        Specimen::new("grey-wolf", "wolf", "Grey Wolf", &[]),
        Specimen::new("grey-wolf-2", "wolf", "Grey Wolf", &[]),
        Specimen::new("no-market", "nomkt", "No Market", NO_MARKET),
        Specimen::new("migrated-away", "migr", "Migrated Away", MIGRATED),
        Specimen::new("smallest-unit", "unit", "Smallest Unit", &[]).priced(104, 20, 1),
        Specimen::new(
            "priceless-vase",
            "vase",
            "Priceless Vase",
            &[("market_cap", "0.0"), ("market_cap_rank", "null")],
        )
        .priced(126_081_769_495_044, 0, 15),
        Specimen::new(
            "boundless-supply",
            "bound",
            "Boundless Supply",
            &[
                ("fully_diluted_valuation", "1304926187735529041768820953417706628153904417283"),
                ("total_supply", "1.0e+76"),
                ("max_supply", "6.9e+41"),
            ],
        )
        .priced(2_144, 12, 4),
        Specimen::new(
            "uncounted",
            "uncnt",
            "Uncounted",
            &[("circulating_supply", "0.0"), ("market_cap", "208114337")],
        ),
        Specimen::new(
            "below-zero",
            "blwz",
            "Below Zero",
            &[
                ("atl", "-270.577"),
                ("atl_change_percentage", "8.146238558901932e+36"),
                ("total_volume", "1.36e-10"),
            ],
        ),
        Specimen::new(
            "early-sale",
            "sale",
            "Early Sale",
            &[("roi", "{\"times\":36.17715200159189,\"currency\":\"btc\",\"percentage\":3617.715200159189}")],
        ),
    ]
}

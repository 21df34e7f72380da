//! Names, symbols and ids of invented coins.

use super::random::hash;

/// What a vendor calls a coin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) symbol: String,
    pub(crate) name: String,
}

impl Identity {
    pub(crate) fn new(id: &str, symbol: &str, name: &str) -> Self {
        Self { id: id.to_owned(), symbol: symbol.to_owned(), name: name.to_owned() }
    }
}

const FIRST: [&str; 64] = [
    "Amber", "Arctic", "Astral", "Autumn", "Basalt", "Bright", "Bronze", "Candle", "Cedar", "Chrome",
    "Cinder", "Cobalt", "Comet", "Copper", "Coral", "Crimson", "Crystal", "Dawn", "Delta", "Desert", "Dusk",
    "Echo", "Ember", "Emerald", "Falcon", "Feather", "Fern", "Flint", "Forest", "Frost", "Garnet", "Glacier",
    "Golden", "Granite", "Harbour", "Hazel", "Indigo", "Iron", "Ivory", "Jade", "Juniper", "Lagoon", "Lunar",
    "Maple", "Marble", "Meadow", "Mercury", "Misty", "Moss", "Nimbus", "Obsidian", "Ocean", "Onyx", "Opal",
    "Pearl", "Pine", "Quartz", "Raven", "River", "Saffron", "Silver", "Solar", "Storm", "Velvet",
];
const SECOND: [&str; 64] = [
    "Anchor", "Arrow", "Badger", "Beacon", "Bear", "Bridge", "Canyon", "Castle", "Chain", "Circle", "Cloud",
    "Compass", "Crane", "Crown", "Deer", "Dolphin", "Dragon", "Eagle", "Engine", "Field", "Finch", "Flame",
    "Fox", "Garden", "Gate", "Grove", "Hare", "Hawk", "Heron", "Hill", "Island", "Key", "Lantern", "Leaf",
    "Lion", "Lotus", "Lynx", "Mill", "Mirror", "Moon", "Orbit", "Otter", "Owl", "Panda", "Path", "Peak",
    "Pilot", "Pond", "Prism", "Rabbit", "Rocket", "Sail", "Shield", "Sparrow", "Spire", "Star", "Stone",
    "Swan", "Tiger", "Tower", "Vault", "Wave", "Wolf", "Yard",
];
// Seven endings: the words that make name matching hard because so many coins share them.
const THIRD: [&str; 7] = ["", " Token", " Coin", " Protocol", " Network", " Finance", " DAO"];

/// Number of different names; later ones repeat with a number behind.
const COMBINATIONS: u64 = 64 * 64 * 7;

/// The `number`-th invented coin of a seed; (CoinPaprika's, CoinGecko's) identity. Ids are unique per seed.
pub(crate) fn invented(seed: u64, number: u64) -> (Identity, Identity) {
    // 27,611 is odd and no multiple of 7, so this walks through every combination before it repeats one.
    let start = hash(seed, &[0x6e61_6d65]) % COMBINATIONS;
    let combination = (start + (number % COMBINATIONS) * 27_611) % COMBINATIONS;
    let (first, rest) = (pick(&FIRST, combination), combination / 64);
    let (second, third) = (pick(&SECOND, rest), pick(&THIRD, rest / 64));
    let round = number / COMBINATIONS;
    let suffix = if round == 0 { String::new() } else { format!(" {}", round + 1) };
    let name = format!("{first} {second}{third}{suffix}");
    let symbol = symbol_of(first, second, hash(seed, &[number, 0x7379_6d62]));
    let slug = name.to_lowercase().replace(' ', "-");
    let coinpaprika = Identity {
        id: format!("{}-{slug}", symbol.to_lowercase()),
        symbol: symbol.clone(),
        name: name.clone(),
    };
    let coingecko = Identity { id: slug, symbol: symbol.to_lowercase(), name };
    (coinpaprika, coingecko)
}

fn pick<'a>(words: &[&'a str], number: u64) -> &'a str {
    let position = number % u64::try_from(words.len()).unwrap_or(1);
    usize::try_from(position).ok().and_then(|position| words.get(position)).copied().unwrap_or_default()
}

/// Two to five letters of the two words: short enough that many coins share a symbol, as in the real lists.
fn symbol_of(first: &str, second: &str, random: u64) -> String {
    let (from_first, from_second) = [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (1, 3), (3, 1), (4, 0)]
        .get(usize::try_from(random % 8).unwrap_or(0))
        .copied()
        .unwrap_or((2, 2));
    first.chars().take(from_first).chain(second.chars().take(from_second)).collect::<String>().to_uppercase()
}

//! The unified record: what every source is brought to.

use chrono::{DateTime, Utc};
use compact_str::CompactString;

use crate::Decimal;

/// What one source says of one coin at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketRecord {
    /// The id that the source gives the coin; opaque, never empty.
    pub crypto_id: CompactString,
    /// Name as sent; `None` when the source gives none.
    pub crypto_name: Option<CompactString>,
    /// Symbol as sent, in the source's own case; `None` when the source gives none.
    pub symbol: Option<CompactString>,
    /// The source's own time; `None` when the record carries none and is compared with the latest observation.
    pub observed_at: Option<DateTime<Utc>>,
    /// Number of the record in its raw body or chunk, from 0.
    pub position: u32,
    /// The figures.
    pub values: Values,
}

/// The figures of an observation. `None` is "not known", which is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Rank by market capitalisation, from 1.
    pub rank: Option<i32>,
    /// US dollars per coin, not negative.
    pub price_usd: Option<Decimal>,
    /// US dollars, not negative.
    pub market_cap_usd: Option<Decimal>,
    /// US dollars traded in 24 hours, not negative.
    pub volume_24h_usd: Option<Decimal>,
    /// Change of the price in 24 hours, in percent; may be negative.
    pub change_24h_percent: Option<Decimal>,
    /// Coins, not negative.
    pub circulating_supply: Option<Decimal>,
    /// Coins, not negative.
    pub total_supply: Option<Decimal>,
    /// Coins, not negative.
    pub max_supply: Option<Decimal>,
}

impl Values {
    /// Names of the decimals, in the order of the columns.
    pub const NUMBERS: [&str; 7] = [
        "price_usd",
        "market_cap_usd",
        "volume_24h_usd",
        "change_24h_percent",
        "circulating_supply",
        "total_supply",
        "max_supply",
    ];

    /// The decimals, in the order of [`Self::NUMBERS`].
    pub fn numbers(&self) -> [Option<&Decimal>; 7] {
        [
            self.price_usd.as_ref(),
            self.market_cap_usd.as_ref(),
            self.volume_24h_usd.as_ref(),
            self.change_24h_percent.as_ref(),
            self.circulating_supply.as_ref(),
            self.total_supply.as_ref(),
            self.max_supply.as_ref(),
        ]
    }
}

/// A record that was refused, with what a person needs to find out why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The reason.
    pub code: RejectCode,
    /// The source's own name of the field that was refused; `None` when the record as a whole was.
    pub field: Option<String>,
    /// One sentence with the offending value.
    pub message: String,
    /// Number of the record in its raw body or chunk, from 0.
    pub position: u32,
    /// The raw record.
    pub raw: Vec<u8>,
}

macro_rules! reject_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Stable names of the reasons to refuse a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RejectCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl RejectCode {
            /// Every code, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name that is stored.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reject_codes! {
    /// The record is not what the format promises: broken JSON, a row with too many cells.
    MalformedRecord = "malformed_record",
    /// The record has no id.
    MissingId = "missing_id",
    /// Text with a NUL, broken UTF-8 or a lone surrogate.
    InvalidText = "invalid_text",
    /// Longer than any real value.
    TextTooLong = "text_too_long",
    /// Not a number where there should be one.
    InvalidNumber = "invalid_number",
    /// More digits than are kept.
    NumberOutOfRange = "number_out_of_range",
    /// Below zero where that has no meaning.
    NegativeNumber = "negative_number",
    /// A number that can be read in two ways, such as `1,234` in a file that shows no other sign of its style.
    AmbiguousNumber = "ambiguous_number",
    /// Not a time, or not in the form of the rest.
    InvalidTime = "invalid_time",
    /// Before Bitcoin or in the future.
    TimeOutOfRange = "time_out_of_range",
    /// The cell that should say when is empty, although other rows have a time.
    MissingTime = "missing_time",
}

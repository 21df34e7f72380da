//! Decimal numbers as digits, and the spellings the two vendors give them.
//!
//! A price that went through a float would test the float, not the program under test, so nothing here is one.

/// A decimal number: `digits * 10^-scale`, negative if said so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: u128,
    scale: i32,
}

/// Where one significant digit sequence has its point: `0.digits * 10^point`.
struct Normal {
    digits: String,
    point: i32,
}

impl Decimal {
    pub(crate) const fn new(digits: u128, scale: i32) -> Self {
        Self { negative: false, digits, scale }
    }

    pub(crate) const fn whole(value: u128) -> Self {
        Self::new(value, 0)
    }

    pub(crate) fn signed(value: i128, scale: i32) -> Self {
        Self { negative: value < 0, digits: value.unsigned_abs(), scale }
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// The number times `(1_000_000 + ppm) / 1_000_000`, exactly.
    pub(crate) fn shifted_by_ppm(self, ppm: i64) -> Self {
        let factor = u128::try_from(1_000_000 + i128::from(ppm)).unwrap_or(0);
        Self { digits: self.digits.saturating_mul(factor), scale: self.scale + 6, ..self }
    }

    /// The product, exactly, while it fits 38 digits.
    pub(crate) fn times(self, other: Self) -> Self {
        Self {
            negative: self.negative != other.negative,
            digits: self.digits.saturating_mul(other.digits),
            scale: self.scale + other.scale,
        }
    }

    /// How many times `price` goes into a whole number; 0 for a price of 0.
    pub(crate) fn how_many(value: u128, price: Self) -> u128 {
        let (up, down) = (u32::try_from(price.scale).unwrap_or(0), u32::try_from(-price.scale).unwrap_or(0));
        let (dividend, divisor) = (
            value.saturating_mul(10_u128.saturating_pow(up)),
            price.digits.saturating_mul(10_u128.saturating_pow(down)),
        );
        dividend.checked_div(divisor).unwrap_or(0)
    }

    /// Rounded half up to so many significant digits.
    pub(crate) fn significant(self, count: u32) -> Self {
        let excess = decimal_length(self.digits).saturating_sub(count);
        self.without_last(excess)
    }

    /// Rounded half up to so many digits after the point.
    pub(crate) fn fraction(self, places: i32) -> Self {
        self.without_last(u32::try_from(self.scale - places).unwrap_or(0))
    }

    /// The whole part, rounded half up.
    pub(crate) fn rounded(self) -> u128 {
        let whole = self.fraction(0);
        whole.digits.saturating_mul(10_u128.saturating_pow(u32::try_from(-whole.scale).unwrap_or(0)))
    }

    /// Power of ten of the first significant digit: 2 for 345, -3 for 0.0012.
    pub(crate) fn magnitude(self) -> i32 {
        i32::try_from(decimal_length(self.digits)).unwrap_or(0) - self.scale - 1
    }

    /// Change from `before` to `self` in parts per million of `before`; 0 when `before` is 0.
    pub(crate) fn change_ppm(self, before: Self) -> i128 {
        let (now, then) = (self.significant(15), before.significant(15));
        let common = now.scale.max(then.scale);
        let align = |n: Self| {
            let zeros = u32::try_from(common - n.scale).unwrap_or(0);
            i128::try_from(n.digits.saturating_mul(10_u128.saturating_pow(zeros))).unwrap_or(0)
        };
        let (now, then) = (align(now), align(then));
        if then == 0 { 0 } else { (now - then).saturating_mul(1_000_000) / then }
    }

    /// Plain notation without exponent: `0.00012`, `345`.
    pub(crate) fn plain(self) -> String {
        self.with_sign(self.normal().plain())
    }

    /// As Go's encoding/json spells a float64, which is what CoinPaprika sends: `5.27e-7` below 1e-6, `1e+21` from there.
    pub(crate) fn as_go(self) -> String {
        let normal = self.normal();
        let exponent = normal.point - 1;
        if self.is_zero() || (-6..21).contains(&exponent) {
            return self.plain();
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        self.with_sign(format!("{}e{sign}{}", normal.mantissa(""), exponent.abs()))
    }

    /// As Ruby spells a Float, which is what CoinGecko sends: `5.0`, `1.476e-05`, `4.2e+17`.
    pub(crate) fn as_ruby_float(self) -> String {
        let normal = self.normal();
        let exponent = normal.point - 1;
        if self.is_zero() || (-4..16).contains(&exponent) {
            let plain = self.plain();
            return if plain.contains('.') { plain } else { plain + ".0" };
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        self.with_sign(format!("{}e{sign}{:02}", normal.mantissa(".0"), exponent.abs()))
    }

    fn without_last(self, count: u32) -> Self {
        if count == 0 {
            return self;
        }
        let divisor = 10_u128.checked_pow(count);
        let digits = divisor.map_or(0, |d| self.digits / d + u128::from(self.digits % d >= d / 2));
        Self { digits, scale: self.scale - i32::try_from(count).unwrap_or(0), ..self }
    }

    fn normal(self) -> Normal {
        let mut digits = self.digits.to_string();
        let point = i32::try_from(digits.len()).unwrap_or(0) - self.scale;
        let kept = digits.trim_end_matches('0').len();
        digits.truncate(kept);
        Normal { digits, point }
    }

    fn with_sign(self, text: String) -> String {
        if self.negative && !self.is_zero() { format!("-{text}") } else { text }
    }
}

impl Normal {
    fn plain(&self) -> String {
        let length = i32::try_from(self.digits.len()).unwrap_or(0);
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
        if self.digits.is_empty() {
            "0".to_owned()
        } else if self.point <= 0 {
            format!("0.{}{}", zeros(-self.point), self.digits)
        } else if self.point >= length {
            format!("{}{}", self.digits, zeros(self.point - length))
        } else {
            let (whole, fraction) = self.digits.split_at(usize::try_from(self.point).unwrap_or(0));
            format!("{whole}.{fraction}")
        }
    }

    /// One digit, the point and the rest; `bare` is written where there is no rest.
    fn mantissa(&self, bare: &str) -> String {
        let (first, rest) = self.digits.split_at(self.digits.len().min(1));
        if rest.is_empty() { format!("{first}{bare}") } else { format!("{first}.{rest}") }
    }
}

fn decimal_length(value: u128) -> u32 {
    value.checked_ilog10().map_or(1, |log| log + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_each_vendor() {
        let cases: [(Decimal, &str, &str, &str); 9] = [
            (Decimal::new(0, 3), "0", "0", "0.0"),
            (Decimal::new(5, 0), "5", "5", "5.0"),
            (Decimal::new(1_000, 5), "0.01", "0.01", "0.01"),
            (Decimal::new(1_476, 8), "0.00001476", "0.00001476", "1.476e-05"),
            (Decimal::new(52_793, 11), "0.00000052793", "5.2793e-7", "5.2793e-07"),
            (Decimal::new(384, 20), "0.00000000000000000384", "3.84e-18", "3.84e-18"),
            (Decimal::new(1, 18), "0.000000000000000001", "1e-18", "1.0e-18"),
            (Decimal::new(42, -16), "420000000000000000", "420000000000000000", "4.2e+17"),
            (Decimal::signed(-12_345, 2), "-123.45", "-123.45", "-123.45"),
        ];
        for (number, plain, go, ruby) in cases {
            assert_eq!(
                (number.plain(), number.as_go(), number.as_ruby_float()),
                (plain.into(), go.into(), ruby.into())
            );
        }
    }

    #[test]
    fn rounding_is_half_up_and_keeps_magnitude() {
        let price = Decimal::new(44_456_514_304_206, 9);
        assert_eq!(price.significant(5).plain(), "44457");
        assert_eq!(price.fraction(2).plain(), "44456.51");
        assert_eq!(price.rounded(), 44_457);
        assert_eq!(price.magnitude(), 4);
        assert_eq!(Decimal::new(12, 4).magnitude(), -3);
        assert_eq!(Decimal::new(101, 0).change_ppm(Decimal::new(100, 0)), 10_000);
        assert_eq!(Decimal::new(100, 0).shifted_by_ppm(-1_500).plain(), "99.85");
    }
}

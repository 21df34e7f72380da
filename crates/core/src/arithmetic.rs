//! Exact arithmetic on decimals, for the little that is computed from what sources say. Operands have at most
//! [`MAX_DIGITS`](crate::decimal::MAX_DIGITS) digits on either side of the point, which bounds everything here.

use num_bigint::BigInt;

use crate::Decimal;

/// Digits behind the point of a percentage.
const PERCENT_SCALE: usize = 4;

impl Decimal {
    /// Half of the sum, exactly.
    pub fn midpoint(&self, other: &Self) -> Option<Self> {
        let (a, b, scale) = aligned(self, other)?;
        let sum: BigInt = a + b;
        // An even sum needs no further digit.
        if (&sum % 2) == BigInt::ZERO { written(sum / 2, scale) } else { written(sum * 5, scale + 1) }
    }

    /// The difference, exactly.
    pub fn minus(&self, other: &Self) -> Option<Self> {
        let (a, b, scale) = aligned(self, other)?;
        written(a - b, scale)
    }

    /// How many percent of `whole` this is, rounded to four digits behind the point; `None` when `whole` is zero.
    pub fn percent_of(&self, whole: &Self) -> Option<Self> {
        let (a, b, _) = aligned(self, whole)?;
        if b == BigInt::ZERO {
            return None;
        }
        let scaled: BigInt = a * BigInt::from(100_u8) * power_of_ten(PERCENT_SCALE)?;
        let twice: BigInt = scaled * 2;
        let half = if (twice < BigInt::ZERO) == (b < BigInt::ZERO) { b.clone() } else { -b.clone() };
        written((twice + half) / (b * 2), PERCENT_SCALE)
    }
}

/// The middle of some numbers, exactly; of an even number the mean of the two in the middle. `None` when there are none.
pub fn median(mut numbers: Vec<&Decimal>) -> Option<Decimal> {
    numbers.sort_unstable();
    let upper = *numbers.get(numbers.len() / 2)?;
    if numbers.len() % 2 == 1 {
        return Some(upper.clone());
    }
    numbers.get(numbers.len() / 2 - 1).and_then(|lower| lower.midpoint(upper))
}

/// Two numbers as whole ones of the same scale.
fn aligned(a: &Decimal, b: &Decimal) -> Option<(BigInt, BigInt, usize)> {
    let scale = scale(a).max(scale(b));
    Some((whole(a, scale)?, whole(b, scale)?, scale))
}

fn scale(number: &Decimal) -> usize {
    number.as_str().split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

fn whole(number: &Decimal, to_scale: usize) -> Option<BigInt> {
    let digits = number.as_str().replace('.', "");
    let value: BigInt = digits.parse().ok()?;
    Some(value * power_of_ten(to_scale - scale(number))?)
}

fn power_of_ten(exponent: usize) -> Option<BigInt> {
    Some(BigInt::from(10_u8).pow(u32::try_from(exponent).ok()?))
}

fn written(value: BigInt, scale: usize) -> Option<Decimal> {
    Decimal::parse(&format!("{value}e-{scale}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn the_middle_is_exact_whatever_the_size() {
        for (a, b, middle) in [
            ("1", "2", "1.5"),
            ("1.10", "1.30", "1.20"),
            ("3.84e-18", "3.85e-18", "0.000000000000000003845"),
            (
                "1175613768269129055911262697748936469694174461952.1",
                "0",
                "587806884134564527955631348874468234847087230976.05",
            ),
            ("-1", "1", "0"),
        ] {
            assert_eq!(
                number(a).midpoint(&number(b)).unwrap().to_string(),
                number(middle).to_string(),
                "{a} {b}"
            );
        }
        let (a, b, c) = (number("3"), number("1.000000000000000000001"), number("2"));
        assert_eq!(median(vec![&a, &b, &c]), Some(c.clone()));
        assert_eq!(median(vec![&a, &b]).unwrap().as_str(), "2.0000000000000000000005");
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn percentages_are_rounded_half_away_from_zero() {
        for (part, whole, percent) in [
            ("1", "3", "33.3333"),
            ("2", "3", "66.6667"),
            ("-2", "3", "-66.6667"),
            ("0.0000005", "1", "0.0001"),
            ("5", "0.5", "1000.0000"),
        ] {
            assert_eq!(number(part).percent_of(&number(whole)).unwrap().as_str(), percent, "{part} {whole}");
        }
        assert_eq!(number("1").percent_of(&number("0")), None);
        assert_eq!(number("1.5").minus(&number("0.50")).unwrap().as_str(), "1.00");
    }

    proptest::proptest! {
        #[test]
        fn the_middle_is_as_far_from_both(a in "[0-9]{1,30}(\\.[0-9]{1,30})?", b in "[0-9]{1,30}(\\.[0-9]{1,30})?") {
            let (a, b) = (number(&a), number(&b));
            let middle = a.midpoint(&b).unwrap();
            proptest::prop_assert_eq!(middle.minus(&a), b.minus(&middle));
        }
    }
}

//! Statistics that a few wild values cannot move. They judge; what is shown as an amount is never computed here.

/// How many mean absolute deviations a standard deviation of a normal distribution is.
const DEVIATIONS_PER_MAD: f64 = 1.482_602_218_505_602;

/// The same for the mean of the absolute deviations, which stands in when more than half of the values are equal.
const DEVIATIONS_PER_MEAN: f64 = 1.253_314_137_315_500_3;

/// What is usual: the middle of some values, and how far they usually are from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habit {
    /// The median.
    pub middle: f64,
    /// The usual distance from it, as a standard deviation of a normal distribution; 0 when all values are equal.
    pub spread: f64,
}

impl Habit {
    /// The habit that some values show; `None` when there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let middle = median(values.to_vec())?;
        let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let mad = median(distances)?;
        let spread = if mad > 0.0 { mad * DEVIATIONS_PER_MAD } else { mean * DEVIATIONS_PER_MEAN };
        Some(Self { middle, spread })
    }

    /// How many usual distances a value is from the middle, after Iglewicz and Hoaglin; `None` when there is no
    /// usual distance.
    pub fn score(&self, value: f64) -> Option<f64> {
        (self.spread > 0.0).then(|| (value - self.middle) / self.spread)
    }
}

/// The middle of some values, of an even number the mean of the two; `None` when there are none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wild_value_moves_nothing() {
        let calm = Habit::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let wild = Habit::of(&[1.0, 2.0, 3.0, 4.0, 1e9]).unwrap();
        assert_eq!((calm.middle, calm.spread), (3.0, DEVIATIONS_PER_MAD));
        assert_eq!(calm, wild);
        assert!((calm.score(3.0 + 5.0 * DEVIATIONS_PER_MAD).unwrap() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn values_that_are_nearly_all_equal_have_a_spread_and_equal_ones_have_none() {
        let habit = Habit::of(&[0.0, 0.0, 0.0, 0.5]).unwrap();
        assert!(habit.spread > 0.0 && habit.score(1.0).unwrap() > 5.0);
        let still = Habit::of(&[1.0; 9]).unwrap();
        assert_eq!((still.spread, still.score(2.0)), (0.0, None));
        assert_eq!(Habit::of(&[]), None);
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}

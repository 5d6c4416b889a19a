//! Times, and what is said of them.

use std::time::Duration;

/// Times of one thing, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest.
    pub fn least(&self) -> Option<f64> {
        self.0.iter().copied().reduce(f64::min)
    }

    /// The one that 90 of 100 are not below.
    pub fn p10(&self) -> Option<f64> {
        self.part(10)
    }

    /// The middle one.
    pub fn median(&self) -> Option<f64> {
        self.part(50)
    }

    /// The one that 99 of 100 are not above.
    pub fn p99(&self) -> Option<f64> {
        self.part(99)
    }

    fn part(&self, of_100: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len().checked_sub(1)? * of_100 / 100).copied()
    }
}

impl Extend<Duration> for Samples {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, times: T) {
        times.into_iter().for_each(|time| self.push(time));
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(micros: T) -> Samples {
        Samples(micros.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_their_rank() {
        let samples: Samples = (1..=200).rev().map(f64::from).collect();

        assert_eq!((samples.least(), samples.p10(), samples.median()), (Some(1.0), Some(20.0), Some(100.0)));
        assert_eq!((samples.p99(), samples.count()), (Some(198.0), 200));
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Samples::default().median(), None);
    }
}

//! Times, in a fixed number of buckets: what is measured for long must not grow by measuring.

use std::time::Duration;

/// Buckets for each doubling: each is some 3 % wide.
const FINE: usize = 32;
const BUCKETS: usize = FINE * 40;

/// How many times fell into each bucket.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], count: 0 }
    }
}

impl Histogram {
    /// One more.
    pub fn push(&mut self, time: Duration) {
        let nanos = time.as_nanos().max(1) as f64;
        let at = (nanos.log2() * FINE as f64) as usize;
        self.buckets[at.min(BUCKETS - 1)] += 1;
        self.count += 1;
    }

    /// Those of another one, too.
    pub fn add(&mut self, other: &Histogram) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(to, from)| *to += from);
        self.count += other.count;
    }

    /// The time in microseconds that so many of a hundred are not above: the middle of its bucket. 0 where there is none.
    pub fn part(&self, of_100: u64) -> f64 {
        let rank = self.count * of_100 / 100;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen > rank {
                return ((at as f64 + 0.5) / FINE as f64).exp2() / 1000.0;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_within_the_width_of_a_bucket() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|micros| histogram.push(Duration::from_micros(micros)));

        assert!((histogram.part(50) / 500.0 - 1.0).abs() < 0.03, "{}", histogram.part(50));
        assert!((histogram.part(99) / 990.0 - 1.0).abs() < 0.03, "{}", histogram.part(99));
        assert_eq!((histogram.count, Histogram::default().part(50)), (1000, 0.0));
    }
}

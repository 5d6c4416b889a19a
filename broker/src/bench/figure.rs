//! What is measured, by its names, and what comes of it.

use super::samples::Samples;
use serde::Serialize;

macro_rules! names {
    ($($variant:ident = $name:literal, $doc:literal;)*) => {
        /// The figures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[non_exhaustive]
        pub enum Name { $(#[doc = $doc] #[serde(rename = $name)] $variant,)* }

        impl Name {
            /// Each of them, in the order in which they are shown.
            pub const ALL: &'static [Name] = &[$(Name::$variant,)*];

            /// Its name, as in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Name::$variant => $name,)* }
            }

            /// What it is, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Name::$variant => $doc,)* }
            }
        }
    };
}

names! {
    HotCall = "hot_call", "A call, 64 bytes in and out, of an export of a core module that is called again and again.";
    FreshCall = "fresh_call", "The same with a fresh instance for each call.";
    SleepingCall = "sleeping_call", "The same of a worker that has been left alone and sleeps.";
    Echo1Mib = "echo_1mib", "A call with 1 MiB in and out, `list<u8>`, of a component whose worker is awake.";
    ComponentCall = "component_call", "A call of a component, string to string, 64 bytes.";
    FirstResult = "first_result", "The first result of an installed plugin: native code in the cache, no worker running.";
    FirstResultFromCell = "first_result_from_cell", "The same where a prepared worker without a plugin is waiting.";
    LivesPerSecond = "lives_per_second", "Workers started, called once and gone, by as many threads as there are CPUs.";
    PrivateKib = "private_kib", "Private memory of an idle worker with a small plugin.";
    GuestSpeed = "guest_speed", "Time that guest code takes (fib, sieve, SHA-256), against the same with every layer off and no interruption.";
}

impl Name {
    /// The figure of that name.
    pub fn from_name(name: &str) -> Option<Name> {
        Name::ALL.iter().copied().find(|n| n.name() == name)
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Figure {
    /// Which.
    pub name: Name,
    /// The middle of all samples, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_us: Option<f64>,
    /// What is no time, in `unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// "1/s", "KiB", "ratio".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// What 99 of 100 samples are not above, in microseconds.
    pub p99_us: Option<f64>,
    /// Samples.
    pub samples: usize,
    /// The raw floor, measured in between: its median in microseconds.
    pub limit_us: Option<f64>,
    /// The floor of what is no time, in `unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_value: Option<f64>,
    /// What the floor is, in words.
    pub limit: String,
    /// Figure to floor; for a rate, floor to figure. 1 is as good as can be.
    pub ratio: Option<f64>,
    /// CPU time that a call burns, in the broker and in the worker together, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
}

impl Figure {
    /// Times above a floor of times.
    pub fn times(name: Name, samples: &Samples, floor: &Samples, limit: &str) -> Figure {
        let (median, floor) = (samples.median(), floor.median());
        Figure {
            name,
            median_us: median,
            value: None,
            unit: None,
            p99_us: samples.p99(),
            samples: samples.count(),
            limit_us: floor,
            limit_value: None,
            limit: limit.to_owned(),
            ratio: median.zip(floor).map(|(median, floor)| median / floor),
            cpu_us: None,
        }
    }

    /// Something that is no time.
    pub fn value(name: Name, value: f64, unit: &'static str, samples: usize, limit: &str) -> Figure {
        Figure {
            value: Some(value),
            unit: Some(unit),
            samples,
            ..Figure::times(name, &Samples::default(), &Samples::default(), limit)
        }
    }
}

/// A figure that this build, or this host, cannot give.
#[derive(Clone, Debug, Serialize)]
pub struct NotMeasured {
    /// Which.
    pub name: Name,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_names_that_others_rely_on() {
        let samples: Samples = [1.0, 2.0, 3.0].into_iter().collect();
        let floor: Samples = [1.0].into_iter().collect();

        let figure = serde_json::to_value(Figure::times(Name::HotCall, &samples, &floor, "spinning")).unwrap();

        assert_eq!(
            figure,
            serde_json::json!({
                "name": "hot_call", "median_us": 2.0, "p99_us": 2.0, "samples": 3, "limit_us": 1.0,
                "limit": "spinning", "ratio": 2.0,
            })
        );
    }

    #[test]
    fn every_name_leads_back_to_its_figure() {
        let back: Vec<_> = Name::ALL.iter().filter_map(|name| Name::from_name(name.name())).collect();

        assert_eq!(back, Name::ALL);
    }
}

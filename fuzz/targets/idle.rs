//! The account of what a worker uses while nobody calls it: none is accused that has used no more than it may, and none gets away
//! with more than twice that.
#![no_main]

use arbitrary::Arbitrary;
use bulkhead::fuzzing::Idle;
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};

#[derive(Debug, Arbitrary)]
struct Input {
    budget: u16,
    spin: u8,
    calls: Vec<Call>,
}

/// A gap and the call after it, in microseconds; of both, the part in 255 that the worker's processor worked.
#[derive(Debug, Arbitrary)]
struct Call {
    gap: u16,
    idle: u8,
    time: u16,
    worked: u8,
    slept: bool,
}

fn part(whole: Duration, of: u8) -> Duration {
    whole * u32::from(of) / 255
}

fuzz_target!(|input: Input| {
    let budget = Duration::from_micros(input.budget.into());
    let spin = Duration::from_micros(input.spin.into());
    // As the module has it: looking for a call, and going to sleep.
    let each = if spin.is_zero() { Duration::ZERO } else { spin + Duration::from_micros(100) };
    let (mut now, mut cpu) = (Instant::now(), Duration::from_millis(3));
    let mut account = Idle::new(now, cpu, spin);
    // Since it was read last: what was used idly, what of it is excused, and the last call.
    let (mut idly, mut excused, mut last) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for call in input.calls {
        let gap = Duration::from_micros(call.gap.into());
        let used = part(gap, call.idle);
        (now, cpu, idly, excused) = (now + gap, cpu + used, idly + used, excused + gap.min(each));
        match account.begin(now, budget, cpu) {
            Err(said) => {
                assert!(idly > budget && said <= idly, "{idly:?} were used idly, {said:?} are said, of {budget:?}");
                return;
            }
            Ok(true) => {
                let most = budget + excused + budget + last;
                assert!(idly <= most, "{idly:?} were used idly and not found; at most {most:?}");
                (idly, excused) = (Duration::ZERO, Duration::ZERO);
            }
            Ok(false) => {}
        }
        let (began, time) = (now, Duration::from_micros(call.time.into()));
        // What is not slept for is looked for no longer than this.
        let time = if call.slept { time } else { time.min(spin) };
        (now, cpu) = (now + time, cpu + part(time, call.worked));
        last = time;
        account.end(began, now, call.slept.then_some(cpu));
        if call.slept {
            (idly, excused) = (Duration::ZERO, Duration::ZERO);
        }
    }
});

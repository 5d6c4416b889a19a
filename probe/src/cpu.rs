//! CPU time.

use std::time::{Duration, Instant};

/// Does nothing, busily.
pub fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

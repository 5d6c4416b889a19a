//! The program `bulkhead-worker`: locks itself down, then runs one plugin.

fn main() {
    bulkhead_lockdown::version::answer(env!("CARGO_BIN_NAME"));
    bulkhead_worker::live(bulkhead_worker::unfiltered)
}

//! Lets the test program answer the hidden argument of the `bulkhead` command. A probe needs a process with one thread, and the
//! test harness has started another by the time a test runs; so this stands before the harness.

// SAFETY: the C library calls the functions in this section before `main`, on the only thread, with the program's arguments;
// this one has the type that it expects.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = answer;

extern "C" fn answer() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(super::PROBE) {
        print!("{}", super::run_probe(&arguments.next().unwrap_or_default()));
        std::process::exit(0);
    }
}

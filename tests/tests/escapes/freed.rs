//! An object of the host's that is used after it was freed.

use crate::{
    hijacked::{Hijacked, everything_in_a_plain_program, nothing_in_a_worker},
    lab::{Lab, root},
    record::Escape,
};
use bulkhead::{Outcome, Value};

#[test]
fn whoever_writes_to_a_freed_object_has_the_process_and_nothing_of_the_host() {
    if !root("whoever_writes_to_a_freed_object_has_the_process_and_nothing_of_the_host") {
        return;
    }
    let mut lab = Lab::faulty();
    let without = everything_in_a_plain_program(&lab, "escape-freed");
    let mut hijacked = Hijacked::new(&lab, "escape-freed");

    // An object of the host's is where the guest still writes.
    let overlap = hijacked.call("overlap");
    let Outcome::Returned(values) = &overlap else { panic!("{overlap:?}") };
    assert!(matches!(values.0.as_slice(), [Value::S32(1..=100)]), "{overlap:?}");
    let nothing = nothing_in_a_worker(&mut lab, &mut hijacked);

    Escape {
        number: 3,
        fault: "use after free: the host keeps a pointer to an object of the guest's that it has freed; the next object there has a pointer to a function, which the guest writes over",
        model: "CVE-2021-39216, CVE-2022-24791",
        without,
        with: format!("a function of the worker's is called that nobody called. {}", nothing.with),
        stopped_by: nothing.stopped_by,
        recorded: nothing.recorded,
    }
    .record();
}

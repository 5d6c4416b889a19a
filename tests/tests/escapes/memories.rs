//! Memory that was somebody's, and is given to the next.

use crate::{
    lab::{Lab, returned, standard},
    plain::{Plain, Said},
    record::Escape,
};
use bulkhead::{Plugin, Value, policy::Instance};

const SECRET: i64 = 0x5ec2e7;

fn put(plugin: &mut Plugin) {
    plugin.call("put", &[Value::S32(64), Value::S64(SECRET)]);
}

fn get(plugin: &mut Plugin) -> bulkhead::Outcome {
    plugin.call("get", &[Value::S32(64)])
}

#[test]
fn what_one_plugin_leaves_behind_no_other_finds() {
    let mut fresh = standard();
    fresh.invocation.instance = Instance::Fresh;
    let mut lab = Lab::faulty();
    let code = lab.code("escape-dirty", standard());
    let mut plain = Plain::start(lab.scratch.path(), "kill", &[code.clone(), code]);
    let (mut one, mut other) = (lab.load("escape-dirty", standard(), None), lab.load("escape-dirty", standard(), None));
    let mut same = lab.load("escape-dirty", fresh.clone(), None);
    let mut sound = Lab::sound().load("escape-dirty", fresh, None);

    plain.call(&format!("0 put 64 {SECRET}"));
    plain.call("drop 0");
    plain.call("new 1");
    let leaked = plain.call("1 get 64");
    put(&mut one);
    drop(one);
    let of_other = get(&mut other);
    put(&mut same);
    let of_same = get(&mut same);
    put(&mut sound);

    assert_eq!(leaked, Said::Returned(vec![SECRET]));
    assert_eq!(of_other, returned(Value::S64(0)));
    // Between calls of one plugin there is nothing but the runtime, whatever `invocation.instance` says.
    assert_eq!(of_same, returned(Value::S64(SECRET)));
    assert_eq!(get(&mut sound), returned(Value::S64(0)));
    lab.assert_neighbour_goes_on(1);
    Escape {
        number: 6,
        fault: "left over: a memory is not cleared before the next instance has it",
        model: "GHSA-6wgr-89rj-399p, CVE-2022-39393",
        without: "what one guest wrote, another one reads".to_owned(),
        with: "another plugin reads zeros. Not stopped: the next call of the same plugin reads it, also with `invocation.instance = \"fresh\"`, which is the runtime's word".to_owned(),
        stopped_by: "a process for each plugin".to_owned(),
        recorded: "nothing, it is memory of the worker's own".to_owned(),
    }
    .record();
}

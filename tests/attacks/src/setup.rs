//! What a worker does in place of locking itself down. By what is agreed no hostile byte is in it then: the broker looks at it from
//! outside all the same.

use crate::ring_unsafe::{LAST, Ring};
use bulkhead_attacks::chosen_at_setup;
use bulkhead_lockdown::sys_unsafe;
use bulkhead_shared::{
    codec,
    layer::{Achieved, Layer, When},
    message::{
        setup::{Assignment, BELL_FD, CONTROL_FD, FromSetup, MAX_PACKET, Prepare},
        worker::FromWorker,
    },
    packet,
};
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// At the first instruction: says that it is locked down. Its assignment stays where it is.
pub fn at_once() {
    if !sys_unsafe::is_open(CONTROL_FD) {
        return;
    }
    let mut bytes = vec![0; MAX_PACKET];
    let length = recv(CONTROL_FD, &mut bytes, MsgFlags::MSG_PEEK).unwrap_or(0);
    let assignment = codec::decode::<Assignment>(bytes.get(..length).unwrap_or_default());
    let prepare = assignment.ok().and_then(|assignment| assignment.prepare);
    if chosen(prepare.as_ref()) == Some("setup_without_lockdown") {
        let control = control();
        report(&control);
        stay();
    }
}

/// In front of the main filter, with all that comes before it in place.
pub fn before_the_filter(what: &Prepare) {
    let Some(name) = chosen(Some(what)) else { return };
    let control = control();
    let send = |bytes: &[u8], descriptors: &[BorrowedFd<'_>]| drop(packet::send(control.as_fd(), bytes, descriptors));
    match name {
        "setup_without_filter" => report(&control),
        "setup_garbage" => send(&[0xff; 64], &[]),
        "setup_long_packet" => send(&vec![0; MAX_PACKET + 1], &[]),
        "setup_descriptors" => send(&codec::encode(&FromSetup::Listener).unwrap_or_default(), &[control.as_fd(); 200]),
        "setup_false_listener" => {
            let bell = sys_unsafe::adopt(BELL_FD);
            let bell = bell.unwrap_or_else(|e| panic!("the bell: {e}"));
            send(&codec::encode(&FromSetup::Listener).unwrap_or_default(), &[bell.as_fd()]);
            report(&control);
        }
        "setup_exit" => std::process::exit(7),
        "setup_silence" => {}
        // It goes on as if nothing were.
        "setup_ready" => {
            let ready = codec::encode(&FromWorker::Ready).unwrap_or_default();
            Ring::find().send(ready.len() as u32, LAST, &ready);
            std::mem::forget(control);
            return;
        }
        other => panic!("there is no attack {other}"),
    }
    stay()
}

fn chosen(what: Option<&Prepare>) -> Option<&'static str> {
    chosen_at_setup(what?.engine.stack)
}

/// The control socket, which somebody else may have, too: this process does not go on.
fn control() -> OwnedFd {
    sys_unsafe::adopt(CONTROL_FD).unwrap_or_else(|e| panic!("the control socket: {e}"))
}

/// Says that every layer holds.
fn report(control: &OwnedFd) {
    let holds = || Achieved::Enforced { evidence: "on my word".to_owned(), when: When::ThisWorker };
    let layers = Layer::ALL.iter().map(|layer| (*layer, holds())).collect();
    let report = FromSetup::Locked { layers, attempts: Vec::new(), steps: vec![("all of it".to_owned(), u64::MAX)] };
    let _ = packet::send(control.as_fd(), &codec::encode(&report).unwrap_or_default(), &[]);
}

fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

//! `bulkhead-attacker`: a worker that was taken over.
//!
//! It is started and locked down as every worker is, by the same code, and is told to load a plugin. It loads none: each
//! call by name is an attack, made with plain system calls, or with what a worker shares with its broker.
//!
//! An attack whose result counts answers with it ([`args::value`]); one whose consequences count does not answer, and waits
//! for them.

mod args;
mod calls_unsafe;
mod cell;
mod cpu;
mod deaths_unsafe;
mod files;
mod idle;
mod ipc_unsafe;
mod load;
mod mapped_unsafe;
mod memory;
mod messages;
mod network;
mod processes;
mod ring_unsafe;
mod rings;
mod worker;

use args::{Args, Came};
use bulkhead_attacks::{WHO, chosen_at_load};
use bulkhead_lockdown::Locked;
use bulkhead_shared::{
    message::{
        setup::{Load, Role},
        worker::{Call, FromWorker, GuestEnd, LoadFailure, ToWorker},
    },
    outcome::Refusal,
    value::Values,
};
use ring_unsafe::Ring;
use worker::Worker;

/// An attack.
enum Attack {
    /// On the host: it works, or it is refused.
    Host(fn(&Args) -> Came),
    /// On the broker: it has no result.
    Broker(fn(&mut Worker)),
}

use Attack::{Broker, Host};

const ATTACKS: &[(&str, Attack)] = &[
    ("read_a_file", Host(files::read_a_file)),
    ("make_a_file", Host(files::make_a_file)),
    ("grow_a_file", Host(files::grow_a_file)),
    ("open_many", Host(files::open_many)),
    ("read_from_disk", Host(files::read_from_disk)),
    ("write_to_disk", Host(files::write_to_disk)),
    ("escape_by_descriptor", Host(files::escape_by_descriptor)),
    ("find_own_cgroup", Host(files::find_own_cgroup)),
    ("join_cgroup", Host(files::join_cgroup)),
    ("connect_tcp", Host(network::connect_tcp)),
    ("bind_tcp", Host(network::bind_tcp)),
    ("connect_abstract", Host(network::connect_abstract)),
    ("listen_abstract", Host(network::listen_abstract)),
    ("raise_loopback", Host(network::raise_loopback)),
    ("own_pid", Host(processes::own_pid)),
    ("see", Host(processes::see)),
    ("kill", Host(processes::kill)),
    ("fork", Host(processes::fork)),
    ("read_host_name", Host(processes::read_host_name)),
    ("read_boot_time", Host(processes::read_boot_time)),
    ("set_host_name", Host(processes::set_host_name)),
    ("become_root", Host(processes::become_root)),
    ("read_segment", Host(ipc_unsafe::read_segment)),
    ("read_key", Host(ipc_unsafe::read_key)),
    ("touch", Host(memory::touch)),
    ("lock_memory", Host(memory::lock_memory)),
    ("run_written_code", Host(memory::run_written_code)),
    ("map_written_code", Host(memory::map_written_code)),
    ("speculation", Host(memory::speculation)),
    ("core_cookie", Host(memory::core_cookie)),
    ("speculate_again", Host(memory::speculate_again)),
    ("spin", Host(cpu::spin)),
    ("call", Host(calls_unsafe::call)),
    ("make_io_uring", Host(calls_unsafe::make_io_uring)),
    ("call_as_i386", Host(calls_unsafe::call_as_i386)),
    ("call_as_x32", Host(calls_unsafe::call_as_x32)),
    ("unblock_the_bell", Host(calls_unsafe::unblock_the_bell)),
    ("exit", Host(deaths_unsafe::exit)),
    ("abort", Host(deaths_unsafe::abort)),
    ("touch_nothing", Host(deaths_unsafe::touch_nothing)),
    ("run_nonsense", Host(deaths_unsafe::run_nonsense)),
    ("run_breakpoint", Host(deaths_unsafe::run_breakpoint)),
    ("huge_frame", Broker(rings::huge_frame)),
    ("unknown_flags", Broker(rings::unknown_flags)),
    ("truncated_frame", Broker(rings::truncated_frame)),
    ("misaligned_cursor", Broker(rings::misaligned_cursor)),
    ("cursor_too_far", Broker(rings::cursor_too_far)),
    ("cursor_back", Broker(rings::cursor_back)),
    ("misaligned_acknowledgement", Broker(rings::misaligned_acknowledgement)),
    ("acknowledgement_too_far", Broker(rings::acknowledgement_too_far)),
    ("acknowledgement_back", Broker(rings::acknowledgement_back)),
    ("garbage", Broker(rings::garbage)),
    ("empty_message", Broker(rings::empty_message)),
    ("endless_message", Broker(rings::endless_message)),
    ("endless_run", Broker(rings::endless_run)),
    ("short_run", Broker(rings::short_run)),
    ("late_head", Broker(rings::late_head)),
    ("empty_fragment", Broker(rings::empty_fragment)),
    ("short_fragment", Broker(rings::short_fragment)),
    ("half_message_then_exit", Broker(rings::half_message_then_exit)),
    ("bell_storm", Broker(rings::bell_storm)),
    ("wrong_id", Broker(messages::wrong_id)),
    ("ready_again", Broker(messages::ready_again)),
    ("load_failed_late", Broker(messages::load_failed_late)),
    ("panicked", Broker(messages::panicked)),
    ("claim_kernel_memory", Broker(messages::claim_kernel_memory)),
    ("claim_interrupt", Broker(messages::claim_interrupt)),
    ("claim_fuel", Broker(messages::claim_fuel)),
    ("deep_value", Broker(messages::deep_value)),
    ("many_values", Broker(messages::many_values)),
    ("output_flood", Broker(messages::output_flood)),
    ("output_then_call", Broker(messages::output_then_call)),
    ("output_then_exit", Broker(messages::output_then_exit)),
    ("silence", Broker(messages::silence)),
    ("ask_once", Broker(messages::ask_once)),
    ("ask_flood", Broker(messages::ask_flood)),
    ("ask_elsewhere", Broker(messages::ask_elsewhere)),
    ("ask_at_length", Broker(messages::ask_at_length)),
    ("claim_use", Broker(messages::claim_use)),
    ("answer_then_spin", Broker(idle::spin)),
    ("answer_then_call", Broker(idle::call)),
    ("answer_then_exit", Broker(idle::exit)),
    ("answer_then_answer", Broker(idle::answer)),
    ("answer_early", Broker(idle::answer_early)),
    ("answer_untaken", Broker(idle::answer_untaken)),
    ("answer_then_output", Broker(idle::output)),
    ("answer_then_flood", Broker(idle::flood)),
    ("answer_then_unknown_wait", Broker(idle::unknown_wait)),
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some(WHO) {
        std::process::exit(processes::say_who());
    }
    files::leave_open();
    let roles = [Role::Worker, Role::Sacrifice];
    let (Locked { load, link, closing, .. }, _) =
        bulkhead_lockdown::enter_and_prepare(&roles, |_| (), |what, ()| cell::attack(what));
    let mut worker = Worker { link, ring: Ring::find(), id: 0 };
    let Load::Plugin(plugin) = load else { std::process::exit(1) };
    // As in a real worker: a file that grows beyond its limit is an error, and not a death.
    if bulkhead_probe::calls_unsafe::survive_file_size_limit().is_err() {
        std::process::exit(1);
    }
    match chosen_at_load(plugin.limits.table_elements) {
        Some(name) => load::attack(name, &mut worker, closing),
        None => match closing.apply() {
            Ok(()) => worker.say(&FromWorker::Ready),
            Err(cause) => worker.say(&FromWorker::LoadFailed(LoadFailure::Closing(cause))),
        },
    }
    serve(&mut worker);
}

/// Attacks when it is called, for as long as anybody calls.
fn serve(worker: &mut Worker) -> ! {
    let mut bound = Vec::new();
    loop {
        let (name, args) = match worker.link.receive() {
            Ok(ToWorker::Bind { name, .. }) => {
                bound.push(name);
                continue;
            }
            Ok(ToWorker::Call { id, export, args }) => {
                worker.id = id;
                (bound.get(export as usize).cloned().unwrap_or_default(), args)
            }
            Ok(ToWorker::Invoke { id, call }) => {
                worker.id = id;
                match call {
                    Call::Export { name, args, .. } => (name, args),
                    // As a command it has output that somebody reads: the attack is its first argument.
                    Call::Command { mut args, .. } => (args.pop().unwrap_or_default(), Values(Vec::new())),
                }
            }
            Ok(_) => continue,
            Err(_) => std::process::exit(1),
        };
        match ATTACKS.iter().find(|(known, _)| *known == name) {
            Some((_, Host(attack))) => worker.answer(attack(&Args(args.0))),
            Some((_, Broker(attack))) => attack(worker),
            None => {
                let message = format!("there is no attack {name}");
                worker.done(GuestEnd::Refused(Refusal { message }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_attacks::{AT_LOAD, IN_CELL, NAMES, at_load, chosen_in_cell, in_cell};

    #[test]
    fn every_name_has_its_attack() {
        let attacks: Vec<_> = ATTACKS.iter().map(|(name, _)| *name).collect();
        assert_eq!(attacks, NAMES);
    }

    #[test]
    fn attacks_of_cells_are_chosen_by_a_number() {
        for name in IN_CELL {
            assert_eq!(chosen_in_cell(in_cell(name)), Some(*name));
        }
        assert_eq!(chosen_in_cell(1 << 20), None);
    }

    #[test]
    fn attacks_while_loading_are_chosen_by_a_number() {
        for name in AT_LOAD {
            assert_eq!(chosen_at_load(at_load(name)), Some(*name));
        }
        assert_eq!(chosen_at_load(100_000), None);
        assert_eq!(chosen_at_load(u64::MAX), None);
    }
}

//! A process with a broker that does everything a broker does, again and again: `host PROGRAMS FOLDER FIRST`
//!
//! It writes a letter when it begins something ([`Moment`]), `!` when a call had to be made again, and `.` at the end of a life. Then it
//! waits for a byte: another life, or the end.

use crate::{Failure, life::Life, moment::Moment, traces::Place};
use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
};

/// What is said to the lane.
pub fn say(letter: u8) {
    let _ = std::io::stdout().write_all(&[letter]).and_then(|()| std::io::stdout().flush());
}

/// Says what is begun.
pub fn at(moment: Moment) {
    say(moment.letter());
}

/// What this process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn look() -> Held {
        let count = |folder: &str| fs::read_dir(folder).map_or(0, Iterator::count);
        Held { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task") }
    }

    /// Once threads that were joined are out of the list.
    fn settled() -> Held {
        for _ in 0..200 {
            if Held::look().threads == 1 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Held::look()
    }
}

pub fn main(args: &[String]) -> Result<(), Failure> {
    let [programs, folder, first] = args else { return Err("host PROGRAMS FOLDER FIRST".into()) };
    let place = Place::make(&PathBuf::from(folder))?;
    let mut life = Life { programs: programs.into(), place, number: first.parse()?, before: None };
    let mut held: Option<Held> = None;
    loop {
        life.live()?;
        // The first life makes what stays: buffers of threads, the pool of the allocator.
        let now = Held::settled();
        let before = *held.get_or_insert(now);
        if now != before {
            return Err(format!("it holds {now:?} after a life, and had {before:?} after its first").into());
        }
        say(b'.');
        if std::io::stdin().read(&mut [0])? == 0 {
            return Ok(());
        }
    }
}

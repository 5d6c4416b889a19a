//! A command that does what its first argument says, one part of WASI each: for tests, built for preview 1 and 2.

mod poll_unsafe;

use std::{
    collections::hash_map::RandomState,
    env, fs,
    hash::{BuildHasher, Hasher},
    io::{self, Read, Write},
    net::{TcpStream, UdpSocket},
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime},
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let rest: Vec<&str> = args.iter().skip(2).map(String::as_str).collect();
    match run(args.get(1).map_or("", String::as_str), &rest) {
        Ok(code) => code,
        Err(error) => {
            // Only the kind: its number and words differ between previews.
            eprintln!("command: {:?}", error.kind());
            ExitCode::from(1)
        }
    }
}

fn run(what: &str, args: &[&str]) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match (what, args) {
        ("args", args) => args.iter().try_for_each(|arg| writeln!(out, "{arg}"))?,
        ("env", _) => {
            let mut vars: Vec<_> = env::vars().collect();
            vars.sort();
            vars.iter().try_for_each(|(key, value)| writeln!(out, "{key}={value}"))?;
        }
        ("copy", _) => {
            io::copy(&mut io::stdin().lock(), &mut out)?;
        }
        ("count", _) => {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text)?;
            writeln!(out, "{} bytes, {} lines", text.len(), text.iter().filter(|b| **b == b'\n').count())?;
        }
        ("stderr", args) => args.iter().for_each(|arg| eprintln!("{arg}")),
        ("read", paths) => {
            for path in paths {
                out.write_all(&fs::read(path)?)?;
            }
        }
        ("write", [path, text]) => fs::write(path, text)?,
        ("append", [path, text]) => fs::OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())?,
        ("remove", [path]) => fs::remove_file(path)?,
        ("rename", [from, to]) => fs::rename(from, to)?,
        ("mkdir", [path]) => fs::create_dir(path)?,
        ("list", [path]) => list(Path::new(path), &mut out)?,
        ("exit", [code]) => return Ok(ExitCode::from(code.parse::<u8>().unwrap_or(1))),
        ("panic", _) => panic!("asked to"),
        ("connect", [to]) => drop(TcpStream::connect(to)?),
        ("bind", [to]) => drop(UdpSocket::bind(to)?),
        ("sleep", [ms]) => {
            let ms = ms.parse().unwrap_or(0);
            let start = Instant::now();
            thread::sleep(Duration::from_millis(ms));
            writeln!(out, "{}", start.elapsed() >= Duration::from_millis(ms))?;
        }
        ("clock", _) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
            writeln!(out, "{now}")?;
        }
        // How long everything took, in nanoseconds, as the two clocks have it.
        ("times", _) => {
            let (wall, start) = (SystemTime::now(), Instant::now());
            writeln!(out, "{}", wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos()))?;
            for time in [Duration::from_nanos(500), Duration::from_millis(7), Duration::from_secs(3600)] {
                thread::sleep(time);
                writeln!(out, "{}", start.elapsed().as_nanos())?;
            }
            writeln!(out, "{}", wall.elapsed().map_or(0, |d| d.as_nanos()))?;
        }
        ("naps", _) => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        // Waits for input, for so long at most.
        ("wait", [ms]) => {
            let start = Instant::now();
            let came = poll_unsafe::input_within(ms.parse().unwrap_or(0));
            writeln!(out, "{} {}", if came { "input" } else { "time" }, start.elapsed().as_millis())?;
        }
        // The seeds of two hash tables.
        ("random", _) => {
            for state in [RandomState::new(), RandomState::new()] {
                writeln!(out, "{:016x}", state.build_hasher().finish())?;
            }
        }
        ("allocate", [mebibytes]) => {
            let bytes = mebibytes.parse::<usize>().unwrap_or(0) << 20;
            let filled = vec![1u8; bytes];
            writeln!(out, "{}", filled.iter().map(|b| usize::from(*b)).sum::<usize>())?;
        }
        _ => {
            eprintln!("command: unknown: {what} {args:?}");
            return Ok(ExitCode::from(2));
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The tree below a directory, sorted, with sizes.
fn list(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        if entry.file_type()?.is_dir() {
            writeln!(out, "{}/", entry.path().display())?;
            list(&entry.path(), out)?;
        } else {
            writeln!(out, "{} {}", entry.path().display(), entry.metadata()?.len())?;
        }
    }
    Ok(())
}

//! Workers beyond those that one process has descriptors for: other brokers, in processes of their own.
//!
//! Each is the running program again, with the hidden argument [`super::CROWD`]. It reads places and policy, then how many workers there are to
//! be, says that they are there, or why not, and keeps them until its input ends. Both sides speak in lines.

use super::{
    Error, Places,
    growth::{PATIENCE, available_kib},
    guests,
};
use crate::{Broker, policy::Policy};
use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

/// Memory that is left to the host, in KiB: its own programs would be the next to go.
pub(super) const LEFT_KIB: u64 = 1 << 20;

/// Other brokers. Dropping it ends them and their workers.
pub(super) struct Crowd(Vec<Member>);

struct Member {
    child: Child,
    /// Until it is to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts so many workers, no more than `most` in each process.
    pub fn start(workers: usize, most: usize, policy: &Policy, places: &Places) -> Result<Crowd, Error> {
        let brokers = workers.div_ceil(most.max(1));
        let mut crowd = Crowd(Vec::new());
        for _ in 0..brokers {
            crowd.0.push(Member::start().map_err(|e| cannot(&e))?);
        }
        let order = serde_json::to_string(&(places, policy)).map_err(|e| cannot(&e))?;
        // All of them at the same time.
        for (index, member) in crowd.0.iter_mut().enumerate() {
            let wanted = workers / brokers + usize::from(index < workers % brokers);
            let orders = member.orders.as_mut().ok_or_else(|| cannot(&"it has no input"))?;
            writeln!(orders, "{order}\n{wanted}").map_err(|e| cannot(&e))?;
        }
        for member in &mut crowd.0 {
            let mut answer = String::new();
            member.answers.read_line(&mut answer).map_err(|e| cannot(&e))?;
            match answer.trim_end() {
                "there" => {}
                "" => return Err(cannot(&"it has ended")),
                why => return Err(cannot(&why)),
            }
        }
        Ok(crowd)
    }

    /// How many brokers they are.
    pub fn brokers(&self) -> usize {
        self.0.len()
    }
}

fn cannot(why: &dyn ToString) -> Error {
    Error::Cannot(format!("another broker, in a process of its own: {}", why.to_string()))
}

impl Member {
    fn start() -> io::Result<Member> {
        let mut command = Command::new("/proc/self/exe");
        // Where a broker finds its cache by itself, and meets its launcher.
        let home =
            ["HOME", "XDG_CACHE_HOME", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.arg(super::CROWD).env_clear().envs(home);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = BufReader::new(answers.ok_or(io::ErrorKind::BrokenPipe)?);
        Ok(Member { child, orders, answers })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // All of them at the same time, too.
        self.0.iter_mut().for_each(|member| member.orders = None);
        for member in &mut self.0 {
            let _ = member.child.wait();
        }
    }
}

/// What such a process does.
pub(super) fn serve() -> Result<(), Error> {
    let mut orders = io::stdin().lines();
    let mut next = || orders.next().and_then(Result::ok).ok_or_else(|| cannot(&"nobody says what to do"));
    let (order, wanted) = (next()?, next()?);
    let (places, policy): (Places, Policy) = serde_json::from_str(&order).map_err(|e| cannot(&e))?;
    let wanted: usize = wanted.parse().map_err(|e| cannot(&e))?;
    crate::exhausted::raise_descriptors();
    let workers = workers(wanted, &policy, &places);
    match &workers {
        Ok(_) => println!("there"),
        Err(error) => println!("{}", error.to_string().replace('\n', " ")),
    }
    let _ = next();
    Ok(())
}

fn workers(wanted: usize, policy: &Policy, places: &Places) -> Result<(Broker, Vec<crate::Plugin>), Error> {
    let broker = places.builder().build().map_err(|e| cannot(&e))?;
    let (mut workers, since) = (Vec::new(), Instant::now());
    for count in 0..wanted {
        if since.elapsed() > PATIENCE {
            return Err(Error::Cannot(format!("{count} were started in {PATIENCE:?}")));
        }
        if count % 100 == 99 && available_kib().is_some_and(|kib| kib < LEFT_KIB) {
            return Err(Error::Cannot(format!("{count} take all memory of the host but {LEFT_KIB} KiB")));
        }
        let mut plugin = guests::load(&broker, guests::MODULE, policy)?;
        guests::echo(&mut plugin, &guests::sixty_four())?;
        workers.push(plugin);
    }
    Ok((broker, workers))
}

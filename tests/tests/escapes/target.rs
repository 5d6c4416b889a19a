//! What attacks aim at: a process of the host's with files, sockets and memory (`bulkhead-probe-worker target`).

use bulkhead_shared::{
    codec,
    message::attack::{SECRET_VARIABLE, TARGET, Targets, Touched},
    policy::Policy,
};
use bulkhead_tests::programs::programs;
use std::{
    io::Read,
    process::{Child, ChildStdout, Command, Stdio},
};

/// See the module.
pub struct Target {
    child: Child,
    output: ChildStdout,
    /// Where everything is.
    pub targets: Targets,
}

impl Target {
    /// A new one, for attackers under this policy.
    pub fn new(policy: &Policy) -> Target {
        let mut child = Command::new(programs().join("bulkhead-probe-worker"))
            .arg(TARGET)
            .env_clear()
            .env(SECRET_VARIABLE, "secret")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{e}"));
        let mut output = child.stdout.take().unwrap();
        let targets: Targets = codec::decode(&message(&mut output)).unwrap_or_else(|e| panic!("{e}"));
        let process = &policy.process;
        let (memory, open_files, file_size) = (process.memory, process.open_files, process.file_size);
        Target { child, output, targets: Targets { memory, open_files, file_size, ..targets } }
    }

    /// What was done to it.
    pub fn touched(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let touched: Touched = codec::decode(&message(&mut self.output)).unwrap_or_else(|e| panic!("{e}"));
        touched.marks
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn message(from: &mut ChildStdout) -> Vec<u8> {
    let mut length = [0; 4];
    from.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

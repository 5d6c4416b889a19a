//! What every peer has in common: it gives back the bytes that it is given.

/// Why something could not be measured.
pub type Failure = Box<dyn std::error::Error>;

/// Somebody who gives back bytes.
pub trait Echo {
    /// Its name, one for each way of doing it.
    fn name(&self) -> &str;
    /// Its version, and that of what it stands on.
    fn version(&self) -> String;
    /// Whether this many bytes are its business.
    fn takes(&self, _bytes: usize) -> bool {
        true
    }
    /// There and back.
    fn echo(&mut self, payload: &[u8]) -> Result<(), Failure>;
}

/// The version of a crate in this program's lock file.
pub fn version(name: &str) -> &'static str {
    let entry = include_str!("../Cargo.lock").split("[[package]]").find(|entry| {
        entry.lines().any(|line| line.strip_prefix("name = ").is_some_and(|quoted| quoted.trim_matches('"') == name))
    });
    let line = entry.and_then(|entry| entry.lines().find_map(|line| line.strip_prefix("version = ")));
    line.unwrap_or("?").trim_matches('"')
}

/// The version of wasmtime that Extism stands on: there is more than one in the lock file.
pub fn wasmtime_of_extism() -> &'static str {
    let entries = include_str!("../Cargo.lock").split("[[package]]");
    let mut entry = entries.filter(|entry| entry.contains("\nname = \"extism\"\n")).flat_map(str::lines);
    let line = entry.find_map(|line| line.trim().strip_prefix("\"wasmtime "));
    line.unwrap_or("?").trim_end_matches([',', '"'])
}

/// Fails where what came back is not what was sent, as far as its length and both ends show: to compare all of it would take
/// longer than some need to carry it.
pub fn same(sent: &[u8], back: &[u8]) -> Result<(), Failure> {
    let ends = |bytes: &[u8]| (bytes.len(), bytes.first().copied(), bytes.last().copied());
    if ends(sent) == ends(back) { Ok(()) } else { Err("an echo gave back something else".into()) }
}

//! ipc-channel between two processes: a request and a reply, each one message.

use crate::peer::{Echo, Failure, same, version};
use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender, channel};
use serde::{Serialize, de::DeserializeOwned};
use std::process::{Child, Command};

/// The hidden arguments for the second process.
pub const SERVE: &str = "ipc-serve";
/// The same, with serde_bytes.
pub const SERVE_BYTES: &str = "ipc-serve-bytes";

/// Both ends as the first process has them.
type Ends<T> = (IpcSender<T>, IpcReceiver<T>);

/// The first process's side.
pub struct Ipc<T> {
    name: &'static str,
    child: Child,
    ends: Ends<T>,
}

impl<T: Serialize + DeserializeOwned> Ipc<T> {
    /// Starts the second process.
    pub fn start(name: &'static str, order: &str) -> Result<Ipc<T>, Failure> {
        let (server, address) = IpcOneShotServer::<Ends<T>>::new()?;
        let child = Command::new("/proc/self/exe").args([order, &address]).spawn()?;
        let (_, ends) = server.accept().map_err(|e| format!("{e:?}"))?;
        Ok(Ipc { name, child, ends })
    }
}

impl<T: Serialize + DeserializeOwned + From<Vec<u8>> + AsRef<[u8]>> Echo for Ipc<T> {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> String {
        format!("{}, two processes", version("ipc-channel"))
    }

    fn echo(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.ends.0.send(T::from(payload.to_vec())).map_err(|e| format!("{e:?}"))?;
        same(payload, self.ends.1.recv().map_err(|e| format!("{e:?}"))?.as_ref())
    }
}

impl<T> Drop for Ipc<T> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The second process: gives back what it gets until the first one is gone.
pub fn serve<T: Serialize + DeserializeOwned>(address: &str) -> Result<(), Failure> {
    let (requests, here) = channel::<T>()?;
    let (there, replies) = channel::<T>()?;
    IpcSender::<Ends<T>>::connect(address.to_owned())?.send((requests, replies)).map_err(|e| format!("{e:?}"))?;
    while let Ok(request) = here.recv() {
        if there.send(request).is_err() {
            break;
        }
    }
    Ok(())
}

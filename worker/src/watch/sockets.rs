//! The functions of wasi:sockets that everything else there begins with, answered at once: no guest has a network. A socket
//! that nobody can make is nothing that could be bound, connected or sent by.

use crate::guest::Guest;
use bulkhead_shared::message::worker::Network;
use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::p2::{
    TcpSocket, UdpSocket,
    bindings::sockets::{
        ip_name_lookup::ResolveAddressStream,
        network::{ErrorCode, IpAddressFamily, Network as Handle},
    },
};

type Answer<T> = Result<(std::result::Result<Resource<T>, ErrorCode>,)>;

/// Answers in the interfaces of this version.
pub fn link(linker: &mut Linker<Guest>, version: &str) -> Result<()> {
    linker.allow_shadowing(true);
    let mut tcp = linker.instance(&format!("wasi:sockets/tcp-create-socket@{version}"))?;
    tcp.func_wrap("create-tcp-socket", |store, (_,): (IpAddressFamily,)| denied::<TcpSocket>(&store, Network::Tcp))?;
    let mut udp = linker.instance(&format!("wasi:sockets/udp-create-socket@{version}"))?;
    udp.func_wrap("create-udp-socket", |store, (_,): (IpAddressFamily,)| denied::<UdpSocket>(&store, Network::Udp))?;
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{version}"))?;
    lookup.func_wrap("resolve-addresses", |store, (_, _): (Resource<Handle>, String)| {
        denied::<ResolveAddressStream>(&store, Network::Lookup)
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn denied<T: 'static>(store: &StoreContextMut<'_, Guest>, what: Network) -> Answer<T> {
    if let Some(watch) = &store.data().watch {
        watch.network(what);
    }
    Ok((Err(ErrorCode::AccessDenied),))
}

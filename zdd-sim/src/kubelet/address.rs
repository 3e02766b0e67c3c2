//! Gives pods their addresses.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Hands out the addresses of simulated pods.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    simulated: u32,
}

/// Real sockets: no two pods of one process may share an address, whatever their cluster.
static LOOPBACK: AtomicU32 = AtomicU32::new(0);

impl Addresses {
    /// Returns the next address of 10.244.0.0/16.
    pub(crate) fn simulated(&mut self) -> IpAddr {
        let next = self.simulated % 65_000 + 2;
        self.simulated += 1;
        let [_, _, high, low] = next.to_be_bytes();
        IpAddr::from([10, 244, high, low])
    }

    /// Returns an address of 127.0.0.0/8 that differs between processes, as far as the process
    /// id can tell them apart.
    pub(crate) fn loopback() -> IpAddr {
        let next = LOOPBACK.fetch_add(1, Ordering::Relaxed);
        let [_, _, high, low] = (next % 65_000 + 1).to_be_bytes();
        let process = u8::try_from(std::process::id() % 200).unwrap_or_default();
        IpAddr::from([127, 32 + process, high, low])
    }
}

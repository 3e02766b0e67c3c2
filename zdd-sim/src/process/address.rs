//! Addresses for pods and Services that are this cluster's alone.
//!
//! Linux answers on all of 127.0.0.0/8. Clusters of different processes on one machine must not
//! meet there, because pods of both would listen on the same port. So each cluster takes a block
//! and holds it by a socket on the block's first address.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use thiserror::Error;
use tokio::net::TcpListener;

/// 127.64.0.0/10, as blocks of 4096 addresses.
const FIRST: u32 = u32::from_be_bytes([127, 64, 0, 0]);
const BLOCKS: u32 = 1024;
const BLOCK: u32 = 4096;

/// The last quarter of a block is for Services.
const PODS: u32 = 3072;

/// The kubelet's port, which no pod uses: holding it holds the block.
const HELD_PORT: u16 = 10250;

/// How many blocks are tried.
const TRIES: u32 = 64;

/// Why no addresses could be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// All addresses of the block are in use.
    #[error("all {limit} loopback addresses of this cluster are in use; delete pods or Services")]
    Exhausted {
        /// How many there are.
        limit: u32,
    },
    /// No block could be taken.
    #[error(
        "failed to take a block of loopback addresses in 127.64.0.0/10; \
         where only 127.0.0.1 exists, add aliases to the loopback interface"
    )]
    NoBlock {
        /// What the system said of the last block.
        source: io::Error,
    },
}

/// A block of loopback addresses that no other cluster on this machine uses.
#[derive(Debug)]
pub struct AddressBlock {
    first: u32,
    next_pod: u32,
    next_service: u32,
    released: VecDeque<Ipv4Addr>,
    _held: TcpListener,
}

impl AddressBlock {
    /// Takes a free block, which is held until this value is dropped.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AddressError::NoBlock`].
    pub fn take() -> Result<Self, AddressError> {
        let start = fastrand::u32(..BLOCKS);
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for attempt in 0..TRIES {
            let first = FIRST + (start + attempt) % BLOCKS * BLOCK;
            match hold(first) {
                Ok(held) => {
                    return Ok(Self {
                        first,
                        next_pod: 1,
                        next_service: PODS,
                        released: VecDeque::new(),
                        _held: held,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(AddressError::NoBlock { source: last })
    }

    /// Returns an address for a pod.
    ///
    /// An address that was released is used again only when no fresh one is left, and the one
    /// released first: a connection that is meant for a pod that is gone should be refused and
    /// not reach another pod.
    ///
    /// # Errors
    /// [`AddressError::Exhausted`].
    pub fn pod(&mut self) -> Result<Ipv4Addr, AddressError> {
        let fresh = Self::next(self.first, &mut self.next_pod, PODS);
        fresh.or_else(|exhausted| self.released.pop_front().ok_or(exhausted))
    }

    /// Gives the address of a pod back.
    pub fn release(&mut self, pod: Ipv4Addr) {
        self.released.push_back(pod);
    }

    /// Returns an address for a Service.
    ///
    /// # Errors
    /// [`AddressError::Exhausted`].
    pub fn service(&mut self) -> Result<Ipv4Addr, AddressError> {
        Self::next(self.first, &mut self.next_service, BLOCK)
    }

    fn next(first: u32, next: &mut u32, limit: u32) -> Result<Ipv4Addr, AddressError> {
        if *next >= limit {
            return Err(AddressError::Exhausted { limit });
        }
        *next += 1;
        Ok(Ipv4Addr::from(first + *next - 1))
    }
}

fn hold(first: u32) -> io::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::from(first), HELD_PORT));
    TcpListener::from_std({
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        listener
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn blocks_do_not_overlap_while_they_are_held() {
        let mut blocks: Vec<_> = (0..40).map(|_| AddressBlock::take().unwrap()).collect();
        let mut seen = BTreeSet::new();
        for block in &mut blocks {
            assert!(seen.insert(block.pod().unwrap()) && seen.insert(block.service().unwrap()));
        }
        let distinct: BTreeSet<_> = blocks.iter().map(|block| block.first).collect();
        assert_eq!(distinct.len(), 40);
    }

    #[tokio::test]
    async fn an_exhausted_block_gives_only_what_was_released() {
        let mut block = AddressBlock::take().unwrap();
        let pods: BTreeSet<_> = std::iter::from_fn(|| block.pod().ok()).collect();
        assert_eq!(pods.len(), 3071);
        assert!(block.service().is_ok());
        let (one, two) = (*pods.first().unwrap(), *pods.last().unwrap());
        block.release(two);
        block.release(one);
        assert_eq!((block.pod().unwrap(), block.pod().unwrap()), (two, one));
        assert!(block.pod().is_err());
    }
}

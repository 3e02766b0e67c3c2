//! Gives pods their addresses.

use std::net::IpAddr;

use crate::image::RuntimeKind;
#[cfg(feature = "process")]
use crate::process::{AddressBlock, AddressError};

/// Hands out the addresses of pods.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    simulated: u32,
    /// Taken with the first pod that needs a real address.
    #[cfg(feature = "process")]
    real: Option<AddressBlock>,
}

impl Addresses {
    /// Returns an address for a pod of such images; the error says why there is none.
    pub(crate) fn of(&mut self, kind: RuntimeKind) -> Result<IpAddr, String> {
        match kind {
            #[cfg(feature = "process")]
            RuntimeKind::Process | RuntimeKind::Service => self.loopback(),
            #[cfg(not(feature = "process"))]
            RuntimeKind::Process | RuntimeKind::Service => {
                Err("zdd-sim is built without its feature `process`".to_owned())
            }
            RuntimeKind::Simulated => Ok(self.simulated()),
        }
    }

    /// Returns the next address of 10.244.0.0/16.
    fn simulated(&mut self) -> IpAddr {
        let next = self.simulated % 65_000 + 2;
        self.simulated += 1;
        let [_, _, high, low] = next.to_be_bytes();
        IpAddr::from([10, 244, high, low])
    }

    /// Returns an address of 127.64.0.0/10 that no other pod on this machine has.
    #[cfg(feature = "process")]
    fn loopback(&mut self) -> Result<IpAddr, String> {
        let block = match &mut self.real {
            Some(block) => block,
            none => none.insert(AddressBlock::take().map_err(|error| describe(&error))?),
        };
        block.pod().map(IpAddr::V4).map_err(|error| describe(&error))
    }

    /// Gives back the address of a pod that is gone.
    #[cfg(feature = "process")]
    pub(crate) fn release(&mut self, ip: IpAddr) {
        if let (Some(block), IpAddr::V4(ip)) = (&mut self.real, ip)
            && ip.is_loopback()
        {
            block.release(ip);
        }
    }
}

#[cfg(feature = "process")]
fn describe(error: &AddressError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

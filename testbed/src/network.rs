//! The network of the box: a loopback, and an address for the node.

use std::fs;

use anyhow::Context;

use crate::room::command;

/// The address of the node. A kubelet refuses one on the loopback.
pub(crate) const NODE_ADDRESS: &str = "172.30.0.1";

/// Sets the network up, from inside of the box.
pub(crate) fn set_up() -> anyhow::Result<()> {
    command("ip", &["link", "set", "lo", "up"])?;
    command("ip", &["link", "add", "node0", "type", "veth", "peer", "name", "node1"])?;
    command("ip", &["address", "add", &format!("{NODE_ADDRESS}/24"), "dev", "node0"])?;
    command("ip", &["link", "set", "node0", "up"])?;
    command("ip", &["link", "set", "node1", "up"])?;
    // Nothing lies behind it; components want a default route to be there.
    command("ip", &["route", "add", "default", "dev", "node0"])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("failed to allow forwarding")
}

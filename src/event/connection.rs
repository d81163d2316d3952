//! Values of network connections.

use std::net::IpAddr;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    pub address: IpAddr,
    /// None: the protocol has no ports.
    pub port: Option<u16>,
}

/// What address translation replaces; an end that stays as it is is None.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat {
    /// The source, as the destination sees it.
    pub src: Option<Endpoint>,
    /// Where what is sent to the destination really goes.
    pub dst: Option<Endpoint>,
}

/// What went in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub packets: u64,
    /// Headers from the network layer on included.
    pub bytes: u64,
}

/// An ICMP or ICMPv6 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub id: u16,
}

//! Numbers of the kernel by their names.

use std::fmt;
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::units::{Short, short};
use crate::event::Endpoint;

/// A signal's name, as C spells it; `SIG99` for a number that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(pub u32);

/// SIGRTMIN as programs know it: glibc keeps the kernel's first two (32 and 33) for itself.
const RT_MIN: u32 = 34;
/// The kernel's last signal.
const RT_MAX: u32 = 64;

impl SignalName {
    /// The same without SIG where it is longer than so many characters: `VTALRM`, `RTMIN+12`, as kill(1) has them.
    pub fn short(self, most: usize) -> Short {
        let name = short(format_args!("{self}"));
        match name.strip_prefix("SIG").filter(|_| name.len() > most) {
            Some(rest) => short(format_args!("{rest}")),
            None => name,
        }
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RT_MIN => f.write_str("SIGRTMIN"),
            n @ RT_MIN..=RT_MAX => write!(f, "SIGRTMIN+{}", n - RT_MIN),
            n => match i32::try_from(n).ok().and_then(|n| Signal::try_from(n).ok()) {
                Some(signal) => f.write_str(signal.as_str()),
                None => write!(f, "SIG{n}"),
            },
        }
    }
}

/// The error that a system call returned, by its name; by its number where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrnoName(pub i64);

impl fmt::Display for ErrnoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.checked_neg().and_then(|n| i32::try_from(n).ok());
        match number.map(Errno::from_raw) {
            Some(errno) if errno != Errno::UnknownErrno => fmt::Debug::fmt(&errno, f),
            _ => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// A device's number, major and minor (include/linux/kdev_t.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device(pub u32);

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 20, self.0 & 0xf_ffff)
    }
}

/// One end of a connection: `10.0.0.1:80`, `[::1]:80`, `10.0.0.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End(pub Endpoint);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port {
            Some(port) => SocketAddr::new(self.0.address, port).fmt(f),
            None => self.0.address.fmt(f),
        }
    }
}

/// Permission bits in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Octal(pub u32);

impl fmt::Display for Octal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{:03o}", self.0)
    }
}

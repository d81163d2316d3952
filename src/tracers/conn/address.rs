//! Networks, protocols and namespaces, as the options of `conn` name them.

use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::statfs::{FsType, statfs};

use crate::escape::shown;

/// include/linux/socket.h
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

/// The addresses of a network, in the order of their bytes in memory: those of IPv4 are the first four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    pub address: [u64; 2],
    pub mask: [u64; 2],
    pub family: u64,
}

fn words(bytes: [u8; 16]) -> [u64; 2] {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|n| words.get(n).map_or(0, |word| u64::from_ne_bytes(*word)))
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            format!("{address:?} is no address: a network is spelled 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")
        })?;
        let (octets, family) = match address {
            IpAddr::V4(address) => (address.octets().to_vec(), AF_INET),
            IpAddr::V6(address) => (address.octets().to_vec(), AF_INET6),
        };
        let most = octets.len() * 8;
        let bits: usize = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(|| {
                format!("/{bits}: how many bits of the address are the network's is a number from 0 to {most}")
            })?,
        };
        let mut mask = [0_u8; 16];
        for (n, byte) in mask.iter_mut().enumerate() {
            let set = bits.saturating_sub(n * 8).min(8);
            *byte = u8::try_from(0xff00_u16 >> set & 0xff).unwrap_or(u8::MAX);
        }
        let mut all = [0_u8; 16];
        for ((to, from), mask) in all.iter_mut().zip(&octets).zip(mask) {
            *to = from & mask;
        }
        Ok(Network { address: words(all), mask: words(mask), family: family.into() })
    }
}

/// Protocols by the names that /etc/protocols gives them.
static PROTOCOLS: [(u8, &str); 13] = [
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipip"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (132, "sctp"),
    (136, "udplite"),
    (41, "ipv6"),
];

/// A protocol, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protocol(pub u8);

impl Protocol {
    /// Its name; None where it has none here.
    pub fn name(self) -> Option<&'static str> {
        PROTOCOLS.iter().find(|(number, _)| *number == self.0).map(|(_, name)| *name)
    }

    /// Whether it has ports.
    pub fn has_ports(self) -> bool {
        matches!(self.name(), Some("tcp" | "udp" | "dccp" | "sctp" | "udplite"))
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let lower = if lower == "icmp6" || lower == "ipv6-icmp" { "icmpv6" } else { &lower };
        let known = PROTOCOLS.iter().find(|(_, name)| *name == lower).map(|(number, _)| *number);
        known.or_else(|| text.parse().ok()).map(Protocol).ok_or_else(|| {
            let names: Vec<_> = PROTOCOLS.iter().map(|(_, name)| *name).collect();
            format!("{text:?} is no protocol; there are {}, and numbers up to 255", names.join(", "))
        })
    }
}

/// No process id is higher (include/linux/threads.h: PID_MAX_LIMIT); every inode number of a namespace is
/// (include/linux/proc_ns.h, and `PROC_DYNAMIC_FIRST` in fs/proc/generic.c).
const LAST_PID: u64 = 4_194_304;

/// The inode number of the network namespace of that name: a process, a file, or the number itself.
pub(super) fn namespace(name: &OsStr) -> Result<u32> {
    let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
    let inode = match number {
        Some(inode) if inode > LAST_PID => inode,
        Some(pid) => inode(&PathBuf::from(format!("/proc/{pid}/ns/net")))?,
        None => inode(Path::new(name))?,
    };
    u32::try_from(inode)
        .with_context(|| format!("--netns {}: the kernel has no namespace with that number", shown(Path::new(name))))
}

/// include/uapi/linux/magic.h
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

fn inode(path: &Path) -> Result<u64> {
    let found =
        || Ok::<_, std::io::Error>((fs::metadata(path)?, statfs(path)?.filesystem_type(), fs::read_link(path).ok()));
    let (meta, of, target) =
        found().with_context(|| format!("--netns: there is no network namespace {}", shown(path)))?;
    // The links in /proc say of which kind it is; a file that a namespace is mounted on does not.
    let other =
        target.is_some_and(|to| to.to_string_lossy().contains(":[") && !to.to_string_lossy().starts_with("net:["));
    ensure!(of == NSFS_MAGIC && !other, "--netns {}: this is no network namespace", shown(path));
    Ok(meta.ino())
}

/// A length of time in seconds, also none.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| "must be 0 or more seconds".to_owned())?;
    if duration <= Duration::from_secs(3600) { Ok(duration) } else { Err("must be at most 3600 seconds".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_its_bits_say() {
        let net: Network = "10.1.2.3/12".parse().unwrap();
        assert_eq!(net.address[0].to_ne_bytes(), [10, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(net.mask[0].to_ne_bytes(), [255, 0xf0, 0, 0, 0, 0, 0, 0]);
        let one: Network = "192.0.2.7".parse().unwrap();
        assert_eq!((one.mask[0].to_ne_bytes()[..4].to_vec(), one.mask[1]), (vec![255; 4], 0));
        let six: Network = "2001:db8::1/33".parse().unwrap();
        assert_eq!((six.family, six.mask[0].to_ne_bytes()[4], six.mask[1]), (10, 0x80, 0));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert_eq!((all.address, all.mask), ([0; 2], [0; 2]));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.0/", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn protocols_have_names_and_numbers() {
        assert_eq!("TCP".parse(), Ok(Protocol(6)));
        assert_eq!("icmp6".parse(), Ok(Protocol(58)));
        assert_eq!("253".parse(), Ok(Protocol(253)));
        for bad in ["", "256", "tcpp"] {
            assert!(bad.parse::<Protocol>().unwrap_err().contains("sctp"), "{bad}");
        }
        assert!(Protocol(6).has_ports() && !Protocol(1).has_ports() && !Protocol(200).has_ports());
    }

    #[test]
    fn a_namespace_is_named_by_a_process_a_file_or_its_number() {
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        for name in [own.to_string(), std::process::id().to_string(), "/proc/self/ns/net".to_owned()] {
            assert_eq!(u64::from(namespace(OsStr::new(&name)).unwrap()), own, "{name}");
        }
        for bad in ["/proc/self/exe", "/proc/self/ns/pid", "/nowhere", "99999999999", "3999999"] {
            assert!(namespace(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_time_at_all_is_a_time() {
        assert_eq!((seconds("0"), seconds("0.25")), (Ok(Duration::ZERO), Ok(Duration::from_millis(250))));
        for bad in ["", "-1", "nan", "inf", "3601"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}

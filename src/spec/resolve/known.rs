//! Structs that people know, summed up: what is worth to be seen of each.
//!
//! An entry has one or more ways to sum it up, for kernels that have it laid out otherwise: the first one whose members
//! are all there is taken. Where none is, a pointer is shown as an address, and a struct as a whole.

use super::error::Wrong;
use super::formats::number;
use super::maker::Maker;
use super::shown::text;
use super::typed::{Int, named, names};
use super::way::{At, Way};
use crate::event::{Shown, ShownKind, Style};
use crate::spec::ir::{Read, STR_DEFAULT, Space};
use crate::types::model::{Types, kind};

/// How a part is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// As its type has it, without a summary of what it points to.
    Meant,
    Hex,
    Str,
    Path,
    Dentry,
    Ipv4,
    Ipv6,
    /// It does not have to be there.
    Optional(&'static As),
}

use As::{Dentry, Hex, Ipv4, Ipv6, Meant, Optional, Path, Str};

/// What it is called, where it is (`a.b`, `a[0]`; `(name)a`: as of that struct), and how it is shown.
type Part = (&'static str, &'static str, As);

struct Known {
    name: &'static str,
    style: Style,
    /// Whether it may be a user's: its address says it.
    anyone: bool,
    ways: &'static [&'static [Part]],
}

const fn of(name: &'static str, style: Style, ways: &'static [&'static [Part]]) -> Known {
    Known { name, style, anyone: false, ways }
}

/// Of any family, by a user or by the kernel.
const fn address(name: &'static str) -> Known {
    Known { name, style: Style::Address, anyone: true, ways: &[SOCKADDR] }
}

const SOCK: &[Part] = &[
    ("family", "__sk_common.skc_family", Meant),
    ("protocol", "sk_protocol", Optional(&Meant)),
    ("state", "__sk_common.skc_state", Meant),
    ("saddr", "__sk_common.skc_rcv_saddr", Ipv4),
    ("sport", "__sk_common.skc_num", Meant),
    ("daddr", "__sk_common.skc_daddr", Ipv4),
    ("dport", "__sk_common.skc_dport", Meant),
    ("saddr6", "__sk_common.skc_v6_rcv_saddr", Optional(&Ipv6)),
    ("daddr6", "__sk_common.skc_v6_daddr", Optional(&Ipv6)),
];

const SOCKET: &[Part] = &[
    ("type", "type", Meant),
    ("family", "sk.__sk_common.skc_family", Meant),
    ("state", "sk.__sk_common.skc_state", Meant),
    ("saddr", "sk.__sk_common.skc_rcv_saddr", Ipv4),
    ("sport", "sk.__sk_common.skc_num", Meant),
    ("daddr", "sk.__sk_common.skc_daddr", Ipv4),
    ("dport", "sk.__sk_common.skc_dport", Meant),
    ("saddr6", "sk.__sk_common.skc_v6_rcv_saddr", Optional(&Ipv6)),
    ("daddr6", "sk.__sk_common.skc_v6_daddr", Optional(&Ipv6)),
];

const SOCKADDR: &[Part] = &[
    ("family", "(sockaddr)sa_family", Meant),
    ("port", "(sockaddr_in)sin_port", Optional(&Meant)),
    ("v4", "(sockaddr_in)sin_addr.s_addr", Optional(&Ipv4)),
    ("v6", "(sockaddr_in6)sin6_addr", Optional(&Ipv6)),
    ("path", "(sockaddr_un)sun_path", Optional(&Str)),
];

const KNOWN: &[Known] = &[
    // Files.
    of("file", Style::File, &[&[("path", "f_path", Path), ("flags", "f_flags", Hex)]]),
    of("path", Style::Alone, &[&[("path", "", Path)]]),
    of("dentry", Style::Alone, &[&[("name", "", Dentry)]]),
    of("qstr", Style::Alone, &[&[("name", "name", Str)]]),
    of("filename", Style::Alone, &[&[("name", "name", Str)]]),
    of("inode", Style::Inode, &[&[("dev", "i_sb.s_dev", Meant), ("ino", "i_ino", Meant), ("mode", "i_mode", Meant)]]),
    of("super_block", Style::Words, &[&[("type", "s_type.name", Str), ("dev", "s_dev", Meant)]]),
    of("file_system_type", Style::Alone, &[&[("name", "name", Str)]]),
    of("address_space", Style::Words, &[&[("dev", "host.i_sb.s_dev", Meant), ("ino", "host.i_ino", Meant)]]),
    of("kiocb", Style::Words, &[&[("path", "ki_filp.f_path", Path), ("pos", "ki_pos", Meant)]]),
    of("iov_iter", Style::Words, &[&[("count", "count", Meant)]]),
    of("kernfs_node", Style::Alone, &[&[("name", "name", Str)]]),
    of("linux_binprm", Style::Alone, &[&[("filename", "filename", Str)]]),
    of("renamedata", Style::Words, &[&[("old", "old_dentry", Dentry), ("new", "new_dentry", Dentry)]]),
    // Processes.
    of("task_struct", Style::Task, &[&[("pid", "tgid", Meant), ("tid", "pid", Meant), ("comm", "comm", Str)]]),
    of("pid", Style::Alone, &[&[("nr", "numbers[0].nr", Meant)]]),
    of("cred", Style::Words, &[&[("uid", "uid.val", Meant), ("gid", "gid.val", Meant)]]),
    of("cgroup", Style::Words, &[&[("id", "kn.id", Meant), ("name", "kn.name", Str)]]),
    of(
        "vm_area_struct",
        Style::Words,
        &[&[("start", "vm_start", Hex), ("end", "vm_end", Hex), ("flags", "vm_flags", Hex)]],
    ),
    of("pid_namespace", Style::Alone, &[&[("inum", "ns.inum", Meant)]]),
    of("user_namespace", Style::Alone, &[&[("inum", "ns.inum", Meant)]]),
    // The network.
    of("sock", Style::Socket, &[SOCK]),
    of("socket", Style::Socket, &[SOCKET]),
    address("sockaddr"),
    address("sockaddr_storage"),
    address("__kernel_sockaddr_storage"),
    address("sockaddr_unsized"),
    of(
        "sk_buff",
        Style::Words,
        &[
            &[("len", "len", Meant), ("protocol", "protocol", Meant), ("dev", "dev.name", Str)],
            &[("len", "len", Meant), ("protocol", "protocol", Meant)],
        ],
    ),
    of("net", Style::Alone, &[&[("inum", "ns.inum", Meant)]]),
    of("net_device", Style::Alone, &[&[("name", "name", Str)]]),
    of("msghdr", Style::Words, &[&[("count", "msg_iter.count", Meant), ("flags", "msg_flags", Hex)]]),
    of("in_addr", Style::Alone, &[&[("addr", "s_addr", Ipv4)]]),
    of("in6_addr", Style::Alone, &[&[("addr", "", Ipv6)]]),
    // Disks and memory.
    of(
        "bio",
        Style::Words,
        &[&[("sector", "bi_iter.bi_sector", Meant), ("size", "bi_iter.bi_size", Meant), ("op", "bi_opf", Hex)]],
    ),
    of(
        "request",
        Style::Words,
        &[&[("sector", "__sector", Meant), ("size", "__data_len", Meant), ("op", "cmd_flags", Hex)]],
    ),
    of("gendisk", Style::Alone, &[&[("name", "disk_name", Str)]]),
    of("block_device", Style::Alone, &[&[("dev", "bd_dev", Meant)]]),
    of(
        "folio",
        Style::Words,
        &[
            // A word of its own since 6.18.
            &[("index", "index", Meant), ("flags", "flags.f", Hex)],
            &[("index", "index", Meant), ("flags", "flags", Hex)],
        ],
    ),
    of(
        "page",
        Style::Words,
        &[
            &[("index", "index", Optional(&Meant)), ("flags", "flags.f", Hex)],
            &[("index", "index", Optional(&Meant)), ("flags", "flags", Hex)],
        ],
    ),
    // Others.
    of("module", Style::Alone, &[&[("name", "name", Str)]]),
    of("kobject", Style::Alone, &[&[("name", "name", Str)]]),
    of("device", Style::Alone, &[&[("name", "kobj.name", Str)]]),
    of("timespec64", Style::Time, &[&[("seconds", "tv_sec", Meant), ("nanoseconds", "tv_nsec", Meant)]]),
    of("timespec", Style::Time, &[&[("seconds", "tv_sec", Meant), ("nanoseconds", "tv_nsec", Meant)]]),
    // Structs for the sake of their type.
    of("kuid_t", Style::Alone, &[&[("val", "val", Meant)]]),
    of("kgid_t", Style::Alone, &[&[("val", "val", Meant)]]),
    of("kprojid_t", Style::Alone, &[&[("val", "val", Meant)]]),
    of("atomic_t", Style::Alone, &[&[("counter", "counter", Meant)]]),
    of("atomic64_t", Style::Alone, &[&[("counter", "counter", Meant)]]),
    of("refcount_t", Style::Alone, &[&[("refs", "refs.counter", Meant)]]),
    of("refcount_struct", Style::Alone, &[&[("refs", "refs.counter", Meant)]]),
    of("kref", Style::Alone, &[&[("refs", "refcount.refs.counter", Meant)]]),
];

impl Maker<'_> {
    /// What is worth to be seen of the struct here; None: the list does not have it, or it is not there.
    pub fn known(&mut self, way: &Way) -> Option<(Style, Vec<Shown>)> {
        let called = names(self.types, way.ty);
        let found = KNOWN.iter().find(|known| called.contains(&known.name.as_bytes()))?;
        let way = if found.anyone { way.clone().anywhere() } else { way.clone() };
        let before = (self.slots.len(), self.notes.len());
        found.ways.iter().find_map(|parts| {
            let shown = self.parts(&way, parts);
            if shown.is_none() {
                self.slots.truncate(before.0);
                self.notes.truncate(before.1);
            }
            Some((found.style, shown?))
        })
    }

    fn parts(&mut self, way: &Way, parts: &[Part]) -> Option<Vec<Shown>> {
        let mut shown = Vec::new();
        for (name, path, wanted) in parts {
            let (wanted, optional) = match wanted {
                Optional(wanted) => (**wanted, true),
                wanted => (*wanted, false),
            };
            let found = walk(self.types, way, path).and_then(|inner| self.part(path, &inner, wanted).ok());
            match found {
                Some(kind) => shown.push(Shown { name: (*name).to_owned(), kind }),
                None if optional => {}
                None => return None,
            }
        }
        (!shown.is_empty()).then_some(shown)
    }

    fn part(&mut self, path: &str, way: &Way, wanted: As) -> Result<ShownKind, Wrong> {
        let called = path.rsplit(['.', ')']).next().unwrap_or(path);
        let is = |name: &str| names(self.types, way.ty).contains(&name.as_bytes());
        match wanted {
            Meant | Optional(_) => self.plain(called, way),
            Hex => {
                let int = number(self.types, way)?;
                let slot = way.number(Int { signed: false, ..int })?;
                Ok(ShownKind::Hex { slot: self.add(slot) })
            }
            Str => {
                let slot = text(self.types, way, STR_DEFAULT)?;
                Ok(ShownKind::Str { slot: self.add(slot) })
            }
            Path if is("path") => {
                let slot = kernels(way)?.memory(|offset, _| Read::Path { offset })?;
                Ok(ShownKind::Path { slot: self.add(slot) })
            }
            Dentry => {
                let way = way.composite(self.types).ok_or_else(|| Wrong::new("no dentry"))?;
                let slot = kernels(&way)?.memory(|offset, _| Read::Dentry { offset })?;
                Ok(ShownKind::Path { slot: self.add(slot) })
            }
            Ipv4 => Ok(ShownKind::Ipv4 { slot: self.add(way.number(Int::plain(4, false))?) }),
            Ipv6 => {
                let slot = way.memory(|offset, space| Read::Bytes { offset, space, len: 16 })?;
                Ok(ShownKind::Ipv6 { slot: self.add(slot) })
            }
            Path => Err(Wrong::new("no path")),
        }
    }
}

/// No walk begins in a user's memory.
fn kernels(way: &Way) -> Result<&Way, Wrong> {
    match way.at {
        At::Memory { space: Space::Kernel, .. } => Ok(way),
        _ => Err(Wrong::new("it is not in the kernel's memory")),
    }
}

/// Along a path of the table; None: it is not there.
fn walk(types: &Types, from: &Way, path: &str) -> Option<Way> {
    let (from, path) = match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((name, rest)) => {
            let ty = named(types, name, &[kind::STRUCT])?;
            (from.clone().cast(ty), rest)
        }
        None => (from.clone(), path),
    };
    path.split('.').filter(|step| !step.is_empty()).try_fold(from, |way, step| {
        let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
            Some((name, index)) => (name, Some(index.parse().ok()?)),
            None => (step, None),
        };
        let member = way.composite(types)?.member(types, name)?.ok()?;
        match index {
            Some(index) => member.index(types, index).ok(),
            None => Some(member),
        }
    })
}

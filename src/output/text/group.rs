//! Values that belong together, as text: summed up where people know what they are.

use crate::event::{Group, Style, Value};
use crate::output::line::Line;

/// Adds a value behind what is there.
pub(super) type Here = fn(&mut Line, &Value<'_>);

/// Adds them behind what is there.
pub(super) fn group(line: &mut Line, group: &Group<'_>, here: Here) {
    let summed_up = match group.style {
        Style::File => file(line, group, here),
        Style::Inode => inode(line, group, here),
        Style::Socket => socket(line, group, here),
        Style::Address => address(line, group, here),
        Style::Task => task(line, group, here),
        Style::Time => time(line, group, here),
        Style::Braces | Style::List | Style::Alone | Style::Words => None,
    };
    if summed_up.is_some() {
        return;
    }
    match group.style {
        Style::List => {
            line.ascii("[");
            items(line, group, " ", false, here);
            line.ascii("]");
        }
        Style::Words | Style::Alone => items(line, group, " ", true, here),
        _ => {
            line.ascii("{");
            items(line, group, " ", true, here);
            line.ascii("}");
        }
    }
}

/// Adds `name=value`, separated.
pub(super) fn items(line: &mut Line, group: &Group<'_>, between: &str, named: bool, here: Here) {
    let mut separator = "";
    for (name, known) in group.iter() {
        if line.is_full() {
            return;
        }
        line.ascii(separator);
        if named {
            line.escaped_word(name.as_bytes());
            line.ascii("=");
        }
        here(line, &known);
        separator = between;
    }
}

fn file(line: &mut Line, group: &Group<'_>, here: Here) -> Option<()> {
    here(line, &group.get("path")?);
    Some(())
}

fn inode(line: &mut Line, group: &Group<'_>, here: Here) -> Option<()> {
    let (device, number, mode) = (group.get("dev")?, group.get("ino")?, group.get("mode")?);
    here(line, &device);
    line.ascii(":");
    here(line, &number);
    line.ascii("(");
    here(line, &mode);
    line.ascii(")");
    Some(())
}

/// include/linux/socket.h
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;

fn family(group: &Group<'_>) -> Option<u64> {
    match group.get("family")? {
        Value::Uint(family) => Some(family),
        Value::Int(family) => u64::try_from(family).ok(),
        _ => None,
    }
}

fn socket(line: &mut Line, group: &Group<'_>, here: Here) -> Option<()> {
    let (source, destination) = match family(group)? {
        AF_INET => (group.get("saddr")?, group.get("daddr")?),
        AF_INET6 => (group.get("saddr6")?, group.get("daddr6")?),
        _ => return None,
    };
    let (sport, dport, state) = (group.get("sport")?, group.get("dport")?, group.get("state")?);
    end(line, &source, &sport, here);
    line.ascii("->");
    end(line, &destination, &dport, here);
    line.ascii("(");
    here(line, &state);
    line.ascii(")");
    Some(())
}

fn address(line: &mut Line, group: &Group<'_>, here: Here) -> Option<()> {
    let ip = match family(group)? {
        AF_INET => group.get("v4")?,
        AF_INET6 => group.get("v6")?,
        _ => return None,
    };
    end(line, &ip, &group.get("port")?, here);
    Some(())
}

/// `1.2.3.4:80`, `[::1]:80`
fn end(line: &mut Line, ip: &Value<'_>, port: &Value<'_>, here: Here) {
    let brackets = matches!(ip, Value::Ipv6(_));
    line.ascii(if brackets { "[" } else { "" });
    here(line, ip);
    line.ascii(if brackets { "]:" } else { ":" });
    here(line, port);
}

fn task(line: &mut Line, group: &Group<'_>, here: Here) -> Option<()> {
    let (comm, pid) = (group.get("comm")?, group.get("pid")?);
    here(line, &comm);
    line.ascii("[");
    here(line, &pid);
    line.ascii("]");
    Some(())
}

fn time(line: &mut Line, group: &Group<'_>, here: Here) -> Option<()> {
    let (seconds, Value::Int(nanoseconds)) = (group.get("seconds")?, group.get("nanoseconds")?) else { return None };
    here(line, &seconds);
    line.ascii(crate::output::units::short(format_args!(".{nanoseconds:09}")).as_str());
    Some(())
}

//! Environments and ancestors as text.

use crate::event::{Ancestor, Ancestors, Change, Env};
use crate::output::line::Line;
use crate::output::units::short;

/// `{PATH=/bin LD_X='a b'}`, or of changes `{+A=1 ~B=2 -C}`: names and values as bash would read them.
pub(super) fn env(line: &mut Line, env: &Env<'_>) {
    let mut separator = "{";
    for variable in env.iter() {
        line.ascii(separator);
        if let Some(change) = variable.change {
            line.ascii([change.mark()]);
        }
        line.shell_word(variable.name, false);
        if variable.change != Some(Change::Removed) {
            line.ascii("=");
            line.shell_word(variable.value, false);
        }
        if variable.cut {
            line.ellipsis();
        }
        if line.is_full() {
            return;
        }
        separator = " ";
    }
    if env.truncated {
        line.ascii(separator);
        line.ellipsis();
        if let Some(total) = env.total {
            line.ascii(short(format_args!("[cut: of {total} bytes]")).as_str());
        }
        separator = "";
    }
    line.ascii(if separator == "{" { "{}" } else { "}" });
}

/// `sh[12]<make[7]<init[1]`, the nearest first.
pub(super) fn ancestors(line: &mut Line, all: &Ancestors<'_>) {
    let mut separator = "";
    for Ancestor { pid, comm } in all.iter() {
        line.ascii(separator);
        line.escaped_word(comm);
        line.ascii(short(format_args!("[{pid}]")).as_str());
        separator = "<";
    }
    if all.truncated {
        line.ascii(separator);
        line.ellipsis();
    } else if separator.is_empty() {
        line.ascii("-");
    }
}

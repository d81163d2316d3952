//! The kernel's symbols, as /proc/kallsyms lists them, and the functions that can be traced.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// All symbols of the kernel and its modules, from /proc/kallsyms.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    text: String,
    /// In the order of their addresses.
    all: Vec<Entry>,
}

/// Where in the text a symbol's names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    address: u64,
    name: (u32, u32),
    /// Empty: the kernel itself.
    module: (u32, u32),
    /// As nm(1) calls it: `t` and `T` are functions.
    class: u8,
}

/// A symbol's place and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Where it is; 0: the kernel does not say (/proc/sys/kernel/kptr_restrict, CAP_SYSLOG).
    pub address: u64,
    /// Without its module.
    pub name: &'a str,
    /// The module that it is in, if it is in one.
    pub module: Option<&'a str>,
    /// Whether it is code.
    pub is_function: bool,
}

impl Symbols {
    /// Those of this host's kernel, some 200,000: reading them takes a tenth of a second.
    ///
    /// # Errors
    /// When the kernel does not list them.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join("proc/kallsyms");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self::parse(String::from_utf8_lossy(&text).into_owned()))
    }

    fn parse(text: String) -> Self {
        let mut all: Vec<Entry> = Vec::with_capacity(text.len() / 45);
        let place = |part: &str| {
            let start = (part.as_ptr().addr()).checked_sub(text.as_ptr().addr())?;
            Some((u32::try_from(start).ok()?, u32::try_from(start + part.len()).ok()?))
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(class), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
            let module = words.next().and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
            // Programs and trampolines of BPF are listed as modules.
            let address = u64::from_str_radix(address, 16).ok();
            let (Some(address), Some(name), &[class]) = (address, place(name), class.as_bytes()) else { continue };
            all.push(Entry { address, name, module: module.and_then(place).unwrap_or_default(), class });
        }
        all.sort_by_key(|entry| entry.address);
        Symbols { text, all }
    }

    fn symbol(&self, entry: &Entry) -> Symbol<'_> {
        let part = |(start, end): (u32, u32)| self.text.get(start as usize..end as usize).unwrap_or_default();
        let module = Some(part(entry.module)).filter(|module| !module.is_empty());
        let is_function = matches!(entry.class, b't' | b'T' | b'w' | b'W');
        Symbol { address: entry.address, name: part(entry.name), module, is_function }
    }

    /// All of them, by their addresses.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.all.iter().map(|entry| self.symbol(entry))
    }

    /// The functions of this name, of the kernel and of modules.
    pub fn functions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Symbol<'a>> {
        self.iter().filter(move |symbol| symbol.is_function && symbol.name == name)
    }

    /// The symbol that an address is in, and how far behind its beginning; None: below all of them, or they have no
    /// addresses.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<(Symbol<'_>, u64)> {
        /// No symbol is longer: beyond the last one of a module there may be nothing.
        const LONGEST: u64 = 16 << 20;
        let behind = self.all.partition_point(|entry| entry.address <= address);
        let before = self.all.get(..behind)?;
        let last = before.last().filter(|entry| entry.address > 0 && address - entry.address < LONGEST)?;
        // Of several names of one place, the first that is listed.
        let first = before.partition_point(|entry| entry.address < last.address);
        Some((self.symbol(before.get(first)?), address - last.address))
    }
}

/// The functions that tracers of the kernel (ftrace) can hook, by `MODULE:NAME` or `NAME`; each once.
///
/// # Errors
/// When tracefs does not list them.
pub fn traceable(tracefs: &Path) -> Result<HashSet<String>> {
    let path = tracefs.join("available_filter_functions");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(parse_traceable(&text))
}

fn parse_traceable(text: &str) -> HashSet<String> {
    let name = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        Some(match words.next().and_then(|word| word.strip_prefix('[')?.strip_suffix(']')) {
            Some(module) => format!("{module}:{name}"),
            None => name.to_owned(),
        })
    };
    text.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "ffffffff81000000 T _stext\nffffffff81000000 T startup_64\nffffffff81000100 t do_it\n\
        ffffffff82000000 D table\nffffffffc0000000 t nf_it\t[nf_conntrack]\nffffffffc0000000 t nf_it2\t[nf_conntrack]\n\
        damaged\nzz T no\n";

    #[test]
    fn an_address_is_in_the_symbol_before_it() {
        let symbols = Symbols::parse(LIST.to_owned());
        let at = |address| symbols.at(address).map(|(symbol, offset)| (symbol.name, symbol.module, offset));
        assert_eq!(at(0xffff_ffff_8100_0000), Some(("_stext", None, 0)));
        assert_eq!(at(0xffff_ffff_8100_0104), Some(("do_it", None, 4)));
        assert_eq!(at(0xffff_ffff_c000_0009), Some(("nf_it", Some("nf_conntrack"), 9)));
        assert_eq!(at(0x1000), None);
        assert_eq!(at(u64::MAX), None);
    }

    #[test]
    fn functions_are_code_alone() {
        let symbols = Symbols::parse(LIST.to_owned());
        assert_eq!(symbols.functions("do_it").count(), 1);
        assert_eq!(symbols.functions("table").count(), 0);
        assert_eq!(symbols.iter().count(), 6);
    }

    #[test]
    fn without_rights_there_are_names_but_no_addresses() {
        let symbols = Symbols::parse("0000000000000000 T a\n0000000000000000 t b\n".to_owned());
        assert_eq!(symbols.functions("b").count(), 1);
        assert_eq!(symbols.at(0), None);
        assert_eq!(symbols.at(5), None);
    }

    #[test]
    fn traceable_functions_are_named_with_their_module() {
        let all = parse_traceable("do_it\nnf_it [nf_conntrack]\ndo_it\n\n");
        assert_eq!(all, ["do_it", "nf_conntrack:nf_it"].map(str::to_owned).into());
    }
}

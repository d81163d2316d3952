//! The functions of a binary, by its tables of symbols.

use std::collections::BTreeMap;

use object::elf::{self, Sym64};
use object::{LittleEndian as Little, pod};

use super::demangle::{demangled, without_arguments};
use super::elf::{Elf, Section};
use super::versions::Versions;
use crate::error::Wrong;
use crate::names::{closest, glob};

/// Longer names are passed over.
const NAME: usize = 16 << 10;
/// The most bytes of names that are kept: of a browser with all its symbols there are 200 MB.
const NAMES: usize = 512 << 20;
/// The most names that a missing one is compared with.
const COMPARED: usize = 2_000_000;
/// Symbols that say what kind of bytes begins there, on arm64.
const MAPPING: u8 = b'$';

/// How a name may be used outside of what it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bind {
    Global,
    /// Another one of the same name takes its place.
    Weak,
    Local,
}

/// A function, or a place that is called by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// As the linker calls it.
    pub name: String,
    /// As the source calls it, where that is something else (C++, Rust).
    pub in_source: Option<String>,
    /// Its address, as the file has it: of libraries, from where they are loaded.
    pub address: u64,
    /// Where it is in the file.
    pub offset: u64,
    pub size: u64,
    pub bind: Bind,
    /// It is called once, and returns the function that is taken for it from then on.
    pub chooses: bool,
    /// Other names of it.
    pub aliases: Vec<String>,
}

impl Function {
    /// What users call it: as the source does.
    pub fn called(&self) -> &str {
        self.in_source.as_deref().unwrap_or(&self.name)
    }
}

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Function {
        chooses: bool,
    },
    Data,
    /// Defined somewhere else.
    Import,
}

#[derive(Debug, Clone, Copy)]
struct Symbol<'a> {
    name: &'a [u8],
    version: Option<&'a [u8]>,
    /// Of more than one of a name, this one is not taken unless it is asked for.
    hidden: bool,
    is: Is,
    bind: Bind,
    address: u64,
    size: u64,
}

impl<'a> Symbol<'a> {
    /// Whether this is what is called so: `memcpy`, or `memcpy@GLIBC_2.2.5`.
    fn is_called(&self, name: &str, version: Option<&str>) -> bool {
        self.name == name.as_bytes() && version.is_none_or(|version| self.version == Some(version.as_bytes()))
    }

    /// Whether the source calls it so.
    fn is_in_source(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        demangled(self.name).is_some_and(|name| is(name.as_bytes()))
    }

    /// Its version, if it has to be asked for.
    fn old(&self) -> Option<&'a [u8]> {
        self.version.filter(|_| self.hidden)
    }
}

#[derive(Debug)]
struct Table {
    symbols: Vec<Sym64<Little>>,
    strings: Vec<u8>,
    versions: Versions,
}

/// All tables of a binary.
#[derive(Debug)]
pub(crate) struct Symbols {
    tables: Vec<Table>,
    /// Why one of them could not be read.
    pub faults: Vec<Wrong>,
    /// Whether there is one with local names, too.
    pub complete: bool,
}

impl Symbols {
    /// Those of all these files: of the binary, and of what belongs to it.
    pub fn read(files: &[&Elf]) -> Self {
        let mut all = Self { tables: Vec::new(), faults: Vec::new(), complete: false };
        for elf in files {
            for name in [".symtab", ".dynsym"] {
                let Some(section) = elf.section(name) else { continue };
                match table(elf, section, name == ".dynsym") {
                    Ok(Some(table)) => {
                        all.complete |= name == ".symtab";
                        all.tables.push(table);
                    }
                    Ok(None) => {}
                    Err(fault) => all.faults.push(Wrong { message: format!("{name}: {}", fault.message), ..fault }),
                }
            }
        }
        all
    }

    fn each(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.tables.iter().flat_map(Table::each)
    }

    /// The functions that are called so, which may be several: names that are local to a file of the source, and functions of
    /// one name that differ in what they are called with.
    ///
    /// # Errors
    /// When there is none.
    pub fn called(&self, elf: &Elf, name: &str) -> Result<Vec<Function>, Wrong> {
        let (plain, version) = match name.split_once('@') {
            Some((plain, version)) => (plain, Some(version.trim_start_matches('@'))),
            None => (name, None),
        };
        let found: Vec<Symbol<'_>> = self.each().filter(|symbol| symbol.is_called(plain, version)).collect();
        let current = found.iter().any(|symbol| !symbol.hidden && matches!(symbol.is, Is::Function { .. }));
        let wanted = |symbol: &&Symbol<'_>| version.is_some() || !symbol.hidden || !current;
        let mut there = functions(elf, found.iter().filter(wanted).copied());
        if there.is_empty() {
            let in_source = |symbol: &Symbol<'_>| {
                !is_fragment(symbol.name) && symbol.is_in_source(|other| other == name.as_bytes())
            };
            there = functions(elf, self.each().filter(in_source));
        }
        if there.is_empty() {
            // All that a template was made into.
            let of_template = |symbol: &Symbol<'_>| {
                !is_fragment(symbol.name)
                    && symbol.is_in_source(|other| without_arguments(other) == Some(name.as_bytes()))
            };
            there = functions(elf, self.each().filter(of_template));
        }
        if there.is_empty() { Err(self.missing(elf, name, &found)) } else { Ok(there) }
    }

    /// The functions that a glob matches, each once, by name.
    pub fn matching(&self, elf: &Elf, glob: &str) -> Vec<Function> {
        let is = |name: &[u8]| glob::matches(glob.as_bytes(), name);
        let may_be = |symbol: &Symbol<'_>| !symbol.hidden && !is_fragment(symbol.name);
        functions(elf, self.each().filter(|symbol| may_be(symbol) && (is(symbol.name) || symbol.is_in_source(is))))
    }

    /// All functions, each once, by name.
    pub fn all(&self, elf: &Elf) -> Vec<Function> {
        functions(elf, self.each())
    }

    /// The function that begins at an address.
    pub fn at(&self, elf: &Elf, address: u64) -> Option<Function> {
        functions(elf, self.each().filter(|symbol| symbol.address == address)).pop()
    }

    /// The address and the size of the function whose code an address is within.
    pub fn around(&self, address: u64) -> Option<(u64, u64)> {
        let is_within = |symbol: &Symbol<'_>| address.checked_sub(symbol.address).is_some_and(|at| at < symbol.size);
        let all = self.each().filter(|symbol| matches!(symbol.is, Is::Function { .. }) && is_within(symbol));
        all.map(|symbol| (symbol.address, symbol.size)).max()
    }

    /// Whether there is anything that is called by one of these names, here or in a library.
    pub fn mentions(&self, names: &[&str]) -> bool {
        self.each().any(|symbol| names.iter().any(|name| symbol.is_called(name, None)))
    }

    /// The address of anything that is called so.
    pub fn address(&self, name: &str) -> Option<u64> {
        let mut found = self.each().filter(|symbol| symbol.is_called(name, None) && symbol.is != Is::Import);
        found.next().map(|symbol| symbol.address)
    }

    fn missing(&self, elf: &Elf, name: &str, found: &[Symbol<'_>]) -> Wrong {
        if found.iter().any(|symbol| symbol.is == Is::Data) {
            return Wrong::new(format!("{name} is no function, but data"));
        }
        if found.iter().any(|symbol| symbol.is == Is::Import) {
            let wrong = Wrong::new(format!("{name} is called here, but it is in one of the libraries"));
            return wrong.list("these are", &elf.libraries());
        }
        if found.iter().any(|symbol| matches!(symbol.is, Is::Function { .. })) {
            return Wrong::new(format!("{name} is in no part of the file that is executed"));
        }
        let wrong = Wrong::new(format!("there is no function {name}"));
        let functions = self.each().filter(|symbol| matches!(symbol.is, Is::Function { .. }));
        let text = |symbol: Symbol<'_>| match demangled(symbol.name) {
            Some(name) => name,
            None => String::from_utf8_lossy(symbol.name).into_owned(),
        };
        let names: Vec<_> = functions.take(COMPARED).map(text).collect();
        let close = closest(name, names.iter().map(String::as_str));
        let wrong = wrong.list("closest", &close);
        if self.complete {
            return wrong;
        }
        match names.is_empty() {
            true => wrong.hint("the binary is stripped: it has no symbols at all; 0xOFFSET in the file can be probed"),
            false => wrong.hint(
                "the binary is stripped: it has only the names that others use; local ones are in its debug symbols \
                 (a package of the distribution, or debuginfod); 0xOFFSET in the file can be probed",
            ),
        }
    }
}

/// Whether a name is one that compilers give to what they have made of a function (gcc: -fipa-sra, -fipa-cp, …).
pub(crate) fn is_changed(name: &str) -> bool {
    [".isra.", ".constprop.", ".part."].iter().any(|mark| name.contains(mark))
}

/// Whether it is a part of a function that the compiler has put elsewhere (gcc: -freorder-blocks-and-partition): it is
/// jumped to, not called, and no address to return to is on the stack.
pub(crate) fn is_fragment(name: &[u8]) -> bool {
    const MARK: &[u8] = b".cold";
    let ends = |at: usize| name.get(at + MARK.len()).is_none_or(|next| *next == b'.');
    name.windows(MARK.len()).enumerate().any(|(at, part)| at > 0 && part == MARK && ends(at))
}

fn table(elf: &Elf, section: &Section, dynamic: bool) -> Result<Option<Table>, Wrong> {
    let Some(mut bytes) = elf.content(section)? else { return Ok(None) };
    let strings = elf.sections.get(section.link as usize);
    let strings = strings.map(|section| elf.content(section)).transpose()?.flatten().unwrap_or_default();
    bytes.truncate(bytes.len() - bytes.len() % size_of::<Sym64<Little>>());
    let symbols = pod::slice_from_all_bytes(&bytes).map_err(|()| Wrong::new("it is damaged"))?.to_vec();
    let versions = if dynamic { Versions::read(elf, &strings) } else { Versions::default() };
    Ok(Some(Table { symbols, strings, versions }))
}

impl Table {
    fn each(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.symbols.iter().enumerate().filter_map(|(n, raw)| self.symbol(n, raw))
    }

    fn symbol(&self, n: usize, raw: &Sym64<Little>) -> Option<Symbol<'_>> {
        let kind = elf::SymbolType(raw.st_info.0 & 0xf);
        let is = match kind {
            elf::STT_FUNC | elf::STT_NOTYPE | elf::STT_GNU_IFUNC | elf::STT_OBJECT | elf::STT_TLS | elf::STT_COMMON
                if raw.st_shndx.get(Little).0 == 0 =>
            {
                Is::Import
            }
            elf::STT_FUNC | elf::STT_NOTYPE => Is::Function { chooses: false },
            elf::STT_GNU_IFUNC => Is::Function { chooses: true },
            elf::STT_OBJECT | elf::STT_TLS | elf::STT_COMMON => Is::Data,
            _ => return None,
        };
        let bind = match elf::SymbolBind(raw.st_info.0 >> 4) {
            elf::STB_GLOBAL | elf::STB_GNU_UNIQUE => Bind::Global,
            elf::STB_WEAK => Bind::Weak,
            _ => Bind::Local,
        };
        let name = self.name(raw.st_name.get(Little))?;
        // In tables that are not for loaders, the version is part of the name.
        let (name, version) = match name.iter().position(|byte| *byte == b'@') {
            Some(0) | None => (name, self.versions.of(n)),
            Some(at) => {
                let (plain, version) = name.split_at_checked(at)?;
                let current = version.strip_prefix(b"@@").map(|version| (version, false));
                (plain, current.or_else(|| Some((version.strip_prefix(b"@")?, true))))
            }
        };
        let (version, hidden) = version.map_or((None, false), |(version, hidden)| (Some(version), hidden));
        if name.is_empty() || name.first() == Some(&MAPPING) {
            return None;
        }
        let (address, size) = (raw.st_value.get(Little), raw.st_size.get(Little));
        Some(Symbol { name, version, hidden, is, bind, address, size })
    }

    fn name(&self, at: u32) -> Option<&[u8]> {
        let rest = self.strings.get(at as usize..)?;
        let end = rest.iter().take(NAME).position(|byte| *byte == 0)?;
        rest.get(..end)
    }
}

/// Each function once, whatever it is called: by the name that is most public, and shortest.
fn functions<'a>(elf: &Elf, symbols: impl Iterator<Item = Symbol<'a>>) -> Vec<Function> {
    let (mut by_address, mut kept): (BTreeMap<u64, Vec<Symbol<'_>>>, usize) = (BTreeMap::new(), 0);
    for symbol in symbols {
        let is_code = || elf.loaded(symbol.address).is_some_and(|segment| segment.executable);
        if !matches!(symbol.is, Is::Function { .. }) || kept > NAMES || !is_code() {
            continue;
        }
        kept += symbol.name.len();
        by_address.entry(symbol.address).or_default().push(symbol);
    }
    let text = |symbol: &Symbol<'_>| {
        let name = String::from_utf8_lossy(symbol.name);
        match symbol.old() {
            Some(version) => format!("{name}@{}", String::from_utf8_lossy(version)),
            None => name.into_owned(),
        }
    };
    let function = |mut same: Vec<Symbol<'_>>| {
        let underscores = |name: &[u8]| name.iter().take_while(|byte| **byte == b'_').count();
        same.sort_by_key(|one| (one.bind, one.old(), underscores(one.name), one.name.len(), one.name));
        same.dedup_by(|a, b| a.name == b.name && a.old() == b.old());
        let first = same.first()?;
        Some(Function {
            name: text(first),
            in_source: demangled(first.name),
            address: first.address,
            offset: elf.offset(first.address)?,
            size: same.iter().map(|one| one.size).max().unwrap_or(0),
            bind: first.bind,
            chooses: same.iter().any(|one| one.is == Is::Function { chooses: true }),
            aliases: same.iter().skip(1).map(text).collect(),
        })
    };
    let mut found: Vec<Function> = by_address.into_values().filter_map(function).collect();
    found.sort_by(|a, b| (a.called(), a.address).cmp(&(b.called(), b.address)));
    found
}

#[cfg(test)]
mod tests {
    use super::is_fragment;

    #[test]
    fn parts_of_functions_that_are_elsewhere_are_known_by_their_names() {
        let fragments = ["_ZN2ns4methEi.cold", "f.cold.3", "f.constprop.0.cold", "f.cold.isra.0"];
        assert!(fragments.iter().all(|name| is_fragment(name.as_bytes())));
        assert!(
            ["f", "cold", ".cold", "f.coldest", "f.part.0", "is.cold_start"]
                .iter()
                .all(|name| !is_fragment(name.as_bytes()))
        );
    }
}

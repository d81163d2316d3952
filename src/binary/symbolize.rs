//! Which function a place in a file is in, and which line of its source: by symbols, and by debug information where there
//! is some.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use blazesym::symbolize::source::{Elf as File, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolizer as Blazesym};
use object::elf;

use super::elf::Elf;

/// The most files that are kept open.
const FILES: usize = 256;

/// A function that a place is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inside {
    pub function: String,
    /// How far behind its beginning; 0 where it is inlined.
    pub offset: u64,
    /// The line of the source, as `file.c:42`.
    pub source: Option<String>,
    /// The compiler has put it into the next one.
    pub inlined: bool,
}

/// Looks up places in files, which stay open.
#[derive(Debug, Default)]
pub(crate) struct Symbolizer {
    blazesym: Blazesym,
    open: HashSet<PathBuf>,
}

impl Symbolizer {
    /// The functions that a place in a file is in, in bytes from its beginning: the innermost that was inlined there comes
    /// first. None: none is known.
    pub fn functions(&mut self, path: &Path, offset: u64) -> Vec<Inside> {
        if !self.open.contains(path) {
            if self.open.len() >= FILES {
                *self = Symbolizer::default();
            }
            self.open.insert(path.to_owned());
        }
        let look = |debug_syms| {
            let mut file = File::new(path);
            file.debug_syms = debug_syms;
            let found = self.blazesym.symbolize_single(&Source::Elf(file), Input::FileOffset(offset)).ok()?;
            found.as_sym().map(functions)
        };
        // Where the debug information cannot be read, there are symbols.
        look(true).or_else(|| look(false)).unwrap_or_default()
    }
}

fn functions(sym: &Sym<'_>) -> Vec<Inside> {
    let source = |info: &CodeInfo<'_>| {
        let line = info.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}{line}", info.to_path().display())
    };
    let inlined = sym.inlined.iter().rev().map(|inlined| Inside {
        function: inlined.name.to_string(),
        offset: 0,
        source: inlined.code_info.as_ref().map(source),
        inlined: true,
    });
    let own = Inside {
        function: sym.name.to_string(),
        offset: sym.offset as u64,
        source: sym.code_info.as_deref().map(source),
        inlined: false,
    };
    inlined.chain([own]).collect()
}

/// What is known of a file.
#[derive(Debug)]
pub(crate) struct About {
    pub build_id: Option<Vec<u8>>,
    /// The libraries that it needs.
    pub libraries: Vec<String>,
    /// Where its code begins in the file.
    pub code: Option<u64>,
}

/// What is known of a file; None: it is no binary.
pub(crate) fn about(path: &Path) -> Option<About> {
    let file = Elf::open(path).ok()?;
    // fs/binfmt_elf.c: load_elf_binary() takes the lowest one for where the code is.
    let code = file.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD.0 && segment.executable);
    let code = code.min_by_key(|segment| segment.address).map(|segment| segment.offset);
    Some(About { build_id: file.build_id(), libraries: file.libraries(), code })
}

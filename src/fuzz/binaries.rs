//! Binaries and what belongs to them: ELF files, debug information, notes, caches of the loader, prototypes.

use std::fs;

use crate::binary::Binary;
use crate::binary::find;
use crate::binary::fuzz as parsers;
use crate::spec::ast::Spec;
use crate::spec::parse::{Grammar, parse};
use crate::spec::resolve::user::{list_functions, list_statics, sites};
use crate::spec::resolve::{When, resolve};

/// All that can be asked of a binary; what would be printed.
pub(super) fn binary(bytes: &[u8]) -> Vec<String> {
    let it = match Binary::of_bytes(bytes) {
        Ok(it) => it,
        Err(fault) => return vec![fault.to_string()],
    };
    let mut said = Vec::new();
    let uprobe =
        ["simple", "of_thing(thing->next->low,thing->inner.numbers[1])", "many", "*", "f.c:9", "0x1139", "nope"];
    let texts = uprobe.iter().map(|text| (*text, Grammar::Uprobe)).chain([(":*", Grammar::Usdt)]);
    let specs = texts.filter_map(|(text, grammar)| parse(&format!("x:{text}"), grammar).ok());
    specs.for_each(|spec| said.extend(asked(&spec, &it)));
    list_statics(&it, "", "").iter().for_each(|one| said.push(format!("{} {:?}", one.name.escape_debug(), one.text)));
    if let Ok(all) = list_functions(&it, "s*") {
        said.extend(all.into_iter().map(|one| one.text.unwrap_or_default().escape_debug().to_string()));
    }
    said
}

fn asked(spec: &Spec, it: &Binary) -> Vec<String> {
    match sites(spec, it, None) {
        Err(error) => vec![error.message],
        Ok(found) => {
            for site in found.each.iter().take(50) {
                for when in [When::Entry, When::Return] {
                    let program = resolve(spec, &found.types, &site.scope(when)).map(|found| found.program);
                    let layout = crate::spec::code::Layout { test_room: 4096, fetch_room: 4096, ..Default::default() };
                    program.iter().for_each(|program| drop(crate::spec::code::generate(program, &layout)));
                }
            }
            found.notes
        }
    }
}

/// The texts that come with binaries.
pub(super) fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    parsers::operands(&text);
    parsers::prototypes(&text);
    parsers::maps(bytes);
    parsers::cache(bytes);
}

/// Small programs, without what they do.
pub(super) fn binaries() -> Vec<Vec<u8>> {
    let names = ["small", "older", "clang", "packed", "marks", "methods", "stripped"];
    names.iter().filter_map(|name| fs::read(test_objects::binary(name)).ok()).collect()
}

pub(super) fn all_texts() -> Vec<Vec<u8>> {
    let operands =
        "8@%rdi -4@$5 4@-20(%rbp) 8@16(%rsp,%rax,8) 8@here+8(%rip) 8f@%xmm0 8@[sp, 12] 8@[x0, x1, lsl 3] -4@w1";
    let prototypes = "typedef unsigned long size_t\nstruct a { int b; struct a *c; char d[3]; }\nint f(const struct a *x, size_t n, int (*g)(void), ...)\nvoid (*signal(int n, void (*handler)(int)))(int)\n";
    let maps = "7f0000000000-7f0000001000 r-xp 00000000 fd:01 13    /usr/lib/libx.so.1 (deleted)\n";
    let cache = find::samples::cache(
        &[("libc.so.6", "/lib/libc.so.6", 0x0303, 0), ("libz.so.1", "/lib/libz.so.1", 0x0303, 1)],
        true,
    );
    vec![operands.into(), prototypes.into(), maps.into(), cache]
}

//! The arrows between the files of `src/`: they follow the list of modules, and lead from no file back to itself.
//!
//! What a file imports is every path in it that leads to another module, in macros, too; what only tests have
//! (`#[cfg(test)]`) is left out. A parent that uses its child imports it, as any other file would. What a macro names by
//! `$crate` is imported by each file that uses the macro.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The modules of the crate, in order: each may use those after it.
const ORDER: &[&str] = &[
    "fuzz", "cli", "commands", "tracers", "options", "run", "load", "flow", "output", "spec", "event", "binary",
    "types", "host", "error", "report", "escape", "names", "ffi",
];

/// A module's path in the crate: `["types", "relo"]`.
type Name = Vec<String>;

/// The declarations and uses in the source files.
#[derive(Default)]
struct Source {
    /// Every module with its file, below `src/`.
    modules: BTreeMap<Name, PathBuf>,
    /// Files of modules that only tests have.
    of_tests: BTreeSet<PathBuf>,
    /// Which file names which path.
    uses: Vec<(PathBuf, Name)>,
    /// By the name of a macro, the paths in it that begin with `$crate`.
    macros: BTreeMap<String, Vec<Name>>,
    /// Which file uses which macro.
    calls: Vec<(PathBuf, String)>,
}

impl Source {
    fn read() -> Source {
        let mut source = Source::default();
        source.file(Path::new("lib.rs"), &[]);
        for (file, name) in std::mem::take(&mut source.calls) {
            let paths = source.macros.get(&name).into_iter().flatten();
            source.uses.extend(paths.map(|path| (file.clone(), path.clone())));
        }
        source
    }

    /// Reads the file of a module, and those of the modules in its directory: how they are declared (by a macro, too)
    /// is all the same.
    fn file(&mut self, file: &Path, module: &[String]) {
        let path = src().join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tokens = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (tokens, tests) = split_tests(tokens);
        let mut children = children_of(module);
        for name in &tests {
            let of_tests = children.remove(name).unwrap_or_else(|| panic!("no file for {name} of {}", file.display()));
            self.of_tests.extend(below(&joined(module, [name.clone()])));
            self.of_tests.insert(of_tests);
        }
        for (name, of_child) in &children {
            self.file(of_child, &joined(module, [name.clone()]));
        }
        self.module(file, module, children.into_keys().collect(), &tokens);
    }

    /// A module's tokens: its inner modules first, so that their names are known where paths begin with them.
    fn module(&mut self, file: &Path, module: &[String], mut children: BTreeSet<String>, tokens: &[TokenTree]) {
        self.modules.insert(module.to_vec(), file.to_owned());
        for (name, body) in inner_modules(tokens) {
            self.module(file, &joined(module, [name.clone()]), BTreeSet::new(), &without_tests(body));
            children.insert(name);
        }
        self.paths(&Scope { file, module, children: &children, of_macro: None }, tokens);
    }

    /// Collects the paths in a module's tokens that may lead to modules, and the macros that are used and defined.
    fn paths(&mut self, scope: &Scope, tokens: &[TokenTree]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let back = |many: usize| at.checked_sub(many).map(|before| &tokens[before]);
            // The middle of a path is no beginning. (One colon before it: the type of something.)
            let middle = back(1).is_some_and(|token| is(token, ':')) && back(2).is_some_and(|token| is(token, ':'));
            let of_user = back(1).is_some_and(|token| is(token, '$'));
            match token {
                TokenTree::Ident(word) if word == "crate" && of_user => {
                    let (names, end) = path(&[], tokens, at + 1);
                    if let Some(of_macro) = scope.of_macro {
                        self.macros.entry(of_macro.to_owned()).or_default().extend(names);
                    }
                    at = end;
                    continue;
                }
                TokenTree::Ident(word) if !middle && !of_user && is_path(tokens, at) => {
                    if let Some(prefix) = scope.prefix(&word.to_string()) {
                        let (names, end) = path(&prefix, tokens, at + 1);
                        self.uses.extend(names.into_iter().map(|name| (scope.file.to_owned(), name)));
                        at = end;
                        continue;
                    }
                }
                TokenTree::Ident(word) if tokens.get(at + 1).is_some_and(|token| is(token, '!')) => {
                    self.calls.push((scope.file.to_owned(), word.to_string()));
                }
                // A module with a body was read already, and who may see something is no use of that.
                TokenTree::Group(_) if back(2).is_some_and(|token| is_word(token, "mod")) => {}
                TokenTree::Group(group) if back(1).is_some_and(|token| is_word(token, "pub")) && is_in(group) => {}
                TokenTree::Group(group) => {
                    let name =
                        back(3).filter(|token| is_word(token, "macro_rules")).and(back(1)).map(ToString::to_string);
                    let scope = Scope { of_macro: name.as_deref().or(scope.of_macro), ..*scope };
                    self.paths(&scope, &without_tests(group.stream()));
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// The files that each file imports.
    fn imports(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut imports: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
        for (from, name) in &self.uses {
            let to = (0..=name.len()).rev().find_map(|length| self.modules.get(&name[..length]));
            let to = to.expect("the crate is one");
            if to != from {
                imports.entry(from).or_default().insert(to);
            }
        }
        imports
    }
}

/// Where a path is, by which its first segment gets its meaning.
#[derive(Clone, Copy)]
struct Scope<'a> {
    file: &'a Path,
    module: &'a [String],
    children: &'a BTreeSet<String>,
    /// The macro that is defined here.
    of_macro: Option<&'a str>,
}

impl Scope<'_> {
    /// The module that a path begins with, if its first segment is one of this crate.
    fn prefix(&self, word: &str) -> Option<Name> {
        match word {
            "crate" => Some(Vec::new()),
            "self" => Some(self.module.to_vec()),
            "super" => self.module.split_last().map(|(_, parent)| parent.to_vec()),
            _ => self.children.get(word).map(|child| joined(self.module, [child.clone()])),
        }
    }
}

/// Where the source files are.
fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of the modules in a module's directory, by their names: `a.rs` or `a/mod.rs`.
fn children_of(module: &[String]) -> BTreeMap<String, PathBuf> {
    let dir: PathBuf = module.iter().collect();
    let child = |name: String| match name.strip_suffix(".rs") {
        Some("mod" | "lib" | "main") => None,
        Some(stem) => Some((stem.to_owned(), dir.join(&name))),
        None => {
            let file = dir.join(&name).join("mod.rs");
            src().join(&file).is_file().then_some((name, file))
        }
    };
    let entries = std::fs::read_dir(src().join(&dir)).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("a file").file_name().into_string().expect("a name in UTF-8"));
    names.filter_map(child).collect()
}

/// All files of modules below one.
fn below(module: &[String]) -> Vec<PathBuf> {
    let of_child = |(name, file)| [vec![file], below(&joined(module, [name]))].concat();
    children_of(module).into_iter().flat_map(of_child).collect()
}

/// All Rust files in a directory below `src/`, and in those in it.
fn rust_files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(src().join(dir)).expect("a directory of src/") {
        let path = dir.join(entry.expect("a name").file_name());
        match src().join(&path).is_dir() {
            true => files.extend(rust_files(&path)),
            false => files.extend(Some(path).filter(|path| path.extension().is_some_and(|end| end == "rs"))),
        }
    }
    files
}

fn joined(module: &[String], more: [String; 1]) -> Name {
    module.iter().cloned().chain(more).collect()
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// Whether `::` follows.
fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|token| is(token, ':')) && tokens.get(at + 2).is_some_and(|token| is(token, ':'))
}

/// Whether a group says to what module something is restricted: `pub(in crate::output)`.
fn is_in(group: &Group) -> bool {
    group.stream().into_iter().next().is_some_and(|token| is_word(&token, "in"))
}

/// The paths that begin with `prefix`, of which the rest is here: several, where it is a tree; and where it ends.
fn path(prefix: &[String], tokens: &[TokenTree], mut at: usize) -> (Vec<Name>, usize) {
    let mut name = prefix.to_vec();
    while tokens.get(at).is_some_and(|token| is(token, ':')) && tokens.get(at + 1).is_some_and(|t| is(t, ':')) {
        match tokens.get(at + 2) {
            Some(TokenTree::Ident(word)) if word == "super" => _ = name.pop(),
            Some(TokenTree::Ident(word)) => name.push(word.to_string()),
            Some(TokenTree::Group(tree)) if tree.delimiter() == Delimiter::Brace => {
                let branches: Vec<TokenTree> = tree.stream().into_iter().collect();
                let branch = |branch: &[TokenTree]| match branch {
                    [] => Vec::new(),
                    [TokenTree::Ident(word), rest @ ..] if word == "self" => path(&name, rest, 0).0,
                    [first, rest @ ..] => path(&joined(&name, [first.to_string()]), rest, 0).0,
                };
                return (branches.split(|token| is(token, ',')).flat_map(branch).collect(), at + 3);
            }
            _ => break,
        }
        at += 3;
    }
    (vec![name], at)
}

/// The modules that have their body here.
fn inner_modules(tokens: &[TokenTree]) -> Vec<(String, TokenStream)> {
    let of = |three: &[TokenTree]| match three {
        [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body)] if word == "mod" => {
            Some((name.to_string(), body.stream()))
        }
        _ => None,
    };
    tokens.windows(3).filter_map(of).collect()
}

/// The tokens without the items that only tests have.
fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    split_tests(stream).0
}

/// The tokens without the items that only tests have, and the names of such modules in files of their own.
fn split_tests(stream: TokenStream) -> (Vec<TokenTree>, Vec<String>) {
    let (mut left, mut modules) = (Vec::new(), Vec::new());
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let attribute = |next: &TokenTree| matches!(next, TokenTree::Group(g) if g.to_string() == "[cfg (test)]");
        if !(is(&token, '#') && tokens.peek().is_some_and(attribute)) {
            left.push(token);
            continue;
        }
        // An item ends with its body or a semicolon; a group in brackets may be another attribute, or a type.
        let mut item = Vec::new();
        for token in tokens.by_ref() {
            let ends = is(&token, ';') || matches!(&token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace);
            item.push(token);
            if ends {
                break;
            }
        }
        if let [.., word, TokenTree::Ident(name), end] = item.as_slice()
            && is_word(word, "mod")
            && is(end, ';')
        {
            modules.push(name.to_string());
        }
    }
    (left, modules)
}

/// The place in [`ORDER`] of the module that a file belongs to; none for `lib.rs`, which has only the list.
fn place(file: &Path) -> Option<usize> {
    let name = file.with_extension("");
    let top = name.components().next().expect("a file").as_os_str().to_str().expect("a name in ASCII").to_owned();
    let place = ORDER.iter().position(|module| *module == top);
    assert!(place.is_some() || top == "lib", "src/{top} has no place in the order of modules in tests/shape.rs");
    place
}

#[test]
fn all_files_are_read() {
    let source = Source::read();
    let read = source.modules.into_values().chain(source.of_tests).chain([PathBuf::from("main.rs")]);
    assert_eq!(read.collect::<BTreeSet<_>>(), rust_files(Path::new("")));
}

#[test]
fn modules_use_only_those_below_them() {
    let source = Source::read();
    let mut upward = Vec::new();
    for (from, imports) in source.imports() {
        for to in imports {
            match (place(from), place(to)) {
                (Some(user), Some(used)) if used < user => {
                    upward.push(format!("{} → {}", from.display(), to.display()))
                }
                (Some(_), None) => upward.push(format!("{} → what lib.rs names a second time", from.display())),
                _ => {}
            }
        }
    }
    assert!(upward.is_empty(), "arrows that go up: {upward:#?}");
}

#[test]
fn files_import_each_other_in_no_circle() {
    let source = Source::read();
    let mut imports = source.imports();
    // Files that import none of the others are in no circle, and no more are those that nothing imports.
    loop {
        let before = imports.len();
        let importing: BTreeSet<&Path> = imports.keys().copied().collect();
        imports.values_mut().for_each(|its| its.retain(|file| importing.contains(file)));
        let imported: BTreeSet<&Path> = imports.values().flatten().copied().collect();
        imports.retain(|file, its| !its.is_empty() && imported.contains(file));
        if imports.len() == before {
            break;
        }
    }
    assert!(imports.is_empty(), "files in circles, and what they import of each other: {imports:#?}");
}

#[test]
fn no_tracer_knows_another() {
    let source = Source::read();
    let imports = source.imports();
    let shared = [Path::new("tracers/tracer.rs"), Path::new("tracers/opening.rs")];
    // The list of tracers names them all, and what each of them may use.
    let listed = &imports[Path::new("tracers/mod.rs")];
    let tracers: Vec<_> = listed.iter().filter(|file| file.starts_with("tracers") && !shared.contains(file)).collect();
    assert!(tracers.len() >= 6, "the list of tracers is read: {tracers:?}");
    for tracer in &tracers {
        let others: Vec<_> = tracers.iter().filter(|other| imports[**tracer].contains(**other)).collect();
        assert!(others.is_empty(), "{} uses {others:?}", tracer.display());
    }
}

//! The arrows between the files of `src/`: they follow the list of modules, and no two files import each other.
//!
//! What a file imports is every path in it that leads to another module, in macros, too; what only tests have
//! (`#[cfg(test)]`) is left out. A parent that uses its child imports it, as any other file would.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

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
    /// Which file names which path.
    uses: Vec<(PathBuf, Name)>,
}

impl Source {
    fn read() -> Source {
        let mut source = Source::default();
        source.file(Path::new("lib.rs"), &[]);
        source
    }

    /// Reads the file of a module, and those of the modules that it declares.
    fn file(&mut self, file: &Path, module: &[String]) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tokens = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.module(file, module, &without_tests(tokens));
    }

    /// A module's tokens: its inner modules first, so that their names are known where paths begin with them.
    fn module(&mut self, file: &Path, module: &[String], tokens: &[TokenTree]) {
        self.modules.insert(module.to_vec(), file.to_owned());
        let mut children = BTreeSet::new();
        for (at, name) in declared(tokens) {
            let child = joined(module, [name.clone()]);
            if let Some(TokenTree::Group(body)) = tokens.get(at) {
                self.module(file, &child, &without_tests(body.stream()));
            } else {
                // `a.rs` or `a/mod.rs`, in the directory named after this module.
                let dir: PathBuf = module.iter().collect();
                let files = [dir.join(format!("{name}.rs")), dir.join(&name).join("mod.rs")];
                let exists = |file: &&PathBuf| Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file).is_file();
                let of_child = files.iter().find(exists).unwrap_or_else(|| panic!("no file for {child:?}"));
                self.file(of_child, &child);
            }
            children.insert(name);
        }
        self.paths(&Scope { file, module, children: &children }, tokens);
    }

    /// Collects the paths in a module's tokens that may lead to modules.
    fn paths(&mut self, scope: &Scope, tokens: &[TokenTree]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let before = at.checked_sub(1).map(|before| &tokens[before]);
            // The middle of a path is no beginning, and `$crate` belongs to the user of the macro.
            let begins = !before.is_some_and(|token| is(token, ':') || is(token, '$'));
            match token {
                TokenTree::Ident(word) if begins && is_path(tokens, at) => {
                    if let Some(prefix) = scope.prefix(&word.to_string()) {
                        at = self.path(scope, &prefix, tokens, at + 1);
                        continue;
                    }
                }
                // A module with a body was read already.
                TokenTree::Group(_) if at >= 2 && is_word(&tokens[at - 2], "mod") => {}
                TokenTree::Group(group) => self.paths(scope, &without_tests(group.stream())),
                _ => {}
            }
            at += 1;
        }
    }

    /// A path after its first segment, which may be a tree of several; where it ends.
    fn path(&mut self, scope: &Scope, prefix: &[String], tokens: &[TokenTree], mut at: usize) -> usize {
        let mut name = prefix.to_vec();
        while tokens.get(at).is_some_and(|token| is(token, ':')) && tokens.get(at + 1).is_some_and(|t| is(t, ':')) {
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(word)) if word == "super" => _ = name.pop(),
                Some(TokenTree::Ident(word)) => name.push(word.to_string()),
                Some(TokenTree::Group(tree)) if tree.delimiter() == Delimiter::Brace => {
                    let branches: Vec<TokenTree> = tree.stream().into_iter().collect();
                    for branch in branches.split(|token| is(token, ',')) {
                        match branch {
                            [] => {}
                            [TokenTree::Ident(word), rest @ ..] if word == "self" => {
                                _ = self.path(scope, &name, rest, 0)
                            }
                            [first, rest @ ..] => {
                                _ = self.path(scope, &joined(&name, [first.to_string()]), rest, 0);
                            }
                        }
                    }
                    return at + 3;
                }
                _ => break,
            }
            at += 3;
        }
        self.uses.push((scope.file.to_owned(), name));
        at
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

/// The meaning of a path's first segment.
struct Scope<'a> {
    file: &'a Path,
    module: &'a [String],
    children: &'a BTreeSet<String>,
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

/// The modules declared here, with the position after their names: a body, or `;`.
fn declared(tokens: &[TokenTree]) -> Vec<(usize, String)> {
    let ends = |token: &TokenTree| is(token, ';') || matches!(token, TokenTree::Group(_));
    let of = |(at, three): (usize, &[TokenTree])| match three {
        [TokenTree::Ident(word), TokenTree::Ident(name), end] if word == "mod" && ends(end) => {
            Some((at + 2, name.to_string()))
        }
        _ => None,
    };
    tokens.windows(3).enumerate().filter_map(of).collect()
}

/// The tokens without the items that only tests have.
fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    let mut left = Vec::new();
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let attribute = |next: &TokenTree| matches!(next, TokenTree::Group(g) if g.to_string() == "[cfg (test)]");
        if !(is(&token, '#') && tokens.peek().is_some_and(attribute)) {
            left.push(token);
            continue;
        }
        // An item ends with its body or a semicolon; a group in brackets may be another attribute, or a type.
        for token in tokens.by_ref() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                token if is(&token, ';') => break,
                _ => {}
            }
        }
    }
    left
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
fn modules_use_only_those_below_them() {
    let source = Source::read();
    assert!(source.modules.len() > 80, "all files are read: {:?}", source.modules);
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
fn no_two_files_import_each_other() {
    let source = Source::read();
    let imports = source.imports();
    let mut mutual = Vec::new();
    for (one, its) in &imports {
        for other in its.iter().filter(|other| one < *other) {
            if imports.get(other).is_some_and(|others| others.contains(one)) {
                mutual.push(format!("{} ↔ {}", one.display(), other.display()));
            }
        }
    }
    assert!(mutual.is_empty(), "files that import each other: {mutual:#?}");
}

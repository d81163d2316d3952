//! All that `btf show`, `btf diff` and `btf dump` may say of types: see src/fuzz.rs.

use super::lookup::find;
use super::show::Shown;
use super::{diff, dump};
use crate::escape::printable;
use crate::types::relo::Target;

/// What they say of the first of them, and of all.
pub(crate) fn all_of(target: &Target) -> Vec<String> {
    const FIRST: u32 = 24;
    let types = &target.types;
    let mut names = vec!["struct nothing".to_owned(), "thing.flags.x".to_owned()];
    for found in (1..types.btf.types().min(FIRST)).filter_map(|id| types.get(id)) {
        let name = String::from_utf8_lossy(found.name).into_owned();
        names.extend(types.members(found).take(2).map(|m| format!("{name}.{}", String::from_utf8_lossy(m.name))));
        names.extend(types.values(found).take(1).map(|(value, _)| String::from_utf8_lossy(value).into_owned()));
        names.push(name);
    }
    let mut printed = Vec::new();
    for name in &names {
        match find(types, name) {
            Ok(items) => {
                for shown in items.iter().take(4).filter_map(|item| Shown::new(target, item).ok()) {
                    let json = shown.json().to_string();
                    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
                    printed.push(shown.text());
                }
            }
            Err(error) => printed.push(format!("{error:#}")),
        }
        for change in diff::compare([target, target], &printable(name), true).into_iter().flatten() {
            let mut text = String::new();
            change.text("->", &mut text);
            printed.push(text);
        }
    }
    let mut bytes = Vec::new();
    let written = dump::write(target, dump::BtfFormat::C, &mut bytes);
    printed.extend(written.err().map(|error| format!("{error:#}")));
    printed.push(String::from_utf8(bytes).expect("C in UTF-8"));
    printed
}

//! For the tests of parsers: functions of text.

use super::find;
use super::machine::Machine;
use super::prototypes::Prototypes;
use super::usdt;
use crate::types::builder::Builder;

pub(crate) fn operands(text: &str) {
    for machine in [Machine::X86, Machine::Arm] {
        usdt::of_text(machine, text);
    }
}

/// Prototypes become types that are read, or are refused.
pub(crate) fn prototypes(text: &str) {
    let table = Prototypes::parse(text);
    let mut builder = Builder::new();
    let names: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    table.add(&mut builder, names.into_iter());
    drop(builder.finish());
}

pub(crate) fn maps(bytes: &[u8]) {
    find::of_maps(bytes);
}

pub(crate) fn cache(bytes: &[u8]) {
    find::of_cache(bytes);
}

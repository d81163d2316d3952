//! Lines of the source, and what is known at an address within a function.

use std::collections::BTreeMap;

use gimli::{Unit, constants as dw};

use super::super::machine::Machine;
use super::entries::{At, Debug, Entry as Die, Part, Slice};
use super::frame::Frames;
use super::functions::{Param, entry_stage};
use super::place::{Entry, Stage};

/// The most rows of all line tables that are looked at.
const ROWS: u64 = 40_000_000;
/// The most places of one line.
const PLACES: usize = 1000;
/// The most variables at a place.
const VARIABLES: usize = 200;

/// Where a line is.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Addresses, one for each copy of the line.
    pub addresses: Vec<u64>,
    /// Lines of that file with code, where this one has none.
    pub others: Vec<u32>,
    /// Files of that name.
    pub files: Vec<String>,
    /// Names of all files, where there is none of that name.
    pub known: Vec<String>,
}

/// What is known at a place within a function.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub function: String,
    /// Variables that are known there, the innermost first, and then the function's parameters.
    pub variables: Vec<Param>,
    /// How many of them are the function's parameters: the last ones.
    pub parameters: usize,
}

impl<'a> Debug<'a> {
    /// Where a line of a file is; the file by its name, or by the end of its path.
    pub fn line(&self, file: &str, line: u32) -> Lines {
        let (mut found, mut rows_left) = (Lines::default(), ROWS);
        let mut others: Vec<u32> = Vec::new();
        for number in 0..self.count() {
            let Some(unit) = self.unit(Part::Info, number) else { continue };
            let Some(program) = unit.line_program.clone() else { continue };
            // Which of the unit's files it is.
            let mut wanted: Vec<u64> = Vec::new();
            let first = u64::from(program.header().version() < 5);
            let count = program.header().file_names().len() as u64;
            for index in first..count.saturating_add(first) {
                let Some(path) = self.path(&unit, index) else { continue };
                if ends_with(&path, file) {
                    wanted.push(index);
                    if !found.files.contains(&path) && found.files.len() < 64 {
                        found.files.push(path);
                    }
                } else if found.known.len() < 100_000 {
                    found.known.push(path.rsplit('/').next().unwrap_or(&path).to_owned());
                }
            }
            if wanted.is_empty() {
                continue;
            }
            let mut here: Vec<u64> = Vec::new();
            let (mut rows, mut before) = (program.rows(), false);
            while let Ok(Some((_, row))) = rows.next_row() {
                let Some(left) = rows_left.checked_sub(1) else { break };
                rows_left = left;
                let number = row.line().and_then(|line| u32::try_from(line.get()).ok());
                let is_file = wanted.contains(&row.file_index()) && !row.end_sequence();
                if is_file && row.is_stmt() && others.len() < 1_000_000 {
                    others.extend(number);
                }
                let is_it = is_file && number == Some(line);
                if is_it && row.is_stmt() && !before && here.len() < PLACES {
                    here.push(row.address());
                }
                before = is_it;
            }
            found.addresses.extend(self.one_each(number, here));
        }
        found.addresses.retain(|address| *address > 0);
        found.addresses.sort_unstable();
        found.addresses.dedup();
        others.sort_unstable();
        others.dedup();
        let at = others.partition_point(|other| *other < line);
        found.others = others.get(at.saturating_sub(2)..(at + 3).min(others.len())).unwrap_or_default().to_vec();
        found
    }

    fn path(&self, unit: &Unit<Slice<'a>>, index: u64) -> Option<String> {
        let header = unit.line_program.as_ref()?.header();
        let file = header.file(index)?;
        let text = |value| Some(String::from_utf8_lossy(self.text(Part::Info, unit, value)?).into_owned());
        let name = text(file.path_name())?;
        let dir = file.directory(header).and_then(text).filter(|_| !name.starts_with('/'));
        Some(match dir {
            Some(dir) => format!("{dir}/{name}"),
            None => name,
        })
    }

    /// Of several addresses in one copy of a function, the first one.
    fn one_each(&self, unit: usize, addresses: Vec<u64>) -> Vec<u64> {
        let mut by_copy: BTreeMap<Option<At>, u64> = BTreeMap::new();
        for (address, around) in addresses.iter().zip(self.around(unit, &addresses)) {
            let copies = [dw::DW_TAG_subprogram, dw::DW_TAG_inlined_subroutine];
            let copy = around.iter().rev().find(|(_, tag)| copies.contains(tag)).map(|(at, _)| *at);
            let first = by_copy.entry(copy).or_insert(*address);
            *first = (*first).min(*address);
        }
        by_copy.into_values().collect()
    }

    /// For each address, what it is in: functions, copies of inlined ones, blocks; from the outside to the inside.
    fn around(&self, unit: usize, addresses: &[u64]) -> Vec<Vec<(At, gimli::DwTag)>> {
        let mut found = vec![Vec::new(); addresses.len()];
        let Some(unit) = self.unit(Part::Info, unit) else { return found };
        let Ok(mut raw) = unit.entries_raw(None) else { return found };
        let mut entry = Die::null();
        let tags = [dw::DW_TAG_subprogram, dw::DW_TAG_inlined_subroutine, dw::DW_TAG_lexical_block];
        while !raw.is_empty() && self.spend(1).is_some() {
            match raw.read_entry(&mut entry) {
                Ok(true) if tags.contains(&entry.tag()) => {}
                Ok(_) => continue,
                Err(_) => break,
            }
            let Ok(mut ranges) = self.dwarf(Part::Info).die_ranges(&unit, &entry) else { continue };
            let offset = unit.header.offset().0.saturating_add(entry.offset().0);
            let at = At { part: Part::Info, offset };
            while let Ok(Some(range)) = ranges.next() {
                if self.spend(1).is_none() {
                    break;
                }
                for (address, found) in addresses.iter().zip(&mut found) {
                    if (range.begin..range.end).contains(address) && found.last() != Some(&(at, entry.tag())) {
                        found.push((at, entry.tag()));
                    }
                }
            }
        }
        found
    }

    /// What is known at these addresses; None: nothing.
    pub fn spots(&self, addresses: &[u64], machine: Machine, frames: &Frames) -> Vec<Option<Spot>> {
        let spot = |address: &u64| {
            let unit = self.unit_of(*address)?;
            let around = self.around(unit, &[*address]).pop()?;
            self.spot(&around, *address, machine, frames)
        };
        addresses.iter().map(spot).collect()
    }

    fn spot(&self, around: &[(At, gimli::DwTag)], address: u64, machine: Machine, frames: &Frames) -> Option<Spot> {
        let outer = around.iter().position(|(_, tag)| *tag == dw::DW_TAG_subprogram)?;
        let (function, _) = *around.get(outer)?;
        let (unit, entry) = self.entry(function)?;
        let low = self.address(&unit, &entry, dw::DW_AT_low_pc);
        // Where there is no code before it, it is the entry itself.
        let stage = match low == Some(address) {
            true => entry_stage(&unit, &entry),
            false => Stage::Within(self.frame(&unit, &entry, frames, machine, address)),
        };
        let here = Entry { machine, address, stage };
        let mut variables: Vec<Param> = Vec::new();
        let mut parameters = 0;
        let mut copy = None;
        // From the inside to the outside of the innermost function; what is behind that belongs to others.
        for (at, tag) in around.iter().rev() {
            let [mut params, mut own]: [Vec<Param>; 2] = Default::default();
            for (child, entry) in self.children(*at, 4096) {
                match entry.tag() {
                    dw::DW_TAG_formal_parameter => params.extend(self.variable(child, &here)),
                    dw::DW_TAG_variable => own.extend(self.variable(child, &here)),
                    _ => {}
                }
            }
            let new = |param: &Param| param.name.is_some() && !variables.iter().any(|other| other.name == param.name);
            own.retain(new);
            params.retain(new);
            parameters = params.len();
            variables.append(&mut own);
            variables.append(&mut params);
            let is_copy = *tag != dw::DW_TAG_lexical_block;
            if is_copy || variables.len() > VARIABLES {
                copy = Some(*at);
                break;
            }
        }
        let name = self.name(copy.unwrap_or(function)).unwrap_or_default();
        Some(Spot { function: String::from_utf8_lossy(name).into_owned(), variables, parameters })
    }
}

/// Whether a path is that file: all of it, or its last parts.
fn ends_with(path: &str, file: &str) -> bool {
    path.strip_suffix(file).is_some_and(|before| before.is_empty() || before.ends_with('/') || file.starts_with('/'))
}

//! A program in the making: slots that are shared, and notes.

use crate::spec::ir::Program;
use crate::spec::ir::{Base, SLOTS_MAX, Slot, TAIL_MAX};
use crate::types::model::Types;

/// What is read so far.
pub(crate) struct Maker<'a> {
    pub types: &'a Types,
    pub slots: Vec<Slot>,
    pub notes: Vec<String>,
    /// Known structs are summed up where they are pointed to.
    pub rich: bool,
    /// There is room for many values, as far as it is known.
    pub roomy: bool,
}

impl<'a> Maker<'a> {
    pub fn new(types: &'a Types) -> Self {
        Self { types, slots: Vec::new(), notes: Vec::new(), rich: true, roomy: true }
    }

    /// Which slot this is: the same read is done once.
    pub fn add(&mut self, slot: Slot) -> usize {
        let is_it = |other: &Slot| *other == slot || (slot.read.is_usual() && *other == slot.clone().whole());
        if let Some(at) = self.slots.iter().position(is_it) {
            return at;
        }
        self.slots.push(slot);
        self.slots.len() - 1
    }

    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Why it is too much for one program, if it is.
    pub fn too_much(&self) -> Option<String> {
        if self.slots.len() > SLOTS_MAX {
            return Some(format!("{} values are read, and one probe has room for {SLOTS_MAX}", self.slots.len()));
        }
        let tail: u32 = self.slots.iter().map(|slot| slot.read.longest()).sum();
        (tail > TAIL_MAX).then(|| {
            format!("strings and paths may come to {tail} bytes, and one event has room for {TAIL_MAX}: str[N] makes them shorter")
        })
    }

    /// The program, without its test. `result_words`: how many words there are where what is returned is one.
    pub fn program(self, result_words: u32) -> Program {
        let words = self.slots.iter().map(|slot| match slot.base {
            Base::Word { index, .. } => index.saturating_add(1),
            Base::Return => result_words,
            Base::Sum { word, index, .. } => index.max(word.unwrap_or(0)).saturating_add(1),
            Base::Context | Base::Task | Base::Duration | Base::Constant(_) => 0,
        });
        Program { words: words.max().unwrap_or(0), slots: self.slots, ..Program::default() }
    }
}

//! The formats of a stream of events: a new one is a file beside this, and a variant here.

use super::fields;
use super::json::Json;
use super::look::{Look, Time};
use super::output::Output;
use super::perfetto::Perfetto;
use super::tables::Table;
use super::text::Text;
use crate::event::Kind;

/// What tracers and `replay` can print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people
    #[default]
    Text,
    /// One JSON object a line, for programs
    Json,
    /// A trace for Perfetto (ui.perfetto.dev): processes on a time line; binary, so it needs -O FILE
    Perfetto,
}

/// The formats of lines: views are made of such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Aligned columns, for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl Format {
    /// One of each.
    pub const ALL: [Format; 3] = [Format::Text, Format::Json, Format::Perfetto];

    /// Makes the output. What is no text looks the same everywhere.
    #[must_use]
    pub fn build(self, look: Look, table: Table) -> Box<dyn Output> {
        match self.lines() {
            Some(lines) => lines.build(look, table),
            None => Box::new(Perfetto::default()),
        }
    }

    /// The same, where it is one of lines; else it is binary.
    #[must_use]
    pub fn lines(self) -> Option<Lines> {
        match self {
            Format::Text => Some(Lines::Text),
            Format::Json => Some(Lines::Json),
            Format::Perfetto => None,
        }
    }

    /// Whether it has all that can be known of an event, however it looks.
    #[must_use]
    pub fn is_complete(self) -> bool {
        match self {
            Format::Text => false,
            Format::Json | Format::Perfetto => true,
        }
    }

    /// Whether losses are reported beside it, on stderr: else they are in it.
    #[must_use]
    pub fn has_losses_aside(self) -> bool {
        match self {
            Format::Text => true,
            Format::Json | Format::Perfetto => false,
        }
    }
}

impl Lines {
    /// Makes the output.
    #[must_use]
    pub fn build(self, look: Look, table: Table) -> Box<dyn Output> {
        match self {
            Lines::Text => Box::new(Text::new(look, table)),
            Lines::Json => Box::new(Json::default()),
        }
    }

    /// Makes the output of these fields alone, in that order.
    #[must_use]
    pub fn build_only<'k>(
        self,
        look: Look,
        names: &[String],
        kinds: impl IntoIterator<Item = &'k Kind, IntoIter: Clone>,
    ) -> Box<dyn Output> {
        let kinds = kinds.into_iter();
        let names = &fields::spelled_out(names, kinds.clone())[..];
        let timed = names.iter().any(|name| name == "time");
        let look = Look { time: if timed { look.time } else { Time::None }, ..look };
        match self {
            Lines::Text => Box::new(Text::new(look, fields::table(names, kinds))),
            Lines::Json => Box::new(Json::only(names.to_vec())),
        }
    }
}

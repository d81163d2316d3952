//! The formats of a stream of events: a new one is a file beside this, and a variant here.

use super::fields;
use super::json::Json;
use super::look::{Look, Time};
use super::output::Output;
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
}

impl Format {
    /// Makes the output. JSON looks the same everywhere.
    #[must_use]
    pub fn build(self, look: Look, table: Table) -> Box<dyn Output> {
        match self {
            Format::Text => Box::new(Text::new(look, table)),
            Format::Json => Box::new(Json::default()),
        }
    }

    /// Makes the output of these fields alone, in that order.
    #[must_use]
    pub fn build_only<'k>(
        self,
        look: Look,
        names: &[String],
        kinds: impl IntoIterator<Item = &'k Kind>,
    ) -> Box<dyn Output> {
        let timed = names.iter().any(|name| name == "time");
        let look = Look { time: if timed { look.time } else { Time::None }, ..look };
        match self {
            Format::Text => Box::new(Text::new(look, fields::table(names, kinds))),
            Format::Json => Box::new(Json::only(names.to_vec())),
        }
    }

    /// Whether it has all that can be known of an event, however it looks.
    #[must_use]
    pub fn is_complete(self) -> bool {
        match self {
            Format::Text => false,
            Format::Json => true,
        }
    }

    /// Whether losses are reported beside it, on stderr: else they are in it.
    #[must_use]
    pub fn has_losses_aside(self) -> bool {
        match self {
            Format::Text => true,
            Format::Json => false,
        }
    }
}

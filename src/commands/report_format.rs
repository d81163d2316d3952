//! The formats of what is no stream of events: reports and lists.

/// What `check`, `btf`, `relocs`, `label ls` and `schema` can print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Choice {
    /// Aligned columns, for people
    #[default]
    Text,
    /// One JSON object a line, for programs
    Json,
}

//! What is made of a stream of events: a new view is a file beside this, and a variant here.

use super::format::Lines;
use super::lives::Lives;
use super::look::Look;
use super::output::Output;
use super::processes::Bounds;
use super::summary::{self, By, Summary};
use super::tables::Table;
use super::tree::{self, Tree, TreeMode};

/// What is shown of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Its events.
    #[default]
    Events,
    /// A line for each life of a process, when it ends.
    Lives,
    /// The processes as a tree.
    Tree(TreeMode),
    /// What it comes to; processes are put together by this.
    Summary(By),
}

impl View {
    /// One of each.
    pub const ALL: [View; 6] = [
        View::Events,
        View::Lives,
        View::Tree(TreeMode::Live),
        View::Tree(TreeMode::End),
        View::Summary(By::Program),
        View::Summary(By::Args),
    ];

    /// The output that shows events this way, in this format.
    #[must_use]
    pub fn build(self, lines: Lines, look: Look, table: Table) -> Box<dyn Output> {
        match self {
            View::Events => lines.build(look, table),
            View::Lives => Box::new(Lives::new(lines, look, table, Bounds::default())),
            View::Summary(by) => Box::new(Summary::new(by, lines, look, table, summary::BOUNDS, summary::ROWS)),
            View::Tree(mode) => Box::new(Tree::new(mode, lines, look, table, tree::BOUNDS)),
        }
    }

    /// The option that asks for it.
    #[must_use]
    pub fn option(self) -> Option<&'static str> {
        match self {
            View::Events => None,
            View::Lives => Some("--lives"),
            View::Tree(TreeMode::Live) => Some("--tree"),
            View::Tree(TreeMode::End) => Some("--tree=end"),
            View::Summary(_) => Some("--summary"),
        }
    }

    /// Whether it shows all that events have, beside what they all have: some views do in JSON alone.
    #[must_use]
    pub fn shows_all_fields(self, lines: Lines) -> bool {
        match self {
            View::Events | View::Tree(TreeMode::Live) => true,
            View::Lives | View::Tree(TreeMode::End) => lines == Lines::Json,
            View::Summary(_) => false,
        }
    }

    /// The option that asks for it, where it is about processes: it needs to see them end, and cannot be of single events.
    #[must_use]
    pub fn of_processes(self) -> Option<&'static str> {
        match self {
            View::Events | View::Summary(_) => None,
            View::Lives => Some("--lives"),
            View::Tree(_) => Some("--tree"),
        }
    }
}

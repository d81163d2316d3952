//! Which columns a tracer's text has: data that a tracer returns.

/// How much room a line of text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Room {
    /// A terminal of few columns.
    Narrow,
    /// A terminal of many columns, or none.
    #[default]
    Roomy,
    /// All that there is was asked for (-w).
    Wide,
}

/// Which part of a value a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// All of it.
    Whole,
    /// Of a [`Value::Ret`](crate::event::Value::Ret), the number; `-` for an error.
    Number,
    /// Of a [`Value::Ret`](crate::event::Value::Ret), the error; `-` for a number.
    Error,
}

/// A column of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a member of the head, and titled in capitals")]
pub enum Column {
    Kind,
    Pid,
    Ppid,
    Tid,
    Uid,
    Gid,
    Comm,
    /// Behind [`Column::Comm`] wherever there are labels: no table need list it.
    Label,
    /// The value of a field, without its name: `-` where the event has none, `?` where it could not be read.
    Field {
        /// The field's name.
        name: &'static str,
        /// The column's title.
        title: &'static str,
        /// How wide it is; 0: it is the last one, and takes the rest of the line.
        width: usize,
        /// Numbers and the like: aligned to the right.
        right: bool,
        /// Which part of the value.
        show: Show,
    },
}

impl Column {
    /// A field's value, aligned to the left; without a width it is the last column.
    #[must_use]
    pub const fn field(name: &'static str, title: &'static str, width: usize) -> Self {
        Column::Field { name, title, width, right: false, show: Show::Whole }
    }

    /// A part of a field's value; numbers are aligned to the right.
    #[must_use]
    pub const fn part(name: &'static str, title: &'static str, width: usize, show: Show) -> Self {
        Column::Field { name, title, width, right: matches!(show, Show::Number), show }
    }
}

/// How a tracer's events look in text: TIME, then these; with [`Table::details`] all other fields follow, each
/// `name=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: &'static [Column],
    /// The fields that no column shows are shown as `name=value`.
    pub details: bool,
}

impl Table {
    /// What suits a tracer of several kinds of events: who did it in columns, all else as details.
    #[must_use]
    pub fn general(room: Room) -> Self {
        use Column::{Comm, Gid, Kind, Pid, Ppid, Tid, Uid};
        let columns: &[Column] = match room {
            Room::Narrow => &[Kind, Pid, Ppid, Uid, Comm],
            Room::Roomy | Room::Wide => &[Kind, Pid, Ppid, Tid, Uid, Gid, Comm],
        };
        Table { columns, details: true }
    }
}

//! Which columns a tracer's text has: data that a tracer returns, and may make at run time.

use std::borrow::Cow;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    Kind,
    Pid,
    Ppid,
    Tid,
    Uid,
    /// The name of the user: `-` where names are not asked for, `?` where the host has none.
    User,
    Gid,
    Comm,
    /// The same as the last one: as long as it is.
    Name,
    /// Behind [`Column::Comm`] wherever there are labels: no table need list it.
    Label,
    BootNs,
    Cpu,
    Seq,
    CgroupId,
    /// The path of the cgroup, likewise to [`Column::User`].
    Cgroup,
    /// The systemd unit, likewise; `-` where it is in none.
    Unit,
    /// The container's name, or its short id; `-` where it is in none. Behind [`Column::Comm`] where containers are filtered
    /// by: no table need list it.
    Container,
    /// A call as in C, with what it returned and how long it took: `f(a=1) = 0 [12.3us]`. The last one: it takes the rest
    /// of the line.
    Call,
    /// A stack, which is on lines below the event's, and takes no column.
    Stack(Cow<'static, str>),
    /// The value of a field, without its name: `-` where the event has none, `?` where it could not be read.
    Field {
        name: Cow<'static, str>,
        title: Cow<'static, str>,
        /// 0: it is the last one, and takes the rest of the line.
        width: usize,
        /// Numbers and the like: aligned to the right.
        right: bool,
        show: Show,
    },
}

impl Column {
    /// A field's value, aligned to the left; without a width it is the last column.
    #[must_use]
    pub const fn field(name: &'static str, title: &'static str, width: usize) -> Self {
        Self::of(name, title, width, false, Show::Whole)
    }

    /// A part of a field's value; numbers are aligned to the right.
    #[must_use]
    pub const fn part(name: &'static str, title: &'static str, width: usize, show: Show) -> Self {
        Self::of(name, title, width, matches!(show, Show::Number), show)
    }

    const fn of(name: &'static str, title: &'static str, width: usize, right: bool, show: Show) -> Self {
        Column::Field { name: Cow::Borrowed(name), title: Cow::Borrowed(title), width, right, show }
    }
}

/// How a tracer's events look in text: TIME, then these columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub columns: Cow<'static, [Column]>,
    /// The fields that no column shows follow as `name=value`, and with -w the names that none shows.
    pub details: bool,
    /// All stacks are shown, below the events; else those that columns name.
    pub stacks: bool,
}

impl Table {
    /// These columns, and nothing else.
    #[must_use]
    pub const fn plain(columns: &'static [Column]) -> Self {
        Table { columns: Cow::Borrowed(columns), details: false, stacks: true }
    }

    /// These columns, and all else as details.
    #[must_use]
    pub const fn detailed(columns: &'static [Column]) -> Self {
        Table { columns: Cow::Borrowed(columns), details: true, stacks: true }
    }

    /// What is indented by how deep a process is in the tree: its name, and all else as details, also the number of a thread
    /// that is not its first.
    #[must_use]
    pub fn tree(room: Room) -> Self {
        use Column::{Gid, Kind, Name, Pid, Ppid, Tid, Uid};
        Table::detailed(match room {
            Room::Narrow | Room::Roomy => const { &[Kind, Pid, Name] },
            Room::Wide => const { &[Kind, Pid, Ppid, Tid, Uid, Gid, Name] },
        })
    }

    /// What suits a tracer of several kinds of events: who did it in columns, all else as details.
    #[must_use]
    pub fn general(room: Room) -> Self {
        use Column::{Comm, Gid, Kind, Pid, Ppid, Tid, Uid};
        Table::detailed(match room {
            Room::Narrow => const { &[Kind, Pid, Ppid, Uid, Comm] },
            Room::Roomy | Room::Wide => const { &[Kind, Pid, Ppid, Tid, Uid, Gid, Comm] },
        })
    }
}

//! What can be wrong with a file that was to hold a kernel's types.

use std::{fmt, io};

/// What is wrong with a file of type information.
#[derive(Debug)]
pub enum Fault {
    /// There is no such file.
    Missing,
    Unreadable(io::Error),
    Cut {
        size: u64,
        /// The size that its header promises.
        wanted: u64,
    },
    /// What is packed in it ends early.
    EndsEarly,
    /// What is packed in it, in this format, is damaged.
    Damaged(&'static str),
    /// It is packed in this format, which is not unpacked here.
    Packed(&'static str),
    /// It unpacks to more than any kernel does, or asks for more memory.
    TooLarge,
    /// It comes from a machine of the other byte order.
    ForeignByteOrder,
    /// It comes from a machine of this architecture, which is not the one here.
    ForeignMachine(&'static str),
    /// It is of another kernel than the running one.
    OtherKernel {
        /// The release that it is of.
        of: String,
        /// The running one; the same where it is only built differently.
        here: String,
    },
    /// It is something else.
    NotBtf,
    /// It begins like BTF, and what follows makes no sense.
    BadHeader(&'static str),
    /// It is an ELF file without a `.BTF` section.
    NoSection,
    /// It is a kernel image in which no kernel was found.
    NoPayload,
    /// It is a kernel image without types.
    NoTypes,
    /// It is a package or an archive in which no kernel was found.
    NoKernel,
    /// Its types are a module's, and go on where those of its kernel end, which are not at hand.
    Module,
    /// It has types of a kind that this program does not know.
    NewerKind(u8),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "there is no such file"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Cut { size, wanted } => write!(f, "is cut: {size} bytes of {wanted}"),
            Self::EndsEarly => write!(f, "is cut: what is packed in it ends early"),
            Self::Damaged(format) => write!(f, "is damaged: what {format} packed cannot be unpacked"),
            Self::Packed(format) => write!(f, "is compressed with {format}, which coretrace does not unpack"),
            Self::TooLarge => {
                write!(f, "is damaged, or no kernel: unpacking it takes more memory than any kernel does")
            }
            Self::ForeignByteOrder => write!(f, "is of the other byte order: it comes from another kind of machine"),
            Self::ForeignMachine(name) => write!(f, "is of another architecture: {name}"),
            Self::OtherKernel { of, here } if of == here => {
                write!(f, "is of another kernel: also {of}, but not the same build as the running one")
            }
            Self::OtherKernel { of, here } => write!(f, "is of another kernel: {of}, and {here} is running"),
            Self::NotBtf => {
                write!(f, "is not BTF, nor an ELF file, a kernel image or a kernel package that could hold it")
            }
            Self::BadHeader(why) => write!(f, "is damaged: {why}"),
            Self::NoSection => write!(f, "is an ELF file without a .BTF section"),
            Self::NoPayload => write!(f, "is a kernel image in which no packed kernel was found"),
            Self::NoTypes => write!(f, "is a kernel without BTF: it was built without CONFIG_DEBUG_INFO_BTF"),
            Self::NoKernel => write!(f, "is a package without a kernel image"),
            Self::Module => write!(f, "has the types of a module, which say nothing without those of its kernel"),
            Self::NewerKind(kind) => write!(f, "has types of kind {kind}, which is newer than this coretrace"),
        }
    }
}

impl Fault {
    /// It is sound, and has nothing to do with a kernel's types.
    pub(crate) fn is_other(&self) -> bool {
        matches!(self, Self::NotBtf | Self::NoSection | Self::NoKernel | Self::Packed(_) | Self::Module)
    }
}

/// Of reading, also from what is being unpacked.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::UnexpectedEof => Self::EndsEarly,
            io::ErrorKind::OutOfMemory | io::ErrorKind::FileTooLarge => Self::TooLarge,
            io::ErrorKind::InvalidData => match damaged_format(&error) {
                Some(format) => Self::Damaged(format),
                None => Self::Unreadable(error),
            },
            _ => Self::Unreadable(error),
        }
    }
}

/// The error of a reader that unpacks: what is packed in this format is damaged.
#[derive(Debug)]
struct Damaged(&'static str);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what {} packed is damaged", self.0)
    }
}

impl std::error::Error for Damaged {}

/// What is packed in this format is damaged.
pub(super) fn damaged(format: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damaged(format))
}

/// The format of what was damaged, where that was the error.
pub(super) fn damaged_format(error: &io::Error) -> Option<&'static str> {
    error.get_ref()?.downcast_ref::<Damaged>().map(|damaged| damaged.0)
}

//! The types of kernels (BTF): where they are found, how they are read, and what CO-RE makes of them.

pub(crate) mod archive;
pub mod btf;
pub(crate) mod bytes;
pub mod image;
pub(crate) mod relo;
pub(crate) mod side;

//! The types of kernels (BTF): where they are found, how they are read, and what CO-RE makes of them.

pub(crate) mod archive;
pub mod btf;
pub(crate) mod builder;
pub(crate) mod bytes;
pub mod image;
pub(crate) mod model;
pub(crate) mod relo;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod sample;
pub(crate) mod side;

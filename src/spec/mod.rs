//! Specs: which functions a user wants to see, which values of them, and under which condition.
//!
//! `KIND:TARGET[(ARGS)][ if CONDITION]` is parsed ([`parse`]) into a tree ([`ast`]) that knows no kernel. With the
//! types of the target it is resolved ([`resolve`]) into a program ([`ir`]): what to read, from where, and what it means. That is
//! turned into BPF instructions ([`code`]), which the object of the tracer has room for.

pub(crate) mod ast;
pub(crate) mod ir;
pub(crate) mod resolve;

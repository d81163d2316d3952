//! Live tests: start coretrace, do one thing, expect the event. They run as root on any kernel; the
//! runner in tests/vm runs them on every kernel of the matrix, but those of `once`, which run on one.
//!
//! Every test watches only what it starts (`-- CMD`, `-p`, `-n`, `-c`), except those about watching everything: these
//! run only in the VMs (see `in_vm`).

#![allow(clippy::cmp_owned, reason = "numbers out of JSON are compared with those that a program printed")]

mod above;
mod attach;
mod attempts;
mod awaited;
mod bpftool;
mod btf;
mod btf_cmd;
mod cgroups;
mod check_cmd;
mod command;
mod conn;
mod containers;
mod debian;
mod debug_info;
mod diagnose;
mod ending;
mod environ;
mod exec;
mod exec_argv;
mod exec_file;
mod exec_thread;
mod execve;
mod execve_attach;
mod execve_failed;
mod exit;
mod exit_once;
mod filters;
mod first;
mod fork;
mod heartbeat;
mod hits;
mod host;
mod known;
mod labels;
mod losses;
mod many;
mod modules;
mod network;
mod oci;
mod once;
mod open;
mod open_attach;
mod open_filters;
mod open_path;
mod open_storm;
mod opened;
mod pidns;
mod probe;
mod probe_totals;
mod probe_values;
mod proof;
mod relocs;
mod rights;
mod rights_kept;
mod several;
mod small;
mod smoke;
mod stack;
mod support;
mod uprobe;
mod views;

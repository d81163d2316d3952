//! `coretrace completions`: what a shell completes a command line from.

use anyhow::Result;
use clap_complete::Generator;
use clap_complete::shells::{Bash, Fish, Zsh};

use crate::commands::print::print;
use crate::commands::report_format::Choice;

/// A shell for which there are completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints a shell's script for a command line; returns the exit code.
///
/// # Errors
/// When stdout cannot be written.
pub fn completions(mut grammar: clap::Command, shell: Shell) -> Result<u8> {
    let name = grammar.get_name().to_owned();
    grammar.set_bin_name(name);
    grammar.build();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => Bash.try_generate(&grammar, &mut script),
        Shell::Zsh => Zsh.try_generate(&grammar, &mut script),
        Shell::Fish => Fish.try_generate(&grammar, &mut script),
    }?;
    print(Choice::Text, &String::from_utf8_lossy(&script))
}

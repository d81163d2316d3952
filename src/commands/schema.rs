//! `coretrace schema`: the JSON Schema of what `-o json` prints.

use anyhow::Result;

use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::event::Kind;
use crate::output;
use crate::tracers;

/// Prints the schema; returns the exit code.
///
/// # Errors
/// When stdout cannot be written.
pub fn schema() -> Result<u8> {
    let tracers = tracers::all();
    let kinds: Vec<&Kind> = tracers.iter().flat_map(|t| t.kinds()).collect();
    let text = serde_json::to_string_pretty(&output::schema::schema(&kinds))?;
    print(Choice::Json, &format!("{text}\n"))
}

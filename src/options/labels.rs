//! How events are labelled.

use clap::Args;

/// How events are labelled.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Labels")]
pub struct Labelling {
    /// Label events by the pinned map NAME, which is made if it is not there; `coretrace label` changes it
    #[arg(long, value_name = "NAME")]
    pub labels: Option<String>,
    /// The label of what has none in the map
    #[arg(long, value_name = "LABEL", requires = "labels")]
    pub default_label: Option<String>,
    /// Only events with this label
    #[arg(long, value_name = "LABEL", requires = "labels")]
    pub only_label: Option<String>,
    /// No events with this label
    #[arg(long, value_name = "LABEL", requires = "labels", conflicts_with = "only_label")]
    pub ignore_label: Option<String>,
}

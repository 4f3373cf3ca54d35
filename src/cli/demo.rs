//! `wicketgate demo`.

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Play the story once on free ports in a temporary folder, print what happened, and end with 0 or 1
    #[arg(long)]
    pub(super) check: bool,
}

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::{Cli, Options};
use crate::failure::Failure;
use crate::output::Output;

/// Write the completions of a shell to standard output
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell that reads them
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, options: &Options) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tower-api-key", &mut script);
        let mut out = Output::new(options.json);
        out.line(String::from_utf8_lossy(&script).trim_end())?;
        out.finish()
    }
}

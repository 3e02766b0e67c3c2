//! What this machine has of the parts that some stages need.

use std::env;
use std::path::PathBuf;

/// A part that a machine may lack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part {
    /// The name of its program.
    pub(super) program: &'static str,
    /// How to get it.
    pub(super) install: &'static str,
}

/// Checks licences, sources and bans of dependencies.
pub(super) const CARGO_DENY: Part = Part {
    program: "cargo-deny",
    install: "cargo install --locked --no-default-features cargo-deny",
};
/// Builds the book.
pub(super) const MDBOOK: Part =
    Part { program: "mdbook", install: "cargo install --locked --no-default-features mdbook" };

/// The places where this machine keeps programs.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    places: Vec<PathBuf>,
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn here() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        Self { places: env::split_paths(&path).collect() }
    }

    /// Tells whether the machine has a part.
    pub(super) fn has(&self, part: Part) -> bool {
        let name = format!("{}{}", part.program, env::consts::EXE_SUFFIX);
        self.places.iter().any(|place| place.join(&name).is_file())
    }

    /// A machine that has nothing.
    #[cfg(test)]
    pub(super) fn bare() -> Self {
        Self { places: Vec::new() }
    }
}

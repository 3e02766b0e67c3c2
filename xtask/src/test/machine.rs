//! What this machine has of the parts that some stages need.

use std::env;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

/// A part that a machine may lack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part {
    /// The name of its program.
    pub(super) program: &'static str,
    /// How to get it.
    pub(super) install: &'static str,
}

/// What a machine lacks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Missing {
    /// The name of a program, or of another thing.
    pub(super) program: String,
    /// How to get it.
    pub(super) install: &'static str,
}

impl From<&Part> for Missing {
    fn from(part: &Part) -> Self {
        Self { program: part.program.to_owned(), install: part.install }
    }
}

/// Checks licences, sources and bans of dependencies.
pub(super) const CARGO_DENY: Part = Part {
    program: "cargo-deny",
    install: "cargo install --locked --no-default-features cargo-deny",
};
/// Builds the book.
pub(super) const MDBOOK: Part =
    Part { program: "mdbook", install: "cargo install --locked --no-default-features mdbook" };

/// A database for tests that start one of their own.
pub(super) const POSTGRESQL: Part =
    Part { program: "postgres", install: "apt-get install postgresql" };
/// A cache for tests that start one of their own.
pub(super) const REDIS: Part =
    Part { program: "redis-server", install: "apt-get install redis-server" };

/// Where Debian keeps PostgreSQL's programs, one folder per version: not in the path.
const DEBIAN_POSTGRESQL: &str = "/usr/lib/postgresql";

/// The places where this machine keeps programs.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    places: Vec<PathBuf>,
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn here() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
        let versions = fs::read_dir(DEBIAN_POSTGRESQL).into_iter().flatten().flatten();
        places.extend(versions.map(|version| version.path().join("bin")));
        Self { places }
    }

    /// Returns those of the parts that the machine lacks.
    pub(super) fn lacks(&self, parts: &[Part]) -> Vec<Missing> {
        let has = |part: &Part| {
            let name = format!("{}{}", part.program, env::consts::EXE_SUFFIX);
            self.places.iter().any(|place| place.join(&name).is_file())
        };
        parts.iter().filter(|part| !has(part)).map(Missing::from).collect()
    }

    /// A machine that has nothing.
    #[cfg(test)]
    pub(super) fn bare() -> Self {
        Self { places: Vec::new() }
    }
}

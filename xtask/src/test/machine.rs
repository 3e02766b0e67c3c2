//! What this machine has of the parts that some stages need.

use std::env;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use zdd_testbed::Level;

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

/// The client of people, for tests of the embedded cluster: the one that was built for the
/// testbed, rather than any that happens to be installed.
pub(super) const KUBECTL: Part =
    Part { program: "kubectl", install: "cargo xtask testbed build --level control-plane" };

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
        let mut places = Vec::from_iter(zdd_testbed::programs(Level::ControlPlane));
        places.extend(env::split_paths(&path));
        let versions = fs::read_dir(DEBIAN_POSTGRESQL).into_iter().flatten().flatten();
        places.extend(versions.map(|version| version.path().join("bin")));
        Self { places }
    }

    /// Returns those of the parts that the machine lacks.
    pub(super) fn lacks(&self, parts: &[Part]) -> Vec<Missing> {
        parts.iter().filter(|part| self.find(part).is_none()).map(Missing::from).collect()
    }

    /// Returns where the program of a part is.
    pub(super) fn find(&self, part: &Part) -> Option<PathBuf> {
        let name = format!("{}{}", part.program, env::consts::EXE_SUFFIX);
        let mut all = self.places.iter().map(|place| place.join(&name));
        all.find(|program| program.is_file())
    }

    /// A machine that has nothing.
    #[cfg(test)]
    pub(super) fn bare() -> Self {
        Self { places: Vec::new() }
    }
}

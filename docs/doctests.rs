//! Runs the code of README and book as documentation tests; holds nothing else.

macro_rules! page {
    ($name:ident, $path:literal) => {
        #[cfg(doctest)]
        #[doc = include_str!($path)]
        mod $name {}
    };
}

page!(readme, "../README.md");
page!(extending, "src/extending.md");
page!(first_rollout, "src/first-rollout.md");
page!(rbac, "src/rbac.md");
page!(shutdown, "src/shutdown.md");
page!(testing, "src/testing.md");

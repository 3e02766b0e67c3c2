//! One stage: what it needs of a machine, and how it ended.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::time::Instant;
use zdd_testbed::Testbed;

use crate::test::call::Call;
use crate::test::cluster::Cluster;
use crate::test::counts::Counts;
use crate::test::machine::{Machine, Missing, Part};

/// Commands that stand or fall together.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// Name, for `--stage`.
    pub(super) name: &'static str,
    /// What it checks, in words.
    pub(super) about: &'static str,
    /// Parts without which the stage is left out.
    pub(super) needs: &'static [Part],
    /// Parts without which some of its tests are left out.
    pub(super) wants: &'static [Wants],
    /// What it needs of a real Kubernetes.
    pub(super) cluster: Cluster,
    /// Whether a run without a single test is a failure.
    pub(super) tests: Tests,
    /// What is run, one after the other.
    pub(super) calls: Vec<Call>,
}

/// Parts that some tests of a stage need. These tests are silent where a part is missing, unless
/// they are told that it must be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    /// The parts.
    pub(super) parts: &'static [Part],
    /// The variable that is set to `1` where all of them are there.
    pub(super) require: &'static str,
    /// The variable that tells where the first of them is, unless somebody has set it.
    pub(super) place: Option<&'static str>,
}

/// Whether the commands of a stage run tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tests {
    /// They do; their numbers are added up, and none at all is a failure.
    Counted,
    /// They do not.
    None,
}

/// Variables of the environment.
type Env = Vec<(&'static str, String)>;

impl Wants {
    /// What tests are told: nothing where a part is missing.
    fn env(&self, machine: &Machine) -> Env {
        if !machine.lacks(self.parts).is_empty() {
            return Env::new();
        }
        let mut env = vec![(self.require, "1".to_owned())];
        let place = self.place.filter(|place| std::env::var_os(place).is_none());
        let program = self.parts.first().and_then(|part| machine.find(part));
        env.extend(place.zip(program.map(|program| program.display().to_string())));
        env
    }
}

/// How a stage ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ended {
    /// The stage.
    pub(super) name: &'static str,
    /// How.
    #[serde(flatten)]
    pub(super) end: End,
    /// Parts of the machine for want of which the stage, or some of its tests, were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lacks: Vec<Missing>,
    /// How long it took.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub(super) time: Duration,
    /// Numbers of tests.
    #[serde(skip_serializing_if = "Counts::is_empty")]
    pub(super) tests: Counts,
}

/// The ways in which a stage ends.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub(super) enum End {
    /// Something is wrong.
    Failed { problem: String },
    /// The machine lacks what it needs.
    LeftOut,
    /// A stage before it failed.
    NotRun,
    /// All is well.
    Passed,
}

impl Stage {
    /// Runs the stage, unless the machine lacks what it needs.
    pub(super) fn run(&self, machine: &Machine) -> Ended {
        let begun = Instant::now();
        let mut tests = Counts::default();
        let mut lacks = machine.lacks(self.needs);
        lacks.extend(self.cluster.lacks());
        let end = if lacks.is_empty() {
            let env = self.wants.iter().flat_map(|wants| wants.env(machine)).collect();
            lacks = self.wants.iter().flat_map(|wants| machine.lacks(wants.parts)).collect();
            match self.run_with_cluster(&env, &mut tests) {
                Ok(()) => End::Passed,
                Err(error) => End::Failed { problem: format!("{error:#}") },
            }
        } else {
            End::LeftOut
        };
        Ended { name: self.name, end, lacks, time: begun.elapsed(), tests }
    }

    fn run_with_cluster(&self, env: &Env, tests: &mut Counts) -> anyhow::Result<()> {
        if let Cluster::Up(_) = self.cluster {
            // A cluster takes a part of the machine that a build wants.
            let mut builds = self.calls.iter().filter_map(Call::build);
            builds.try_for_each(|build| build.run(None, tests))?;
        }
        let testbed = self.cluster.up()?;
        let ran = self.run_calls(env, testbed.as_ref(), tests);
        let down = testbed.map_or(Ok(()), Testbed::down);
        ran.and(down.context("the testbed did not go away"))
    }

    fn run_calls(
        &self,
        env: &Env,
        testbed: Option<&Testbed>,
        tests: &mut Counts,
    ) -> anyhow::Result<()> {
        for call in &self.calls {
            let told =
                |call: Call, (name, value): &(&'static str, String)| call.env(name, value.clone());
            env.iter().fold(call.clone(), told).run(testbed, tests)?;
        }
        if self.tests == Tests::Counted && tests.passed + tests.failed == 0 {
            bail!("not a single test was run");
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.about)?;
        let wanted = self.wants.iter().flat_map(|wants| wants.parts);
        for part in self.needs.iter().chain(wanted) {
            write!(f, " (needs {})", part.program)?;
        }
        self.calls.iter().try_for_each(|call| write!(f, "\n    {call}"))
    }
}

impl Ended {
    /// A stage that another one kept from running.
    pub(super) fn not_run(name: &'static str) -> Self {
        let (lacks, tests) = (Vec::new(), Counts::default());
        Self { name, end: End::NotRun, lacks, time: Duration::ZERO, tests }
    }

    /// Tells whether it fails the whole: what was left out does where all is asked for.
    pub(super) fn is_failure(&self, all: bool) -> bool {
        matches!(self.end, End::Failed { .. }) || (all && !self.lacks.is_empty())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        match &self.end {
            End::Failed { problem } => {
                write!(f, "{}: FAILED after {seconds:.1} s: {problem}", self.name)
            }
            End::LeftOut => write!(f, "{}: left out", self.name),
            End::NotRun => write!(f, "{}: not run", self.name),
            End::Passed if self.tests.is_empty() => write!(f, "{}: ok, {seconds:.1} s", self.name),
            End::Passed => {
                let Counts { passed, ignored, .. } = self.tests;
                write!(f, "{}: ok, {seconds:.1} s, {passed} tests, {ignored} ignored", self.name)
            }
        }?;
        self.lacks.iter().try_for_each(|Missing { program, install }| {
            let what = if self.end == End::LeftOut { "it" } else { "some tests" };
            write!(f, "\n    without {program} {what} cannot run; to get it: {install}")
        })
    }
}

fn milliseconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Call, Cluster, End, Stage, Tests, Wants};
    use crate::test::machine::{MDBOOK, Machine, Part, REDIS};

    fn stage(calls: Vec<Call>) -> Stage {
        Stage {
            name: "a",
            about: "checks a",
            needs: &[],
            wants: &[],
            cluster: Cluster::None,
            tests: Tests::None,
            calls,
        }
    }

    #[test]
    fn a_command_that_fails_fails_its_stage() {
        let ended = stage(vec![Call::program("false", "")]).run(&Machine::here());
        assert!(matches!(ended.end, End::Failed { .. }), "{:?}", ended.end);
        assert!(ended.is_failure(false));
    }

    #[test]
    fn a_command_that_succeeds_passes() {
        assert_eq!(stage(vec![Call::cargo("--version")]).run(&Machine::here()).end, End::Passed);
    }

    #[test]
    fn tests_that_do_not_run_fail_their_stage() {
        let stage = Stage { tests: Tests::Counted, ..stage(vec![Call::cargo("--version")]) };
        let problem = "not a single test was run".to_owned();
        assert_eq!(stage.run(&Machine::here()).end, End::Failed { problem });
    }

    #[test]
    fn a_missing_part_fails_only_where_all_are_asked_for() {
        let stage = Stage { needs: &[MDBOOK], ..stage(vec![]) };
        let ended = stage.run(&Machine::bare());
        assert_eq!(ended.end, End::LeftOut);
        assert!(!ended.is_failure(false));
        assert!(ended.is_failure(true));
    }

    #[test]
    fn tests_that_want_a_missing_part_are_named_and_fail_only_where_all_are_asked_for() {
        const WANTS: &[Wants] =
            &[Wants { parts: &[REDIS], require: "ZDD_REQUIRE_SERVICES", place: None }];
        let stage = Stage { wants: WANTS, ..stage(vec![Call::cargo("--version")]) };
        let ended = stage.run(&Machine::bare());
        assert_eq!(ended.end, End::Passed);
        assert!(!ended.is_failure(false));
        assert!(ended.is_failure(true));
        let text = ended.to_string();
        assert!(text.contains("without redis-server some tests cannot run"), "{text}");
    }

    #[test]
    fn tests_are_told_where_a_part_is_and_that_it_must_be_there() {
        const SHELL: &[Part] = &[Part { program: "sh", install: "" }];
        let wants = Wants { parts: SHELL, require: "ZDD_MUST", place: Some("ZDD_PLACE_OF_SH") };
        let env = wants.env(&Machine::here());
        assert_eq!(env[0], ("ZDD_MUST", "1".to_owned()));
        assert!(env[1].1.ends_with("/sh"), "{env:?}");
        assert!(wants.env(&Machine::bare()).is_empty());
    }
}

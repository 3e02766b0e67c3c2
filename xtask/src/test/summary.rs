//! What came of all stages.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::test::counts::Counts;
use crate::test::stage::Ended;

/// All stages, and whether they are good enough.
#[derive(Debug)]
pub(super) struct Summary {
    ended: Vec<Ended>,
    time: Duration,
    all: bool,
    tests: Counts,
}

impl Summary {
    /// Adds the stages up.
    pub(super) fn new(ended: Vec<Ended>, time: Duration, all: bool) -> Self {
        let mut tests = Counts::default();
        ended.iter().for_each(|ended| tests.join(ended.tests));
        Self { ended, time, all, tests }
    }

    /// Tells whether nothing failed.
    pub(super) fn passed(&self) -> bool {
        !self.ended.iter().any(|ended| ended.is_failure(self.all))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nstages:")?;
        for ended in &self.ended {
            writeln!(f, "  {ended}")?;
        }
        let lacking = self.ended.iter().filter(|ended| !ended.lacks.is_empty()).count();
        if lacking > 0 && self.all {
            writeln!(f, "{lacking} stages are not complete, and --all asks for all of each")?;
        }
        let Counts { passed, failed, ignored } = self.tests;
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        let seconds = self.time.as_secs_f64();
        writeln!(
            f,
            "{verdict} in {seconds:.0} s: {passed} tests passed, {failed} failed, {ignored} ignored"
        )
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Summary", 4)?;
        fields.serialize_field("passed", &self.passed())?;
        fields.serialize_field("tests", &self.tests)?;
        fields.serialize_field("stages", &self.ended)?;
        fields.serialize_field(
            "total_ms",
            &u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
        )?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Summary;
    use crate::test::counts::Counts;
    use crate::test::machine::Missing;
    use crate::test::stage::{End, Ended};

    fn ended(end: End, passed: u64) -> Ended {
        let tests = Counts { passed, ..Counts::default() };
        Ended { name: "a", end, lacks: Vec::new(), time: Duration::from_millis(1500), tests }
    }

    fn left_out() -> Ended {
        let lacks = vec![Missing { program: "mdbook".to_owned(), install: "install it" }];
        Ended { lacks, ..ended(End::LeftOut, 0) }
    }

    #[test]
    fn one_failure_fails_the_whole() {
        let failed = ended(End::Failed { problem: "no".into() }, 0);
        assert!(Summary::new(vec![ended(End::Passed, 1)], Duration::ZERO, true).passed());
        assert!(!Summary::new(vec![ended(End::Passed, 1), failed], Duration::ZERO, false).passed());
    }

    #[test]
    fn what_was_left_out_is_named_with_the_way_to_get_it() {
        let summary = Summary::new(vec![left_out()], Duration::ZERO, false);
        assert!(summary.passed());
        let text = summary.to_string();
        assert!(
            text.contains("a: left out\n    without mdbook it cannot run; to get it: install it"),
            "{text}"
        );
        assert!(!Summary::new(vec![left_out()], Duration::ZERO, true).passed());
    }

    #[test]
    fn the_json_line_has_tests_and_stages() {
        let stages = vec![ended(End::Passed, 2), ended(End::Passed, 3)];
        let summary = Summary::new(stages, Duration::from_secs(3), false);
        let value = serde_json::to_value(&summary).unwrap();
        assert_eq!(value["passed"], true);
        assert_eq!(value["tests"]["passed"], 5);
        assert_eq!(value["stages"][0]["end"], "passed");
        assert_eq!(value["stages"][0]["ms"], 1500);
        assert_eq!(value["total_ms"], 3000);
    }
}

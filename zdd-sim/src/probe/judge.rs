//! Turns single probe results into a verdict, by thresholds.

use super::Probe;

/// What a probe says about its container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Failing,
    Passing,
}

/// Counts runs of equal results: a verdict changes only when a run is as long as its threshold
/// (pkg/kubelet/prober/worker.go).
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    success_threshold: u32,
    failure_threshold: u32,
    verdict: Option<Verdict>,
    passed: bool,
    run: Option<(Verdict, u32)>,
}

impl Judge {
    pub(crate) fn new(probe: &Probe) -> Self {
        Self {
            success_threshold: probe.success_threshold,
            failure_threshold: probe.failure_threshold,
            verdict: None,
            passed: false,
            run: None,
        }
    }

    /// Tells whether any result was a success.
    pub(crate) fn has_passed(&self) -> bool {
        self.passed
    }

    /// Records a result and returns the verdict if it has changed.
    pub(crate) fn record(&mut self, result: Verdict) -> Option<Verdict> {
        let length = match self.run {
            Some((last, length)) if last == result => length.saturating_add(1),
            _ => 1,
        };
        self.run = Some((result, length));
        self.passed |= result == Verdict::Passing;
        let threshold = match result {
            Verdict::Failing => self.failure_threshold,
            Verdict::Passing => self.success_threshold,
        };
        if length < threshold || self.verdict == Some(result) {
            return None;
        }
        self.verdict = Some(result);
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renders the verdict changes of a run of results: `+` passes, `-` fails, `.` is no change.
    fn play(success_threshold: u32, failure_threshold: u32, results: &str) -> String {
        let mut judge =
            Judge { success_threshold, failure_threshold, verdict: None, passed: false, run: None };
        let verdicts = results.chars().map(|result| {
            let result = if result == '+' { Verdict::Passing } else { Verdict::Failing };
            match judge.record(result) {
                Some(Verdict::Passing) => '+',
                Some(Verdict::Failing) => '-',
                None => '.',
            }
        });
        verdicts.collect()
    }

    #[test]
    fn one_success_is_enough_by_default_and_three_failures_are_needed() {
        assert_eq!(play(1, 3, "--+--+---++"), "..+.....-+.");
    }

    #[test]
    fn a_success_threshold_needs_an_unbroken_run() {
        assert_eq!(play(2, 1, "+-+++--"), ".-.+.-.");
    }
}

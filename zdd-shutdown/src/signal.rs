//! The thread that hears the signals.
//!
//! An OS thread and not a task: the second signal has to work exactly when the
//! runtime does not.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    force,
    reason::{Reason, Signal},
    settings::{SecondSignal, Settings},
    shared::Shared,
};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::install;
#[cfg(windows)]
pub(crate) use windows::install;

/// A SIGTERM sooner than this after the first is its echo: some supervisors
/// signal the process and its group.
const ECHO: std::time::Duration = std::time::Duration::from_secs(1);

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Begin,
    Force,
    Ignore,
}

/// Decides on a signal, given the time since the first one. A shutdown that the program
/// began itself makes none: the orchestrator that then hears of it says so once.
fn judge(signal: Signal, since: Option<std::time::Duration>, settings: &Settings) -> Verdict {
    let Some(since) = since else { return Verdict::Begin };
    match (signal, settings.second_signal) {
        (Signal::Interrupt | Signal::Quit, _) => Verdict::Force,
        (Signal::Terminate, SecondSignal::Ignore) => Verdict::Ignore,
        (Signal::Terminate, SecondSignal::Auto) if settings.in_cluster => Verdict::Ignore,
        (Signal::Terminate, SecondSignal::Auto | SecondSignal::Force) if since < ECHO => {
            Verdict::Ignore
        }
        (Signal::Terminate, SecondSignal::Auto | SecondSignal::Force) => Verdict::Force,
    }
}

/// Acts on a signal; `first` remembers when the first one came.
fn hear(signal: Signal, first: &mut Option<Instant>, shared: &Arc<Shared>, place: &force::Place) {
    let now = Instant::now();
    let since = first.map(|first| now - first);
    first.get_or_insert(now);
    match judge(signal, since, &shared.settings) {
        Verdict::Begin => {
            // Changes nothing if the program was first.
            shared.trigger(Reason::Signal(signal));
        }
        Verdict::Force => {
            let code = shared.settings.second_signal_code.unwrap_or(128 + signal.number());
            force::exit(place, &format!("second signal {signal}"), code);
        }
        Verdict::Ignore => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn second_signals_follow_the_policy() {
        use {SecondSignal::*, Signal::*, Verdict as V};
        let cases = [
            (Interrupt, Auto, true, 10, V::Force),
            (Interrupt, Ignore, true, 10, V::Force),
            (Quit, Ignore, false, 10, V::Force),
            (Terminate, Auto, true, 5_000, V::Ignore),
            (Terminate, Auto, false, 5_000, V::Force),
            (Terminate, Auto, false, 10, V::Ignore),
            (Terminate, Force, true, 5_000, V::Force),
            (Terminate, Force, true, 999, V::Ignore),
            (Terminate, Ignore, false, 5_000, V::Ignore),
        ];
        for (signal, second_signal, in_cluster, since, expected) in cases {
            let settings = Settings { second_signal, in_cluster, ..Settings::default() };
            let since = Some(Duration::from_millis(since));
            assert_eq!(
                judge(signal, since, &settings),
                expected,
                "{signal} {second_signal:?} {in_cluster}"
            );
        }
    }

    #[test]
    fn every_first_signal_begins_the_shutdown() {
        for signal in [Signal::Interrupt, Signal::Quit, Signal::Terminate] {
            assert_eq!(judge(signal, None, &Settings::default()), Verdict::Begin);
        }
    }
}

//! What the environment of the pod says.

use std::time::Duration;

/// A variable that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "environment variable {name} is {value:?}, expected a duration such as 30, 30s, 500ms or 2m"
)]
#[non_exhaustive]
pub struct EnvError {
    /// The variable.
    pub name: &'static str,
    /// What it holds.
    pub value: String,
}

/// What was found; `None` where a variable is not set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) deadline: Option<Duration>,
    pub(crate) lame_duck_min: Option<Duration>,
    pub(crate) lame_duck_max: Option<Duration>,
    pub(crate) quiet: Option<Duration>,
    pub(crate) termination_grace: Option<Duration>,
    pub(crate) pre_stop: Option<Duration>,
    pub(crate) in_cluster: bool,
}

impl Environment {
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, EnvError> {
        let duration = |name: &'static str| match get(name) {
            None => Ok(None),
            Some(value) => match parse(&value) {
                Some(duration) => Ok(Some(duration)),
                None => Err(EnvError { name, value }),
            },
        };
        Ok(Self {
            deadline: duration("ZDD_SHUTDOWN_DEADLINE")?,
            lame_duck_min: duration("ZDD_SHUTDOWN_LAME_DUCK_MIN")?,
            lame_duck_max: duration("ZDD_SHUTDOWN_LAME_DUCK_MAX")?,
            quiet: duration("ZDD_SHUTDOWN_QUIET")?,
            termination_grace: duration("ZDD_TERMINATION_GRACE")?,
            pre_stop: duration("ZDD_PRE_STOP")?,
            in_cluster: get("KUBERNETES_SERVICE_HOST").is_some(),
        })
    }
}

/// Reads whole numbers with a unit; without one they are seconds, as
/// `terminationGracePeriodSeconds` is.
fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        let cases = [
            ("30", Some(30_000)),
            (" 30s ", Some(30_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("", None),
            ("s", None),
            ("-1", None),
            ("1.5s", None),
            ("30sec", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_an_error_that_names_it() {
        let error =
            Environment::read(|name| (name == "ZDD_PRE_STOP").then(|| "soon".into())).unwrap_err();
        assert_eq!(error, EnvError { name: "ZDD_PRE_STOP", value: "soon".into() });
    }

    #[test]
    fn every_variable_is_read() {
        let environment = Environment::read(|name| {
            Some(
                match name {
                    "ZDD_SHUTDOWN_DEADLINE" => "1",
                    "ZDD_SHUTDOWN_LAME_DUCK_MIN" => "2",
                    "ZDD_SHUTDOWN_LAME_DUCK_MAX" => "3",
                    "ZDD_SHUTDOWN_QUIET" => "4",
                    "ZDD_TERMINATION_GRACE" => "5",
                    "ZDD_PRE_STOP" => "6",
                    "KUBERNETES_SERVICE_HOST" => "10.0.0.1",
                    _ => return None,
                }
                .into(),
            )
        });
        let second = |n| Some(Duration::from_secs(n));
        assert_eq!(
            environment.unwrap(),
            Environment {
                deadline: second(1),
                lame_duck_min: second(2),
                lame_duck_max: second(3),
                quiet: second(4),
                termination_grace: second(5),
                pre_stop: second(6),
                in_cluster: true,
            }
        );
    }
}

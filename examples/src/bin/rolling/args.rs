//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use zdd_strategies::{Rolling, RollingConfig, Stage};

/// The flags that set the strategy.
const SETTINGS: [&str; 6] = ["max_surge", "min_ready_seconds", "stage", "bake", "soak", "deadline"];
/// The flags that name a real cluster.
const REAL: &str = "real";
/// What the exit code says.
const EXIT: &str = "Exit code: 0 when it ended as asked (promoted; with --fail, rolled back) and no \
request failed; 130 when it was interrupted; 2 for wrong flags; 1 otherwise.";

/// Rolls a Deployment from version 1 to version 2 under load, and counts the requests that fail.
///
/// Without --kubeconfig it starts an embedded cluster whose pods are real processes on this
/// machine. With it, the same rollout runs on that cluster; the images must be there.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Roll to a version that fails in this way, to see the automatic rollback.
    #[arg(long, value_enum)]
    pub(crate) fail: Option<Fail>,
    /// Print one JSON object as the last line, and no progress.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print what would be done, and do nothing. On a real cluster the Deployment must be there.
    #[arg(long, conflicts_with = "json")]
    pub(crate) plan: bool,
    /// Number of pods.
    #[arg(long, conflicts_with = "existing", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) replicas: u32,
    /// Read the settings of the strategy from this file, in YAML or JSON, instead of the flags below.
    #[arg(long, value_name = "FILE", conflicts_with_all = SETTINGS)]
    pub(crate) config: Option<PathBuf>,
    /// How many pods may exist beyond that: a number or a percentage.
    #[arg(long, default_value = "2")]
    pub(crate) max_surge: zdd_core::Amount,
    /// Seconds that a new pod must be ready before an old one goes.
    #[arg(long, default_value_t = 1)]
    pub(crate) min_ready_seconds: u32,
    /// Watch this many pods first: a number or a percentage.
    #[arg(long)]
    pub(crate) stage: Option<zdd_core::Part>,
    /// Seconds that the first pods are watched.
    #[arg(long, default_value_t = 5, requires = "stage")]
    pub(crate) bake: u64,
    /// Seconds that everything must stay well at the end.
    #[arg(long, default_value_t = 2)]
    pub(crate) soak: u64,
    /// Seconds without progress after which it turns back.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) deadline: u64,
    /// Requests per second, half over kept connections and half over new ones.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub(crate) rate: u32,
    /// Use this cluster instead of the embedded one.
    #[arg(long, value_name = "FILE", group = REAL)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Use the cluster of the usual environment (KUBECONFIG, in-cluster) instead of the embedded one.
    #[arg(long, group = REAL)]
    pub(crate) cluster: bool,
    /// Roll the Deployment that is on the cluster already, and create nothing: after a run that was
    /// interrupted, say.
    #[arg(long, requires = REAL)]
    pub(crate) existing: bool,
    /// The namespace.
    #[arg(long, default_value = "default")]
    pub(crate) namespace: String,
    /// The image of version 1.
    #[arg(long, default_value = "zdd-example-web:1")]
    pub(crate) image: String,
    /// The image to roll to; with --fail, the bad one.
    #[arg(long)]
    pub(crate) next_image: Option<String>,
    /// Where the Service of a real cluster is reached from here; no load without it. An address
    /// outside of loopback must belong to a network that was made for this test.
    #[arg(long, value_name = "ADDRESS", requires = REAL)]
    pub(crate) service_address: Option<SocketAddr>,
}

/// The ways in which the new version can be bad.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Fail {
    /// The process ends at the start.
    Crash,
    /// The readiness probe never passes.
    NeverReady,
    /// The image does not exist.
    NoImage,
}

impl Fail {
    /// The word on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Args {
    /// Tells whether the cluster is another than the embedded one.
    pub(crate) fn is_real(&self) -> bool {
        self.kubeconfig.is_some() || self.cluster
    }

    /// Tells whether the Deployment and its Service are to be created.
    pub(crate) fn creates(&self) -> bool {
        let only_looks = self.plan && self.is_real();
        !self.existing && !only_looks
    }

    /// Parses the command line, and makes the strategy that it asks for: nothing is started for
    /// settings that cannot work.
    pub(crate) fn parse_all() -> (Self, RollingConfig, Rolling) {
        let args = Self::parse();
        let made = args.settings().and_then(|config| {
            let strategy = Rolling::new(config.clone()).map_err(|error| error.to_string())?;
            Ok((config, strategy))
        });
        match made {
            Ok((config, strategy)) => (args, config, strategy),
            Err(error) => Self::command().error(ErrorKind::ValueValidation, error).exit(),
        }
    }

    fn settings(&self) -> Result<RollingConfig, String> {
        if let Some(path) = &self.config {
            let file = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("failed to read {file}: {error}"))?;
            return serde_saphyr::from_str(&text).map_err(|error| format!("{file}: {error}"));
        }
        let mut config = RollingConfig::default()
            .max_surge(self.max_surge)
            .min_ready_seconds(self.min_ready_seconds)
            .soak(Duration::from_secs(self.soak))
            .progress_deadline(Duration::from_secs(self.deadline));
        if let Some(first) = self.stage {
            config = config.stage(Stage::new(first, Duration::from_secs(self.bake)));
        }
        Ok(config)
    }

    pub(crate) fn next_image(&self) -> String {
        let given = self.next_image.clone();
        given.unwrap_or_else(|| match self.fail {
            None => "zdd-example-web:2".to_owned(),
            Some(Fail::Crash) => "zdd-example-web:crash".to_owned(),
            Some(Fail::NeverReady) => "zdd-example-web:never-ready".to_owned(),
            Some(Fail::NoImage) => "zdd-example-web:missing".to_owned(),
        })
    }
}

//! `kubectl` against the served cluster: each verb on each kind.
//!
//! Runs with the programs of `ZDD_KUBECTL` (separated as in `PATH`), or with the `kubectl` on the
//! `PATH`. Without one the tests say so and pass, unless `ZDD_REQUIRE_KUBECTL` is set.

mod apply;
mod custom;
mod jobs;
mod kinds;
mod pods;
mod program;
mod rollout;
mod verbs;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_sim::{Cluster, HttpServer, Images, ProcessImage};

/// No single command may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A served cluster, and one kubectl that knows it.
pub(crate) struct Bed {
    pub(crate) cluster: Cluster,
    pub(crate) url: String,
    kubectl: PathBuf,
    home: TempDir,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What a command has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a test with each kubectl there is.
pub(crate) async fn with_each<F: Future<Output = Bed>>(test: impl Fn(Bed) -> F) {
    for kubectl in programs() {
        let bed = test(Bed::start(kubectl).await).await;
        bed.close().await;
    }
}

fn programs() -> Vec<PathBuf> {
    let given = std::env::var_os("ZDD_KUBECTL");
    let found: Vec<PathBuf> = match &given {
        Some(list) => std::env::split_paths(list).collect(),
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let all = std::env::split_paths(&path).map(|folder| folder.join("kubectl"));
            all.filter(|program| program.is_file()).take(1).collect()
        }
    };
    if found.is_empty() {
        let required = std::env::var_os("ZDD_REQUIRE_KUBECTL").is_some();
        assert!(!required, "there is no kubectl, and ZDD_REQUIRE_KUBECTL is set");
        // Past the capture of the test harness: a test that was skipped must not look passed.
        let _ = writeln!(std::io::stderr(), "skipped: there is no kubectl on the PATH");
    }
    found
}

fn shell(script: &str) -> ProcessImage {
    ProcessImage::new("/bin/sh").args(["-c", script])
}

fn images() -> Images {
    Images::any()
        .with_notice()
        .with("talk:1", shell("echo one; echo two >&2; echo three; exec sleep 600"))
        .with("work:1", shell("echo working; exit 0"))
        .with("fail:1", shell("echo failing; exit 3"))
        .with("serve:1", shell("exec sleep 600"))
}

impl Bed {
    async fn start(kubectl: PathBuf) -> Self {
        let cluster = Cluster::builder().start(jiff_now()).images(images()).build();
        let address = "127.0.0.1:0".parse().unwrap();
        let server = HttpServer::bind(cluster.api(), address).await.unwrap().secret("secret");
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let url = server.url();
        let (driven, stopped) = (cluster.clone(), stop.clone());
        tasks.spawn(async move { driven.run(stopped).await });
        tasks.spawn(server.serve(stop.clone()));
        Self { cluster, url, kubectl, home, stop, tasks }
    }

    async fn close(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    /// A kubectl to be started, of this cluster alone.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end, with the given input.
    pub(crate) async fn feed(&self, args: &[&str], input: &str) -> Said {
        let mut child = self.command(args).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // What begins with a brace would be taken for JSON.
        let input = if input.starts_with('{') { format!("---\n{input}") } else { input.to_owned() };
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
        Said::of(&ended.unwrap_or_else(|_| panic!("kubectl {args:?} does not end")).unwrap())
    }

    /// Runs a command that must work; returns what it prints.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        async move {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let said = self.feed(&words, "").await;
            assert_eq!(said.code, 0, "{place}: kubectl {words:?}: {said:?}");
            said.out
        }
    }

    /// Applies manifests.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            let said = self.feed(&["apply", "-f", "-"], manifests).await;
            assert_eq!(said.code, 0, "{place}: {said:?}");
            assert!(!said.err.contains("warning"), "{place}: {said:?}");
            said.out
        }
    }

    /// Returns one field of an object.
    pub(crate) async fn field(&self, object: &str, path: &str) -> String {
        let output = format!("-o=jsonpath={{{path}}}");
        let said = self.feed(&["get", object, &output], "").await;
        assert_eq!(said.code, 0, "{object} {path}: {said:?}");
        said.out
    }
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn jiff_now() -> k8s_openapi::jiff::Timestamp {
    k8s_openapi::jiff::Timestamp::now()
}

/// Replaces what differs from run to run, and runs of blanks by one.
pub(crate) fn stable(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words = line.split_whitespace().map(|word| {
            if let Some((key, value)) = word.split_once('=')
                && value.len() == 36
            {
                return format!("{key}=UID");
            }
            let digits = word.trim_end_matches(['s', 'm']);
            if digits != word && !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit())
            {
                return "AGE".to_owned();
            }
            let parts: Vec<&str> = word
                .split('-')
                .map(|part| {
                    let hash = (5..=10).contains(&part.len())
                        && part.bytes().all(|it| b"bcdfghjklmnpqrstvwxz2456789".contains(&it));
                    if hash { "HASH" } else { part }
                })
                .collect();
            parts.join("-")
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(crate) const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: web:1
        ports: [{containerPort: 8080}]
        env: [{name: A, value: '1'}, {name: B, value: '2'}]
";

//! What can stand behind an image name when pods are real: a program, or a service in this process.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1 as core;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::environment::expand;
use crate::image::Image;

/// The error of an in-process service.
pub type ServiceError = Box<dyn std::error::Error + Send + Sync>;

/// A program on this machine, used as an image.
///
/// As with a container image, the pod's `command` replaces program and arguments, and its `args`
/// replace the arguments alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcessImage {
    program: PathBuf,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl ProcessImage {
    /// Names the program.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: BTreeMap::new() }
    }

    /// Sets the arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Returns the program's path.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Returns the program and arguments of a container of this image.
    pub(super) fn command_line(
        &self,
        container: &core::Container,
        env: &BTreeMap<String, String>,
    ) -> (PathBuf, Vec<String>) {
        let expanded = |words: &[String]| words.iter().map(|word| expand(word, env)).collect();
        let args = container.args.as_deref().filter(|args| !args.is_empty());
        match container.command.as_deref().and_then(<[String]>::split_first) {
            Some((program, rest)) => {
                let mut words: Vec<String> = expanded(rest);
                words.extend::<Vec<_>>(expanded(args.unwrap_or_default()));
                (PathBuf::from(expand(program, env)), words)
            }
            None => (self.program.clone(), args.map_or_else(|| self.args.clone(), expanded)),
        }
    }
}

/// What an in-process service learns about the pod that it runs in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServicePod {
    /// The pod's name.
    pub name: String,
    /// The pod's address.
    pub ip: IpAddr,
    /// The container's environment variables.
    pub env: BTreeMap<String, String>,
    /// Is cancelled where a process would get SIGTERM.
    pub shutdown: CancellationToken,
}

type Service = dyn Fn(TcpListener, ServicePod) -> LocalBoxFuture<'static, Result<(), ServiceError>>
    + Send
    + Sync;

/// A service inside this process, used as an image.
///
/// Each pod runs on a tokio runtime and a thread of its own. When the grace period is over that
/// runtime is dropped with all tasks on it, which is as near to SIGKILL as one process allows:
/// only code that never yields survives it. A panic ends the pod with exit code 101 and nothing
/// else.
#[derive(Clone)]
pub struct ServiceImage {
    service: Arc<Service>,
}

impl ServiceImage {
    /// Makes an image of a function from a bound listener to a running service.
    ///
    /// An error is exit code 1.
    #[must_use]
    pub fn new<F, S>(service: S) -> Self
    where
        S: Fn(TcpListener, ServicePod) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), ServiceError>> + 'static,
    {
        Self { service: Arc::new(move |listener, pod| service(listener, pod).boxed_local()) }
    }

    pub(super) fn run(
        &self,
        listener: TcpListener,
        pod: ServicePod,
    ) -> LocalBoxFuture<'static, Result<(), ServiceError>> {
        (self.service)(listener, pod)
    }
}

impl fmt::Debug for ServiceImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceImage").finish_non_exhaustive()
    }
}

impl From<ProcessImage> for Image {
    fn from(image: ProcessImage) -> Self {
        Self::Process(image)
    }
}

impl From<ServiceImage> for Image {
    fn from(image: ServiceImage) -> Self {
        Self::Service(image)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(mut container: Value, expected: &str) {
        container["name"] = "app".into();
        let container = serde_json::from_value(container).unwrap();
        let env = BTreeMap::from([("PORT".to_owned(), "80".to_owned())]);
        let image = ProcessImage::new("/bin/web").args(["serve"]);
        let (program, args) = image.command_line(&container, &env);
        assert_eq!(format!("{} {}", program.display(), args.join(" ")).trim_end(), expected);
    }

    #[test]
    fn command_replaces_the_program_and_args_the_arguments() {
        check(json!({}), "/bin/web serve");
        check(json!({"args": ["--port=$(PORT)"]}), "/bin/web --port=80");
        check(json!({"command": ["/bin/other"]}), "/bin/other");
        check(json!({"command": ["/bin/other", "-v"], "args": ["x"]}), "/bin/other -v x");
    }
}

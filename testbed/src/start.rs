//! Brings a testbed up, stage by stage.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep, timeout};

use crate::pki::Authority;
use crate::plan::{self, Component, Level, NODE, Ports};
use crate::probe::Client;
use crate::state::{Event, Info, Spec, Stage};
use crate::supervisor::{Supervisor, report};
use crate::{config, launch, network, room};

/// How long a component may take until it is ready, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked: it costs less than a millisecond.
const INTERVAL: Duration = Duration::from_millis(50);
/// How much of a log is looked at for a message.
const TAIL: u64 = 32 * 1024;
/// How much of a line a message shows.
const LINE: usize = 400;

/// The times that the stages took.
#[derive(Debug, Default)]
struct Clock {
    stages: RefCell<BTreeMap<String, u64>>,
}

/// Brings everything up, and says what there is to know about it.
pub(crate) async fn start(supervisor: &Rc<Supervisor>) -> anyhow::Result<Info> {
    let begun = Instant::now();
    let clock = Clock::default();
    let spec = &supervisor.spec;
    if spec.level == Level::Node {
        clock
            .stage(Stage::Box, async {
                room::furnish(&spec.dir)?;
                network::set_up()
            })
            .await?;
    }
    let ports = ports(spec)?;
    supervisor.ports.set(Some(ports));
    let server = format!("https://127.0.0.1:{}", ports.apiserver);
    let configure = async {
        let pki = spec.dir.join("pki");
        Authority::create(&pki, spec.level)?;
        config::write(spec, &server)?;
        supervisor.client.replace(Some(Client::new(&pki)?));
        Ok(())
    };
    clock.stage(Stage::Configuration, configure).await?;
    match spec.level {
        Level::ControlPlane => control_plane(supervisor, &clock).await?,
        Level::Node => {
            let runtime = async {
                clock.component(supervisor, Component::Containerd).await?;
                clock.stage(Stage::Images, images(supervisor)).await
            };
            tokio::try_join!(control_plane(supervisor, &clock), runtime)?;
            node(supervisor, &clock).await?;
        }
    }
    let info = Info {
        level: spec.level,
        dir: spec.dir.clone(),
        keeper: spec.keeper,
        kubeconfig: spec.dir.join("kubeconfigs/admin"),
        server,
        logs: spec.dir.join("logs"),
        audit_log: plan::audit_log(&spec.dir),
        bin: spec.bin.clone(),
        stages: clock.stages.take(),
        ready_ms: milliseconds(begun.elapsed()),
        ports,
    };
    info.write()?;
    Ok(info)
}

async fn control_plane(supervisor: &Supervisor, clock: &Clock) -> anyhow::Result<()> {
    clock.component(supervisor, Component::Etcd).await?;
    clock.component(supervisor, Component::KubeApiserver).await?;
    clock.component(supervisor, Component::KubeControllerManager).await?;
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    clock.stage(Stage::ServiceAccount, object(supervisor, account, |_| true)).await
}

async fn node(supervisor: &Supervisor, clock: &Clock) -> anyhow::Result<()> {
    tokio::try_join!(
        clock.component(supervisor, Component::KubeScheduler),
        clock.component(supervisor, Component::Kubelet),
        clock.component(supervisor, Component::KubeProxy),
    )?;
    let path = format!("/api/v1/nodes/{NODE}");
    let ready = |node: &serde_json::Value| {
        let conditions = node["status"]["conditions"].as_array();
        let untainted = node["spec"]["taints"].as_array().is_none_or(Vec::is_empty);
        untainted
            && conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    clock.stage(Stage::NodeReady, object(supervisor, &path, ready)).await
}

impl Clock {
    async fn component(&self, supervisor: &Supervisor, component: Component) -> anyhow::Result<()> {
        self.stage(Stage::Component(component), self::component(supervisor, component)).await
    }

    async fn stage(
        &self,
        stage: Stage,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        report(&Event::Begun { stage });
        let begun = Instant::now();
        work.await?;
        let time = begun.elapsed();
        self.stages.borrow_mut().insert(stage.to_string(), milliseconds(time));
        report(&Event::Ended { stage, time });
        Ok(())
    }
}

/// Starts a component and waits until it is ready.
pub(crate) async fn component(supervisor: &Supervisor, component: Component) -> anyhow::Result<()> {
    let ports = supervisor.ports.get().context("the testbed is not that far yet")?;
    let start = component.start(&supervisor.spec, ports);
    let path = log(&supervisor.spec.dir, component.name());
    let mut command = launch::bound(&start.program);
    command.args(&start.args).current_dir(&supervisor.spec.dir);
    redirect(&mut command, &path)?;
    let before = supervisor.components.borrow().get(&component).map_or(0, |child| child.starts);
    let child = supervisor.children.spawn(&mut command, before + 1)?;
    supervisor.components.borrow_mut().insert(component, Rc::clone(&child));

    let client = supervisor.client()?;
    let ready = async {
        let begun = Instant::now();
        loop {
            match start.ready.ask(&client).await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => sleep(INTERVAL).await,
            }
        }
    };
    tokio::select! {
        ready = ready => ready.with_context(|| {
            let seconds = PATIENCE.as_secs();
            format!("{component} was not ready within {seconds} s; its log is {}", path.display())
        }),
        status = child.ended() => bail!(
            "{component} ended ({status}) before it was ready; its log is {}{}",
            path.display(), tail(&path)
        ),
    }
}

/// Waits until an object is as it should be.
async fn object(
    supervisor: &Supervisor,
    path: &str,
    fact: impl Fn(&serde_json::Value) -> bool,
) -> anyhow::Result<()> {
    let (client, ports) = (supervisor.client()?, supervisor.ports.get());
    let port = ports.context("no ports")?.apiserver;
    let wait = async {
        loop {
            if let Ok(text) = client.get(port, path).await
                && serde_json::from_str(&text).is_ok_and(|object| fact(&object))
            {
                return;
            }
            sleep(INTERVAL).await;
        }
    };
    timeout(PATIENCE, wait).await.with_context(|| {
        let logs = supervisor.spec.dir.join("logs");
        format!("{path} did not come about; the logs are in {}", logs.display())
    })
}

/// Imports the images of pods.
async fn images(supervisor: &Supervisor) -> anyhow::Result<()> {
    let spec = &supervisor.spec;
    let archive = spec.images.as_ref().context("no images were built")?;
    let socket = spec.dir.join("containerd.sock");
    let path = log(&spec.dir, "images");
    let mut command = launch::bound("ctr");
    command.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images", "import"]);
    command.arg(archive);
    redirect(&mut command, &path)?;
    let status = supervisor.children.spawn(&mut command, 1)?.ended().await;
    if !status.success() {
        bail!("import of images ended ({status}); its log is {}{}", path.display(), tail(&path));
    }
    Ok(())
}

fn redirect(command: &mut std::process::Command, path: &Path) -> anyhow::Result<()> {
    // One log over all starts of a component.
    let log = OpenOptions::new().create(true).append(true).open(path);
    let log = log.with_context(|| format!("failed to write {}", path.display()))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(())
}

/// Returns the log of a component.
pub(crate) fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.log"))
}

/// Returns what a log says last, on lines of its own: not the stack under it.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let has = |line: &&str, marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
    let first = lines
        .iter()
        .position(|line| has(line, &["panic: ", "\"level\":\"fatal\"", "\"level\":\"panic\""]))
        .or_else(|| lines.iter().rposition(|line| has(line, &["Error: ", "error: "])))
        .unwrap_or(lines.len().saturating_sub(3));
    let cut = |line: &&str| line.chars().take(LINE).collect::<String>();
    lines[first..].iter().take(3).map(|line| format!("\n    {}", cut(line))).collect()
}

/// Chooses the ports: fixed ones in a box, free ones on a machine that others use too.
fn ports(spec: &Spec) -> anyhow::Result<Ports> {
    let fixed =
        spec.api_port.map(|port| listen(port).map(|listener| (port, listener))).transpose()?;
    if spec.level == Level::Node {
        let apiserver = spec.api_port.unwrap_or(6443);
        return Ok(Ports { etcd: 2379, etcd_peer: 2380, apiserver, controller_manager: 10257 });
    }
    // All are held until all are chosen, or one would be chosen twice.
    let mut held = Vec::new();
    let mut free = || -> anyhow::Result<u16> {
        let listener = listen(0)?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        Ok(port)
    };
    let (etcd, etcd_peer, controller_manager) = (free()?, free()?, free()?);
    let apiserver = match fixed {
        Some((port, _)) => port,
        None => free()?,
    };
    Ok(Ports { etcd, etcd_peer, apiserver, controller_manager })
}

fn listen(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
        .with_context(|| format!("port {port} of 127.0.0.1 is not free"))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

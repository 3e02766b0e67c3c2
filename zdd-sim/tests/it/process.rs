//! Containers as real processes and as services of this process.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use zdd_sim::{
    AddressBlock, ContainerEvent, ContainerId, ContainerRuntime, Exit, Image, ProbeKind,
    ProcessImage, ServiceImage,
};

const LIMIT: Duration = Duration::from_secs(20);
const PORT: u16 = 8080;

/// A runtime with one pod, of one container.
struct World {
    runtime: ContainerRuntime,
    events: mpsc::UnboundedReceiver<(ContainerId, ContainerEvent)>,
    pod: Pod,
    ip: Ipv4Addr,
    _addresses: AddressBlock,
}

impl World {
    fn new(container: Value) -> Self {
        let mut addresses = AddressBlock::take().unwrap();
        let (runtime, events) = ContainerRuntime::new();
        let ip = addresses.pod().unwrap();
        Self { runtime, events, pod: pod(container), ip, _addresses: addresses }
    }

    fn start(&self, image: impl Into<Image>) {
        self.runtime.start(&self.pod, "app", &image.into(), IpAddr::V4(self.ip)).unwrap();
    }

    fn stop(&self, grace: Duration) {
        self.runtime.stop(&app(), grace);
    }

    async fn next(&mut self) -> ContainerEvent {
        timeout(LIMIT, self.events.recv()).await.expect("an event in time").unwrap().1
    }

    /// Returns the next event that is not of an ordinary start.
    async fn next_after_start(&mut self) -> ContainerEvent {
        loop {
            match self.next().await {
                ContainerEvent::Running { .. } | ContainerEvent::Started => {}
                event => return event,
            }
        }
    }

    async fn exit(&mut self) -> Exit {
        loop {
            if let ContainerEvent::Exited(exit) = self.next().await {
                return exit;
            }
        }
    }

    fn log(&self) -> Vec<String> {
        self.runtime.logs(&app()).into_iter().map(|line| line.text).collect()
    }

    /// Waits for a line that starts so and returns the rest of it.
    async fn logged(&self, start: &str) -> String {
        let search = async {
            loop {
                let lines = self.log();
                if let Some(rest) = lines.iter().find_map(|line| line.strip_prefix(start)) {
                    return rest.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("only {:?}", self.log()))
    }
}

fn app() -> ContainerId {
    ContainerId::new("uid-1", "app")
}

fn pod(mut container: Value) -> Pod {
    container["name"] = "app".into();
    container["ports"] = json!([{"name": "http", "containerPort": PORT}]);
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "uid-1"},
        "spec": {"nodeName": "node-a", "containers": [container]},
    });
    serde_json::from_value(pod).unwrap()
}

pub(crate) fn shell(script: &str) -> ProcessImage {
    ProcessImage::new("/bin/sh").args(["-c", script])
}

/// A zombie that nobody has reaped yet is as dead as can be.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(crate) async fn dies(pid: &str) {
    let dead = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, dead).await.unwrap_or_else(|_| panic!("process {pid} still lives"));
}

/// A directory that is gone at the end of the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("zdd-sim-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_process_gets_the_pods_environment_and_its_output_is_kept() {
    let mut world = World::new(json!({
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    }));
    let script =
        "echo $HOSTNAME $POD_IP:$PORT $NODE ${CARGO_PKG_NAME:-clean}; echo oops >&2; exit 3";
    world.start(shell(script));
    assert!(matches!(world.next().await, ContainerEvent::Running { pid: Some(_) }));
    let exit = world.exit().await;
    assert_eq!((exit.code, exit.signal, exit.reason()), (3, None, "Error"));
    let expected = format!("web-1 {}:8080 node-a clean", world.ip);
    let mut log = world.log();
    log.sort();
    assert_eq!(log, ["oops", expected.as_str()]);
}

#[tokio::test]
async fn a_stop_is_a_sigterm_that_the_process_may_answer() {
    let mut world = World::new(json!({}));
    world.start(shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"));
    world.logged("up").await;
    world.stop(LIMIT);
    let exit = world.exit().await;
    assert_eq!((exit.code, exit.signal, exit.reason()), (0, None, "Completed"));
}

#[tokio::test]
async fn a_process_that_a_signal_ends_has_128_and_its_number_as_exit_code() {
    let mut world = World::new(json!({}));
    world.start(shell("echo up; exec sleep 1000"));
    world.logged("up").await;
    world.stop(LIMIT);
    let exit = world.exit().await;
    assert_eq!((exit.code, exit.signal), (143, Some(15)));
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace_with_all_that_it_started() {
    let mut world = World::new(json!({}));
    world.start(shell("trap '' TERM; sleep 1000 & echo child $!; while :; do sleep 0.01; done"));
    let child = world.logged("child ").await;
    assert!(is_alive(&child));
    let start = Instant::now();
    // Raised to the kubelet's minimum of two seconds.
    world.stop(Duration::from_secs(1));
    let exit = world.exit().await;
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    dies(&child).await;
}

#[tokio::test]
async fn what_a_process_leaves_behind_ends_with_it() {
    let mut world = World::new(json!({}));
    world.start(shell("sleep 1000 & echo child $!"));
    assert_eq!(world.exit().await.code, 0);
    dies(&world.logged("child ").await).await;
}

#[tokio::test]
async fn pre_stop_runs_in_the_container_and_before_sigterm() {
    let script = "echo hook $HOSTNAME > $DIR/hook; sleep 0.3";
    let scratch = Scratch::new("prestop");
    let mut world = World::new(json!({
        "env": [{"name": "DIR", "value": scratch.0}],
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", script]}}},
    }));
    world.start(shell("trap 'cat $DIR/hook; exit 0' TERM; echo up; while :; do sleep 0.01; done"));
    world.logged("up").await;
    let start = Instant::now();
    world.stop(LIMIT);
    assert_eq!(world.exit().await.code, 0);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(world.log(), ["up", "hook web-1"]);
}

#[tokio::test]
async fn pre_stop_that_takes_too_long_is_given_up_and_said_so() {
    let mut world = World::new(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 1000}}}}));
    world.start(shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"));
    world.logged("up").await;
    world.stop(Duration::from_millis(200));
    let mut failed = false;
    let exit = loop {
        match world.next().await {
            ContainerEvent::PreStopFailed(_) => failed = true,
            ContainerEvent::Exited(exit) => break exit,
            _ => {}
        }
    };
    assert!(failed && exit.code == 0, "{exit:?}");
}

#[tokio::test]
async fn readiness_follows_the_probe_also_while_the_container_is_stopping() {
    let scratch = Scratch::new("ready");
    let file = scratch.file("ready");
    let mut world = World::new(json!({
        "readinessProbe": {
            "exec": {"command": ["test", "-e", file]}, "periodSeconds": 1, "failureThreshold": 1,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": 60}}},
    }));
    world.start(shell("exec sleep 1000"));
    let unhealthy = world.next_after_start().await;
    assert!(
        matches!(&unhealthy, ContainerEvent::Unhealthy { probe: ProbeKind::Readiness, message } if message.contains("exit status: 1")),
        "{unhealthy:?}"
    );
    std::fs::write(&file, "").unwrap();
    // Unhealthy may come once more, if the file came after the second probe.
    while world.next().await != ContainerEvent::Ready(true) {}
    world.stop(Duration::from_secs(100));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(world.next().await, ContainerEvent::Unhealthy { .. }));
    assert_eq!(world.next().await, ContainerEvent::Ready(false));
    world.stop(Duration::ZERO);
    assert_eq!(world.exit().await.code, 143);
}

#[tokio::test]
async fn a_failing_liveness_probe_stops_the_container() {
    let mut world = World::new(json!({
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2},
    }));
    world.start(shell("exec sleep 1000"));
    let unhealthy =
        |event| matches!(event, ContainerEvent::Unhealthy { probe: ProbeKind::Liveness, .. });
    assert_eq!(world.next_after_start().await, ContainerEvent::Ready(true));
    assert!(unhealthy(world.next().await) && unhealthy(world.next().await));
    assert_eq!(world.next().await, ContainerEvent::Stopping(ProbeKind::Liveness));
    assert_eq!(world.exit().await.code, 143);
    // It may run again under the same name.
    world.start(shell("exit 0"));
    assert_eq!(world.exit().await.code, 0);
}

#[tokio::test]
async fn nothing_is_started_or_ready_before_the_startup_probe_passes() {
    let scratch = Scratch::new("startup");
    let file = scratch.file("up");
    let mut world = World::new(json!({
        "startupProbe": {
            "exec": {"command": ["test", "-e", file]}, "periodSeconds": 1, "failureThreshold": 30,
        },
        "readinessProbe": {"exec": {"command": ["true"]}},
        "livenessProbe": {"exec": {"command": ["true"]}},
    }));
    world.start(shell("exec sleep 1000"));
    assert!(matches!(world.next().await, ContainerEvent::Running { .. }));
    assert!(matches!(
        world.next().await,
        ContainerEvent::Unhealthy { probe: ProbeKind::Startup, .. }
    ));
    std::fs::write(&file, "").unwrap();
    let mut event = world.next().await;
    while matches!(event, ContainerEvent::Unhealthy { probe: ProbeKind::Startup, .. }) {
        event = world.next().await;
    }
    assert_eq!(event, ContainerEvent::Started);
    assert_eq!(world.next().await, ContainerEvent::Ready(true));
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_an_error_and_no_event() {
    let mut world = World::new(json!({}));
    let image = ProcessImage::new("/no/such/program").into();
    let error = world.runtime.start(&world.pod, "app", &image, world.ip.into()).unwrap_err();
    assert_eq!(error.to_string(), "failed to start /no/such/program");
    assert_eq!(error.reason(), "RunContainerError");
    assert!(world.events.try_recv().is_err());
}

#[tokio::test]
async fn dropping_the_runtime_kills_everything() {
    let world = World::new(json!({}));
    world.start(shell("trap '' TERM; sleep 1000 & echo pids $$ $!; while :; do sleep 0.01; done"));
    let pids = world.logged("pids ").await;
    drop(world);
    for pid in pids.split_whitespace() {
        dies(pid).await;
    }
}

#[tokio::test]
async fn closing_the_runtime_returns_when_everything_is_gone() {
    let world = World::new(json!({}));
    world.start(shell("trap '' TERM; echo pid $$; while :; do sleep 0.01; done"));
    let pid = world.logged("pid ").await;
    timeout(LIMIT, world.runtime.close()).await.unwrap();
    assert!(!is_alive(&pid));
}

/// Not a test of its own: the process that the next test kills.
#[tokio::test]
#[ignore = "started by nothing_survives_the_death_of_the_process_that_started_it"]
async fn host_of_a_pod() {
    let world = World::new(json!({}));
    world.start(shell("trap '' TERM; echo pid $$; while :; do sleep 0.01; done"));
    let pid = world.logged("pid ").await;
    let mut out = tokio::io::stdout();
    out.write_all(format!("\npid {pid}\n").as_bytes()).await.unwrap();
    out.flush().await.unwrap();
    timeout(LIMIT, std::future::pending::<()>()).await.unwrap();
}

#[tokio::test]
async fn nothing_survives_the_death_of_the_process_that_started_it() {
    let mut host = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "process::host_of_a_pod"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let pid = loop {
        let line = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap();
        if let Some(pid) = line.strip_prefix("pid ") {
            break pid.to_owned();
        }
    };
    assert!(is_alive(&pid));
    host.kill().await.unwrap();
    dies(&pid).await;
}

/// Answers each connection's first request with a status, and tells what was asked.
fn answering(healthy: Arc<AtomicBool>, asked: mpsc::UnboundedSender<String>) -> ServiceImage {
    ServiceImage::new(move |listener: TcpListener, pod| {
        let (healthy, asked) = (Arc::clone(&healthy), asked.clone());
        async move {
            let serve = async {
                loop {
                    let (mut stream, _) = listener.accept().await?;
                    let mut request = vec![0; 4096];
                    let n = stream.read(&mut request).await?;
                    let _ = asked.send(String::from_utf8_lossy(&request[..n]).into_owned());
                    let status = if healthy.load(Ordering::Relaxed) { "204 OK" } else { "503 No" };
                    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await?;
                }
            };
            pod.shutdown.run_until_cancelled(serve).await.unwrap_or(Ok(()))
        }
    })
}

#[tokio::test]
async fn an_http_probe_asks_as_a_kubelet_does() {
    let mut world = World::new(json!({
        "readinessProbe": {
            "httpGet": {"port": "http", "path": "/ready", "httpHeaders": [{"name": "X-A", "value": "b"}]},
            "periodSeconds": 1, "failureThreshold": 1,
        },
    }));
    let healthy = Arc::new(AtomicBool::new(false));
    let (asked, mut requests) = mpsc::unbounded_channel();
    world.start(answering(Arc::clone(&healthy), asked));
    // The first probe may come before the service listens.
    let message = loop {
        match world.next_after_start().await {
            ContainerEvent::Unhealthy { message, .. } if message.contains("refused") => {}
            ContainerEvent::Unhealthy { message, .. } => break message,
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(message, "HTTP probe failed with statuscode: 503");
    let request = requests.recv().await.unwrap().to_lowercase();
    let mut lines: Vec<_> = request.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "get /ready http/1.1");
    lines.sort_unstable();
    let host = format!("host: {}:8080", world.ip);
    let expected =
        ["accept: */*", "connection: close", &host, "user-agent: kube-probe/1.37", "x-a: b"];
    assert_eq!(lines, expected);

    healthy.store(true, Ordering::Relaxed);
    while world.next().await != ContainerEvent::Ready(true) {}
    world.stop(LIMIT);
    assert_eq!(world.exit().await.code, 0);
}

#[tokio::test]
async fn a_service_that_does_not_end_in_time_is_dropped_with_its_tasks() {
    let mut world =
        World::new(json!({"readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1}}));
    world.start(ServiceImage::new(|listener: TcpListener, _pod| async move {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { while listener.accept().await.is_ok() {} });
        tasks.join_all().await;
        Ok(())
    }));
    while world.next().await != ContainerEvent::Ready(true) {}
    world.stop(Duration::ZERO);
    let exit = world.exit().await;
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    let address = (world.ip, PORT);
    let refused = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, refused).await.unwrap();
}

#[tokio::test]
async fn a_panic_of_a_service_is_an_exit_code_and_no_more() {
    let mut world = World::new(json!({}));
    world.start(ServiceImage::new(|_listener, _pod| async { panic!("as asked") }));
    assert_eq!(world.exit().await.code, 101);
    world.start(ServiceImage::new(|_listener, _pod| async { Err("no luck".into()) }));
    assert_eq!(world.exit().await.code, 1);
    assert_eq!(world.log(), ["the service failed: no luck"]);
}

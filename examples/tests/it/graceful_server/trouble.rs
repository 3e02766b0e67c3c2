//! What goes wrong around a service: bad settings, stores that are away, signals at bad moments.

use tokio::{net::TcpListener, time::Instant};

use super::*;

/// Runs the program to its end; returns its exit code and what it wrote to standard error.
async fn fails(mut command: Command) -> (Option<i32>, String) {
    let output = timeout(LIMIT, command.output()).await.expect("the program waits forever");
    let output = output.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_is_an_error_that_names_it() {
    let Some(programs) = services::programs() else { return };
    let postgres = programs.postgres();
    let (code, stderr) = fails(command(postgres.address, nobody())).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("failed to connect to Redis"), "{stderr}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_errors_that_name_them() {
    let cases = [
        ("DATABASE_URL", "coffee", "failed to connect to PostgreSQL"),
        ("LISTEN", "everywhere", "invalid value 'everywhere' for '--listen"),
        ("ZDD_SHUTDOWN_DEADLINE", "soon", "ZDD_SHUTDOWN_DEADLINE is \"soon\""),
        ("ZDD_SHUTDOWN_DEADLINE", "4s", "raise the deadline of 4s or shorten them"),
    ];
    for (name, value, expected) in cases {
        let mut command = command(nobody(), nobody());
        let (code, stderr) = fails({
            command.env(name, value);
            command
        })
        .await;
        assert!(matches!(code, Some(1 | 2)), "{name}={value}: {code:?} {stderr}");
        assert!(stderr.contains(expected), "{name}={value}: {stderr}");
    }
}

#[tokio::test]
async fn sigterm_while_postgresql_does_not_answer_ends_the_start_at_once() {
    // Accepts and says nothing, as behind a firewall that drops.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let program = Program::spawn(command(silent.local_addr().unwrap(), nobody()));
    let _connection = timeout(LIMIT, silent.accept()).await.unwrap().unwrap();
    program.terminate();
    let began = Instant::now();
    let (code, report) = program.end().await;
    assert_eq!(code, Some(0), "{report}");
    assert!(began.elapsed() < Duration::from_secs(1), "{report}");
    assert_eq!(report["reason"]["signal"], "terminate", "{report}");
}

#[tokio::test]
async fn an_outbox_that_cannot_be_flushed_is_the_exit_code_and_postgresql_is_closed_all_the_same() {
    let Some(programs) = services::programs() else { return };
    let (postgres, redis) = (programs.postgres(), programs.redis());
    let to_postgres = Wire::to(postgres.address).await;
    let mut program = Program::start(to_postgres.address, redis.address).await;
    drop(redis);
    let (order, _) = send(program.address, "POST", "/orders").await;
    assert!(order.starts_with("HTTP/1.1 201"), "it is stored, and waits: {order}");
    program.logged(|line| line.contains("outbox stays full")).await;
    program.terminate();
    let (code, report) = program.end().await;
    assert_eq!(code, Some(1), "{report}");
    let hooks = report["hooks"].as_array().unwrap();
    let ended = |name: &str| {
        let hook = hooks.iter().find(|hook| hook["name"] == name).unwrap();
        hook["outcome"].clone()
    };
    assert_ne!(ended("outbox"), "done", "{report}");
    assert_eq!(ended("postgres"), "done", "{report}");
    for connection in to_postgres.connections() {
        assert!(connection.last.ends_with(&[b'X', 0, 0, 0, 4]), "{connection:?}");
    }
}

#[tokio::test]
async fn a_second_sigterm_ends_it_outside_of_kubernetes_and_not_inside() {
    let Some(programs) = services::programs() else { return };
    let redis = programs.redis();
    for (in_pod, expected) in [(false, 143), (true, 0)] {
        let postgres = programs.postgres();
        let mut command = command(postgres.address, redis.address);
        if in_pod {
            command.env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        }
        let mut program = Program::listening(command).await;
        let slow = send(program.address, "GET", "/report?seconds=3");
        let database = &postgres;
        let twice = async move {
            while !database.log().contains("pg_sleep") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            program.terminate();
            program.entered("lame duck").await;
            // Sooner than a second after the first it would be its echo.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            program.terminate();
            program.ended().await
        };
        let (ended, answered) = tokio::join!(timeout(LIMIT, twice), timeout(LIMIT, slow));
        assert_eq!(ended.unwrap(), Some(expected), "in a pod: {in_pod}");
        let served = answered.unwrap().0.starts_with("HTTP/1.1 200");
        assert_eq!(served, in_pod);
    }
}

#[tokio::test]
async fn the_probes_of_the_manifest_answer_to_the_end_and_only_readiness_flips() {
    let Some(programs) = services::programs() else { return };
    let (postgres, redis) = (programs.postgres(), programs.redis());
    let mut program = Program::start(postgres.address, redis.address).await;
    let address = program.address;
    let ask = async |probe: &str| {
        let (response, _) = send(address, "GET", &crate::manifest::probe_path(probe)).await;
        response.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(ask(probe).await, "200", "{probe}");
    }
    program.terminate();
    program.entered("lame duck").await;
    assert_eq!(ask("livenessProbe").await, "200");
    assert_eq!(ask("readinessProbe").await, "503");
    assert_eq!(program.end().await.0, Some(0));
}

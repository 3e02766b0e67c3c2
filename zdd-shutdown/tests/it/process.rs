//! Real processes, real signals, real exit codes.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    site::ms,
    victim::{self, End, Victim},
};

const DEADLINE: (&str, &str) = ("ZDD_SHUTDOWN_DEADLINE", "2s");
/// What a process in a pod sees, with a lame duck that tests can wait for.
const POD: [(&str, &str); 5] = [
    ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    ("ZDD_SHUTDOWN_DEADLINE", "4s"),
    ("ZDD_SHUTDOWN_LAME_DUCK_MIN", "500ms"),
    ("ZDD_SHUTDOWN_LAME_DUCK_MAX", "2s"),
    ("ZDD_SHUTDOWN_QUIET", "200ms"),
];

/// Sends a GET and leaves the connection open.
fn ask(victim: &Victim, target: &str) -> TcpStream {
    let mut io = TcpStream::connect(victim.address()).unwrap();
    io.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(io, "GET {target} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    io
}

/// Sends a GET on a connection that the server closes after its answer.
fn ask_once(victim: &Victim, target: &str) -> TcpStream {
    let mut io = TcpStream::connect(victim.address()).unwrap();
    io.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(io, "GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    io
}

/// Starts one that has answered: that proves that it serves, since it can listen a moment earlier,
/// and what has not served yet has no traffic to wait for.
fn serving(env: &[(&str, &str)]) -> Victim {
    let victim = Victim::start("serve", env);
    assert!(answer(ask_once(&victim, "/sleep/0")).ends_with("slept"));
    victim
}

/// Blocks all worker threads.
fn block(victim: &mut Victim) -> TcpStream {
    let blocked = ask(victim, "/block/30000");
    victim.says("began /block/30000");
    blocked
}

fn answer(mut io: TcpStream) -> String {
    let mut answer = String::new();
    io.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn assert_clean(end: &End) {
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.stdout.contains("hook pool"), "{end:?}");
}

#[test]
fn sigterm_before_ready_runs_the_hooks_and_exits_at_once() {
    let end = Victim::start("starting", &[DEADLINE]).end_by("TERM");
    assert_clean(&end);
    assert!(end.took < ms(1_000), "{end:?}");
}

#[test]
fn a_program_that_is_done_exits_without_a_signal() {
    // Its first line is not an address, which is not waited for.
    assert_eq!(Victim::start("completed", &[DEADLINE]).end().code, Some(0));
}

#[test]
fn an_idle_server_exits_at_once() {
    let end = serving(&[DEADLINE]).end_by("TERM");
    assert_clean(&end);
    assert!(end.took < ms(500), "{end:?}");
}

#[test]
fn sigint_skips_the_lame_duck_that_sigterm_keeps() {
    let interrupted = serving(&POD).end_by("INT");
    assert_clean(&interrupted);
    assert!(!interrupted.stdout.contains("lame duck"), "{interrupted:?}");
    let terminated = serving(&POD).end_by("TERM");
    assert_clean(&terminated);
    assert!(terminated.took >= ms(500) && terminated.took < ms(1_500), "{terminated:?}");
    assert!(terminated.stdout.contains("lame duck"), "{terminated:?}");
}

/// ^C reaches the process by the driver of its terminal. `exec`, since a shell that stays in between
/// gets the signal too, and dash then ends by it, with 130, whatever its child returns.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_on_a_terminal_skips_the_lame_duck() {
    let mut command = Command::new("script");
    let victim = format!("exec {} serve", victim::path().display());
    command.args(["--quiet", "--flush", "--return", "--command", &victim, "/dev/null"]);
    let mut victim = Victim::run(command.stdin(Stdio::piped()), &POD);
    let io = ask(&victim, "/sleep/400");
    victim.says("began /sleep/400");
    victim.type_in(b"\x03");
    assert!(answer(io).ends_with("slept"));
    let end = victim.end();
    assert_clean(&end);
    assert!(end.stdout.contains("shutdown (SIGINT) clean"), "{end:?}");
    assert!(!end.stdout.contains("lame duck"), "{end:?}");
}

#[test]
fn a_request_in_flight_survives_the_signal() {
    let mut victim = Victim::start("serve", &[DEADLINE]);
    let io = ask(&victim, "/sleep/600");
    victim.says("began /sleep/600");
    victim.signal("TERM");
    assert!(answer(io).ends_with("slept"));
    assert_clean(&victim.end());
}

#[test]
fn a_second_sigint_ends_the_process_within_100_ms() {
    for (mode, expected) in [("serve", 130), ("code", 7)] {
        let mut victim = Victim::start(mode, &[("ZDD_SHUTDOWN_DEADLINE", "20s")]);
        let _io = ask(&victim, "/sleep/15000");
        victim.says("began /sleep/15000");
        victim.signal("INT");
        victim.says("phase draining");
        let end = victim.end_by("INT");
        assert_eq!(end.code, Some(expected), "{end:?}");
        assert!(end.took < ms(100), "{end:?}");
        assert!(
            end.stderr.contains("second signal SIGINT) in phase draining: 1 requests"),
            "{end:?}"
        );
    }
}

#[test]
fn a_second_sigterm_follows_the_policy() {
    let in_pod = |mode| {
        let mut victim = Victim::start(mode, &POD);
        let io = ask(&victim, "/sleep/2500");
        victim.says("began /sleep/2500");
        victim.signal("TERM");
        victim.says("phase lame duck");
        // Sooner than a second after the first it would be its echo.
        std::thread::sleep(ms(1_100));
        victim.signal("TERM");
        (victim, io)
    };
    let (victim, io) = in_pod("serve");
    assert!(answer(io).ends_with("slept"), "a repeated signal is the kubelet's right");
    assert_clean(&victim.end());
    let (victim, _io) = in_pod("force");
    let end = victim.end();
    assert_eq!(end.code, Some(143), "{end:?}");
    assert!(end.took < ms(300), "{end:?}");
}

#[test]
fn the_first_signal_is_no_second_one_when_the_program_has_begun_the_end_itself() {
    let mut victim = Victim::start("critical", &[("ZDD_SHUTDOWN_DEADLINE", "10s")]);
    let io = ask(&victim, "/sleep/2000");
    victim.says("began /sleep/2000");
    assert!(answer(ask_once(&victim, "/lose-the-lease")).ends_with("lost"));
    victim.says("phase draining");
    // Sooner than a second after the first it would be taken for an echo.
    std::thread::sleep(ms(1_100));
    victim.signal("TERM");
    assert!(answer(io).ends_with("slept"));
    assert_eq!(victim.end().code, Some(1));
}

#[test]
fn the_watchdog_ends_a_process_whose_workers_are_all_blocked() {
    for runtime in ["multi_thread", "current_thread"] {
        let mut victim = Victim::start("serve", &[DEADLINE, ("RUNTIME", runtime)]);
        let _blocked = block(&mut victim);
        let end = victim.end_by("TERM");
        assert_eq!(end.code, Some(1), "{end:?}");
        let off = end.took.abs_diff(ms(2_000));
        assert!(off < ms(100), "{end:?}");
        assert!(end.stderr.contains("forced exit with code 1 (deadline reached)"), "{end:?}");
    }
}

#[test]
fn a_second_sigint_works_while_all_workers_are_blocked() {
    let mut victim = Victim::start("serve", &[("ZDD_SHUTDOWN_DEADLINE", "20s")]);
    let _blocked = block(&mut victim);
    victim.signal("INT");
    victim.says("phase draining");
    let end = victim.end_by("INT");
    assert_eq!(end.code, Some(130), "{end:?}");
    assert!(end.took < ms(100), "{end:?}");
}

#[test]
fn a_stuck_blocking_task_does_not_hold_up_a_clean_exit() {
    let mut victim = Victim::start("serve", &[DEADLINE]);
    let io = ask(&victim, "/stuck/30000");
    victim.says("began /stuck/30000");
    let end = victim.end_by("TERM");
    assert_clean(&end);
    assert!(end.took < ms(1_900), "{end:?}");
    assert!(answer(io).ends_with("stuck"));
}

#[test]
fn a_failed_critical_task_drains_and_exits_with_1() {
    let mut victim = Victim::start("critical", &[DEADLINE]);
    let io = ask(&victim, "/sleep/800");
    victim.says("began /sleep/800");
    assert!(answer(ask_once(&victim, "/lose-the-lease")).ends_with("lost"));
    assert!(answer(io).ends_with("slept"));
    let end = victim.end();
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.stdout.contains("critical task leader failed: lost the lease"), "{end:?}");
    assert!(end.stdout.contains("hook pool"), "{end:?}");
}

#[test]
fn a_current_thread_runtime_drains_as_well() {
    let mut victim = Victim::start("serve", &[DEADLINE, ("RUNTIME", "current_thread")]);
    let io = ask(&victim, "/sleep/500");
    victim.says("began /sleep/500");
    victim.signal("TERM");
    assert!(answer(io).ends_with("slept"));
    assert_clean(&victim.end());
}

#[test]
fn the_termination_grace_brings_the_deadline_forward() {
    let env = [DEADLINE, ("ZDD_TERMINATION_GRACE", "4s")];
    let mut victim = Victim::start("serve", &env);
    let _blocked = block(&mut victim);
    let end = victim.end_by("TERM");
    assert_eq!(end.code, Some(1));
    assert!(end.took.abs_diff(ms(1_000)) < ms(100), "{end:?}");
}

/// The pod's grace is shorter than the drain, and nothing tells the process.
#[test]
fn a_grace_that_nobody_told_ends_in_sigkill_and_the_log_has_said_so() {
    let env = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("ZDD_SHUTDOWN_DEADLINE", "40s")];
    let mut victim = Victim::start("serve", &env);
    let _io = ask(&victim, "/sleep/30000");
    victim.says("began /sleep/30000");
    victim.signal("TERM");
    victim.says("phase lame duck");
    std::thread::sleep(ms(1_000));
    let end = victim.end_by("KILL");
    assert_eq!((end.code, end.signal), (None, Some(9)), "{end:?}");
    let warning = "warning: deadline of 40s does not fit the termination grace of a pod that sets \
                   none; set terminationGracePeriodSeconds and ZDD_TERMINATION_GRACE to at least 43";
    assert!(end.stderr.contains(warning), "{end:?}");
    // Nothing comes after the phase in which it was killed.
    assert!(end.stdout.ends_with("phase lame duck"), "{end:?}");
}

#[test]
fn the_pre_stop_sleep_is_taken_off_the_lame_duck() {
    // The default lame duck is at least 5 s; 5 s of them were slept in preStop.
    let env = [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("ZDD_PRE_STOP", "5s"),
        ("ZDD_TERMINATION_GRACE", "40s"),
    ];
    let end = serving(&env).end_by("TERM");
    assert_clean(&end);
    assert!(end.took >= ms(1_000) && end.took < ms(3_000), "only the quiet time: {end:?}");
}

#[test]
fn settings_that_make_no_sense_end_the_start() {
    let end = Victim::start("serve", &[("ZDD_SHUTDOWN_DEADLINE", "soon")]).end();
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("Env(EnvError"), "{end:?}");
}

/// What a container runtime does: the process is PID 1 of a namespace of its own.
const INIT: [&str; 5] = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];

/// Starts a victim as PID 1; `None`, said aloud, where that is not allowed.
#[expect(clippy::print_stderr, reason = "a skipped test has to say so")]
fn as_init(env: &[(&str, &str)]) -> Option<Victim> {
    match Command::new("unshare").args(INIT).arg("true").output() {
        Ok(probe) if probe.status.success() => {}
        refused => {
            eprintln!("skipped: no PID namespaces here: {refused:?}");
            return None;
        }
    }
    let mut victim =
        Victim::run(Command::new("unshare").args(INIT).arg(victim::path()).arg("serve"), env);
    let parent = victim.id();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    victim.stands_for(children.trim().parse().unwrap());
    let status = fs::read_to_string(format!("/proc/{}/status", victim.id())).unwrap();
    let pids = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    assert!(pids.ends_with("\t1"), "{pids}");
    Some(victim)
}

#[test]
fn as_pid_1_sigterm_is_heard_and_the_end_is_clean() {
    let Some(mut victim) = as_init(&[DEADLINE]) else { return };
    let io = ask(&victim, "/sleep/300");
    victim.says("began /sleep/300");
    victim.signal("TERM");
    assert!(answer(io).ends_with("slept"));
    assert_clean(&victim.end());
}

#[test]
fn as_pid_1_a_forced_exit_really_exits() {
    let Some(mut victim) = as_init(&[DEADLINE]) else { return };
    let _blocked = block(&mut victim);
    let end = victim.end_by("TERM");
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.stderr.contains("forced exit with code 1 (deadline reached)"), "{end:?}");
}

//! Private PostgreSQL and Redis servers, on loopback and in a directory of their own.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);

/// A server process and the directory it lives in; ended when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    directory: TempDir,
    pub(crate) address: SocketAddr,
    stop: Signal,
}

/// The programs that the tests need; `None`, and a line that says so, when they are missing.
///
/// With `ZDD_REQUIRE_SERVICES=1` a missing program fails the test.
pub(crate) fn programs() -> Option<Programs> {
    match find() {
        Ok(programs) => Some(programs),
        Err(missing) if std::env::var_os("ZDD_REQUIRE_SERVICES").is_some_and(|set| set == "1") => {
            panic!(
                "{missing} not found, and ZDD_REQUIRE_SERVICES=1; apt-get install postgresql redis-server"
            )
        }
        Err(missing) => {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: {missing} not found; apt-get install postgresql redis-server");
            }
            None
        }
    }
}

#[derive(Debug)]
pub(crate) struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
    redis: PathBuf,
}

fn find() -> Result<Programs, &'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Debian keeps the server's programs out of PATH; the newest version first.
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    folders.extend(debian.into_iter().rev());
    let program = |name: &'static str| {
        folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()).ok_or(name)
    };
    Ok(Programs {
        initdb: program("initdb")?,
        postgres: program("postgres")?,
        redis: program("redis-server")?,
    })
}

impl Programs {
    /// Starts PostgreSQL with an empty database cluster; its log is in `log`.
    pub(crate) fn postgres(&self) -> Service {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let user = unprivileged(directory.path());
        let initialised = user
            .command(&self.initdb)
            .args(["--username=app", "--auth=trust", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(initialised.status.success(), "initdb: {initialised:?}");
        let directory_text = directory.path().to_str().unwrap().to_owned();
        let port = free_port();
        let mut command = user.command(&self.postgres);
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={directory_text}"),
            "fsync=off".to_owned(),
            "log_connections=on".to_owned(),
            "log_disconnections=on".to_owned(),
            "log_statement=all".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        // SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients.
        Service::start(command, directory, port, Signal::INT)
    }

    pub(crate) fn redis(&self) -> Service {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(&self.redis);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(["--loglevel", "verbose", "--dir"])
            .arg(directory.path());
        Service::start(command, directory, port, Signal::TERM)
    }
}

impl Service {
    fn start(mut command: Command, directory: TempDir, port: u16, stop: Signal) -> Self {
        let log = File::create(directory.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut service = Self { child, directory, address, stop };
        service.wait_until_it_listens();
        service
    }

    fn wait_until_it_listens(&mut self) {
        let limit = tokio::time::Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended with {ended:?}: {}", self.log());
            assert!(tokio::time::Instant::now() < limit, "does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself; the directory goes in any case.
        let _ = pid.map(|pid| kill_process(pid, self.stop));
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago; a program that finds it taken ends, and the test says so.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// PostgreSQL refuses to run as root.
struct User(Option<String>);

/// Gives `directory` to a user that PostgreSQL runs as, if this is root.
fn unprivileged(directory: &Path) -> User {
    if !rustix::process::geteuid().is_root() {
        return User(None);
    }
    let id = Command::new("id").args(["-u", "postgres"]).output().unwrap();
    let id = String::from_utf8(id.stdout).unwrap().trim().to_owned();
    assert!(!id.is_empty(), "this is root, and there is no user postgres to run PostgreSQL as");
    chown(directory, Some(id.parse().unwrap()), None).unwrap();
    User(Some(id))
}

impl User {
    fn command(&self, program: &Path) -> Command {
        match &self.0 {
            None => Command::new(program),
            Some(id) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={id}"), "--clear-groups"]).arg(program);
                // The user cannot enter the directory that the tests run in.
                command.current_dir("/");
                command
            }
        }
    }
}

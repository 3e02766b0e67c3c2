//! The command line.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use zdd_sim::{Images, ProcessImage};

/// A Kubernetes cluster inside one process, to work on with kubectl.
///
/// Writes a kubeconfig, serves until Ctrl-C, and leaves nothing behind: no process, no file.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// The address to listen on. Others than loopback let the network in, over plain HTTP
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) listen: IpAddr,
    /// The port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Where to write the kubeconfig; it is removed at the end
    #[arg(long, value_name = "FILE", default_value = "zdd-sim.kubeconfig")]
    pub(crate) kubeconfig: PathBuf,
    /// How many nodes the cluster has
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) nodes: u32,
    /// An image and the program to run for it, with arguments after blanks; can be given again
    #[arg(long, value_name = "NAME=PROGRAM [ARGS]")]
    image: Vec<Mapping>,
    /// What happens to pods of images that are mapped to no program
    #[arg(long, value_enum, default_value_t = Unknown::Simulate)]
    unknown_images: Unknown,
    /// A file of manifests to apply at the start, YAML or JSON; can be given again
    #[arg(long, value_name = "FILE")]
    pub(crate) load: Vec<PathBuf>,
    /// Print one line of JSON when the cluster is up: kubeconfig, pid, server
    #[arg(long)]
    pub(crate) json: bool,
    /// Makes generated names the same in each run
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// What an image without a program does.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unknown {
    /// Its containers have no process: they become ready and end when they are told to
    Simulate,
    /// Its pull fails, as that of an image which is not in the registry
    Refuse,
}

/// `NAME=PROGRAM [ARGS]`.
#[derive(Clone, Debug)]
struct Mapping {
    name: String,
    program: PathBuf,
    args: Vec<String>,
}

impl FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("wants NAME=PROGRAM")?;
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or("names no program after the =")?;
        if name.is_empty() {
            return Err("names no image before the =".to_owned());
        }
        Ok(Self { name: name.to_owned(), program: program.into(), args: words.collect() })
    }
}

impl Args {
    /// Refuses images that could never run: pods would tell it much later, one by one.
    ///
    /// # Errors
    /// When an image is given twice, or its program is not there.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        for Mapping { name, program, .. } in &self.image {
            ensure!(names.insert(name), "the image {name} is given twice; leave one --image out");
            ensure!(
                is_program(program),
                "the program {} of the image {name} is not there, or cannot be run; name one of \
                 this machine",
                program.display()
            );
        }
        Ok(())
    }

    /// Returns the registry that the arguments describe.
    pub(crate) fn images(&self) -> Images {
        let images = match self.unknown_images {
            Unknown::Simulate => Images::any().with_notice(),
            Unknown::Refuse => Images::new(),
        };
        self.image.iter().fold(images, |images, mapping| {
            let image = ProcessImage::new(&mapping.program).args(&mapping.args);
            images.with(&mapping.name, image)
        })
    }
}

/// Tells whether a name, with or without a path, is that of a file which can be run.
fn is_program(program: &Path) -> bool {
    let can_run = |path: &Path| {
        let found = path.metadata();
        found.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return can_run(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| can_run(&folder.join(program)))
}

//! The images of pods: built from this workspace, packed without any tool for containers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use ring::digest;
use serde_json::{Value, json};

use crate::paths;
use crate::state::Event;

/// The image whose container holds a pod's namespaces.
pub(crate) const PAUSE: &str = "docker.io/library/pause:1";
/// The tags of each variant of the service; each answers with its own as its version.
const TAGS: u32 = 5;

/// Variants of the service: the name of the image, and what its process is told.
const VARIANTS: &[(&str, &str)] =
    &[("web", "zdd"), ("web-graceful", "graceful"), ("web-plain", "plain")];
/// Bad versions of the service: the tag, and how it fails.
const BAD: &[(&str, &str)] = &[("crash", "crash"), ("never-ready", "never-ready")];

/// Builds the programs and packs the archive; returns its path.
pub(crate) fn build(observe: &mut dyn FnMut(&Event)) -> anyhow::Result<PathBuf> {
    observe(&Event::Building { what: "images".to_owned(), number: 1, of: 1 });
    let programs = programs()?;
    let folder = paths::tools()?.join("testbed");
    fs::create_dir_all(&folder)?;
    let path = folder.join("images.tar");
    let partial = folder.join(format!("images.{}.partial", std::process::id()));
    let mut archive = Archive::new(&partial)?;
    let web = archive.layer(&programs.join("service"))?;
    for (name, variant) in VARIANTS {
        for tag in 1..=TAGS {
            let env = vec![format!("VERSION={tag}"), format!("VARIANT={variant}")];
            archive.image(&format!("docker.io/library/{name}:{tag}"), &web, "/service", &env)?;
        }
    }
    for (tag, fail) in BAD {
        let env = vec![format!("VERSION={tag}"), format!("FAIL={fail}")];
        archive.image(&format!("docker.io/library/web:{tag}"), &web, "/service", &env)?;
    }
    let pause = archive.layer(&programs.join("pause"))?;
    archive.image(PAUSE, &pause, "/pause", &[])?;
    archive.finish()?;
    fs::rename(&partial, &path).context("failed to keep the archive of images")?;
    Ok(path)
}

/// Builds the programs that run in pods, without any library beside them.
fn programs() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = target()?.join("testbed-image");
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "zdd-testbed-image"])
        // With a target named, the flags are not for build scripts and macros.
        .args(["--target", &triple])
        .args(["--config", "profile.release.debug=false", "--config", "profile.release.strip=true"])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(paths::source())
        .stdin(Stdio::null())
        .output()
        .context("failed to start cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the build of the images failed: {}", said.trim());
    Ok(folder.join(triple).join("release"))
}

/// Returns the folder of the build that this program comes from.
fn target() -> anyhow::Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
        Some(target) => Ok(std::path::absolute(target)?),
        None => Ok(paths::source().join("../target")),
    }
}

/// A layer: one program in the root of the file system.
#[derive(Debug)]
struct Layer {
    digest: String,
    size: usize,
}

/// An archive in the layout of OCI.
struct Archive {
    tar: tar::Builder<File>,
    manifests: Vec<Value>,
}

impl Archive {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("failed to make {}", path.display()))?;
        let mut this = Self { tar: tar::Builder::new(file), manifests: Vec::new() };
        this.add("oci-layout", &serde_json::to_vec(&json!({ "imageLayoutVersion": "1.0.0" }))?)?;
        Ok(this)
    }

    fn layer(&mut self, program: &Path) -> anyhow::Result<Layer> {
        let bytes =
            fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
        let name = program.file_name().context("a program without a name")?;
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, Path::new(name), &bytes, 0o755)?;
        let bytes = tar.into_inner()?;
        Ok(Layer { digest: self.blob(&bytes)?, size: bytes.len() })
    }

    fn image(
        &mut self,
        name: &str,
        layer: &Layer,
        entry: &str,
        env: &[String],
    ) -> anyhow::Result<()> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = serde_json::to_vec(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Entrypoint": [entry], "Env": env },
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.blob(&config)?,
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer.digest,
                "size": layer.size,
            }],
        }))?;
        let entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": self.blob(&manifest)?,
            "size": manifest.len(),
            "annotations": { "io.containerd.image.name": name },
        });
        self.manifests.push(entry);
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        self.add("index.json", &serde_json::to_vec(&index)?)?;
        self.tar.into_inner()?.sync_all()?;
        Ok(())
    }

    fn blob(&mut self, bytes: &[u8]) -> anyhow::Result<String> {
        let hash = digest::digest(&digest::SHA256, bytes);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(&format!("blobs/sha256/{hex}"), bytes)?;
        Ok(format!("sha256:{hex}"))
    }

    fn add(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        append(&mut self.tar, Path::new(path), bytes, 0o644)
    }
}

fn append<W: std::io::Write>(
    tar: &mut tar::Builder<W>,
    path: &Path,
    bytes: &[u8],
    mode: u32,
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, bytes)?;
    Ok(())
}

//! Keys and certificates: one authority per testbed, and one certificate per user of it.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::network;
use crate::plan::{Level, NODE};

/// The authority of a testbed, in the folder of its state.
#[derive(Debug)]
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The group that may do everything.
const MASTERS: &str = "system:masters";

impl Authority {
    /// Makes an authority, and everything that it has to sign for the components of a level.
    pub(crate) fn create(dir: &Path, level: Level) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
        let key = KeyPair::generate()?;
        let params = root();
        write(&dir.join("ca.crt"), &params.self_signed(&key)?.pem())?;
        write(&dir.join("ca.key"), &key.serialize_pem())?;
        let this = Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) };

        let tokens = KeyPair::generate()?;
        write(&dir.join("service-accounts.key"), &tokens.serialize_pem())?;
        write(&dir.join("service-accounts.pub"), &tokens.public_key_pem())?;
        this.server()?;
        this.client("admin", "admin", Some(MASTERS))?;
        for user in users(level) {
            this.client(user, user, None)?;
        }
        if level == Level::Node {
            this.client("kubelet", &format!("system:node:{NODE}"), Some("system:nodes"))?;
        }
        Ok(this)
    }

    /// Opens the authority of a testbed that is up.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("ca.key");
        let key = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        // Its certificate is the same for every key, so it need not be read.
        let issuer = Issuer::new(root(), KeyPair::from_pem(&key)?);
        Ok(Self { dir: dir.to_owned(), issuer })
    }

    /// Signs for a user; the files are named after `file`.
    pub(crate) fn client(&self, file: &str, user: &str, group: Option<&str>) -> anyhow::Result<()> {
        let mut params = CertificateParams::default();
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        if file == "kubelet" {
            params.subject_alt_names = names()?;
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        self.sign(file, params)
    }

    /// Signs for everything that serves on 127.0.0.1.
    fn server(&self) -> anyhow::Result<()> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names()?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        self.sign("kube-apiserver", params)
    }

    fn sign(&self, file: &str, mut params: CertificateParams) -> anyhow::Result<()> {
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write(&self.dir.join(format!("{file}.crt")), &certificate.pem())?;
        write(&self.dir.join(format!("{file}.key")), &key.serialize_pem())
    }
}

/// Returns the components that are users of their own.
pub(crate) fn users(level: Level) -> &'static [&'static str] {
    match level {
        Level::ControlPlane => &["system:kube-controller-manager"],
        Level::Node => {
            &["system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"]
        }
    }
}

fn root() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "testbed");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn names() -> anyhow::Result<Vec<SanType>> {
    let addresses = ["127.0.0.1", "10.96.0.1", network::NODE_ADDRESS];
    let hosts = ["localhost", "kubernetes.default.svc", NODE];
    let mut names = Vec::new();
    for address in addresses {
        names.push(SanType::IpAddress(address.parse::<IpAddr>()?));
    }
    for host in hosts {
        names.push(SanType::DnsName(host.try_into()?));
    }
    Ok(names)
}

fn write(path: &Path, pem: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(pem.as_bytes()))
        .with_context(|| format!("failed to write {}", path.display()))
}

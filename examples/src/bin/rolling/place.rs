//! Where it runs: the embedded cluster, or a real one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use tower::Layer;
use zdd_examples::embedded::{Embedded, web_image};
use zdd_examples::manifest;
use zdd_examples::requests::RequestCounter;
use zdd_load::{Endpoints, Load};
use zdd_sim::Images;

use crate::args::Args;

/// The images of the embedded cluster that a service can start from.
const SERVE: [&str; 2] = ["zdd-example-web:1", "zdd-example-web:2"];

/// How long the API server may take to say who it is.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A cluster with the example service on it.
pub(crate) struct Place {
    embedded: Option<Embedded>,
    /// For everything but the rollout.
    pub(crate) client: Client,
    /// For the rollout, whose requests are counted.
    pub(crate) driver: Client,
    pub(crate) counter: RequestCounter,
    /// What the load and its probe have in common, where there is an address to send it to.
    pub(crate) load: Option<Load>,
}

impl Place {
    pub(crate) async fn open(args: &Args) -> anyhow::Result<Self> {
        let counter = RequestCounter::default();
        let mut place =
            if args.is_real() { real(args, counter).await? } else { embedded(args, counter)? };
        if args.creates() {
            place.deploy(args).await?;
        }
        if let Some(embedded) = &place.embedded {
            let address = embedded.expose(&args.namespace, manifest::NAME, "http")?;
            place.load = Some(Load::new(Endpoints::loopback([address])?));
        }
        Ok(place)
    }

    /// Creates the Deployment and its Service, unless one of them would be refused.
    async fn deploy(&self, args: &Args) -> anyhow::Result<()> {
        let deployment = manifest::deployment(&args.namespace, &args.image, args.replicas);
        let objects = [manifest::service(&args.namespace), deployment];
        for dry_run in [true, false] {
            for object in &objects {
                let params = PostParams { dry_run, ..PostParams::default() };
                create(&self.client, &args.namespace, object, &params).await?;
            }
        }
        Ok(())
    }

    /// Returns how many pods the Deployment is to have that must be there.
    pub(crate) async fn replicas(&self, args: &Args) -> anyhow::Result<u32> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &args.namespace);
        let found =
            api.get_opt(manifest::NAME).await.context("failed to look at the Deployment")?;
        let found = found.with_context(|| {
            format!(
                "Deployment {}/{} does not exist; a run without --existing and --plan creates it",
                args.namespace,
                manifest::NAME
            )
        })?;
        Ok(found.spec.replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(1))
    }

    pub(crate) async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.close().await;
        }
    }
}

fn embedded(args: &Args, counter: RequestCounter) -> anyhow::Result<Place> {
    let serves = SERVE.contains(&&*args.image);
    anyhow::ensure!(
        serves,
        "the embedded cluster has no image {} that serves; start from one of {}",
        args.image,
        SERVE.join(", ")
    );
    let mut images = Images::new();
    for (image, version, fail) in [
        (SERVE[0], "1", "no"),
        (SERVE[1], "2", "no"),
        ("zdd-example-web:crash", "2", "crash"),
        ("zdd-example-web:never-ready", "2", "never-ready"),
    ] {
        images.insert(image, web_image(version, fail)?);
    }
    let embedded = Embedded::start(images);
    let client = Client::new(embedded.api(), &args.namespace);
    let driver = Client::new(counter.layer(embedded.api()), &args.namespace);
    Ok(Place { embedded: Some(embedded), client, driver, counter, load: None })
}

async fn real(args: &Args, counter: RequestCounter) -> anyhow::Result<Place> {
    let config = match &args.kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .with_context(|| {
                    format!("failed to use {}; look at its current-context", path.display())
                })?
        }
        None => kube::Config::infer()
            .await
            .context("failed to find a cluster; name its file with --kubeconfig or KUBECONFIG")?,
    };
    let url = config.cluster_url.clone();
    let client = zdd_kube::client(config.clone())?;
    answers(&client, &url).await?;
    // As `zdd_kube::client` does: a client that repeats writes by itself would hide their outcome.
    let mut config = config;
    config.default_retry = false;
    let driver = kube::client::ClientBuilder::try_from(config)?.with_layer(&counter).build();
    let load = args.service_address.map(reach).transpose()?;
    Ok(Place { embedded: None, client, driver, counter, load })
}

/// Finds out whether there is an API server before anything is asked of it.
async fn answers(client: &Client, url: &http::Uri) -> anyhow::Result<()> {
    // Not the path, which may hold a secret.
    let server = url.authority().map_or_else(|| url.to_string(), ToString::to_string);
    let version = tokio::time::timeout(ANSWERS_WITHIN, client.apiserver_version()).await;
    match version {
        // Whoever refuses is there.
        Ok(Ok(_) | Err(kube::Error::Api(_))) => Ok(()),
        Ok(Err(error)) => Err(error).with_context(|| {
            format!(
                "failed to reach the API server at {server}; is it up, and does the kubeconfig name \
                 the right one?"
            )
        }),
        Err(_) => anyhow::bail!(
            "the API server at {server} did not answer within {ANSWERS_WITHIN:?}; is that what the \
             kubeconfig means?"
        ),
    }
}

/// Loads go to loopback, or to a network that the caller says was made for the test.
fn reach(address: SocketAddr) -> anyhow::Result<Load> {
    if !address.ip().is_loopback() {
        return Ok(Load::new(Endpoints::in_namespace([address])?));
    }
    let load = Load::new(Endpoints::loopback([address])?);
    // The port of a node on this machine. Elsewhere loopback is a single address.
    let node = address.is_ipv4() && cfg!(target_os = "linux");
    Ok(if node { load.spread_sources() } else { load })
}

async fn create(
    client: &Client,
    namespace: &str,
    object: &Value,
    params: &PostParams,
) -> anyhow::Result<()> {
    let object = DynamicObject::deserialize(object)?;
    let types = object.types.clone().context("the manifest names its kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    api.create(params, &object).await.map_err(|error| refused(error, &kind.kind, namespace))?;
    Ok(())
}

/// Says what to do about an object that could not be created.
fn refused(error: kube::Error, kind: &str, namespace: &str) -> anyhow::Error {
    let failed = format!("failed to create the {kind} in namespace {namespace}");
    let kube::Error::Api(status) = error else {
        return anyhow::Error::new(error).context(failed);
    };
    let hint = match status.code {
        404 => "; create the namespace first",
        409 => "; --existing rolls the one that is there",
        _ => "",
    };
    anyhow::anyhow!("{failed}: {}{hint}", status.message)
}

//! Where it runs: the embedded cluster, or a real one.

use std::net::SocketAddr;

use anyhow::Context;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;
use tower::Layer;
use zdd_examples::embedded::{Embedded, web_image};
use zdd_examples::manifest;
use zdd_examples::requests::RequestCounter;
use zdd_load::Endpoints;
use zdd_sim::Images;

use crate::args::Args;

/// The images of the embedded cluster that a service can start from.
const SERVE: [&str; 2] = ["zdd-example-web:1", "zdd-example-web:2"];

/// A cluster with the example service on it.
pub(crate) struct Place {
    embedded: Option<Embedded>,
    /// For everything but the rollout.
    pub(crate) client: Client,
    /// For the rollout, whose requests are counted.
    pub(crate) driver: Client,
    pub(crate) counter: RequestCounter,
    pub(crate) load: Option<Endpoints>,
}

impl Place {
    pub(crate) async fn open(args: &Args) -> anyhow::Result<Self> {
        let counter = RequestCounter::default();
        let mut place =
            if args.is_real() { real(args, counter).await? } else { embedded(args, counter)? };
        if !args.existing {
            place.deploy(args).await?;
        }
        if let Some(embedded) = &place.embedded {
            let address = embedded.expose(&args.namespace, manifest::NAME, "http")?;
            place.load = Some(Endpoints::loopback([address])?);
        }
        Ok(place)
    }

    /// Creates the Deployment and its Service.
    async fn deploy(&self, args: &Args) -> anyhow::Result<()> {
        let deployment = manifest::deployment(&args.namespace, &args.image, args.replicas);
        for object in [manifest::service(&args.namespace), deployment] {
            create(&self.client, &args.namespace, object).await?;
        }
        Ok(())
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
                .with_context(|| format!("failed to use {}", path.display()))?
        }
        None => kube::Config::infer().await.context("failed to find a cluster")?,
    };
    let client = zdd_kube::client(config.clone())?;
    // As `zdd_kube::client` does: a client that repeats writes by itself would hide their outcome.
    let mut config = config;
    config.default_retry = false;
    let driver = kube::client::ClientBuilder::try_from(config)?.with_layer(&counter).build();
    let load = args.service_address.map(reach).transpose()?;
    Ok(Place { embedded: None, client, driver, counter, load })
}

/// Loads go to loopback, or to a network that the caller says was made for the test.
fn reach(address: SocketAddr) -> anyhow::Result<Endpoints> {
    let endpoints = if address.ip().is_loopback() {
        Endpoints::loopback([address])
    } else {
        Endpoints::in_namespace([address])
    };
    Ok(endpoints?)
}

async fn create(client: &Client, namespace: &str, object: Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object)?;
    let types = object.types.clone().context("the manifest names its kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    api.create(&PostParams::default(), &object)
        .await
        .map_err(|error| refused(error, &kind.kind, namespace))?;
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

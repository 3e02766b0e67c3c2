//! Plays a script: does its steps in order in a namespace of its own, and writes down what comes.

mod show;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use zdd_sim::Clock;

use crate::catalogue;
use crate::command::{Act, Command, End, Fact, Request, plain};
use crate::http::{self, Answer, expect, uri};
use crate::names::Names;
use crate::pods::Pods;
use crate::script::Script;
use crate::watching::Watch;

/// How long anything may take that a script waits for.
const LIMIT: Duration = Duration::from_secs(60);
/// How often an object is read that a script waits for.
const POLL: Duration = Duration::from_millis(20);
/// Where scripts make objects outside their namespace. The names of these hold that of the namespace.
const CLUSTER_SCOPED: &[&str] =
    &["/api/v1/nodes", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"];
/// Begins the line that says why a script could not go on.
pub(crate) const BROKEN: &str = "!! ";

/// Plays a script through a client.
///
/// What is returned has the lines of each step. A step that fails ends the play; its lines say why.
///
/// # Cancel safety
/// When the future is dropped, the namespace of the script stays.
///
/// # Errors
/// When the namespace cannot be made.
pub async fn play(script: &Script, client: Client) -> anyhow::Result<Vec<Vec<String>>> {
    let mut player = Player::start(client).await?;
    let mut record = Vec::new();
    for step in &script.steps {
        match player.step(&step.text).await {
            Ok(lines) => record.push(lines),
            Err(error) => {
                record.push(vec![format!("{BROKEN}{}", player.names.text(&format!("{error:#}")))]);
                break;
            }
        }
    }
    player.clean_up().await?;
    Ok(record)
}

struct Player {
    client: Client,
    namespace: String,
    names: Names,
    saved: BTreeMap<String, String>,
    watches: BTreeMap<String, Watch>,
    addresses: u32,
    clock: Clock,
}

impl Player {
    async fn start(client: Client) -> anyhow::Result<Self> {
        let namespace = format!("fidelity-{:08x}", fastrand::u32(..));
        let body = json!({"metadata": {"name": namespace}});
        expect(&client, "POST", "/api/v1/namespaces", "application/json", &body).await?;
        let mut names = Names::default();
        names.set(namespace.clone(), "$ns");
        let saved = BTreeMap::from([("ns".to_owned(), namespace.clone())]);
        let player = Self {
            client,
            namespace,
            names,
            saved,
            watches: BTreeMap::new(),
            addresses: 0,
            clock: Clock::system(),
        };
        // Pods are refused before there is an account for them.
        let ready = Fact::code(200);
        for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let uri = uri(&player.namespace, path);
            player.repeat("GET", &uri, &[], &[], std::slice::from_ref(&ready)).await?;
        }
        Ok(player)
    }

    /// Does a step and returns its lines.
    async fn step(&mut self, text: &str) -> anyhow::Result<Vec<String>> {
        let command = Command::parse(text)?;
        match &command.act {
            Act::Request(request) => {
                let answer = self.request(request, &command.until).await?;
                for (name, path) in &command.save {
                    let value = path.find(&answer.body);
                    let value = value.with_context(|| format!("there is no {path} to save"))?;
                    self.saved.insert(name.clone(), plain(value));
                }
                Ok(show::answer(&mut self.names, &command.show, &answer))
            }
            Act::Watch { name, path } => {
                let uri = uri(&self.namespace, &self.fill(path));
                let response = http::open(&self.client, "GET", &uri, &[], Vec::new()).await?;
                let code = response.status();
                if !code.is_success() {
                    let answer = http::read(response).await?;
                    return Ok(show::answer(&mut self.names, &command.show, &answer));
                }
                let lines = http::lines(response.into_body());
                self.watches.insert(name.clone(), Watch::new(lines));
                Ok(vec!["200 OK".to_owned()])
            }
            Act::Events { name, end } => self.events(name, *end, &command).await,
            Act::Pods { act, selector, count } => {
                let act = act.map_node(|node| self.fill(node));
                let selector = self.fill(selector);
                let mut pods = Pods {
                    client: &self.client,
                    namespace: &self.namespace,
                    addresses: &mut self.addresses,
                    clock: self.clock,
                };
                pods.act(&act, &selector, *count, LIMIT).await.map(|()| Vec::new())
            }
        }
    }

    async fn events(
        &mut self,
        name: &str,
        end: End,
        command: &Command,
    ) -> anyhow::Result<Vec<String>> {
        let facts: Vec<Fact> =
            command.until.iter().map(|fact| fact.map(|it| self.fill(it))).collect();
        let watch = self.watches.get_mut(name).with_context(|| format!("no watch {name}"))?;
        let events = watch.read(end, &facts, LIMIT).await?;
        let mut lines = show::events(&mut self.names, &command.show, &events);
        if end == End::Closed {
            lines.push("the watch is over".to_owned());
        }
        Ok(lines)
    }

    async fn request(&self, request: &Request, until: &[Fact]) -> anyhow::Result<Answer> {
        let uri = uri(&self.namespace, &self.fill(&request.path));
        let headers: Vec<(String, String)> =
            request.headers.iter().map(|(name, value)| (name.clone(), self.fill(value))).collect();
        let mut headers: Vec<_> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let facts: Vec<Fact> = until.iter().map(|fact| fact.map(|it| self.fill(it))).collect();
        if request.method == "GET" {
            return self.repeat("GET", &uri, &headers, &[], &facts).await;
        }
        let body = self.body(request)?;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type", if body.is_empty() { "" } else { request.content_type }));
        }
        self.repeat(request.method, &uri, &headers, &body, &facts).await
    }

    /// Asks until facts hold; without facts, once.
    async fn repeat(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        facts: &[Fact],
    ) -> anyhow::Result<Answer> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = http::send(&self.client, method, uri, headers, body.to_vec()).await?;
            // What is not JSON has a code still.
            let mut seen = if answer.body.is_object() { answer.body.clone() } else { json!({}) };
            if let Some(map) = seen.as_object_mut() {
                map.insert("code".to_owned(), answer.code.as_u16().into());
                let count = map.get("items").and_then(Value::as_array).map(Vec::len);
                map.insert("count".to_owned(), count.into());
            }
            if facts.iter().all(|fact| fact.holds(&seen)) {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                let status =
                    if seen["items"].is_array() { &seen["items"] } else { &seen["status"] };
                bail!("not within {LIMIT:?}; at last {} {status}", answer.code);
            }
            sleep(POLL).await;
        }
    }

    fn body(&self, request: &Request) -> anyhow::Result<Vec<u8>> {
        let text = request.body.as_deref().map(|body| self.fill(body));
        if let Some(raw) = text.as_deref().and_then(|text| text.strip_prefix('!')) {
            return Ok(raw.trim_end().as_bytes().to_vec());
        }
        let change: Option<Value> = text
            .as_deref()
            .map(serde_saphyr::from_str)
            .transpose()
            .context("the body is not YAML")?;
        let body = match (&request.like, change) {
            (None, None) => return Ok(Vec::new()),
            (None, Some(body)) => body,
            (Some(base), change) => {
                let mut body: Value = serde_saphyr::from_str(&self.fill(&catalogue::base(base)?))?;
                json_patch::merge(&mut body, &change.unwrap_or_else(|| json!({})));
                body
            }
        };
        Ok(serde_json::to_vec(&body)?)
    }

    /// Puts saved values in the place of `$name`.
    fn fill(&self, text: &str) -> String {
        // The longest first: `$ns` must not be found in `$nsx`.
        let mut saved: Vec<_> = self.saved.iter().collect();
        saved.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        saved
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    }

    async fn clean_up(&self) -> anyhow::Result<()> {
        let client = &self.client;
        let json = "application/json";
        for collection in CLUSTER_SCOPED {
            let all = expect(client, "GET", collection, "", &Value::Null).await?;
            for object in all["items"].as_array().into_iter().flatten() {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if name.contains(&self.namespace) {
                    let uri = format!("{collection}/{name}");
                    http::send(client, "DELETE", &uri, &[], Vec::new()).await?;
                }
            }
        }
        let body = json!({"propagationPolicy": "Background"});
        let namespace = format!("/api/v1/namespaces/{}", self.namespace);
        expect(client, "DELETE", &namespace, json, &body).await?;
        let pods = uri(&self.namespace, "pods");
        expect(client, "DELETE", &pods, json, &json!({"gracePeriodSeconds": 0})).await.map(drop)
    }
}

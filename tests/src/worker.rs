//! The Worker in workerd as operators deploy it: behind another Worker that calls it by a service
//! binding, in two isolates that share hubs, and with Workers KV.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use toml::{Table, Value};

use crate::edge::wrangler;
use crate::environment::free_port;
use crate::process::ChildProcess;

/// Longest wait for workerd to become ready, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Id of the KV namespace.
const KV_ID: &str = "edge";
/// The calling Worker. A test chooses the isolate, and what Cloudflare would say of the client.
const CALLER: &str = r#"
export default {
  fetch(request, env) {
    const cf = request.headers.get("test-cf");
    const isolate = request.headers.has("test-other-isolate") ? env.OTHER : env.EDGE;
    return isolate.fetch(request, cf === null ? {} : { cf: JSON.parse(cf) });
  },
};
"#;
/// Request header by which the other isolate gets the request.
pub const OTHER_ISOLATE: &str = "test-other-isolate";

/// Configuration of both Workers, and the state of their bindings, which outlives a run.
pub struct WorkerDeployment(TempDir);

impl WorkerDeployment {
    /// Configures the Worker of `wrangler.toml` with these settings and a KV namespace.
    ///
    /// # Errors
    /// If `wrangler.toml` has another form, or files cannot be written.
    pub fn new(settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let (deployment, root) = (Self(tempfile::tempdir()?), Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let mut edge: Table = fs::read_to_string(root.join("wrangler.toml"))?.parse()?;
        let main = edge["main"].as_str().context("main in wrangler.toml")?;
        edge.insert("main".to_owned(), root.canonicalize()?.join(main).display().to_string().into());
        edge.remove("build"); // it is built
        edge.remove("dev");
        let vars: Table = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
        edge.insert("vars".to_owned(), vars.into());
        let kv = Table::from_iter([("binding".to_owned(), "TOLLGATE_KV".into()), ("id".to_owned(), KV_ID.into())]);
        edge.insert("kv_namespaces".to_owned(), Value::Array(vec![kv.into()]));
        let caller = format!(
            "name = \"caller\"\nmain = \"caller.js\"\ncompatibility_date = {}\n\
             services = [{{ binding = \"EDGE\", service = {} }}, {{ binding = \"OTHER\", service = \"other\" }}]\n",
            edge["compatibility_date"], edge["name"]
        );
        // Its hubs are those of the first.
        let mut other = edge.clone();
        let hub = other["durable_objects"]["bindings"][0].as_table_mut().context("a binding of hubs")?;
        hub.insert("script_name".to_owned(), edge["name"].clone());
        other.insert("name".to_owned(), "other".into());
        other.remove("migrations");
        for (folder, config) in [("edge", edge.to_string()), ("other", other.to_string()), ("caller", caller)] {
            fs::create_dir(deployment.path(folder))?;
            fs::write(deployment.path(folder).join("wrangler.toml"), config)?;
        }
        fs::write(deployment.path("caller").join("caller.js"), CALLER)?;
        Ok(deployment)
    }

    /// Starts workerd without waiting for it.
    ///
    /// # Errors
    /// If wrangler cannot be started.
    pub fn start(&self) -> Result<DeployedWorker> {
        self.start_at(free_port()?)
    }

    /// As [`start`](Self::start), on this port.
    ///
    /// # Errors
    /// If wrangler cannot be started.
    pub fn start_at(&self, port: u16) -> Result<DeployedWorker> {
        let mut wrangler = wrangler(port, self.0.path());
        wrangler.args([
            "--config",
            "caller/wrangler.toml",
            "--config",
            "edge/wrangler.toml",
            "--config",
            "other/wrangler.toml",
        ]);
        let program = ChildProcess::start(wrangler.current_dir(self.0.path()).stdout(Stdio::null()))?;
        Ok(DeployedWorker { url: format!("http://127.0.0.1:{port}"), _program: program })
    }

    /// Folder of the Durable Objects' databases.
    fn objects(&self) -> PathBuf {
        self.path("state/v3/do/tollgate-edge-Hub")
    }

    /// Number of Durable Objects that were created.
    ///
    /// # Errors
    /// If their folder cannot be read.
    pub fn count_objects(&self) -> Result<usize> {
        let files = fs::read_dir(self.objects())?;
        let names = files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<Result<_>>()?;
        Ok(names.iter().filter(|name| name.ends_with(".sqlite") && !name.starts_with("metadata")).count())
    }

    /// Number of values in KV.
    ///
    /// # Errors
    /// If their folder cannot be read.
    pub fn count_kv_values(&self) -> Result<usize> {
        let values = self.path("state/v3/kv").join(KV_ID).join("blobs");
        if values.exists() { Ok(fs::read_dir(values)?.count()) } else { Ok(0) }
    }

    /// Deletes all Durable Objects. Workerd must not run.
    ///
    /// # Errors
    /// If they cannot be deleted.
    pub fn delete_objects(&self) -> Result<()> {
        Ok(fs::remove_dir_all(self.objects())?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A running Worker behind its caller, stopped when dropped.
pub struct DeployedWorker {
    /// Base URL.
    pub url: String,
    _program: ChildProcess,
}

impl DeployedWorker {
    /// Waits until the Worker's health has this status, and returns its response.
    ///
    /// # Errors
    /// If it does not within a minute.
    pub async fn wait_for_health(&self, status: u16, cf: Option<&str>) -> Result<reqwest::Response> {
        let (http, started) = (reqwest::Client::new(), Instant::now());
        loop {
            let mut request = http.get(format!("{}/_tollgate/health", self.url));
            if let Some(cf) = cf {
                request = request.header("test-cf", cf);
            }
            match request.send().await {
                Ok(health) if health.status() == status => return Ok(health),
                _ if started.elapsed() > READY_TIMEOUT => bail!("no health with status {status}"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

//! What is there to deploy fits together: the manifests with Kubernetes' schema, and all of it with
//! the service that is deployed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, HTTPGetAction, Probe, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tollgate::{Config, Limiter, Policy, Quota, RedisBackend};

use support::redis::RedisServer;

fn path(name: &str) -> PathBuf {
    Path::new(support::ROOT).join("examples").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// All documents of both files.
fn manifests() -> Vec<Value> {
    let files = ["kubernetes/redis.yaml", "kubernetes/service.yaml"];
    files.iter().flat_map(|name| documents(&read(name))).collect()
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// The one of this kind and name.
fn find<T: Resource + DeserializeOwned>(name: &str) -> T {
    let manifests = manifests();
    let is_it = |it: &&Value| it["kind"] == T::KIND && it["metadata"]["name"] == name;
    serde_json::from_value(manifests.iter().find(is_it).unwrap().clone()).unwrap()
}

fn container(of: &Deployment) -> Container {
    let [container] = &of.spec.template.spec.as_ref().unwrap().containers[..] else {
        panic!("it is alone")
    };
    container.clone()
}

/// What is written and is not in what the schema made of it, by its place.
fn lost(written: &Value, read: &Value, at: &str, into: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (key, value) in written {
                lost(value, read.get(key).unwrap_or(&Value::Null), &format!("{at}.{key}"), into);
            }
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            for (index, (written, read)) in written.iter().zip(read).enumerate() {
                lost(written, read, &format!("{at}[{index}]"), into);
            }
        }
        _ if written == read => {}
        _ => into.push(format!("{at}: {written} became {read}")),
    }
}

/// By the types that are made of Kubernetes' own description of itself. They pass over what they do
/// not know; so what they keep is held against what was there.
fn wrong_with(manifest: &Value) -> Vec<String> {
    fn through<T: Resource + Serialize + DeserializeOwned>(manifest: &Value) -> Vec<String> {
        assert_eq!(manifest["apiVersion"], T::API_VERSION, "{manifest}");
        let typed: T = match serde_json::from_value(manifest.clone()) {
            Ok(typed) => typed,
            Err(error) => return vec![format!("{}: {error}", T::KIND)],
        };
        let mut wrong = Vec::new();
        lost(manifest, &serde_json::to_value(typed).unwrap(), T::KIND, &mut wrong);
        wrong
    }
    match manifest["kind"].as_str() {
        Some(Deployment::KIND) => through::<Deployment>(manifest),
        Some(Service::KIND) => through::<Service>(manifest),
        Some(ConfigMap::KIND) => through::<ConfigMap>(manifest),
        Some(NetworkPolicy::KIND) => through::<NetworkPolicy>(manifest),
        Some(PodDisruptionBudget::KIND) => through::<PodDisruptionBudget>(manifest),
        kind => vec![format!("the test knows no {kind:?}")],
    }
}

#[test]
fn the_manifests_follow_the_schema() {
    let manifests = manifests();
    assert_eq!(manifests.len(), 8);
    for manifest in &manifests {
        assert_eq!(wrong_with(manifest), [""; 0]);
    }
}

#[test]
fn a_mistake_in_a_manifest_is_seen() {
    let service = read("kubernetes/service.yaml");
    for (right, wrong) in [
        ("replicas: 3", "replica: 3"),
        ("replicas: 3", "replicas: three"),
        ("containerPort: 8080", "containerport: 8080"),
        ("readinessProbe:", "readynessProbe:"),
        ("maxUnavailable: 1\n", "maxUnavailabel: 1\n"),
        ("mountPath: /etc/service", "path: /etc/service"),
    ] {
        assert!(service.contains(right), "{right}");
        let documents = documents(&service.replace(right, wrong));
        assert!(documents.iter().any(|it| !wrong_with(it).is_empty()), "{wrong}");
    }
}

#[test]
fn what_selects_finds_what_is_there() {
    let labels = |deployment: &str| {
        let deployment: Deployment = find(deployment);
        let spec = deployment.spec;
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        assert_eq!(spec.selector.match_labels.as_ref(), Some(&labels));
        labels
    };
    let (redis, service) = (labels("limits-redis"), labels("service"));
    for (name, labels) in [("limits-redis", &redis), ("service", &service)] {
        assert_eq!(find::<Service>(name).spec.unwrap().selector.as_ref(), Some(labels));
    }
    let policy = find::<NetworkPolicy>("limits-redis").spec.unwrap();
    assert_eq!(policy.pod_selector.unwrap().match_labels.as_ref(), Some(&redis));
    let from = policy.ingress.unwrap()[0].from.clone().unwrap();
    assert_eq!(from[0].pod_selector.clone().unwrap().match_labels.as_ref(), Some(&service));
    let budget = find::<PodDisruptionBudget>("service").spec.unwrap();
    assert_eq!(budget.selector.unwrap().match_labels.as_ref(), Some(&service));
}

#[test]
fn the_probes_ask_for_what_the_service_serves() {
    let source = read("service/src/main.rs");
    let container = container(&find("service"));
    let port = &container.ports.as_ref().unwrap()[0];
    assert!(source.contains(&format!("port(\"PORT\", {})?", port.container_port)));
    let probes = [container.startup_probe, container.readiness_probe, container.liveness_probe];
    for probe in probes {
        let Some(Probe { http_get: Some(HTTPGetAction { path, port: at, .. }), .. }) = probe else {
            panic!("all three are there")
        };
        assert!(source.contains(&format!(".route({:?}", path.unwrap())));
        assert_eq!(Some(at), port.name.clone().map(IntOrString::String));
    }
    let docker = read("service/Dockerfile");
    assert!(docker.contains(&format!("\nEXPOSE {}\n", port.container_port)));
}

/// What the metrics say of all clients is not for them: the port is not in the Service, the compose
/// file does not publish it, and the policy lets only the monitoring reach it.
#[test]
fn metrics_are_not_published() {
    let source = read("service/src/main.rs");
    let deployment: Deployment = find("service");
    let scraped = deployment.spec.clone().template.metadata.unwrap().annotations.unwrap();
    let metrics = &scraped["prometheus.io/port"];
    assert!(source.contains(&format!("port(\"METRICS_PORT\", {metrics})?")));
    let served = source.split_once("let app = ").unwrap().1.split_once(';').unwrap().0;
    assert!(!served.contains("metrics"), "{served}");
    let ports = find::<Service>("service").spec.unwrap().ports.unwrap();
    assert!(ports.iter().all(|port| port.target_port == Some(IntOrString::String("http".into()))));
    let compose = read("service/compose.yaml");
    assert!(!compose.contains(metrics.as_str()));

    let policy = find::<NetworkPolicy>("service").spec.unwrap();
    let labels = deployment.spec.template.metadata.unwrap().labels;
    assert_eq!(policy.pod_selector.unwrap().match_labels, labels);
    let rules = policy.ingress.unwrap();
    assert_eq!(rules.len(), 2);
    for rule in rules {
        assert!(rule.from.unwrap().iter().all(|from| from.namespace_selector.is_some()));
        assert_eq!(rule.ports.unwrap().len(), 1);
    }
}

const PASSWORD: &str = "0123456789abcdef";

/// The variables that the manifest gives to the service.
fn environment() -> BTreeMap<String, String> {
    let environment = container(&find("service")).env.unwrap();
    environment.into_iter().map(|it| (it.name, it.value.unwrap())).collect()
}

/// The URL of the Redis that the compose file gives to the service.
fn composed_url() -> String {
    composed().services.service.environment["REDIS_URL"].clone()
}

fn temporary_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The variables and the file, as the service would read them.
fn configured(variables: BTreeMap<String, String>, file: &Path) -> Limiter {
    let redis = variables["REDIS_URL"].clone();
    let config = Config::load_with(file, variables).unwrap();
    assert_eq!(redis.split("//").next(), Some("redis:"));
    // As the service declares them.
    let [items, login] = [("items", 100), ("login", 5)].map(|(name, limit)| {
        let source = read("service/src/main.rs");
        assert!(source.contains(&format!("#[rate_limit({limit}, per = minute, name = {name:?}")));
        Policy::new(name, Quota::new(limit, Duration::from_secs(60)))
    });
    Limiter::from_config(&config.declare(items).declare(login)).unwrap()
}

#[tokio::test]
async fn the_variables_and_the_limits_of_the_manifest_are_taken() {
    let container = container(&find("service"));
    let mut variables = environment();
    let url = &variables["REDIS_URL"];
    assert!(url.contains("@limits-redis:6379/0"), "the name and the port of its Service: {url}");
    let limits = find::<ConfigMap>("service-limits").data.unwrap();
    let (name, text) = limits.first_key_value().unwrap();
    let mount = &container.volume_mounts.unwrap()[0].mount_path;
    assert_eq!(variables["CONFIG_FILE"], format!("{mount}/{name}"));
    assert_eq!(without_comments(text), without_comments(&read("service/tollgate.toml")));

    // The file with the password is that of this test.
    let folder = temporary_folder("variables");
    std::fs::write(folder.join("password"), PASSWORD).unwrap();
    let url = url.replace("/etc/limits-redis", folder.to_str().unwrap());
    variables.insert("REDIS_URL".into(), url);
    let limiter = configured(variables, &path("service/tollgate.toml"));
    assert_eq!(limiter.overrides().iter().count(), 2);
    std::fs::remove_dir_all(folder).unwrap();
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n").trim().into()
}

/// What the test knows of compose files: all that this one says.
mod compose {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct File {
        pub(super) services: Services,
        pub(super) networks: BTreeMap<String, Network>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Network {
        pub(super) internal: bool,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Services {
        pub(super) redis: Redis,
        pub(super) service: Service,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Redis {
        pub(super) image: String,
        pub(super) command: String,
        pub(super) environment: BTreeMap<String, String>,
        pub(super) networks: Vec<String>,
        pub(super) healthcheck: Healthcheck,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "that they are there and nothing else is")]
    pub(super) struct Healthcheck {
        pub(super) test: Vec<String>,
        interval: String,
        timeout: String,
        retries: u32,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Service {
        pub(super) build: Build,
        pub(super) environment: BTreeMap<String, String>,
        pub(super) volumes: Vec<String>,
        pub(super) ports: Vec<String>,
        pub(super) networks: Vec<String>,
        pub(super) deploy: Deploy,
        pub(super) depends_on: BTreeMap<String, Condition>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Build {
        pub(super) context: String,
        pub(super) dockerfile: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Deploy {
        pub(super) replicas: u32,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Condition {
        pub(super) condition: String,
    }
}

/// The compose file, with the password that it is given.
fn composed() -> compose::File {
    let text = read("service/compose.yaml");
    assert!(text.contains("${LIMITS_REDIS_PASSWORD:?a random one}"), "it does not start without");
    let text = text.replace("${LIMITS_REDIS_PASSWORD:?a random one}", PASSWORD);
    serde_saphyr::from_str(&text.replace("${LIMITS_REDIS_PASSWORD}", PASSWORD)).unwrap()
}

#[tokio::test]
async fn the_compose_file_fits() {
    let compose::File { services, networks } = composed();
    let compose::Services { redis, service } = services;
    assert!(redis.image.starts_with("redis:"));
    assert_eq!(redis.environment["REDISCLI_AUTH"], PASSWORD);
    assert!(networks["limits"].internal && networks.len() == 1);
    assert_eq!(
        (redis.networks, service.networks),
        (vec!["limits".into()], ["limits", "default"].map(String::from).to_vec())
    );
    assert_eq!(redis.healthcheck.test, ["CMD", "redis-cli", "ping"]);
    assert_eq!(service.depends_on["redis"].condition, "service_healthy");

    let context = path("service").join(&service.build.context).canonicalize().unwrap();
    assert_eq!(context, Path::new(support::ROOT).canonicalize().unwrap());
    assert!(context.join(&service.build.dockerfile).is_file());

    assert_eq!(service.deploy.replicas.to_string(), service.environment["TOLLGATE_INSTANCES"]);
    assert_eq!(service.ports, ["127.0.0.1:8080-8082:8080"]);
    let [volume] = &service.volumes[..] else { panic!("it is alone") };
    let (from, to) = volume.trim_end_matches(":ro").split_once(':').unwrap();
    let file = Path::new(&service.environment["CONFIG_FILE"]);
    assert_eq!(file.parent(), Some(Path::new(to)));
    let file = path("service").join(from).join(file.file_name().unwrap());
    assert_eq!(configured(service.environment, &file).overrides().iter().count(), 2);
}

/// A real server takes the options that both ways give it, and the limiter has nothing to say
/// against them.
#[tokio::test]
async fn the_redis_that_is_deployed_starts_and_is_fit_for_limits() {
    let container = container(&find("limits-redis"));
    let volumes = container.volume_mounts.unwrap();
    let folder = temporary_folder("deployed");
    std::fs::write(folder.join("users.acl"), users().replace("#$hash", &format!(">{PASSWORD}")))
        .unwrap();
    std::fs::write(folder.join("password"), format!("{PASSWORD}\n")).unwrap();
    let mounted = |option: String| option.replace(&volumes[0].mount_path, folder.to_str().unwrap());
    let deployed: Vec<String> = container.args.unwrap().into_iter().map(mounted).collect();
    let command = composed().services.redis.command;
    let composed = command.split(' ').skip(1).map(|word| word.replace('"', "")).collect();
    let service = environment()["REDIS_URL"].replace("/etc/limits-redis", folder.to_str().unwrap());
    let service_of_compose = composed_url();
    for (options, url) in [(deployed, service), (composed, service_of_compose)] {
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        assert!(options.windows(2).any(|pair| pair == ["--maxmemory-policy", "noeviction"]));
        let server = RedisServer::start_with(&options);
        let own = format!("127.0.0.1:{}", server.port);
        let at = url.replace("limits-redis:6379", &own).replace("redis:6379", &own);
        let limiter = Limiter::new(RedisBackend::from_url(&at).await.unwrap());
        limiter.initialize().await.unwrap();
        limiter.close().await;
        // Nobody else can write there, who has reached it.
        let strangers = Limiter::new(RedisBackend::builder(&server.url()).build().unwrap());
        let error = strangers.initialize().await.unwrap_err().to_string();
        assert!(
            error.contains("NOAUTH") || error.contains("password") || error.contains("right"),
            "{error}"
        );
        strangers.close().await;
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// The users of the Redis, as the README has them: the documented rights, and that to be warned.
fn users() -> String {
    let readme = read("kubernetes/README.md");
    let users = readme.split_once("users.acl=\"").unwrap().1.split_once("\n\"").unwrap().0;
    let docs = std::fs::read_to_string(path("../runtime/src/docs/redis.md")).unwrap();
    let line = docs.split("ACL SETUSER ").nth(1).unwrap().split("```").next().unwrap();
    let documented: Vec<_> = line.split_ascii_whitespace().collect();
    let expected = format!("user {} +info", documented.join(" ")).replace(">password", "#$hash");
    assert_eq!(users.lines().nth(1), Some(&*expected));
    format!("{users}\n")
}

/// Names of images say which they are, so that the same is started tomorrow.
#[test]
fn images_have_versions() {
    let files = ["kubernetes/redis.yaml", "kubernetes/service.yaml", "service/compose.yaml"];
    let text = files.map(read).concat();
    let images: Vec<_> =
        text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    assert_eq!(images.len(), 3);
    for image in images {
        let tag = image.split_once(':').map_or("", |(_, tag)| tag);
        let numbers =
            tag.split('-').next().unwrap().split('.').filter(|it| it.parse::<u32>().is_ok());
        assert_eq!(numbers.count(), 3, "{image}");
    }
}

/// Cargo looks at every member of the workspace, whatever it builds.
#[test]
fn the_image_is_built_from_all_that_cargo_needs() {
    let ignored = read("service/Dockerfile.dockerignore");
    let mut lines = ignored.lines();
    assert_eq!(lines.next(), Some("*"), "what is not named is left out");
    let kept: Vec<&str> = lines.filter_map(|line| line.strip_prefix('!')).collect();
    let manifest = std::fs::read_to_string(path("../Cargo.toml")).unwrap();
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let needed = members.split('"').skip(1).step_by(2).map(|it| it.split('/').next().unwrap());
    assert!(needed.clone().count() > 10);
    for name in needed.chain(["Cargo.toml", "Cargo.lock", "examples"]) {
        assert!(kept.contains(&name), "{name}");
    }
    assert!(read("service/Dockerfile").contains("--package service\n"));
}

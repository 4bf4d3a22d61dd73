//! What a job of a CI system should have in its environment, from what that system has put there.
//!
//! Tokens go into docker's `config.json` of a private directory, readable by nobody else, and nowhere else.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde_json::{Map, Value};

/// The largest `config.json` that is copied, in bytes.
const MAX_CONFIG: u64 = 4 << 20;

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CiSystem {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
}

/// Where a job's environment comes from.
#[derive(Debug, Clone)]
pub struct CiEnvOptions {
    /// The system.
    pub system: CiSystem,
    /// The job's environment as it is.
    pub env: BTreeMap<String, String>,
    /// The directory of docker's `config.json` as it is, whose other logins are kept.
    pub docker_config: Option<PathBuf>,
    /// Where private directories are made if the system has no place of its own.
    pub temp: PathBuf,
}

/// What to export.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CiEnv {
    /// Names and values, sorted. None of them was set before.
    pub exports: BTreeMap<String, String>,
    /// What people should know about it.
    pub notes: Vec<String>,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct CiEnvError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// A user of a registry.
struct Login {
    host: String,
    user: String,
    password: String,
}

/// Works out the environment of a job, and logs in to its registry if there is a token.
pub fn ci_env(options: &CiEnvOptions) -> Result<CiEnv, CiEnvError> {
    let mut found = CiEnv::default();
    let job = Job { env: &options.env };
    if job.value(options.system.marker()) != Some("true") {
        let (marker, name) = (options.system.marker(), options.system.name());
        found.notes.push(format!("{marker} is not `true`: this is no job of {name}, as it seems"));
    }
    for (name, value) in job.variables(options.system) {
        if options.env.contains_key(name) {
            continue;
        }
        found.exports.extend(value.map(|value| (name.to_owned(), value)));
    }
    let logins = job.logins(options.system);
    if logins.is_empty() {
        return Ok(found);
    }
    if let Some(set) = job.value("DOCKER_CONFIG") {
        let hosts: Vec<&str> = logins.iter().map(|login| login.host.as_str()).collect();
        let text = format!("DOCKER_CONFIG is set to `{set}` and stays: log in to {} there", hosts.join(", "));
        found.notes.push(text);
        return Ok(found);
    }
    let config = docker_config(options, &logins, &mut found.notes)?;
    let directory = write_private(&job.private_place(options), &config)?;
    found.exports.insert("DOCKER_CONFIG".to_owned(), directory.to_string_lossy().into_owned());
    Ok(found)
}

impl CiSystem {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
        }
    }

    /// Set to `true` in its jobs.
    fn marker(self) -> &'static str {
        match self {
            Self::Github => "GITHUB_ACTIONS",
            Self::Gitlab => "GITLAB_CI",
        }
    }
}

/// A job's own variables.
struct Job<'a> {
    env: &'a BTreeMap<String, String>,
}

impl Job<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.value(name).map(str::to_owned)
    }

    /// stager's variables.
    fn variables(&self, system: CiSystem) -> Vec<(&'static str, Option<String>)> {
        let (repository, environment) = match system {
            CiSystem::Github => (self.github_repository(), None),
            CiSystem::Gitlab => (self.owned("CI_REGISTRY_IMAGE"), self.owned("CI_ENVIRONMENT_SLUG")),
        };
        vec![
            ("STAGER_REPO", repository),
            ("STAGER_ENV", environment),
            // A log of a job is no terminal, whatever it looks like.
            ("STAGER_PROGRESS", Some("plain".to_owned())),
        ]
    }

    fn github_repository(&self) -> Option<String> {
        let repository = self.value("GITHUB_REPOSITORY").filter(|_| self.is_github_com())?;
        Some(format!("ghcr.io/{}", repository.to_lowercase()))
    }

    /// A server of one's own has its registry elsewhere.
    fn is_github_com(&self) -> bool {
        self.value("GITHUB_SERVER_URL").is_none_or(|url| url.trim_end_matches('/') == "https://github.com")
    }

    fn logins(&self, system: CiSystem) -> Vec<Login> {
        let login = |host: Option<&str>, user: Option<&str>, password: Option<&str>| {
            Some(Login { host: host?.to_owned(), user: user?.to_owned(), password: password?.to_owned() })
        };
        let found = match system {
            CiSystem::Github => {
                let host = self.is_github_com().then_some("ghcr.io");
                vec![login(host, self.value("GITHUB_ACTOR"), self.value("GITHUB_TOKEN"))]
            }
            CiSystem::Gitlab => {
                let host = self.value("CI_REGISTRY");
                let own = login(host, self.value("CI_REGISTRY_USER"), self.value("CI_REGISTRY_PASSWORD"));
                let of_job = || login(host, Some("gitlab-ci-token"), self.value("CI_JOB_TOKEN"));
                let [server, user, password] =
                    ["SERVER", "USER", "PASSWORD"].map(|part| self.value(&format!("CI_DEPENDENCY_PROXY_{part}")));
                vec![own.or_else(of_job), login(server, user, password)]
            }
        };
        found.into_iter().flatten().collect()
    }

    /// A directory that the system clears itself, else the usual one.
    fn private_place(&self, options: &CiEnvOptions) -> PathBuf {
        let own = match options.system {
            CiSystem::Github => self.value("RUNNER_TEMP").map(PathBuf::from),
            CiSystem::Gitlab => self.value("CI_PROJECT_DIR").map(|directory| PathBuf::from(format!("{directory}.tmp"))),
        };
        own.filter(|place| place.is_absolute() && place.is_dir()).unwrap_or_else(|| options.temp.clone())
    }
}

/// docker's config as it is, with the logins added.
fn docker_config(options: &CiEnvOptions, logins: &[Login], notes: &mut Vec<String>) -> Result<Value, CiEnvError> {
    let mut config = match &options.docker_config {
        Some(directory) => existing(&directory.join("config.json"), notes)?,
        None => Map::new(),
    };
    // docker and stager ask a store of credentials before they look at what is written here.
    if let Some(store) = config.remove("credsStore") {
        notes.push(format!("the credential store {store} is not used in this job: it would hide the job's own login"));
    }
    for login in logins {
        if let Some(helpers) = config.get_mut("credHelpers").and_then(Value::as_object_mut) {
            helpers.remove(&login.host);
        }
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", login.user, login.password));
        let auths = config.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        auths[&login.host] = serde_json::json!({ "auth": auth });
    }
    Ok(Value::Object(config))
}

fn existing(path: &Path, notes: &mut Vec<String>) -> Result<Map<String, Value>, CiEnvError> {
    let failed = |source| CiEnvError { action: "read", path: path.to_owned(), source };
    match fs_err::metadata(path) {
        Ok(meta) if meta.len() > MAX_CONFIG => return Err(failed(std::io::Error::other("it is larger than 4 MiB"))),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(failed(error)),
    }
    if let Ok(Value::Object(config)) = serde_json::from_slice(&fs_err::read(path).map_err(failed)?) {
        return Ok(config);
    }
    notes.push(format!("{} is no JSON object, and is not used in this job", path.display()));
    Ok(Map::new())
}

/// Writes `config.json` to a new directory, both for the user alone.
fn write_private(place: &Path, config: &Value) -> Result<PathBuf, CiEnvError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| CiEnvError { action, path, source }
    };
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("stager-ci-").permissions(std::fs::Permissions::from_mode(0o700));
    let directory = builder.tempdir_in(place).map_err(failed("make a private directory in", place))?.keep();
    let file = directory.join("config.json");
    let opened = fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
    let mut opened = opened.map_err(failed("write", &file))?;
    opened.write_all(format!("{config:#}\n").as_bytes()).map_err(failed("write", &file))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(system: CiSystem, temp: &Path, docker: Option<&Path>, env: &[(&str, &str)]) -> CiEnv {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let docker_config = docker.map(Path::to_owned);
        ci_env(&CiEnvOptions { system, env, docker_config, temp: temp.to_owned() }).unwrap()
    }

    const GITLAB: [(&str, &str); 6] = [
        ("GITLAB_CI", "true"),
        ("CI_REGISTRY", "registry.example.org:5050"),
        ("CI_REGISTRY_IMAGE", "registry.example.org:5050/team/shop"),
        ("CI_REGISTRY_USER", "ci"),
        ("CI_REGISTRY_PASSWORD", "hunter2"),
        ("CI_ENVIRONMENT_SLUG", "review-1"),
    ];

    #[test]
    fn a_job_of_gitlab_is_logged_in_privately() {
        let temp = tempfile::tempdir().unwrap();
        let docker = temp.path().join("docker");
        fs_err::create_dir(&docker).unwrap();
        let before = r#"{"auths":{"other":{"auth":"eDp5"}},"credsStore":"desktop","credHelpers":{"registry.example.org:5050":"x","y":"z"}}"#;
        fs_err::write(docker.join("config.json"), before).unwrap();
        let found = run(CiSystem::Gitlab, temp.path(), Some(&docker), &GITLAB);
        assert_eq!(found.exports["STAGER_REPO"], "registry.example.org:5050/team/shop");
        assert_eq!(found.exports["STAGER_ENV"], "review-1");
        assert!(found.exports.values().all(|value| !value.contains("hunter2")));
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
        let directory = PathBuf::from(&found.exports["DOCKER_CONFIG"]);
        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join("config.json"))), (0o700, 0o600));
        let text = fs_err::read_to_string(directory.join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["auths"]["registry.example.org:5050"]["auth"], "Y2k6aHVudGVyMg==");
        assert_eq!(config["auths"]["other"]["auth"], "eDp5");
        assert_eq!(config["credHelpers"], serde_json::json!({"y": "z"}));
        assert!(config.get("credsStore").is_none());
        assert_eq!(fs_err::read_to_string(docker.join("config.json")).unwrap(), before);
    }

    #[test]
    fn what_is_set_stays_and_without_a_token_there_is_no_login() {
        let temp = tempfile::tempdir().unwrap();
        let set = [("STAGER_ENV", "mine"), ("STAGER_REPO", ""), ("DOCKER_CONFIG", "/there")];
        let found = run(CiSystem::Gitlab, temp.path(), None, &[GITLAB.as_slice(), &set].concat());
        assert_eq!(found.exports.keys().collect::<Vec<_>>(), ["STAGER_PROGRESS"]);
        assert!(found.notes[0].contains("DOCKER_CONFIG"), "{:?}", found.notes);
        let found = run(CiSystem::Gitlab, temp.path(), None, &GITLAB[..3]);
        assert!(!found.exports.contains_key("DOCKER_CONFIG"));
        assert_eq!(fs_err::read_dir(temp.path()).unwrap().count(), 0, "nothing is written");
        let found = run(CiSystem::Gitlab, temp.path(), None, &[]);
        assert!(found.notes[0].contains("GITLAB_CI"));
    }

    #[test]
    fn a_job_of_github_uses_the_runner_s_own_place() {
        let temp = tempfile::tempdir().unwrap();
        let runner = temp.path().join("runner");
        fs_err::create_dir(&runner).unwrap();
        let runner_temp = runner.display().to_string();
        let job = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "Team/Shop"),
            ("GITHUB_ACTOR", "me"),
            ("GITHUB_TOKEN", "hunter2"),
            ("RUNNER_TEMP", runner_temp.as_str()),
        ];
        let found = run(CiSystem::Github, temp.path(), None, &job);
        assert_eq!(found.exports["STAGER_REPO"], "ghcr.io/team/shop");
        assert!(found.exports["DOCKER_CONFIG"].starts_with(&runner_temp));
        let own = [("GITHUB_SERVER_URL", "https://github.example.org")];
        let found = run(CiSystem::Github, temp.path(), None, &[job.as_slice(), &own].concat());
        assert_eq!(found.exports.keys().collect::<Vec<_>>(), ["STAGER_PROGRESS"]);
    }
}

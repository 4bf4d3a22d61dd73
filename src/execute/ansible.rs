//! Ansible tasks, run by the image's own `ansible-playbook` on the image itself.
//!
//! The tasks become a playbook, in memory like a script. What ansible writes for its own use goes to a directory in memory
//! as well, so that the layer has what the tasks did, and nothing else. The image's `ansible.cfg` counts, but for that.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};
use stages::ContentId;
use stages::spec::{Mount, Step};

use super::Error;
use super::step::{Run, SCRIPT, parent_config, run};
use super::worker::{Content, Task, Worker};
use crate::image::assemble::DEFAULT_PATH;

/// The program that runs playbooks.
const PROGRAM: &str = "ansible-playbook";

/// What ansible writes for its own use.
const SCRATCH: &str = "/dev/stager-ansible";

/// Runs tasks, each as JSON, on a stack of layers.
pub(super) fn make(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    step: &Step,
    layers: &[ContentId],
    mounts: &[Mount],
    tasks: &[String],
) -> Result<Content, Error> {
    let config = parent_config(task.parent()?)?;
    let variable = |name: &str| {
        let value = |entry: &String| Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        step.env.get(name).cloned().or_else(|| config.config.env.iter().rev().find_map(value))
    };
    check_program(worker, task, layers, mounts, &variable("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned()))?;
    let mut extra: Vec<(String, String)> =
        environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if ["LC_ALL", "LC_CTYPE", "LANG"].iter().all(|name| variable(name).is_none()) {
        // Without any of them, ansible finds an encoding that it refuses.
        extra.push(("LANG".to_owned(), "C.UTF-8".to_owned()));
    }
    let argv = [PROGRAM, "--inventory", "localhost,", SCRIPT].map(OsString::from).to_vec();
    let script = Some(playbook(task, tasks)?);
    run(worker, task, layers, Run { step, argv, mounts, extra, script, scratch_at: Some(SCRATCH) })
}

/// Looks for the program, for an error that says more than that it cannot be run. What a mount brings is not seen from here.
fn check_program(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    layers: &[ContentId],
    mounts: &[Mount],
    search: &str,
) -> Result<(), Error> {
    let tree = worker.merged(layers)?;
    for directory in search.split(':').filter(|directory| directory.starts_with('/')) {
        let mounted = mounts.iter().any(|mount| Path::new(directory).starts_with(&mount.to));
        if mounted || tree.resolve(Path::new(directory).join(PROGRAM))?.is_some() {
            return Ok(());
        }
    }
    let message = format!(
        "its tasks need `{PROGRAM}`, which the image does not have (looked in {search}): install ansible-core in an earlier \
         stage, or take a base that has it"
    );
    Err(Error::Config { stage: task.id.clone(), message })
}

/// What keeps ansible's own files out of the image.
fn environment() -> [(&'static str, String); 7] {
    [
        ("ANSIBLE_HOME", SCRATCH.to_owned()),
        ("ANSIBLE_LOCAL_TEMP", format!("{SCRATCH}/local")),
        ("ANSIBLE_REMOTE_TEMP", format!("{SCRATCH}/remote")),
        // Its name before ansible 2.10.
        ("ANSIBLE_REMOTE_TMP", format!("{SCRATCH}/remote")),
        ("ANSIBLE_ASYNC_DIR", format!("{SCRATCH}/async")),
        ("ANSIBLE_RETRY_FILES_ENABLED", "False".to_owned()),
        ("ANSIBLE_CACHE_PLUGIN", "memory".to_owned()),
    ]
}

/// One play of these tasks on the image, by the python that ansible itself runs on. Facts are not gathered, as neither werf
/// nor dapp do.
fn playbook(task: &Task<'_>, tasks: &[String]) -> Result<Vec<u8>, Error> {
    let parsed: Result<Vec<Value>, _> = tasks.iter().map(|text| serde_json::from_str(text)).collect();
    let tasks = parsed.map_err(|error| Error::Config {
        stage: task.id.clone(),
        message: format!("a task that the config was read to is no JSON: {error}"),
    })?;
    Ok(play(&tasks).to_string().into_bytes())
}

fn play(tasks: &[Value]) -> Value {
    json!([{
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": false,
        "become": false,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": tasks,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playbook_is_one_play_on_the_image_itself() {
        let task = json!({"name": "a", "block": [{"command": "x"}], "rescue": [{"debug": {"msg": "y"}}]});
        let play = play(std::slice::from_ref(&task));
        assert_eq!(play[0]["tasks"], json!([task]));
        assert_eq!((&play[0]["connection"], &play[0]["gather_facts"]), (&json!("local"), &json!(false)));
    }
}

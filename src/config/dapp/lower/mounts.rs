//! `mount`. What dapp calls the build directory outlives builds and no layer has it, as any cache; nobody has to allow that.

use stages::spec::{Mount, MountSource};

use crate::config::claim::Claim;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::lower::context::{Context, filled};
use crate::config::werf::lower::{mounts, paths};
use crate::config::werf::schema::{Items, MountEntry};

pub(super) fn lower(context: &mut Context<'_>, written: &Option<At<Items<MountEntry>>>) -> Vec<Mount> {
    let entries = written.as_ref().map(|mounts| mounts.value.0.as_slice()).unwrap_or_default();
    context.each("mount", entries, |context, entry| {
        let path = filled(&entry.value.from_path).filter(|path| !path.value.starts_with('/'))?;
        let message = format!("{} must be an absolute path", context.key("fromPath"));
        let problem = context.error(path.mark, code::PATH, message);
        problem.label = Some(format!("is {:?}", paths::shortened(&path.value)));
        problem.help = Some("start it with `/`".to_owned());
        Some(())
    });
    let lowered = mounts::lower(context, written);
    context.claims.retain(|(claim, _)| !matches!(claim, Claim::BuildDirMount { .. }));
    lowered.into_iter().map(shared_by_stages).collect()
}

/// The temporary directory of a dimg is the same for all its stages.
fn shared_by_stages(mount: Mount) -> Mount {
    match mount.source {
        MountSource::Tmp => Mount { source: MountSource::Run, ..mount },
        _ => mount,
    }
}

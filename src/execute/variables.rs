//! Variables that name other images of the config.
//!
//! The ids of an image are those of its OCI manifest and config as an export with the default compression writes them. Its
//! layers are packed to know them, which an export would do as well; nothing is packed for names and tags.

use stages::plan::PlannedVariable;
use stages::spec::ImageAttribute;

use super::describe::describe;
use super::worker::{Task, Worker};
use super::{Error, blobs};
use crate::image::assemble::set_variable;
use crate::image::spec::ImageConfig;
use crate::layer::Compression;
use crate::sha256::Sha256;

/// How layers are compressed in the manifest that a digest is of.
const COMPRESSION: Compression = Compression::Gzip;

/// Names all that the bytes of such a manifest depend on beside the image.
pub(super) fn encoding() -> String {
    blobs::encoding(COMPRESSION)
}

/// Sets the variables in the config of an image.
pub(super) fn set(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    variables: &[PlannedVariable],
    config: &mut ImageConfig,
) -> Result<(), Error> {
    for planned in variables {
        let value = value(worker, task, planned)?;
        set_variable(config, &planned.variable.name, &value);
    }
    Ok(())
}

fn value(worker: &mut Worker<'_, '_>, task: &Task<'_>, planned: &PlannedVariable) -> Result<String, Error> {
    let PlannedVariable { variable, source, repository } = planned;
    let digest = source.ok_or_else(|| Error::Config {
        stage: task.id.clone(),
        message: format!("no image `{}` for the variable `{}`", variable.image, variable.name),
    })?;
    Ok(match variable.value {
        ImageAttribute::Name => format!("{repository}:{digest}"),
        ImageAttribute::Tag => digest.to_string(),
        ImageAttribute::Repository => repository.clone(),
        ImageAttribute::ManifestDigest | ImageAttribute::Id => {
            let record = task.need(&digest)?;
            let image = describe(worker, &variable.image, &task.node.image.platform, record, COMPRESSION, &|_| Ok(()))?;
            match variable.value {
                ImageAttribute::Id => Sha256::of(&image.config).to_string(),
                _ => image.descriptor.digest.to_string(),
            }
        }
    })
}

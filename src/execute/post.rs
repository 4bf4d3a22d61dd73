//! The image-post stage: joins git content with the layers of the steps, makes symlinks, and sets the image config.

use stages::ContentId;
use stages::digest::Encoder;
use stages::plan::GitPlace;
use stages::spec::Post;

use super::Error;
use super::step::parent_config;
use super::worker::{Content, Task, Worker};
use crate::image::assemble::apply_post;
use crate::report::Event;
use crate::storage::{LayerSource, SymlinkRecipe};

/// Makes the stage.
pub(super) fn make(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    post: &Post,
    git: Option<&GitPlace>,
) -> Result<Content, Error> {
    let parent = task.parent()?;
    let mut content = Content::of(parent);
    if let Some(place) = git {
        let below = task.need(&place.after)?.layers.len();
        let git_layers = task.need(&place.stage)?.layers.iter().skip(below).cloned();
        let at = below.min(content.layers.len());
        content.layers.splice(at..at, git_layers);
    }
    if !post.symlinks.is_empty() {
        let layer = symlinks(worker, post)?;
        content.push(layer, &task.id.stage);
    }
    if post.clear_history {
        content.layers.iter_mut().for_each(|used| used.created_by.clear());
    }
    if !post.on_build.is_empty() {
        let message = format!(
            "image `{}`: its triggers (ONBUILD) are kept in a field of Docker's own, which builders for OCI images may ignore",
            task.id.image
        );
        worker.engine.events.send(Event::Warning { message });
    }
    let config = apply_post(&parent_config(parent)?, post)
        .map_err(|source| Error::Config { stage: task.id.clone(), message: source.to_string() })?;
    content.config = config.to_bytes();
    Ok(content)
}

fn symlinks(worker: &Worker<'_, '_>, post: &Post) -> Result<ContentId, Error> {
    let mut links: Vec<SymlinkRecipe> = post
        .symlinks
        .iter()
        .flat_map(|(target, links)| {
            links.paths.iter().map(|path| SymlinkRecipe {
                path: path.clone(),
                target: target.clone(),
                uid: links.uid,
                gid: links.gid,
            })
        })
        .collect();
    links.sort_by(|left, right| left.path.cmp(&right.path));
    let mut encoder = Encoder::new("stager symlinks");
    for link in &links {
        encoder.text(&link.path);
        encoder.text(&link.target);
        encoder.integer(i64::from(link.uid));
        encoder.integer(i64::from(link.gid));
    }
    let content_id = encoder.finish().into();
    worker.save_recipe(content_id, LayerSource::Symlinks { links }, 0)?;
    Ok(content_id)
}

//! `platform`, and whether the images that an image needs are there for its platforms too.

use stages::ids::Platform;

use super::context::Context;
use super::paths::shortened;
use crate::config::read::At;

/// The platforms of a list.
pub(super) fn lower(context: &mut Context<'_>, written: &[At<String>]) -> Vec<Platform> {
    let mut platforms: Vec<Platform> = Vec::new();
    let lowered = context.each("platform", written, |context, item| platform(context, item));
    for platform in lowered {
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    platforms
}

fn platform(context: &mut Context<'_>, item: &At<String>) -> Option<Platform> {
    let parsed: Result<Platform, stages::IdError> = item.value.parse();
    let reason = match &parsed {
        Ok(platform) if platform.os() == "linux" => return parsed.ok(),
        Ok(_) => "must be a platform of linux",
        Err(error) => error.reason,
    };
    let message = format!("`{}` {reason}", context.reader.path());
    let problem = context.at_build(item.mark, message);
    problem.label = Some(format!("is {:?}", shortened(&item.value)));
    problem.help = Some("write it as `linux/amd64` or `linux/arm64/v8`, one for each item".to_owned());
    None
}

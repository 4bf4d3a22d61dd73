//! `docker`: the image's config as instructions of a Dockerfile.

use stages::spec::{Post, PostRules};

use crate::config::dapp::schema::DockerTable;
use crate::config::read::At;
use crate::config::werf::lower::context::{Context, owned, texts, values};
use crate::config::werf::lower::docker;
use crate::config::werf::schema::Texts;

pub(super) fn lower(context: &mut Context<'_>, table: &DockerTable) -> Post {
    context.within(&["docker"], None, |context| Post {
        labels: docker::values(table.label.as_ref(), false),
        env: docker::values(table.env.as_ref(), false),
        entrypoint: arguments(&table.entrypoint),
        cmd: arguments(&table.cmd),
        workdir: owned(&table.workdir),
        user: owned(&table.user),
        volumes: texts(&table.volume).iter().flat_map(|item| docker::several(&item.value)).collect(),
        expose: docker::ports(context, "EXPOSE", texts(&table.expose)),
        on_build: values(texts(&table.on_build)),
        rules: PostRules::Instructions,
        ..Post::default()
    })
}

/// A text is one argument, never a script: dapp has no shell around commands. Nothing at all says nothing.
fn arguments(field: &Option<At<Texts>>) -> Option<Vec<String>> {
    let arguments = values(texts(field));
    (!arguments.is_empty()).then_some(arguments)
}

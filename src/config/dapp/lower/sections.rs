//! From documents to sections as written: what kind each is, and which tasks it may have.

use crate::config::dapp::schema::DimgSection;
use crate::config::read::FromNode;
use crate::config::werf::code;
use crate::config::werf::lower::ansible;
use crate::config::werf::lower::context::{Context, filled};
use crate::config::werf::lower::project::present;
use crate::config::yaml::{Content, Node};

/// Reads a section; `None` when it is of no kind, or was malformed.
pub(super) fn read(context: &mut Context<'_>, node: Node) -> Option<DimgSection> {
    if !matches!(&node.content, Content::Mapping(_)) {
        context.reader.wrong_type(&node, "a map: each document is one");
        return None;
    }
    let section = DimgSection::read(&node, &mut context.reader)?;
    if let Some(table) = present(&section.ansible) {
        let stages = [
            ("beforeInstall", &table.before_install),
            ("install", &table.install),
            ("beforeSetup", &table.before_setup),
            ("setup", &table.setup),
            ("buildArtifact", &table.build_artifact),
        ];
        ansible::check_stages(context, &stages);
    }
    kind(context, &section);
    Some(section)
}

fn kind(context: &mut Context<'_>, section: &DimgSection) {
    if section.broken.iter().any(|key| matches!(*key, "dimg" | "artifact")) {
        return;
    }
    let dimg = section.dimg.as_ref().filter(|names| !names.value.0.is_empty());
    match (dimg, filled(&section.artifact)) {
        (Some(dimg), Some(artifact)) => {
            let related = context.reader.place(dimg.mark);
            let message = "a document is either a dimg or an artifact";
            let problem = context.error(artifact.mark, code::SECTION_KIND, message);
            *problem =
                problem.clone().label("also an artifact").related(related, "a dimg").help("make two documents of it");
        }
        (None, None) => {
            let message = "this document is neither a dimg nor an artifact";
            context.error(section.mark, code::SECTION_KIND, message).help =
                Some("add `dimg: NAME` or `artifact: NAME`".to_owned());
        }
        _ => {}
    }
}

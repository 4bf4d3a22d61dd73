//! The files behind the names of templates.

use std::collections::BTreeMap;

use super::render::GoRequest;
use crate::source::SourceFile;

/// The config, the templates it may include, and the files that it read and gave to `tpl`.
pub(super) struct Sources<'a> {
    pub(super) request: &'a GoRequest<'a>,
    /// By the name that `tpl` gives to their text.
    pub(super) read: BTreeMap<String, SourceFile>,
}

impl Sources<'_> {
    /// The file of the template that was parsed under a name.
    pub(super) fn find(&self, name: &str) -> Option<&SourceFile> {
        if name == self.request.dialect.config_name() {
            return Some(self.request.source);
        }
        let library = self.request.library.iter().find(|template| template.name == name);
        library.map(|template| &template.source).or_else(|| self.read.get(name))
    }

    /// The files besides the config.
    pub(super) fn included(&self) -> Vec<SourceFile> {
        self.request.library.iter().map(|template| &template.source).chain(self.read.values()).cloned().collect()
    }
}

//! What spares other machines work: notes that lead from a question to a stage that holds the answer.
//!
//! - `key-KEY`: the stage that was made from this content (its second key), so that a stage whose inputs have other digests and
//!   the same content is not run again on a machine that has never seen it.
//! - `selection-REQUEST`: what an import takes of a stack of layers, so that the layers need not be pulled to see it.
//! - `import-IMPORT`: the stage that holds the layer of an import, so that neither its source nor its target is pulled.
//! - `finding-QUESTION`: what was asked for of a stack of layers and found: the number of an account, the place where an import
//!   lands, whether a path is free.
//! - `sources-MAPPINGS`: a stage with git content in parts that was published lately from the same mappings, so that a machine
//!   that has packed none of them packs only those that the stage has not.
//!
//! Nothing depends on them: one that is missing, or leads to a stage that is gone, costs the work. All of them name a stage, so a
//! cleanup knows that a note may go when its stage does.

use serde::{Deserialize, Serialize};
use stages::{ContentId, StageDigest};

use super::artifact::Note;
use super::{RemoteStore, absent_is_none};
use crate::image::spec::Document;
use crate::registry::{self, Reference};
use crate::storage::record::{Imported, Selection};

const HINT: Note = Note { annotation: "io.stager.hint", artifact_type: "application/vnd.stager.hint.v1+json" };

/// One of these notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A stage by its content.
    Key {
        /// Its second key.
        key: ContentId,
        /// The stage.
        stage: StageDigest,
    },
    /// What an import takes.
    Selection {
        /// What is asked for, of which layers.
        request: ContentId,
        /// What that is.
        selection: Selection,
        /// The stage that needed to know.
        stage: StageDigest,
    },
    /// What an import makes.
    Import {
        /// What is taken, where it goes, and whose it becomes.
        import: ContentId,
        /// What it makes.
        made: Imported,
        /// The stage that holds the layer.
        stage: StageDigest,
    },
    /// A stage by what its git content is a mapping of.
    Sources {
        /// The mappings, whatever they bring.
        mappings: ContentId,
        /// The stage.
        stage: StageDigest,
    },
    /// What was found in a stack of layers.
    Finding {
        /// What was asked for, of which layers.
        question: ContentId,
        /// What was found.
        answer: String,
        /// The stage that needed to know.
        stage: StageDigest,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HintDocument {
    version: u32,
    stage: StageDigest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selection: Option<ContentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<ContentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

/// The version of the document.
///
/// 1: the first one.
const VERSION: u32 = 1;

impl RemoteStore {
    /// Puts a hint; one that is there gives way, as a later one leads to a stage that was there more lately.
    pub fn put_hint(&self, hint: &Hint) -> Result<(), registry::Error> {
        let of = |stage: &StageDigest| HintDocument {
            version: VERSION,
            stage: *stage,
            selection: None,
            file_name: None,
            layer: None,
            answer: None,
        };
        let (reference, document) = match hint {
            Hint::Key { key, stage } => (self.hint("key", key)?, of(stage)),
            Hint::Sources { mappings, stage } => (self.hint("sources", mappings)?, of(stage)),
            Hint::Selection { request, selection: Selection { id, file_name }, stage } => (
                self.hint("selection", request)?,
                HintDocument { selection: Some(*id), file_name: file_name.clone(), ..of(stage) },
            ),
            Hint::Import { import, made, stage } => {
                (self.hint("import", import)?, HintDocument { layer: made.layer, ..of(stage) })
            }
            Hint::Finding { question, answer, stage } => {
                (self.hint("finding", question)?, HintDocument { answer: Some(answer.clone()), ..of(stage) })
            }
        };
        self.put_note(&reference, &HINT.manifest(&document))
    }

    /// The stage that was made from this content, as far as somebody said so; one GET request, as for the others.
    pub fn stage_of_key(&self, key: &ContentId) -> Result<Option<StageDigest>, registry::Error> {
        Ok(self.read_hint("key", key)?.map(|document| document.stage))
    }

    /// The stage that was published last with git content of these mappings.
    pub fn stage_of_sources(&self, mappings: &ContentId) -> Result<Option<StageDigest>, registry::Error> {
        Ok(self.read_hint("sources", mappings)?.map(|document| document.stage))
    }

    /// What a request takes.
    pub fn selection(&self, request: &ContentId) -> Result<Option<Selection>, registry::Error> {
        let document = self.read_hint("selection", request)?;
        Ok(document.and_then(|document| Some(Selection { id: document.selection?, file_name: document.file_name })))
    }

    /// What an import makes, and a stage that holds it.
    pub fn import(&self, import: &ContentId) -> Result<Option<(Imported, StageDigest)>, registry::Error> {
        let document = self.read_hint("import", import)?;
        Ok(document.map(|document| (Imported { layer: document.layer }, document.stage)))
    }

    /// What was found in a stack of layers.
    pub fn finding(&self, question: &ContentId) -> Result<Option<String>, registry::Error> {
        Ok(self.read_hint("finding", question)?.and_then(|document| document.answer))
    }

    fn hint(&self, kind: &str, question: &ContentId) -> Result<Reference, registry::Error> {
        self.repository().with_tag(&format!("{kind}-{question}"))
    }

    fn read_hint(&self, kind: &str, question: &ContentId) -> Result<Option<HintDocument>, registry::Error> {
        let found = match absent_is_none(self.client().manifest(&self.hint(kind, question)?)) {
            // Damaged: as good as none.
            Err(registry::Error::DigestMismatch { .. } | registry::Error::SizeMismatch { .. }) => None,
            found => found?,
        };
        let Some(Ok(Document::Manifest(manifest))) = found.map(|raw| raw.parse()) else { return Ok(None) };
        Ok(HINT.read::<HintDocument>(&manifest).filter(|document| document.version == VERSION))
    }
}

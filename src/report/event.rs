//! What happens during a run.

use serde::Serialize;
use stages::{ImageName, StageDigest};

use super::StageStatus;

/// A stage of an image, as people know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StageId {
    /// The image.
    pub image: ImageName,
    /// The slot.
    pub stage: String,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The plan is known: so many images, and so many stages that must be made.
    Planned {
        /// Images asked for.
        images: usize,
        /// Stages to make.
        stages: usize,
    },
    /// Work on a stage began.
    StageStarted {
        /// Which.
        id: StageId,
        /// Its digest.
        digest: StageDigest,
    },
    /// A line that a step printed, without its end; control characters are as they came.
    StageOutput {
        /// Which stage.
        id: StageId,
        /// The line.
        line: String,
    },
    /// Work on a stage ended well.
    StageFinished {
        /// Which.
        id: StageId,
        /// Its digest.
        digest: StageDigest,
        /// What became of it.
        status: StageStatus,
        /// How long it took.
        duration_ms: u64,
        /// Bytes that it added.
        size: Option<u64>,
    },
    /// Work on a stage failed; others may still be at work.
    StageFailed {
        /// Which.
        id: StageId,
        /// Why.
        message: String,
    },
    /// Something is waited for.
    Waiting {
        /// What.
        what: String,
    },
    /// Something that people should know, and can act on.
    Warning {
        /// The text.
        message: String,
    },
    /// Something that people may want to know.
    Note {
        /// The text.
        message: String,
    },
    /// An image was written somewhere.
    Exported {
        /// Which.
        image: ImageName,
        /// Where.
        destination: String,
    },
}

/// Takes events from any thread.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn send(&self, event: Event);
}

impl EventSink for std::sync::mpsc::Sender<Event> {
    fn send(&self, event: Event) {
        // A closed channel means that the consumer ended the run: nobody is left to tell.
        let _unheard = Self::send(self, event);
    }
}

//! What people see while something runs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{duration, printable, size};
use crate::report::{Event, StageId, StageStatus};

/// How the live line is refreshed.
const REFRESH: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// Lines, with a live line below them on a terminal of that many columns.
    Live {
        /// Columns of the terminal.
        columns: usize,
    },
    /// Lines.
    Plain,
    /// One JSON object for each event.
    Json,
    /// Warnings only.
    Quiet,
}

/// A thread that shows events.
#[derive(Debug)]
pub struct Progress {
    sender: Option<Sender<Event>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to show events on standard error.
    pub fn start(mode: ProgressMode, colours: bool) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || Display::new(mode, colours).run(&receiver));
        Self { sender: Some(sender), thread: Some(thread) }
    }

    /// Where events go.
    pub fn sink(&self) -> Sender<Event> {
        self.sender.clone().expect("the sender is there until this is dropped")
    }
}

impl Drop for Progress {
    /// Shows what was sent so far. All other senders must be gone by then.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

struct Display {
    mode: ProgressMode,
    colours: bool,
    total: usize,
    done: usize,
    running: BTreeMap<StageId, Instant>,
    live_line: bool,
}

impl Display {
    fn new(mode: ProgressMode, colours: bool) -> Self {
        Self { mode, colours, total: 0, done: 0, running: BTreeMap::new(), live_line: false }
    }

    fn run(mut self, events: &Receiver<Event>) {
        loop {
            match events.recv_timeout(REFRESH) {
                Ok(event) => self.show(event),
                Err(RecvTimeoutError::Timeout) => self.refresh(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.clear();
    }

    fn show(&mut self, event: Event) {
        if self.mode == ProgressMode::Json {
            // An event is plain data: it can always be written as JSON.
            let line = serde_json::to_string(&event).unwrap_or_default();
            self.line(&line);
            return;
        }
        match &event {
            Event::Planned { stages, .. } => self.total = *stages,
            Event::StageStarted { id, .. } => {
                self.running.insert(id.clone(), Instant::now());
            }
            Event::StageFinished { id, .. } | Event::StageFailed { id, .. } => {
                self.running.remove(id);
                self.done += 1;
            }
            _ => {}
        }
        let quiet =
            self.mode == ProgressMode::Quiet && !matches!(event, Event::Warning { .. } | Event::StageFailed { .. });
        if !quiet {
            self.line(&self.text(&event));
        }
    }

    fn text(&self, event: &Event) -> String {
        match event {
            Event::Planned { images, stages: 0 } => format!("{}: everything is there", count(*images, "image")),
            Event::Planned { images, stages } => {
                format!("{}: {} to make", count(*images, "image"), count(*stages, "stage"))
            }
            Event::StageStarted { id, .. } => format!("{} ...", name(id)),
            Event::StageOutput { id, line } => format!("{} | {}", name(id), printable(line, self.colours)),
            Event::StageFinished { id, status, duration_ms, size: bytes, .. } => match status {
                StageStatus::Built => {
                    let bytes = bytes.filter(|bytes| *bytes > 0).map(|bytes| format!(", {}", size(bytes)));
                    format!("{} built in {}{}", name(id), duration(*duration_ms), bytes.unwrap_or_default())
                }
                status => format!("{} {}", name(id), status.name()),
            },
            Event::StageFailed { id, message } => format!("{} failed: {}", name(id), printable(message, false)),
            Event::Waiting { what } => format!("waiting for {}", printable(what, false)),
            Event::Warning { message } => format!("warning: {}", printable(message, false)),
            Event::Note { message } => printable(message, false),
            Event::Exported { image, destination } => format!("{image} written to {destination}"),
        }
    }

    fn line(&mut self, text: &str) {
        self.clear();
        write(&format!("{text}\n"));
        self.refresh();
    }

    fn refresh(&mut self) {
        let ProgressMode::Live { columns } = self.mode else { return };
        if self.running.is_empty() {
            self.clear();
            return;
        }
        let running: Vec<String> = self
            .running
            .iter()
            .map(|(id, start)| format!("{} {}", name(id), duration(start.elapsed().as_millis() as u64)))
            .collect();
        let text = format!("[{}/{}] {}", self.done, self.total, running.join(", "));
        let text: String = text.chars().take(columns.saturating_sub(1)).collect();
        write(&format!("\r\u{1b}[2K{text}"));
        self.live_line = true;
    }

    fn clear(&mut self) {
        if self.live_line {
            write("\r\u{1b}[2K");
            self.live_line = false;
        }
    }
}

fn name(id: &StageId) -> String {
    format!("{} {}", id.image, id.stage)
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn write(text: &str) {
    // There is nobody to tell when standard error is gone.
    let _unheard = io::stderr().lock().write_all(text.as_bytes());
}

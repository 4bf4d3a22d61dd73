//! Questions on a terminal, asked on standard error.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Asks for a line.
pub fn ask(question: &str) -> io::Result<String> {
    show(question)?;
    let mut line = String::new();
    io::BufRead::read_line(&mut io::stdin().lock().take(MAX_ANSWER as u64), &mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks for something that the terminal must not show; `None` is Ctrl-C.
pub fn ask_secret(question: &str) -> io::Result<Option<String>> {
    show(question)?;
    let answer = read_hidden(io::stdin());
    show("\n")?;
    answer
}

fn show(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush())
}

/// Reads a line key by key, so that Ctrl-C can't end the program while the terminal shows nothing.
fn read_hidden(terminal: impl AsFd) -> io::Result<Option<String>> {
    let quiet = Quiet::new(&terminal)?;
    let mut answer = Vec::new();
    loop {
        let mut key = [0];
        match rustix::io::read(&terminal, &mut key) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match key {
            [b'\r' | b'\n' | 0x04] => break,
            [0x03 | 0x1c] => return Ok(None),
            [0x08 | 0x7f] => drop_letter(&mut answer),
            [0x15] => answer.clear(),
            [byte] if answer.len() < MAX_ANSWER => answer.push(byte),
            _ => return Err(io::Error::other("the answer is too long")),
        }
    }
    drop(quiet);
    String::from_utf8(answer).map(Some).map_err(|_| io::Error::other("the answer is not UTF-8"))
}

/// Takes off the last letter, which may be several bytes.
fn drop_letter(answer: &mut Vec<u8>) {
    while answer.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

/// A terminal that shows no keys and hands them over one by one, until this is dropped.
struct Quiet<'t, T: AsFd> {
    terminal: &'t T,
    before: Termios,
}

impl<'t, T: AsFd> Quiet<'t, T> {
    fn new(terminal: &'t T) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for Quiet<'_, T> {
    fn drop(&mut self) {
        let _gone = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// Both ends of a terminal: a person's, and the program's.
    fn terminal() -> (OwnedFd, OwnedFd) {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let program = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        (person, program)
    }

    fn shows(terminal: &OwnedFd) -> bool {
        tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// What is read when these keys are pressed; nothing of them may be shown.
    fn typed(keys: &str) -> Option<String> {
        let (person, program) = terminal();
        assert!(shows(&program));
        let answer = std::thread::scope(|scope| {
            let reading = scope.spawn(|| read_hidden(&program).unwrap());
            // Keys that are pressed before the question are thrown away.
            while shows(&program) {
                std::thread::yield_now();
            }
            rustix::io::write(&person, keys.as_bytes()).unwrap();
            reading.join().unwrap()
        });
        assert!(shows(&program), "the terminal is as it was");
        rustix::io::ioctl_fionbio(&person, true).unwrap();
        assert!(rustix::io::read(&person, &mut [0; 64]).is_err(), "nothing is shown");
        answer
    }

    #[test]
    fn hidden_answers_are_edited_and_not_shown() {
        assert_eq!(typed("hush\r").as_deref(), Some("hush"));
        assert_eq!(typed("no\u{15}h\u{e4}\u{7f}ush\n").as_deref(), Some("hush"));
        assert_eq!(typed("\u{7f}\u{4}").as_deref(), Some(""));
        assert_eq!(typed("hush\u{3}"), None);
    }
}

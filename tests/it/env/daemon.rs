//! Servers that end with the test process, however that ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs_err as fs;

/// A server with a directory of its own, and `log` in it. It runs under a shell that waits for the end of its standard
/// input: the pipe closes when this value is dropped and when the test process dies, and then the server is stopped and the
/// directory removed.
pub(crate) struct Daemon {
    shell: Child,
    directory: PathBuf,
}

const KEEPER: &str = r#"
directory=$1
shift
"$@" >"$directory/stdout" 2>"$directory/log" &
server=$!
cat >/dev/null
kill "$server" 2>/dev/null
wait "$server"
rm -rf --one-file-system "$directory"
"#;

impl Daemon {
    /// A new directory for a server.
    pub(crate) fn directory(name: &str) -> PathBuf {
        tempfile::Builder::new().prefix(&format!("stager-it-{name}-")).tempdir().unwrap().keep()
    }

    /// Starts `server` with the directory as its own.
    pub(crate) fn start(directory: PathBuf, server: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&directory).arg(server).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let path = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.env_clear().env("PATH", path).env("HOME", &directory);
        let shell = command.spawn().expect("a shell starts");
        Self { shell, directory }
    }

    /// What the server wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// What the server wrote to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.directory.join("stdout")).unwrap_or_default()
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok();
    }
}

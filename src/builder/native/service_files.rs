//! The files under /etc that tell a step about its network: made from the host's, never stored.

use super::wire::Bytes;
use crate::builder::{Network, StepTask};

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
/// The resolver reads no more than a few lines; whatever is larger is no configuration.
const MAX_SIZE: u64 = 1 << 20;

/// Path and content of each file.
pub(super) fn for_task(task: &StepTask) -> Vec<(String, Bytes)> {
    let mut files = vec![
        ("/etc/hosts".to_owned(), Bytes(hosts(task).into_bytes())),
        ("/etc/hostname".to_owned(), Bytes(format!("{}\n", task.hostname).into_bytes())),
    ];
    if task.network != Network::None {
        let resolver = read_small("/etc/resolv.conf").unwrap_or_default();
        files.push(("/etc/resolv.conf".to_owned(), Bytes(resolver)));
    }
    files
}

/// On the user's network the user's own names hold; the step's host name always has an address.
fn hosts(task: &StepTask) -> String {
    let own = if task.network == Network::None { None } else { read_small("/etc/hosts") };
    let mut text = own.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| LOCALHOST.to_owned());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let is_known = text.lines().any(|line| line.split_whitespace().skip(1).any(|name| name == task.hostname));
    if !is_known {
        text.push_str("127.0.0.1\t");
        text.push_str(&task.hostname);
        text.push('\n');
    }
    text
}

fn read_small(path: &str) -> Option<Vec<u8>> {
    let size = fs_err::metadata(path).ok()?.len();
    if size > MAX_SIZE { None } else { fs_err::read(path).ok() }
}

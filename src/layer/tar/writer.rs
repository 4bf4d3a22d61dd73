//! The layer archive: one set of bytes for one content.

use std::io::{Read, Write};
use std::path::Path;

use super::header::{BLOCK, Block, USTAR, checksums, field, flag};
use super::numbers::{octal_limit, write_octal};
use super::pax;
use crate::layer::error::{Error, Result};
use crate::layer::metadata::{Metadata, Xattrs};
use crate::layer::node::{Device, DeviceKind};
use crate::layer::path::{OPAQUE_NAME, WHITEOUT_PREFIX, bytes, clean, components, from_bytes, split};

/// The version of the bytes that [`TarWriter`] and `pack` make of a content, and that the golden digests in the tests
/// hold it to. Whatever changes a byte raises it.
///
/// Changelog:
/// - 1: ustar headers; numeric ids, no names; times in whole seconds; directories end in `/`; PAX records, sorted by
///   key, under the name `././@PaxHeader` where a path or link is longer than 100 bytes, a number does not fit in its
///   octal field (then 0 stands there), or there are extended attributes; `hdrcharset=BINARY` when a PAX path or link
///   is not UTF-8; an opaque mark right after its directory, then the directory's whiteouts, then its other
///   entries, each by name bytes; two zero blocks at the end.
pub const FORMAT_VERSION: u32 = 1;

/// How many bytes are gathered before they are handed on.
const BUFFER: usize = 512 << 10;

const PAX_NAME: &[u8] = b"././@PaxHeader";

/// Writes a layer archive entry by entry, for layers that come from something else than a directory.
///
/// Paths are relative to the root of the image; a leading `/` is dropped. Entries come in the order of the layer
/// format, else [`Error::OutOfOrder`]: parents before children, and in a directory its opaque mark, its whiteouts,
/// then its other entries (each with all that is below it), the names compared as bytes. What a directory packed by `pack`
/// holds gives the same bytes as the same entries written here.
pub struct TarWriter<W: Write> {
    out: W,
    buffer: Vec<u8>,
    previous: Vec<u8>,
    pax: Vec<u8>,
    written: u64,
}

struct Fields<'a> {
    path: &'a [u8],
    flag: u8,
    metadata: &'a Metadata,
    size: u64,
    link: &'a [u8],
    device: (u32, u32),
}

impl<W: Write> TarWriter<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out, buffer: Vec::with_capacity(BUFFER), previous: Vec::new(), pax: Vec::new(), written: 0 }
    }

    /// Writes a directory. The empty path, or `/`, is the root, which comes first if at all.
    pub fn directory(&mut self, path: &Path, metadata: &Metadata) -> Result<()> {
        let path = self.enter(path, Class::Entry)?;
        let name = if path.is_empty() { b"./".to_vec() } else { [&path[..], b"/"].concat() };
        self.header(&Fields { flag: flag::DIRECTORY, ..Fields::new(&name, metadata) })
    }

    /// Writes a regular file of `size` bytes from `content`; [`Error::Changed`] when there are fewer.
    pub fn file(&mut self, path: &Path, metadata: &Metadata, size: u64, content: &mut dyn Read) -> Result<()> {
        let name = self.enter(path, Class::Entry)?;
        self.header(&Fields { size, ..Fields::new(&name, metadata) })?;
        self.content(path, size, content)
    }

    /// Writes a symbolic link.
    pub fn symlink(&mut self, path: &Path, target: &Path, metadata: &Metadata) -> Result<()> {
        let name = self.enter(path, Class::Entry)?;
        self.header(&Fields { flag: flag::SYMLINK, link: bytes(target), ..Fields::new(&name, metadata) })
    }

    /// Writes a further name of a file that was already written under `target`, with the metadata of that file.
    pub fn hard_link(&mut self, path: &Path, target: &Path, metadata: &Metadata) -> Result<()> {
        let name = self.enter(path, Class::Entry)?;
        let target = clean(bytes(target))?;
        let bare = Metadata { xattrs: Xattrs::new(), ..metadata.clone() };
        self.header(&Fields { flag: flag::HARD_LINK, link: bytes(&target), ..Fields::new(&name, &bare) })
    }

    /// Writes a device node.
    pub fn device(&mut self, path: &Path, device: Device, metadata: &Metadata) -> Result<()> {
        let name = self.enter(path, Class::Entry)?;
        let flag = match device.kind {
            DeviceKind::Character => flag::CHARACTER,
            DeviceKind::Block => flag::BLOCK_DEVICE,
        };
        if u64::from(device.major.max(device.minor)) > octal_limit(field::DEVICE_MAJOR.len()) {
            return Err(Error::refused(path, "a layer cannot hold so large a device number"));
        }
        self.header(&Fields { flag, device: (device.major, device.minor), ..Fields::new(&name, metadata) })
    }

    /// Writes a named pipe.
    pub fn fifo(&mut self, path: &Path, metadata: &Metadata) -> Result<()> {
        let name = self.enter(path, Class::Entry)?;
        self.header(&Fields { flag: flag::FIFO, ..Fields::new(&name, metadata) })
    }

    /// Marks `path` of the layers below as deleted.
    pub fn whiteout(&mut self, path: &Path) -> Result<()> {
        let hidden = self.enter(path, Class::Whiteout)?;
        let (parent, name) =
            split(from_bytes(&hidden)).ok_or_else(|| Error::refused(path, "the root cannot be deleted"))?;
        self.mark(parent, &[WHITEOUT_PREFIX, bytes(name.as_ref())].concat())
    }

    /// Hides everything that the layers below hold in the directory `path`; comes right after the directory.
    pub fn opaque(&mut self, path: &Path) -> Result<()> {
        let directory = self.enter(path, Class::Opaque)?;
        self.mark(from_bytes(&directory), OPAQUE_NAME)
    }

    /// Ends the archive, and hands the sink back.
    pub fn finish(mut self) -> Result<W> {
        self.buffer.extend_from_slice(&[0; 2 * BLOCK]);
        self.flush()?;
        Ok(self.out)
    }

    /// The number of bytes of the archive so far.
    pub fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn mark(&mut self, parent: &Path, name: &[u8]) -> Result<()> {
        let path = parent.join(from_bytes(name));
        let metadata = Metadata { mode: 0o644, ..Metadata::default() };
        self.header(&Fields::new(bytes(&path), &metadata))
    }

    /// Checks a path and its place in the order; returns it clean.
    fn enter(&mut self, path: &Path, class: Class) -> Result<Vec<u8>> {
        let clean = clean(bytes(path))?;
        if components(&clean).any(|name| bytes(name.as_ref()).starts_with(WHITEOUT_PREFIX)) {
            return Err(Error::refused(path, "names that start with `.wh.` mean deleted files in a layer"));
        }
        let key = order_key(&clean, class);
        let first = self.written == 0 && self.buffer.is_empty();
        if !first && key <= self.previous {
            return Err(Error::OutOfOrder { path: clean });
        }
        self.previous = key;
        Ok(clean.into_os_string().into_encoded_bytes())
    }

    fn header(&mut self, fields: &Fields<'_>) -> Result<()> {
        let mut pax = std::mem::take(&mut self.pax);
        pax.clear();
        fields.pax_records(&mut pax)?;
        if !pax.is_empty() {
            let nothing = Metadata { mode: 0o644, ..Metadata::default() };
            let header = Fields { flag: flag::PAX, size: pax.len() as u64, ..Fields::new(PAX_NAME, &nothing) };
            self.buffer.extend_from_slice(&header.block());
            self.buffer.extend_from_slice(&pax);
            self.pad(pax.len() as u64);
        }
        self.pax = pax;
        self.buffer.extend_from_slice(&fields.block());
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn content(&mut self, path: &Path, size: u64, content: &mut dyn Read) -> Result<()> {
        let mut left = size;
        while left > 0 {
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
            let start = self.buffer.len();
            let room = (BUFFER - start).min(usize::try_from(left).unwrap_or(BUFFER));
            self.buffer.resize(start + room, 0);
            let count = read_some(content, &mut self.buffer[start..]).map_err(Error::io("read", path))?;
            self.buffer.truncate(start + count);
            if count == 0 {
                return Err(Error::Changed { path: path.to_owned() });
            }
            left -= count as u64;
        }
        self.pad(size);
        Ok(())
    }

    fn pad(&mut self, size: u64) {
        let over = (size % BLOCK as u64) as usize;
        if over > 0 {
            self.buffer.resize(self.buffer.len() + BLOCK - over, 0);
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer).map_err(Error::stream("write", "layer archive"))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn read_some(content: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match content.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What an entry is to the order within its directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Opaque,
    Whiteout,
    Entry,
}

/// A key whose byte order is the order of the layer format: for each component its class, its name and a NUL.
fn order_key(path: &Path, class: Class) -> Vec<u8> {
    let mut key = Vec::with_capacity(bytes(path).len() + 8);
    for component in components(path) {
        key.push(3);
        key.extend_from_slice(bytes(component.as_ref()));
        key.push(0);
    }
    match class {
        Class::Entry => {}
        Class::Opaque => key.push(1),
        Class::Whiteout => {
            let last = components(path).last().map_or(0, std::ffi::OsStr::len);
            let place = key.len().saturating_sub(last + 2);
            if let Some(mark) = key.get_mut(place) {
                *mark = 2;
            }
        }
    }
    key
}

impl<'a> Fields<'a> {
    fn new(path: &'a [u8], metadata: &'a Metadata) -> Self {
        Self { path, flag: flag::FILE, metadata, size: 0, link: b"", device: (0, 0) }
    }

    fn block(&self) -> Block {
        let mut block = [0; BLOCK];
        let mut text = |range: std::ops::Range<usize>, value: &[u8]| {
            let length = value.len().min(range.len());
            block[range][..length].copy_from_slice(&value[..length]);
        };
        text(field::NAME, self.path);
        text(field::LINK, self.link);
        text(field::MAGIC, USTAR);
        let mut number = |range: std::ops::Range<usize>, value: u64| {
            let fits = value <= octal_limit(range.len());
            write_octal(&mut block[range], if fits { value } else { 0 });
        };
        number(field::MODE, u64::from(self.metadata.mode & 0o7777));
        number(field::UID, u64::from(self.metadata.uid));
        number(field::GID, u64::from(self.metadata.gid));
        number(field::SIZE, self.size);
        number(field::MTIME, u64::try_from(self.metadata.mtime.seconds).unwrap_or(0));
        number(field::DEVICE_MAJOR, u64::from(self.device.0));
        number(field::DEVICE_MINOR, u64::from(self.device.1));
        block[field::FLAG] = self.flag;
        let (sum, _) = checksums(&block);
        // Six digits, NUL, space: the layout that every tar writes.
        write_octal(&mut block[field::CHECKSUM][..7], sum);
        block[field::CHECKSUM.end - 1] = b' ';
        block
    }

    /// The records for what the block cannot hold, in the order of their keys.
    fn pax_records(&self, out: &mut Vec<u8>) -> Result<()> {
        let metadata = self.metadata;
        for (name, value) in &metadata.xattrs {
            let key = pax::xattr_key(name).ok_or_else(|| {
                Error::refused(from_bytes(self.path), "a layer cannot hold an attribute whose name contains `%3D`")
            })?;
            pax::write_record(out, &key, value);
        }
        write_large(out, "gid", u64::from(metadata.gid), field::GID.len());
        let long_path = (self.path.len() > field::NAME.len()).then_some(self.path);
        let long_link = (self.link.len() > field::LINK.len()).then_some(self.link);
        if [long_path, long_link].into_iter().flatten().any(|text| std::str::from_utf8(text).is_err()) {
            pax::write_record(out, b"hdrcharset", b"BINARY");
        }
        if let Some(link) = long_link {
            pax::write_record(out, b"linkpath", link);
        }
        let seconds = metadata.mtime.seconds;
        if !u64::try_from(seconds).is_ok_and(|seconds| seconds <= octal_limit(field::MTIME.len())) {
            pax::write_record(out, b"mtime", seconds.to_string().as_bytes());
        }
        if let Some(path) = long_path {
            pax::write_record(out, b"path", path);
        }
        write_large(out, "size", self.size, field::SIZE.len());
        write_large(out, "uid", u64::from(metadata.uid), field::UID.len());
        Ok(())
    }
}

/// Writes a record for a number that its octal field cannot hold.
fn write_large(out: &mut Vec<u8>, key: &str, value: u64, width: usize) {
    if value > octal_limit(width) {
        pax::write_record(out, key.as_bytes(), value.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests;

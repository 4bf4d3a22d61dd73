//! Files that appear whole or not at all, and tars that are the same each time.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Part, WriteError};

/// Writes `path` through a temporary name beside it. What is there and isn't a file (a pipe, `/dev/stdout`) is written
/// to directly.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let io_error = || WriteError::io(path);
    match fs_err::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(WriteError::Occupied { path: path.to_owned(), reason: "is a directory; the output is a file" })
        }
        Ok(found) if !found.is_file() => {
            let file = fs_err::OpenOptions::new().write(true).open(path).map_err(io_error())?;
            buffered(file, path, write).map(drop)
        }
        Ok(_) => replace(&fs_err::canonicalize(path).map_err(io_error())?, write),
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(path, write),
        Err(error) => Err(io_error()(error)),
    }
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), WriteError>) -> Result<(), WriteError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = temporary_in(parent).map_err(WriteError::io(path))?;
    let file = buffered(file, path, write)?;
    file.persist(path).map(drop).map_err(|error| WriteError::io(path)(error.error))
}

/// A temporary file that will have the usual permissions.
pub(super) fn temporary_in(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".stager-").permissions(Permissions::from_mode(0o666)).tempfile_in(directory)
}

fn buffered<W: Write>(
    output: W,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), WriteError>,
) -> Result<W, WriteError> {
    let mut output = BufWriter::with_capacity(256 << 10, output);
    write(&mut output)?;
    output.into_inner().map_err(|error| WriteError::io(path)(error.into_error()))
}

/// Writes a tar of these parts in the order given, each new directory before what is in it.
pub(super) fn write_tar<'a, 'b: 'a>(
    output: &mut dyn Write,
    parts: impl IntoIterator<Item = (&'a str, &'a Part<'b>)>,
    epoch: u64,
    output_error: impl Fn(io::Error) -> WriteError,
) -> Result<(), WriteError> {
    let mut directories: Vec<String> = Vec::new();
    for (name, part) in parts {
        for (slash, _) in name.match_indices('/') {
            let directory = &name[..=slash];
            if !directories.iter().any(|made| made == directory) {
                let header = header(directory, tar::EntryType::Directory, 0o755, 0, epoch);
                output.write_all(header.as_bytes()).map_err(&output_error)?;
                directories.push(directory.to_owned());
            }
        }
        let header = header(name, tar::EntryType::Regular, 0o644, part.size(), epoch);
        output.write_all(header.as_bytes()).map_err(&output_error)?;
        part.copy_to(output, &output_error)?;
        let padding = part.size().next_multiple_of(512) - part.size();
        output.write_all(&[0; 512][..padding as usize]).map_err(&output_error)?;
    }
    output.write_all(&[0; 1024]).and_then(|()| output.flush()).map_err(output_error)
}

fn header(name: &str, kind: tar::EntryType, mode: u32, size: u64, epoch: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("layout names are relative and shorter than 100 bytes");
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(epoch);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    header
}

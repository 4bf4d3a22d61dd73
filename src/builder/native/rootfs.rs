//! Builds the file system view of a step: the tree, the kernel's file systems, devices, masks, service files, mounts.
//!
//! Runs in pid 1, in a mount namespace of its own, with the host's file systems still in sight. Everything of the
//! builder's own lives in one tmpfs over the task's scratch directory, which nothing outside sees and which goes away
//! with the namespace: a layer of mount points, secrets, service files, the empty directory that masks things.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, open, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use super::Mode as IdMode;
use super::mounts::{NO_DEVICES, attach, clone_device, clone_tree, new_file_system, open_directory};
use super::overlay::{Stack, Writable, mount_stack};
use super::targets::{Stub, TargetKind, Targets};
use super::wire::{Bytes, Doing, Failure, Job, JobMount, JobSource};

/// What pid 1 needs to go on.
pub(super) struct Prepared {
    /// A handle on the working directory.
    pub(super) workdir: OwnedFd,
    /// The root of the tree, not yet entered.
    root: OwnedFd,
}

/// The builder's own tmpfs.
struct Workshop {
    directory: OwnedFd,
}

const ALWAYS: [&str; 3] = ["proc", "sys", "dev"];

/// Lays out everything below a root that isn't entered yet.
///
/// `report` gets the mount points that had to be made in the upper directory, also when something fails after that.
pub(super) fn prepare(job: &Job, report: impl FnOnce(Vec<Stub>) -> Result<(), Failure>) -> Result<Prepared, Failure> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .doing(|| "making the mounts private".into())?;
    let mut stack = open_stack(job)?;
    let sources = open_sources(job)?;
    let workshop = Workshop::open(job)?;
    stack.lowers.push(workshop.stub_layer(job)?);
    let place = workshop.make_directory("root")?;
    let tree = mount_stack(&stack, &place, job.legacy_overlay)?;
    drop(stack);
    attach(&tree, &place).doing(|| "attaching the tree".into())?;
    let mut targets = Targets::new(tree.as_fd()).doing(|| "looking at the tree".into())?;
    let workdir = furnish(job, &mut targets, &workshop, sources);
    report(targets.into_stubs())?;
    Ok(Prepared { workdir: workdir?, root: tree })
}

/// Mounts everything into the tree and returns a handle on the working directory.
fn furnish(
    job: &Job,
    targets: &mut Targets<'_>,
    workshop: &Workshop,
    sources: Vec<Option<OwnedFd>>,
) -> Result<OwnedFd, Failure> {
    if !job.mounts.iter().any(|mount| is_within(&job.workdir, &mount.target)) {
        make_workdir(targets, job)?;
    }
    mount_proc(targets, workshop)?;
    mount_sys(targets, workshop)?;
    mount_dev(targets)?;
    for (path, content) in &job.service_files {
        mount_service_file(targets, workshop, path, content)?;
    }
    if job.mode == IdMode::SingleId {
        configure_apt(targets, workshop)?;
    }
    for (number, (mount, source)) in job.mounts.iter().zip(sources).enumerate() {
        mount_user(targets, workshop, job, mount, source, number)?;
    }
    make_workdir(targets, job)
}

impl Prepared {
    /// Makes the tree the root of this mount namespace and forgets the old one. Whether an escape by chroot(2) has to
    /// be prevented: `false` after pivot_root, `true` where only the fallback works (an outer container's seccomp, an
    /// initramfs).
    pub(super) fn enter(&self) -> Result<bool, Failure> {
        fchdir(&self.root).doing(|| "entering the tree".into())?;
        let fallback = match pivot_root(".", ".") {
            Ok(()) => {
                unmount(".", UnmountFlags::DETACH).doing(|| "letting the old root go".into())?;
                false
            }
            Err(Errno::INVAL | Errno::PERM | Errno::NOSYS) => {
                rustix::mount::mount_move(".", "/").doing(|| "moving the tree over the root".into())?;
                chroot(".").doing(|| "changing the root".into())?;
                true
            }
            Err(error) => return Err(error).doing(|| "making the tree the root".into()),
        };
        chdir("/").doing(|| "entering the new root".into())?;
        Ok(fallback)
    }
}

fn make_workdir(targets: &mut Targets<'_>, job: &Job) -> Result<OwnedFd, Failure> {
    targets.make_directory(&job.workdir).doing(|| format!("making the working directory {}", job.workdir))
}

/// Whether `path` is `directory` or below it, by their text.
fn is_within(path: &str, directory: &str) -> bool {
    let parts = |text: &'_ str| {
        text.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect::<Vec<_>>()
    };
    parts(path).starts_with(&parts(directory))
}

fn open_stack(job: &Job) -> Result<Stack, Failure> {
    let lowers = job.lowers.iter().map(|path| open_directory(&path.to_path())).collect::<Result<_, _>>()?;
    let upper = open_directory(&job.upper.to_path())?;
    let scratch = open_directory(&job.scratch.to_path())?;
    mkdirat(&scratch, "work", Mode::RWXU).doing(|| "making the overlay's work directory".into())?;
    let work = open_directory(&job.scratch.to_path().join("work"))?;
    Ok(Stack { lowers, upper: Some(Writable { upper, work }) })
}

/// Takes hold of what the mounts show while the host's paths are in sight. Secrets and tmpfs have nothing there.
fn open_sources(job: &Job) -> Result<Vec<Option<OwnedFd>>, Failure> {
    job.mounts.iter().map(|mount| open_source(&mount.source, job)).collect()
}

fn open_source(source: &JobSource, job: &Job) -> Result<Option<OwnedFd>, Failure> {
    match source {
        JobSource::Bind { path, read_only } => {
            let path = path.to_path();
            let handle = open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .doing(|| format!("opening the mount source {}", path.display()))?;
            let attributes = NO_DEVICES | read_only_if(*read_only);
            clone_tree(&handle, "", attributes).map(Some).doing(|| format!("copying the mount of {}", path.display()))
        }
        JobSource::Layers { lowers, path } => {
            let paths: Vec<PathBuf> = lowers.iter().map(Bytes::to_path).collect();
            let place = open_directory(&job.scratch.to_path())?;
            let tree = mount_stack(&Stack::read_only(&paths)?, &place, job.legacy_overlay)?;
            part_of_tree(tree, path, &place).map(Some)
        }
        JobSource::Tmpfs { .. } | JobSource::Secret { .. } => Ok(None),
    }
}

/// A detached mount of `path` inside a detached tree. Copies can be made of attached mounts only (before Linux 6.15),
/// so the tree is attached to `place` for a moment.
fn part_of_tree(tree: OwnedFd, path: &str, place: &OwnedFd) -> Result<OwnedFd, Failure> {
    if is_within("/", path) {
        return Ok(tree);
    }
    attach(&tree, place).doing(|| "attaching a tree".into())?;
    let how = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let part = rustix::fs::openat2(&tree, path, flags, Mode::empty(), how)
        .doing(|| format!("finding {path} in the tree it is mounted from"))?;
    let attributes = NO_DEVICES | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let copy = clone_tree(&part, "", attributes).doing(|| format!("copying the mount of {path}"))?;
    drop(part);
    unmount(super::sys::proc_path(&tree).as_str(), UnmountFlags::DETACH).doing(|| "detaching a tree".into())?;
    Ok(copy)
}

fn read_only_if(read_only: bool) -> MountAttrFlags {
    if read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() }
}

impl Workshop {
    fn open(job: &Job) -> Result<Self, Failure> {
        let directory = new_file_system("tmpfs", &[("mode", "0700")], NO_DEVICES)
            .doing(|| "mounting the builder's own tmpfs".into())?;
        let scratch = open_directory(&job.scratch.to_path())?;
        attach(&directory, &scratch).doing(|| "attaching the builder's own tmpfs".into())?;
        let workshop = Self { directory };
        workshop.make_directory("empty")?;
        Ok(workshop)
    }

    fn make_directory(&self, name: &str) -> Result<OwnedFd, Failure> {
        mkdirat(&self.directory, name, Mode::from_raw_mode(0o755)).doing(|| format!("making {name}"))?;
        openat(&self.directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing(|| format!("opening {name}"))
    }

    /// A layer with every mount point, to lie below all others.
    ///
    /// The working directory is left to the upper directory, since it is part of the result.
    fn stub_layer(&self, job: &Job) -> Result<OwnedFd, Failure> {
        let layer = self.make_directory("stubs")?;
        let mut stubs = Targets::new(layer.as_fd()).doing(|| "looking at the builder's own tmpfs".into())?;
        for name in ALWAYS {
            mkdirat(&layer, name, Mode::from_raw_mode(0o755)).doing(|| format!("making a mount point for /{name}"))?;
        }
        let files = job.service_files.iter().map(|(path, _)| (path.as_str(), TargetKind::File));
        let mounts = job.mounts.iter().filter_map(|mount| Some((mount.target.as_str(), known_kind(&mount.source)?)));
        for (path, kind) in files.chain(mounts) {
            if is_within("/", &job.workdir) || !is_within(path, &job.workdir) {
                // Targets that contradict each other are found out, and reported, when they are mounted.
                let _ = stubs.mount_point(path, kind);
            }
        }
        Ok(layer)
    }

    /// A file of this tmpfs as a detached mount.
    fn file(&self, name: &str, content: &[u8], mode: u32) -> Result<OwnedFd, Failure> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR).doing(|| format!("making {name}"))?;
        let mut rest = content;
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest).doing(|| format!("writing {name}"))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).doing(|| format!("setting the mode of {name}"))?;
        Ok(file)
    }

    fn show(&self, name: &str, attributes: MountAttrFlags) -> Result<OwnedFd, Failure> {
        clone_tree(&self.directory, name, NO_DEVICES | attributes).doing(|| format!("copying the mount of {name}"))
    }
}

/// What a mount point for this must be, if it doesn't take a look at the source to know.
fn known_kind(source: &JobSource) -> Option<TargetKind> {
    match source {
        JobSource::Tmpfs { .. } => Some(TargetKind::Directory),
        JobSource::Secret { .. } => Some(TargetKind::File),
        JobSource::Bind { path, .. } => {
            Some(if path.to_path().is_dir() { TargetKind::Directory } else { TargetKind::File })
        }
        JobSource::Layers { .. } => None,
    }
}

/// Hidden from steps: files that tell about, or change, the host. As Docker and runc do.
const MASKED_IN_PROC: [&str; 11] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
    "vmallocinfo",
];
const READ_ONLY_IN_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
const MASKED_IN_SYS: [&str; 5] =
    ["firmware", "devices/virtual/powercap", "fs/cgroup", "kernel/debug", "kernel/tracing"];

fn mount_proc(targets: &mut Targets<'_>, workshop: &Workshop) -> Result<(), Failure> {
    let attributes = NO_DEVICES | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = new_file_system("proc", &[], attributes).doing(|| "mounting /proc".into())?;
    let place = targets.system_directory("proc").doing(|| "using /proc of the image as a mount point".into())?;
    attach(&proc, &place).doing(|| "attaching /proc".into())?;
    for name in READ_ONLY_IN_PROC {
        let attributes = attributes | MountAttrFlags::MOUNT_ATTR_RDONLY;
        match clone_tree(&proc, name, attributes) {
            Ok(copy) => attach_below(&copy, &proc, name)?,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error).doing(|| format!("copying the mount of /proc/{name}")),
        }
    }
    mask(&proc, workshop, &MASKED_IN_PROC)
}

fn mount_sys(targets: &mut Targets<'_>, workshop: &Workshop) -> Result<(), Failure> {
    let attributes = NO_DEVICES | MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_RDONLY;
    // A new instance needs a network namespace that belongs to our user namespace; otherwise the host's is shown.
    let sys = match new_file_system("sysfs", &[], attributes) {
        Ok(sys) => sys,
        Err(_) => clone_tree(rustix::fs::CWD, "/sys", attributes).doing(|| "copying the mount of /sys".into())?,
    };
    let place = targets.system_directory("sys").doing(|| "using /sys of the image as a mount point".into())?;
    attach(&sys, &place).doing(|| "attaching /sys".into())?;
    mask(&sys, workshop, &MASKED_IN_SYS)
}

/// Covers files with the null device and directories with an empty one.
fn mask(directory: &OwnedFd, workshop: &Workshop, names: &[&str]) -> Result<(), Failure> {
    for name in names {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(place) = openat(directory, *name, flags, Mode::empty()) else { continue };
        let stat = fstat(&place).doing(|| format!("looking at {name}"))?;
        let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            workshop.show("empty", MountAttrFlags::MOUNT_ATTR_RDONLY)?
        } else {
            clone_device("null", 1, 3)?
        };
        attach(&cover, &place).doing(|| format!("masking {name}"))?;
    }
    Ok(())
}

fn attach_below(mount: &OwnedFd, directory: &OwnedFd, name: &str) -> Result<(), Failure> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(directory, name, flags, Mode::empty()).doing(|| format!("opening {name}"))?;
    attach(mount, &place).doing(|| format!("attaching {name}"))
}

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// A tmpfs without device rights, in which only six bind-mounted nodes of the host work: a node that a step makes
/// itself can be packed but not opened.
fn mount_dev(targets: &mut Targets<'_>) -> Result<(), Failure> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOEXEC | NO_DEVICES;
    let dev = new_file_system("tmpfs", &[("mode", "0755"), ("size", "65536k")], attributes)
        .doing(|| "mounting /dev".into())?;
    let place = targets.system_directory("dev").doing(|| "using /dev of the image as a mount point".into())?;
    attach(&dev, &place).doing(|| "attaching /dev".into())?;
    for (name, major, minor) in DEVICES {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        drop(openat(&dev, name, flags, Mode::from_raw_mode(0o644)).doing(|| format!("making /dev/{name}"))?);
        attach_below(&clone_device(name, major, minor)?, &dev, name)?;
    }
    for (target, name) in DEVICE_LINKS {
        symlinkat(target, &dev, name).doing(|| format!("making /dev/{name}"))?;
    }
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let pty_options: &[(&str, &str)] = &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    let file_systems = [
        ("pts", "devpts", pty_options, quiet),
        ("shm", "tmpfs", &[("mode", "1777"), ("size", "65536k")], attributes),
        ("mqueue", "mqueue", &[], attributes),
    ];
    for (name, kind, options, attributes) in file_systems {
        mkdirat(&dev, name, Mode::from_raw_mode(0o755)).doing(|| format!("making /dev/{name}"))?;
        let mount = new_file_system(kind, options, attributes).doing(|| format!("mounting /dev/{name}"))?;
        attach_below(&mount, &dev, name)?;
    }
    Ok(())
}

/// Writable, as in Docker, but what a step writes there is gone afterwards.
fn mount_service_file(
    targets: &mut Targets<'_>,
    workshop: &Workshop,
    path: &str,
    content: &Bytes,
) -> Result<(), Failure> {
    let place = match targets.mount_point(path, TargetKind::File) {
        // The image has a directory there: it does not want this file.
        Err(error) if error.raw_os_error() == Some(libc::EISDIR) => return Ok(()),
        place => place.doing(|| format!("using {path} as a mount point"))?,
    };
    let name = path.trim_start_matches('/').replace('/', "-");
    workshop.file(&name, &content.0, 0o644)?;
    let mount = workshop.show(&name, MountAttrFlags::empty())?;
    attach(&mount, &place).doing(|| format!("attaching {path}"))
}

/// apt downloads as a user of its own and checks that it became that user, which it can't with a single id.
fn configure_apt(targets: &mut Targets<'_>, workshop: &Workshop) -> Result<(), Failure> {
    const DIRECTORY: &str = "/etc/apt/apt.conf.d";
    const CONTENT: &[u8] = b"APT::Sandbox::User \"root\";\n";
    if !targets.is_directory(DIRECTORY) {
        return Ok(());
    }
    mount_service_file(targets, workshop, &format!("{DIRECTORY}/zz-stager-single-id"), &Bytes(CONTENT.to_vec()))
}

fn mount_user(
    targets: &mut Targets<'_>,
    workshop: &Workshop,
    job: &Job,
    mount: &JobMount,
    source: Option<OwnedFd>,
    number: usize,
) -> Result<(), Failure> {
    let target = &mount.target;
    let (tree, kind) = match (&mount.source, source) {
        (JobSource::Tmpfs { size, mode }, _) => (tmpfs(*size, *mode, target)?, TargetKind::Directory),
        (JobSource::Secret { bytes, mode, uid, gid }, _) => {
            let name = format!("secret-{number}");
            let file = workshop.file(&name, &bytes.0, *mode)?;
            if job.mode != IdMode::SingleId {
                fchown(&file, Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)))
                    .doing(|| format!("giving the secret at {target} to {uid}:{gid}"))?;
            }
            (workshop.show(&name, MountAttrFlags::MOUNT_ATTR_RDONLY)?, TargetKind::File)
        }
        (_, Some(tree)) => {
            let stat = fstat(&tree).doing(|| format!("looking at the source of {target}"))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            (tree, if is_directory { TargetKind::Directory } else { TargetKind::File })
        }
        (_, None) => return Err(Failure::refusal(format!("nothing to mount at {target}"))),
    };
    let place = targets.mount_point(target, kind).doing(|| format!("using {target} as a mount point"))?;
    refuse_kernel_file_systems(&place, target)?;
    attach(&tree, &place).doing(|| format!("attaching {target}"))
}

fn tmpfs(size: Option<u64>, mode: u32, target: &str) -> Result<OwnedFd, Failure> {
    let (mode, size) = (format!("{:o}", mode & 0o7777), size.map(|size| size.to_string()));
    let mut options = vec![("mode", mode.as_str())];
    options.extend(size.as_deref().map(|size| ("size", size)));
    new_file_system("tmpfs", &options, NO_DEVICES).doing(|| format!("mounting a tmpfs for {target}"))
}

/// A mount in /proc or /sys could undo the masks, or mislead what reads them.
fn refuse_kernel_file_systems(place: &OwnedFd, target: &str) -> Result<(), Failure> {
    const PROC_MAGIC: u64 = 0x9fa0;
    const SYSFS_MAGIC: u64 = 0x6265_6572;
    let stat = rustix::fs::fstatfs(place).doing(|| format!("looking at {target}"))?;
    if [PROC_MAGIC, SYSFS_MAGIC].contains(&(stat.f_type as u64)) {
        return Err(Failure::refusal(format!(
            "{target} lies in a file system of the kernel; nothing can be mounted there"
        )));
    }
    Ok(())
}

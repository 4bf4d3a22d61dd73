"""The machine the contenders run on: control groups that count CPU time, servers that end with us, a registry."""

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time
from pathlib import Path

V2 = Path("/sys/fs/cgroup")


class Machine:
    """Control groups and daemons of one benchmark."""

    def __init__(self, work):
        self.work = work
        self.name = f"stager-bench-{os.getpid()}"
        self.daemons = []
        self.version = 2 if (V2 / "cgroup.controllers").exists() else 1
        roots = [V2] if self.version == 2 else [V2 / "cpuacct", V2 / "memory"]
        self.roots = [root for root in roots if os.access(root, os.W_OK)] if os.geteuid() == 0 else []
        self.home = {root: own_group(root) for root in self.roots}
        if self.version == 2 and self.roots:
            for group in (V2, V2 / self.name):
                group.mkdir(exist_ok=True)
                with contextlib.suppress(OSError):
                    (group / "cgroup.subtree_control").write_text("+memory")

    def groups(self, group, leaf):
        """The directories of a group; one for each hierarchy."""
        return [root / self.name / group / leaf for root in self.roots]

    def path(self, group, leaf):
        """The group as engines want it named."""
        return f"/{self.name}/{group}/{leaf}"

    def join(self, group, leaf):
        for directory in self.groups(group, leaf):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cgroup.procs").write_text(str(os.getpid()))

    def leave(self):
        for root, home in self.home.items():
            (home / "cgroup.procs").write_text(str(os.getpid()))

    def start(self, group, command, log, **options):
        """Starts a daemon in its arm's group; it is ended by `stop`."""
        self.join(group, "daemon")
        try:
            with open(log, "ab") as file:
                daemon = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, **options)
        finally:
            self.leave()
        self.daemons.append(daemon)
        return daemon

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        unmount(self.work)
        for root in self.roots:
            for directory, _, _ in os.walk(root / self.name, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)

    @contextlib.contextmanager
    def metered(self, group, sample_memory):
        """Counts what runs in the arm's group, its daemons included."""
        meter = Meter(self, group)
        self.join(group, "run")
        sampler = Sampler(meter) if sample_memory else contextlib.nullcontext()
        try:
            before = meter.cpu_now()
            with sampler:
                yield meter
            meter.cpu = meter.cpu_now() - before
        finally:
            self.leave()
        if sample_memory:
            meter.peak = max(sampler.peak, meter.largest_process()) / 2**20


class Meter:
    """What one run used."""

    def __init__(self, machine, group):
        self.cpu = 0.0
        self.peak = 0.0
        self.wrapper = []
        self.group = [root / machine.name / group for root in machine.roots]
        self.version = machine.version
        self.times = machine.work / "time"

    def cpu_now(self):
        """CPU seconds so far."""
        if not self.group:
            # No groups: what has been waited for. Daemons are not in it.
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return usage.ru_utime + usage.ru_stime
        if self.version == 2:
            return int(re.search(r"usage_usec (\d+)", (self.group[0] / "cpu.stat").read_text())[1]) / 1e6
        return int((self.group[0] / "cpuacct.usage").read_text()) / 1e9

    def memory_now(self):
        """Anonymous memory of all processes, in bytes."""
        key = "anon" if self.version == 2 else "total_rss"
        try:
            found = re.search(rf"^{key} (\d+)", (self.group[-1] / "memory.stat").read_text(), re.MULTILINE)
        except (OSError, IndexError):
            return 0
        return int(found[1]) if found else 0

    def largest_process(self):
        """The largest resident set of a process that the wrapper ran, in bytes."""
        try:
            found = re.findall(r"Maximum resident set size \(kbytes\): (\d+)", self.times.read_text())
        except OSError:
            return 0
        return max(map(int, found), default=0) * 1024


class Sampler(threading.Thread):
    """Looks at the memory of a group all the time, and makes commands run under busybox's `time -v` for the short ones."""

    def __init__(self, meter):
        super().__init__(daemon=True)
        self.meter = meter
        self.peak = 0
        self.ended = threading.Event()

    def __enter__(self):
        self.meter.times.unlink(missing_ok=True)
        self.meter.wrapper = ["busybox", "time", "-v", "-a", "-o", str(self.meter.times)]
        self.start()

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def run(self):
        while not self.ended.wait(0.01):
            self.peak = max(self.peak, self.meter.memory_now())


def remove(directory):
    """Removes a directory with everything that is mounted in it: buildah and dockerd leave mounts when they are stopped."""
    unmount(directory)
    shutil.rmtree(directory, ignore_errors=True)


def unmount(directory):
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in table]
    for point in sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def own_group(root):
    """The group this process is in, in one hierarchy."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" if root == V2 else root.name in controllers.split(","):
            group = root / path.lstrip("/")
            return group if (group / "cgroup.procs").exists() else root
    return root


class Registry:
    """Debian's docker-registry on a free port, with bases in it."""

    def __init__(self, machine, directory):
        program = shutil.which("docker-registry")
        if not program:
            raise SystemExit("tests/peers/run: docker-registry is missing; run as root once to install it")
        remove(directory)
        directory.mkdir(parents=True)
        config, log = directory / "config.yml", directory / "log"
        config.write_text(
            "version: 0.1\nlog: {level: info, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n"
        )
        log.touch()
        machine.start("registry", [program, "serve", str(config)], log)
        address = wait_for(lambda: re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text()), "the registry", log)
        self.address = address[1]
        self.directory = directory
        self.bases = {}

    def base(self, mib):
        """The reference of a busybox base with this many MiB of other files in it."""
        if mib not in self.bases:
            self.bases[mib] = self.push(f"bench/base:{mib}", base_rootfs(self.directory / "rootfs", mib))
        return self.bases[mib]

    def push(self, name, rootfs):
        layout = self.directory / "layout"
        shutil.rmtree(layout, ignore_errors=True)
        (layout / "blobs/sha256").mkdir(parents=True)

        def blob(kind, data):
            digest = hashlib.sha256(data).hexdigest()
            (layout / "blobs/sha256" / digest).write_bytes(data)
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

        layer = blob("layer.v1.tar", rootfs.read_bytes())
        architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            # buildah wants an entry for each layer.
            "history": [{"created": "1980-01-01T00:00:01Z", "created_by": "bench"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("config.v1+json", json.dumps(config).encode()),
            "layers": [layer],
        }
        index = {"schemaVersion": 2, "manifests": [blob("manifest.v1+json", json.dumps(manifest).encode())]}
        (layout / "index.json").write_text(json.dumps(index))
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        reference = f"{self.address}/{name}"
        # docker 20.10 wants its own manifest type from a registry.
        copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--format", "v2s2", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci:{layout}", f"docker://{reference}"], check=True)
        shutil.rmtree(layout)
        return reference


def base_rootfs(tree, mib):
    """A tar of a root file system with busybox and `mib` MiB of files that do not compress."""
    import random

    shutil.rmtree(tree, ignore_errors=True)
    for directory in ("bin", "etc", "tmp", "usr/share/data"):
        (tree / directory).mkdir(parents=True)
    busybox = next(path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path))
    shutil.copy(busybox, tree / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if applet != "busybox":
            os.symlink("busybox", tree / "bin" / applet)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    random = random.Random(mib)
    for index in range(mib):
        (tree / f"usr/share/data/{index:04}").write_bytes(random.randbytes(2**20))
    tar = tree.with_suffix(".tar")
    owner = ["--numeric-owner", "--owner=0", "--group=0", "--mtime=@315532801", "--sort=name"]
    subprocess.run(["tar", "--create", "--file", tar, "--directory", tree, *owner, "."], check=True)
    shutil.rmtree(tree)
    return tar


def wait_for(look, what, log):
    """Waits until `look` finds something; ends the benchmark after half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise SystemExit(f"tests/peers/run: {what} does not start:\n{Path(log).read_text()[-2000:]}")

"""The contenders. Each builds all images of a project, and removes all it has stored."""

import concurrent.futures
import json
import os
import shutil
import subprocess

from machine import remove, wait_for


class Failed(Exception):
    """A contender did not do the work."""


def found(machine, registry, options):
    """The contenders of this machine, stager first."""
    arms = []
    wanted = lambda *names: not options.arms or set(names) & set(options.arms)
    if options.stager and wanted("stager"):
        arms.append(Stager(machine, registry, os.path.abspath(options.stager)))
    if shutil.which("buildah") and os.geteuid() == 0 and wanted("buildah"):
        arms.append(Buildah(machine, registry))
    # Debian's own client: a newer one in /usr/local/bin wants buildx.
    has_docker = shutil.which("dockerd") and os.path.exists("/usr/bin/docker") and os.geteuid() == 0
    if has_docker and wanted("docker", "docker-buildkit", "werf"):
        engine = Engine(machine, bridge=bool(options.werf))
        arms += [Docker(machine, registry, engine, "0"), Docker(machine, registry, engine, "1")]
        if options.werf:
            arms.append(Werf(machine, registry, engine, os.path.abspath(options.werf)))
    if options.buildkit and os.geteuid() == 0 and wanted("buildkit"):
        arms.append(BuildKit(machine, registry, os.path.abspath(options.buildkit)))
    return arms


class Arm:
    """What all contenders share: a directory, a control group, and loud failures."""

    name = ""
    group = ""

    def __init__(self, machine, registry):
        self.machine = machine
        self.registry = registry
        self.directory = machine.work / self.name
        remove(self.directory)
        self.directory.mkdir(parents=True)
        path = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {"PATH": path, "HOME": str(self.directory), "LANG": "C.UTF-8"}

    def call(self, command, cwd="/", wrapper=()):
        command = [str(part) for part in (*wrapper, *command)]
        done = subprocess.run(
            command, cwd=cwd, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=1800, check=False
        )
        if done.returncode != 0:
            output = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
            raise Failed(f"{self.name}: exit code {done.returncode} of {' '.join(command)}\n{output}")
        return done.stdout.decode(errors="replace")

    def each(self, images, work):
        """Peers build one image per command: as many at once as there are cores."""
        if len(images) == 1:
            work(images[0])
            return
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(work, images))

    def version(self):
        return self.call([self.program, "--version"]).strip().splitlines()[0]

    def check(self, project):
        """Fails unless the work was really done."""


class Stager(Arm):
    name = group = "stager"

    def __init__(self, machine, registry, program):
        super().__init__(machine, registry)
        self.program = program
        self.environment["STAGER_HOME"] = str(self.directory / "store")

    def build(self, project, repository, wrapper):
        output = ["--output", f"registry:{self.registry.address}/{repository}:1"] if repository else []
        self.call([self.program, "build", "--progress", "quiet", *output], project.path, wrapper)

    def check(self, project):
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        self.call([self.program, "build", "--progress", "quiet", "--report", report], project.path)
        if not report.exists():
            raise Failed(f"{self.name}: no report at {report}")
        images = {image["name"]: image["stages"] for image in json.loads(report.read_text())["images"]}
        for image in project.images:
            done = [stage for stage in images.get(image.name, []) if stage["kind"] == "build" and stage["status"] == "reused"]
            if len(done) != len(image.steps):
                raise Failed(f"{self.name}: {len(done)} of {len(image.steps)} steps of {image.name} are there after a build")

    def reset(self):
        remove(self.directory / "store")


class Buildah(Arm):
    name = group = "buildah"
    program = "buildah"

    def __init__(self, machine, registry):
        super().__init__(machine, registry)
        store = ["--root", self.directory / "root", "--runroot", self.directory / "run", "--storage-driver", "overlay"]
        self.buildah = ["buildah", *store]

    def build(self, project, repository, wrapper):
        # runc: Debian's crun refuses machines with both versions of control groups.
        isolation = ["--isolation", "oci", "--runtime", "runc", "--network", "host"]
        fixed = ["build", "--layers", "--quiet", "--tls-verify=false", *isolation]

        def one(image):
            context = project.path / image.source
            self.call([*self.buildah, *fixed, "--tag", f"localhost/{image.name}", context], wrapper=wrapper)

        self.each(project.images, one)
        if repository:
            image, to = f"localhost/{project.images[0].name}", f"docker://{self.registry.address}/{repository}:1"
            self.call([*self.buildah, "push", "--quiet", "--tls-verify=false", image, to], wrapper=wrapper)

    def reset(self):
        if (self.directory / "root").exists():
            self.call([*self.buildah, "rm", "--all"])
            self.call([*self.buildah, "rmi", "--all", "--force"])


class Engine:
    """A Docker Engine of our own; without a bridge and firewall rules, so that nothing of the machine changes."""

    def __init__(self, machine, bridge):
        directory = machine.work / "dockerd"
        remove(directory)
        directory.mkdir(parents=True)
        self.host = f"unix://{directory}/docker.sock"
        log = directory / "log"
        command = ["dockerd", "--data-root", directory / "data", "--exec-root", directory / "exec"]
        command += ["--pidfile", directory / "pid", "--host", self.host, "--iptables=false", "--ip-masq=false"]
        command += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", machine.path("docker", "steps")]
        command += [] if bridge else ["--bridge", "none"]
        machine.start("docker", [str(part) for part in command], log)
        wait_for(lambda: "API listen on" in log.read_text(), "dockerd", log)


class Docker(Arm):
    """Debian's docker 20.10, with the classic builder or with the BuildKit in its engine."""

    group = "docker"
    program = "/usr/bin/docker"

    def __init__(self, machine, registry, engine, buildkit):
        self.name = "docker-buildkit" if buildkit == "1" else "docker"
        super().__init__(machine, registry)
        self.environment.update(DOCKER_HOST=engine.host, DOCKER_BUILDKIT=buildkit)

    def build(self, project, repository, wrapper):
        def one(image):
            context = project.path / image.source
            self.call([self.program, "build", "--quiet", "--network", "host", "--tag", self.tag(image), context], wrapper=wrapper)

        self.each(project.images, one)
        if repository:
            to = f"{self.registry.address}/{repository}:1"
            self.call([self.program, "tag", self.tag(project.images[0]), to], wrapper=wrapper)
            self.call([self.program, "push", "--quiet", to], wrapper=wrapper)

    def tag(self, image):
        return f"{self.name}-{image.name}"

    def reset(self):
        if self.environment["DOCKER_BUILDKIT"] == "1":
            self.call([self.program, "builder", "prune", "--all", "--force"])
        images = self.call([self.program, "images", "--format", "{{.Repository}}:{{.Tag}}"]).split()
        own = [image for image in images if image.startswith(self.name + "-app") or f"/bench/{self.name}-1" in image]
        if own:
            self.call([self.program, "rmi", "--force", *own])
        if self.environment["DOCKER_BUILDKIT"] == "0":
            self.call([self.program, "image", "prune", "--force"])


class BuildKit(Arm):
    """A buildkitd of its own."""

    name = group = "buildkit"

    def __init__(self, machine, registry, directory):
        super().__init__(machine, registry)
        self.program = os.path.join(directory, "buildctl")
        address = f"unix://{self.directory}/buildkitd.sock"
        self.environment["BUILDKIT_HOST"] = address
        self.environment["PATH"] = directory + ":" + self.environment["PATH"]
        config, log = self.directory / "buildkitd.toml", self.directory / "log"
        config.write_text(f'[registry."{registry.address}"]\n  http = true\n')
        command = [os.path.join(directory, "buildkitd"), "--root", self.directory / "root", "--addr", address]
        command += ["--config", config, "--oci-worker-net", "host"]
        machine.start(self.group, [str(part) for part in command], log, env=self.environment)
        wait_for(lambda: "running server" in log.read_text(), "buildkitd", log)

    def build(self, project, repository, wrapper):
        def one(image):
            context = project.path / image.source
            command = [self.program, "build", "--progress", "plain", "--frontend", "dockerfile.v0"]
            command += ["--local", f"context={context}", "--local", f"dockerfile={context}"]
            to = f"{self.registry.address}/{repository}:1"
            command += ["--output", f"type=image,name={to},push=true"] if repository else []
            self.call(command, wrapper=wrapper)

        self.each(project.images, one)

    def reset(self):
        self.call([self.program, "prune", "--all"])


class Werf(Arm):
    """werf on the same Docker Engine."""

    name = "werf"
    group = "docker"

    def __init__(self, machine, registry, engine, program):
        super().__init__(machine, registry)
        self.program = program
        self.environment.update(DOCKER_HOST=engine.host, WERF_TELEMETRY="0", WERF_LOOSE_GITERMINISM="0")
        self.environment.update(WERF_INSECURE_REGISTRY="1", WERF_DISABLE_AUTO_HOST_CLEANUP="1")

    def version(self):
        return self.call([self.program, "version"]).strip()

    def build(self, project, repository, wrapper):
        to = ["--repo", f"{self.registry.address}/{repository}"] if repository else []
        self.call([self.program, "build", "--log-quiet", "--dir", project.path, *to], project.path, wrapper)

    def reset(self):
        self.call([self.program, "host", "purge", "--force"])

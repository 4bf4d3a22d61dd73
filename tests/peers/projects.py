"""The work: git repositories with a `stager.yaml`, equivalent Dockerfiles, and an equivalent `werf.yaml`."""

import random
import shutil
import subprocess
import time


class Sizes:
    """How large the work is."""

    def __init__(self):
        self.files = 2000
        self.base_mib = 160
        self.images = 100
        self.many = 100_000
        self.steps = 20
        self.sources_mib = 1024

    @classmethod
    def quick(cls):
        sizes = cls()
        sizes.files, sizes.base_mib, sizes.images = 200, 8, 6
        sizes.many, sizes.steps, sizes.sources_mib = 3000, 5, 32
        return sizes


class Image:
    """One image: `FROM base`, the directory `source` at `/app`, and then these steps."""

    def __init__(self, name, source, steps):
        self.name = name
        self.source = source
        self.steps = steps


class Project:
    """A repository on disk. Kept between benchmarks of the same sizes."""

    def __init__(self, root, key, base, images, changed, write):
        self.path = root / key
        self.images = images
        self.changed = changed  # the files that `change` writes to
        if not (self.path / ".git/ready").exists():
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True)
            write(self.path)
            self.git("init", "--quiet", "--initial-branch=main")
            self.commit("sources")
            self.git("repack", "-a", "-d", "--quiet")
            (self.path / ".git/ready").touch()
        self.write_configs(base)

    def git(self, *arguments):
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"]
        subprocess.run(["git", *identity, *arguments], cwd=self.path, check=True)

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def change(self):
        """Makes and commits the row's change: a new line in each of the changed files."""
        for name in self.changed:
            with open(self.path / name, "a") as file:
                file.write(f"changed at {time.time_ns()}\n")
        self.commit("change")

    def write_configs(self, base):
        """The same images for everybody. The base's address differs from run to run."""
        documents = ["stager: 1\nproject: bench\n"]
        werf = ["project: bench\nconfigVersion: 1\n"]
        for image in self.images:
            steps = "".join(f"    - {{name: step-{n}, command: '{step}'}}\n" for n, step in enumerate(image.steps))
            git = f"git:\n  - {{add: /{image.source}, to: /app}}\n"
            documents.append(f"image: {image.name}\nfrom: {base}\n{git}build:\n  steps:\n{steps}")
            setup = "".join(f"    - '{step}'\n" for step in image.steps)
            depends = f"git:\n  - add: /{image.source}\n    to: /app\n    stageDependencies:\n      setup: ['**/*']\n"
            werf.append(f"image: {image.name}\nfrom: {base}\n{depends}shell:\n  setup:\n{setup}")
            runs = "".join(f"RUN {step}\n" for step in image.steps)
            (self.path / image.source / "Dockerfile").write_text(f"FROM {base}\nCOPY . /app\n{runs}")
        (self.path / "stager.yaml").write_text("---\n".join(documents))
        (self.path / "werf.yaml").write_text("---\n".join(werf))
        self.commit("configs")


def one_image(root, sizes, registry):
    step = "find /app -type f | sort | xargs cat | md5sum > /sum"
    changed = ["app/d0/f0.txt"]
    write = lambda path: small_files(path / "app", sizes.files, 4096)
    image = Image("app", "app", [step])
    return Project(root, f"one-{sizes.files}", registry.base(sizes.base_mib), [image], changed, write)


def many_images(root, sizes, registry):
    names = [f"app-{n}" for n in range(sizes.images)]
    images = [Image(name, name, ["cat /app/f0.txt > /out"]) for name in names]
    changed = [f"{name}/f0.txt" for name in names]

    def write(path):
        for name in names:
            (path / name).mkdir()
            for n in range(4):
                (path / name / f"f{n}.txt").write_text(f"{name} {n}\n")

    return Project(root, f"images-{sizes.images}", registry.base(0), images, changed, write)


def many_files(root, sizes, registry):
    write = lambda path: small_files(path / "app", sizes.many, 1024)
    image = Image("app", "app", ["cat /app/d0/f0.txt > /out"])
    return Project(root, f"many-{sizes.many}", registry.base(0), [image], ["app/d0/f0.txt"], write)


def steps(root, sizes, registry):
    image = Image("app", "app", ["true"] * sizes.steps)
    write = lambda path: small_files(path / "app", 1, 16)
    return Project(root, f"steps-{sizes.steps}", registry.base(0), [image], ["app/d0/f0.txt"], write)


def sources(root, sizes, registry):
    write = lambda path: text_files(path / "app", sizes.sources_mib)
    image = Image("app", "app", ["cat /app/d0/f0.txt > /out"])
    return Project(root, f"sources-{sizes.sources_mib}", registry.base(0), [image], [], write)


def small_files(root, count, largest):
    """`count` files of words, of up to `largest` bytes, a hundred to a directory."""
    source = random.Random(count)
    text = words(source, 1 << 16)
    for index in range(count):
        directory = root / f"d{index // 100}"
        directory.mkdir(parents=True, exist_ok=True)
        start, size = source.randrange(len(text) - largest), source.randrange(largest // 2, largest)
        (directory / f"f{index % 100}.txt").write_text(f"{index}\n{text[start : start + size]}\n")


def text_files(root, mib):
    """`mib` MiB of files of 256 KiB, each one different; they compress about as source code does."""
    source = random.Random(mib)
    chunks = [words(source, 1 << 14) for _ in range(512)]
    for index in range(mib * 4):
        directory = root / f"d{index // 100}"
        directory.mkdir(parents=True, exist_ok=True)
        text = "".join(source.choice(chunks) for _ in range(16))
        (directory / f"f{index % 100}.txt").write_text(text)


def words(source, size):
    vocabulary = ["".join(source.choices("etaoinshrdlucmfw_.(){};=", k=source.randrange(2, 11))) for _ in range(4000)]
    text = ""
    while len(text) < size:
        text += " ".join(source.choices(vocabulary, k=200)) + "\n"
    return text[:size]

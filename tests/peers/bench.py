"""Runs stager and its peers on the same work, in turn, and prints what each needed. Python's standard library only.

Everybody gets the same base from the same registry on loopback, the same files from one git repository, the same steps. A row
is one kind of work (`ROWS`), an arm is one contender (`arms.py`). For each run the change is made and committed once, outside of
the timed part, and then each arm does it: A-B-C, A-B-C, ... Times are of quiet runs; memory comes from one more run with a
sampler.
"""

import argparse
import csv
import os
import platform
import signal
import statistics
import sys
import time
from pathlib import Path

import arms
import projects
from machine import Machine, Registry


class Row:
    """One kind of work."""

    def __init__(self, key, title, project, cold=False, change=False, push=False, per=None):
        self.key = key
        self.title = title
        self.project = project  # a function of Sizes, in projects.py
        self.cold = cold  # everything an arm has stored is removed before each run
        self.change = change  # the project's change is made before each run
        self.push = push  # the image is pushed to the registry as a part of the work
        self.per = per  # divides the time: a function of Sizes


ROWS = [
    Row("noop", "nothing changed, 1 image, {files} files, {base_mib} MiB base", projects.one_image),
    Row("one-change", "one file of {files} changed, a step re-runs", projects.one_image, change=True),
    Row("noop-images", "nothing changed, {images} images", projects.many_images),
    Row("cold-images", "{images} small images, all changed", projects.many_images, change=True),
    Row("many-cold", "{many} files: cold", projects.many_files, cold=True),
    Row("many-noop", "{many} files: nothing changed", projects.many_files),
    Row("many-one", "{many} files: one changed", projects.many_files, change=True),
    Row("steps", "{steps} steps of `true`, per step", projects.steps, change=True, per=lambda sizes: sizes.steps),
    Row("sources", "{sources_mib} MiB of sources, built and pushed", projects.sources, cold=True, push=True),
]


def main():
    options = parse()
    sizes = projects.Sizes.quick() if options.quick else projects.Sizes()
    rows = [row for row in ROWS if not options.rows or row.key in options.rows]
    options.work.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine = Machine(options.work)
    try:
        registry = Registry(machine, options.work / "registry")
        contenders = [arm for arm in arms.found(machine, registry, options) if not options.arms or arm.name in options.arms]
        print("arms: " + ", ".join(f"{arm.name} ({arm.version()})" for arm in contenders), file=sys.stderr)
        with open(options.csv, "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["row", "arm", "run", "wall_s", "cpu_s", "peak_mib", "load1"])
            results = [(row, measure(row, sizes, contenders, machine, registry, options, out)) for row in rows]
        report(results, sizes, contenders, options)
    finally:
        machine.stop()


def parse():
    parser = argparse.ArgumentParser(prog="tests/peers/run", description="stager beside its peers")
    known = [row.key for row in ROWS]
    split = lambda text: text.split(",")
    parser.add_argument("--rows", type=split, help="of: " + ", ".join(known))
    parser.add_argument("--arms", type=split, help="of: stager, buildah, docker, docker-buildkit, buildkit, werf")
    parser.add_argument("--runs", type=int, help="timed runs of each row and arm (7; 3 where a run takes long)")
    parser.add_argument("--quick", action="store_true", help="small sizes, 2 runs")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "peers")
    parser.add_argument("--csv", type=Path, help="raw figures (default: raw.csv in the work directory)")
    parser.add_argument("--stager", type=Path, default=os.environ.get("STAGER"))
    parser.add_argument("--buildkit", type=Path, default=os.environ.get("BUILDKIT"), help="directory of buildctl, buildkitd")
    parser.add_argument("--werf", type=Path, default=os.environ.get("WERF"))
    options = parser.parse_args()
    unknown = set(options.rows or []) - set(known)
    if unknown:
        parser.error(f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    options.work = options.work.resolve()
    options.csv = options.csv or options.work / "raw.csv"
    return options


def measure(row, sizes, contenders, machine, registry, options, out):
    """The figures of every arm for one row: arm -> list of (wall, cpu), and its peak memory."""
    title = row.title.format(**vars(sizes))
    print(f"{row.key}: {title}", file=sys.stderr)
    project = row.project(options.work / "projects", sizes, registry)
    samples = {arm.name: [] for arm in contenders}
    peaks = {}
    for arm in contenders:
        # Warm-up: what the measured runs may reuse, and whatever a first run costs.
        run(arm, row, project, machine, "warm-up")
        arm.check(project)
    runs = options.runs or (2 if options.quick else 7)
    index = 0
    while index < runs:
        if row.change:
            project.change()
        for arm in contenders:
            load = os.getloadavg()[0]
            figures = run(arm, row, project, machine, index)[:2]
            samples[arm.name].append(figures)
            out.writerow([row.key, arm.name, index, f"{figures[0]:.4f}", f"{figures[1]:.3f}", "", f"{load:.2f}"])
        index += 1
        slowest = max(wall for figures in samples.values() for wall, _ in figures)
        if not options.runs and slowest > 20:
            runs = min(runs, 3)
    if row.change:
        project.change()
    for arm in contenders:
        peaks[arm.name] = run(arm, row, project, machine, "memory", sample_memory=True)[2]
        out.writerow([row.key, arm.name, "memory", "", "", f"{peaks[arm.name]:.1f}", f"{os.getloadavg()[0]:.2f}"])
    for arm in contenders:
        arm.reset()
    return {arm.name: (samples[arm.name], peaks[arm.name]) for arm in contenders}


def run(arm, row, project, machine, index, sample_memory=False):
    """Does the work once: seconds, CPU seconds, and MiB if asked for."""
    if row.cold:
        arm.reset()
    os.sync()
    repository = f"bench/{arm.name}-{time.time_ns()}" if row.push else None
    with machine.metered(arm.group, sample_memory) as meter:
        start = time.perf_counter()
        arm.build(project, repository, meter.wrapper)
        wall = time.perf_counter() - start
    print(f"  {arm.name:16} {index!s:8} {wall:8.3f} s  cpu {meter.cpu:7.3f} s", file=sys.stderr)
    return wall, meter.cpu, meter.peak


def report(results, sizes, contenders, options):
    """The Markdown table."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"\n{os.cpu_count()} cores, Linux {platform.release()}, {time.strftime('%Y-%m-%d %H:%M')}, load at the end {load}.")
    print("Median of the runs; `x` is the time as a multiple of stager's; CPU is of the whole process tree with daemons.\n")
    print("| work | arm | median | min – max | x | CPU s | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row, figures in results:
        per = row.per(sizes) if row.per else 1
        title = row.title.format(**vars(sizes))
        ours = statistics.median(wall for wall, _ in figures["stager"][0]) if "stager" in figures else None
        for arm in contenders:
            samples, peak = figures[arm.name]
            walls = sorted(wall for wall, _ in samples)
            median = statistics.median(walls)
            ratio = f"{median / ours:.1f}" if ours else ""
            spread = f"{seconds(walls[0] / per)} – {seconds(walls[-1] / per)}"
            cpu = statistics.median(cpu for _, cpu in samples) / per
            print(f"| {title} | {arm.name} | {seconds(median / per)} | {spread} | {ratio} | {cpu:.3f} | {peak:.0f} |")
            title = ""
    print(f"\nRaw figures: {options.csv}")


def seconds(value):
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except arms.Failed as failure:
        sys.exit(f"tests/peers/run: {failure}")

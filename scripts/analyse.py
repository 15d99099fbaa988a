#!/usr/bin/env python3
"""analyse.py - the checks that read every source with a compiler front end: clang-tidy, lone headers.

    analyse.py clang-tidy --build build/release [FILES...]
    analyse.py headers    --build build/release [FILES...]
    analyse.py paths      --build build/release [FILES...]

`clang-tidy` runs clang-tidy (.clang-tidy) on each source of the compile database that stands in the
tree; `headers` compiles each header alone that no source includes before everything else (the build has
done it for the others), so that none depends on what its users included before;
`paths` lets clang's static analyzer follow the paths through each source, which takes too long for
scripts/test. All take seconds per file, so a file that was found clean is not read again until it, a header of the
tree that it includes, its compile command, the configuration or the tool changes: a clean result leaves
an empty file named by the hash of all that in build/analyse-cache.

Most of what clang-tidy reads is system headers, so it gets several sources of one folder at once, included
one after the other in one translation unit. From a batch that is not clean the sources that are complained
about are taken out (two sources may use one name in their unnamed namespaces) and read as a batch of their
own, down to single sources, and only what these show counts. Exit status: 0 clean, 1 findings.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("core", "shm", "verbs", "ucx", "spawn", "mpi_api", "bench", "tools")
CACHE = ROOT / "build" / "analyse-cache"
CACHE_DAYS_MAX = 30
BATCH_MAX = 24
TREE_FILTER = f"(include-roots/[a-z_]+|{re.escape(str(ROOT))})/({'|'.join(FOLDERS)})/"
PATH_CHECKS = ("-*,clang-analyzer-core.*,-clang-analyzer-core.NonNullParamChecker,clang-analyzer-cplusplus.*,"
               "clang-analyzer-deadcode.*,clang-analyzer-unix.*")
# What GCC's options and attributes mean to clang is no finding.
TIDY_EXTRA = ("--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-error")
FIRST_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|<)', re.MULTILINE)
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)


class Closure:
    """The hash of a file and of every file of the tree that it includes, directly or not."""

    def __init__(self):
        self._contents = {}

    def _read(self, path):
        if path not in self._contents:
            data = path.read_bytes()
            self._contents[path] = (data, [name.decode() for name in INCLUDE.findall(data)])
        return self._contents[path]

    def hash(self, path, include_dirs):
        seen, waiting, digest = {path}, [path], hashlib.sha256()
        while waiting:
            current = waiting.pop()
            data, names = self._read(current)
            digest.update(hashlib.sha256(data).digest())
            for name in names:
                for directory in [current.parent, *include_dirs]:
                    candidate = directory / name
                    if candidate.is_file():
                        real = candidate.resolve()
                        if real not in seen:
                            seen.add(real)
                            waiting.append(real)
                        break
        return digest.hexdigest()


def load_commands(build):
    """{source of the tree: its compile arguments without launcher, -c, -o and dependency options}.

    A source that a test compiles, too, counts as its own folder compiles it.
    """
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["directory"], entry["file"]).resolve()
        own_folder = source.is_relative_to(ROOT) and entry.get("output", "").startswith(
            source.relative_to(ROOT).parts[0] + "/")
        if source in commands and not own_folder:
            continue
        arguments = shlex.split(entry["command"])
        kept, skip = [], False
        for argument in arguments[1:]:
            if skip:
                skip = False
            elif argument in ("-o", "-MF", "-MT", "-MQ"):
                skip = True
            elif argument not in ("-c", "-MD", "-MMD") and argument != entry["file"]:
                kept.append(argument)
        while kept and not kept[0].startswith("-"):  # ccache, and the compiler behind it.
            kept = kept[1:]
        commands[source] = kept
    return commands


def include_dirs(arguments):
    return [pathlib.Path(a[2:]) for a in arguments if a.startswith("-I") and len(a) > 2]


def tool_version(tool):
    return subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout


class Job:
    """One file to look at: its name, the command that looks, and the key of a clean result.

    Jobs that may be looked at together have the same `group`.
    """

    def __init__(self, name, command, key, group=None):
        self.name = name
        self.command = command
        self.group = group
        self.stamp = CACHE / hashlib.sha256(key.encode()).hexdigest()

    def run(self):
        """None when clean, else the findings."""
        begin = time.monotonic()
        done = subprocess.run(self.command, capture_output=True, text=True, cwd=ROOT)
        self.seconds = time.monotonic() - begin
        if done.returncode == 0:
            self.stamp.touch()
            return None
        return done.stdout + done.stderr


class Batch:
    """Several jobs of one group, looked at together if that is possible."""

    def __init__(self, jobs):
        self.jobs = jobs

    def run(self):
        """[(job, findings or None)] of all its jobs."""
        if len(self.jobs) == 1:
            return [(self.jobs[0], self.jobs[0].run())]
        complaints = self._complaints()
        if not complaints:
            for job in self.jobs:
                job.stamp.touch()
            return [(job, None) for job in self.jobs]
        named = [job for job in self.jobs
                 if re.search(rf"^{re.escape(str(ROOT / job.name))}:\d+:\d+: error:", complaints,
                              re.MULTILINE)]
        if not named or len(named) == len(self.jobs):
            named = self.jobs[: len(self.jobs) // 2]
        others = [job for job in self.jobs if job not in named]
        return Batch(named).run() + Batch(others).run()

    def _complaints(self):
        with tempfile.NamedTemporaryFile("w", suffix=".cc", dir=CACHE) as unit:
            unit.writelines(f'#include "{ROOT / job.name}"\n' for job in self.jobs)
            unit.flush()
            command = ["clang-tidy", "--quiet", "--checks=-bugprone-suspicious-include",
                       f"--header-filter={TREE_FILTER}", *TIDY_EXTRA, unit.name, "--",
                       *self.jobs[0].group]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            return done.stdout + done.stderr if done.returncode != 0 else ""


def batches(jobs, workers):
    """The jobs in batches of one group each, and not so few that workers would be idle."""
    groups = {}
    for job in jobs:
        groups.setdefault((job.group, job.name.parent) if job.group else job.name, []).append(job)
    size_max = max(1, min(BATCH_MAX, len(jobs) // (2 * workers)))
    for members in groups.values():
        count = -(-len(members) // size_max)
        for index in range(count):
            yield Batch(members[index::count])


def in_tree(path):
    try:
        return path.relative_to(ROOT).parts[0] in FOLDERS
    except ValueError:
        return False


def clang_tidy_jobs(build, commands, closure, checks=None):
    """Jobs for the checks of .clang-tidy or, one by one, for the `checks` given.

    The analyzer looks at the main file of a translation unit only, so it has no use for batches.
    """
    version = tool_version("clang-tidy")
    configuration = "\n".join(path.read_text() for path in sorted(ROOT.glob("**/.clang-tidy"))
                              if "build" not in path.parts)
    # Backwards, since the folders that include the largest libraries come last: the longest jobs first.
    for source, arguments in sorted(commands.items(), reverse=True):
        if in_tree(source):
            command = ["clang-tidy", "--quiet", f"-p={build}", *TIDY_EXTRA, str(source)]
            if checks:
                command.insert(1, f"--checks={checks}")
            key = "\n".join([version, configuration, *command, *arguments,
                             closure.hash(source, include_dirs(arguments))])
            group = tuple(arguments) if source.suffix == ".cc" and not checks else None
            yield Job(source.relative_to(ROOT), command, key, group)


def path_jobs(build, commands, closure):
    return clang_tidy_jobs(build, commands, closure, PATH_CHECKS)


def header_jobs(build, commands, closure):
    compiler = os.environ.get("CXX", "g++")
    version = tool_version(compiler)
    by_folder, built_alone = {}, set()
    for source, arguments in sorted(commands.items()):
        if in_tree(source) and source.suffix == ".cc":
            by_folder.setdefault(source.parent, arguments)
            first = FIRST_INCLUDE.search(source.read_bytes())
            if first and first[1]:
                built_alone.add(ROOT / first[1].decode())
    for folder in FOLDERS:
        for header in sorted((ROOT / folder).rglob("*.h")):
            parents = [p for p in header.parents if p in by_folder]
            if not parents or header in built_alone:
                continue
            # -w for the one warning that compiling a header as the main file always gives.
            arguments = [a for a in by_folder[parents[0]] if not a.startswith("-O")]
            command = [compiler, "-fsyntax-only", "-x", "c++", *arguments, "-include", str(header),
                       "/dev/null"]
            key = "\n".join([version, *command, closure.hash(header, include_dirs(arguments))])
            yield Job(header.relative_to(ROOT), command, key)


CHECKS = {"clang-tidy": clang_tidy_jobs, "headers": header_jobs, "paths": path_jobs}


def forget_old_results():
    oldest = time.time() - CACHE_DAYS_MAX * 86400
    for stamp in CACHE.iterdir():
        if stamp.stat().st_mtime < oldest:
            stamp.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--build", required=True, type=pathlib.Path,
                        help="a configured build directory (for compile_commands.json)")
    parser.add_argument("-j", "--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="only these (default: all)")
    options = parser.parse_intermixed_args()

    CACHE.mkdir(parents=True, exist_ok=True)
    forget_old_results()
    build = options.build.resolve()
    commands = load_commands(build)
    make_jobs = CHECKS[options.check]
    wanted = {path.resolve().relative_to(ROOT) for path in options.files}
    jobs = [job for job in make_jobs(build, commands, Closure())
            if not wanted or job.name in wanted]
    if not jobs:
        sys.exit(f"analyse.py: nothing to check in {build}")

    todo = []
    for job in jobs:
        if job.stamp.exists():
            job.stamp.touch()  # Still in use: not old.
        else:
            todo.append(job)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for results in pool.map(Batch.run, batches(todo, options.jobs)):
            for job, findings in results:
                if findings is not None:
                    failed += 1
                    print(f"--- {job.name} ({job.seconds:.1f} s)\n{findings}", flush=True)
    print(f"{options.check}: {len(jobs)} files, {len(todo)} read, {failed} with findings")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

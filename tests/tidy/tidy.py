#!/usr/bin/env python3
"""tidy.py - applies the rules of rules.py to every file of the tree and prints what breaks them.

Looks at the files that git knows or would add; without git (an unpacked archive) at all but build/.
Exit status: 0 when nothing was found.
"""

import os
import pathlib
import subprocess
import sys

import rules

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent


def tree_files():
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        names = sorted(set(filter(None, os.fsdecode(listed.stdout).split("\0"))))
    else:
        names = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*")
                       if path.relative_to(ROOT).parts[0] not in ("build", ".git"))
    return [name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def is_image(name):
    return name.endswith((".png", ".ico", ".pdf"))


def main():
    layers = rules.Layers.parse((ROOT / "cmake" / "layers.txt").read_text())
    sources = []
    for name in tree_files():
        if not is_image(name):
            text = (ROOT / name).read_bytes().decode()  # Everything is UTF-8; a failure is a finding.
            sources.append(rules.Source(name, text, layers, lambda path: (ROOT / path).exists()))
    if len(sources) < 20:
        sys.exit(f"tidy.py: found only {len(sources)} files below {ROOT}; is this the tree?")
    exceptions = rules.read_exceptions((HERE / "exceptions.txt").read_text())
    findings = rules.apply(sources, exceptions)
    for path, line, rule, sentence in sorted(findings):
        print(f"{path}:{line}: {sentence} [{rule}]")
    print(f"{len(sources)} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()

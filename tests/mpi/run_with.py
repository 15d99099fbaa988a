#!/usr/bin/env python3
"""Builds and runs the MPI test programs of this folder with any installed MPI, without CMake.

The list of programs and process counts is read from CMakeLists.txt, so there is one list. The use of
running the tests on another MPI is to test the tests; with a staged Tern it is a quick loop.

  ./run_with.py --mpi mpich                      everything, on Debian's MPICH
  ./run_with.py --mpi openmpi --only p2p --np 2
  ./run_with.py --mpi tern --prefix ../../build/stage --seed 42 --repeat 5

Exit code 0 only when everything was built and passed (skipped programs are listed).
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SKIP = 77


def registered_tests():
    """[(name, source, [np...], [arguments...])] from the tern_mpi_test() calls in CMakeLists.txt."""
    text = re.sub(r"#.*", "", (HERE / "CMakeLists.txt").read_text())
    tests = []
    for call in re.findall(r"tern_mpi_test\(([^)]*)\)", text):
        fields, key = {}, None
        for word in call.split():
            if word in ("NAME", "SOURCE", "NP", "ARGS", "TIMEOUT", "LABELS"):
                key = word
                fields[key] = []
            else:
                fields[key].append(word)
        tests.append((fields["NAME"][0], fields["SOURCE"][0], [int(n) for n in fields["NP"]],
                      fields.get("ARGS", [])))
    return tests


def commands(options):
    """(compiler, launcher command without the process count) for the chosen MPI."""
    if options.mpi == "tern":
        binaries = pathlib.Path(options.prefix).resolve() / "bin"
        return str(binaries / "mpicxx"), [str(binaries / "mpiexec")]
    launcher = [f"mpiexec.{options.mpi}"]
    if options.mpi == "openmpi":
        launcher += ["--oversubscribe", "--allow-run-as-root", "--mca", "btl", "self,vader"]
    return f"mpicxx.{options.mpi}", launcher


def build(compiler, source, directory, flags):
    program = directory / pathlib.Path(source).stem
    newest = max(path.stat().st_mtime for path in [HERE / source, *HERE.glob("*.h")])
    if program.exists() and program.stat().st_mtime > newest:
        return program, ""
    command = [compiler, "-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-Werror",
               "-Wno-cast-function-type", "-Wno-deprecated-declarations", "-pthread", *flags,
               f"-I{HERE}", str(HERE / source), "-o", str(program)]
    if shutil.which("ccache") and not flags:
        os.environ.setdefault("CCACHE_DISABLE", "1")  # One command compiles and links: no gain.
    result = subprocess.run(command, capture_output=True, text=True)
    return (program if result.returncode == 0 else None), result.stderr


def run(launcher, program, np, arguments, timeout):
    start = time.monotonic()
    try:
        result = subprocess.run([*launcher, "-n", str(np), str(program), *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="replace", stdin=subprocess.DEVNULL, timeout=timeout + 10)
        code, output = result.returncode, result.stdout
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or ""
        code, output = 124, output if isinstance(output, str) else output.decode(errors="replace")
    return code, output, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mpi", choices=["mpich", "openmpi", "tern"], default="mpich")
    parser.add_argument("--prefix", help="where Tern is installed (with --mpi tern)")
    parser.add_argument("--only", default="", help="only tests whose name matches this pattern")
    parser.add_argument("--np", help="process counts instead of the registered ones, e.g. 1,2,5")
    parser.add_argument("--seed", help="TEST_SEED for the programs")
    parser.add_argument("--repeat", type=int, default=1, help="times to run each")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one run")
    parser.add_argument("--lines", type=int, default=12, help="output lines shown of a failed run")
    parser.add_argument("--build", help="folder for the binaries (default ../../build/run_with/MPI)")
    parser.add_argument("--flag", action="append", default=[], help="another compiler flag")
    options = parser.parse_args()
    if options.mpi == "tern" and not options.prefix:
        parser.error("--mpi tern needs --prefix")

    if options.seed:
        os.environ["TEST_SEED"] = options.seed
    os.environ.setdefault("TEST_TIMEOUT", str(int(options.timeout)))
    directory = pathlib.Path(options.build or HERE.parent.parent / "build/run_with" / options.mpi)
    directory.mkdir(parents=True, exist_ok=True)
    compiler, launcher = commands(options)
    failed, skipped, passed = [], [], 0
    for name, source, sizes, arguments in registered_tests():
        if not re.search(options.only, name):
            continue
        program, messages = build(compiler, source, directory, options.flag)
        if program is None:
            print(f"BUILD  {name}\n{messages}", flush=True)
            failed.append(f"{name} (build)")
            continue
        for np in [int(n) for n in options.np.split(",")] if options.np else sizes:
            for _ in range(options.repeat):
                code, output, seconds = run(launcher, program, np, arguments, options.timeout)
                verdict = {0: "ok", SKIP: "skip"}.get(code, f"FAIL({code})")
                print(f"{verdict:9} {name:24} np {np}  {seconds:6.2f} s", flush=True)
                if code == 0:
                    passed += 1
                elif code == SKIP:
                    skipped.append(f"{name} np {np}")
                else:
                    failed.append(f"{name} np {np}")
                    lines = output.splitlines()
                    print("\n".join(lines[:options.lines]), flush=True)
    print(f"{passed} passed, {len(skipped)} skipped, {len(failed)} failed")
    for line in failed:
        print(f"  failed: {line}")
    return 1 if failed or not passed + len(skipped) else 0


if __name__ == "__main__":
    sys.exit(main())

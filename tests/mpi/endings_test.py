#!/usr/bin/env python3
"""How jobs end: exit codes and what is said, for every way the program endings.cc can end.

  endings_test.py --mpiexec MPIEXEC --program ENDINGS [--other-mpi]

With --other-mpi only what holds for any MPI is checked (that is how this test was itself tested).
Every case runs at 1 and 3 ranks; nothing depends on time except that a job must end at all.
"""

import argparse
import subprocess
import sys

LIMIT_S = 60  # For one job, on a busy machine and under a sanitizer.

# (arguments, exit code or None for any failure, texts of which all must appear in Tern's stderr); words before `--`
# are for mpiexec, and known to Tern's alone
CASES = [
    (["normal"], 0, []),
    (["inquire-before-init"], 0, []),
    (["exit", "0"], 0, []),
    (["exit", "3"], 3, []),
    (["exit", "255"], 255, []),
    (["abort", "7"], 7, ["MPI_Abort", "7"]),
    (["abort", "1"], 1, ["MPI_Abort"]),
    (["fatal-error"], None, ["MPI_Send", "rank"]),
    (["errors-abort"], None, ["MPI_Send"]),
    (["--initial-errhandler", "mpi_errors_return", "--", "errors-return"], 0, []),
    (["--initial-errhandler", "mpi_errors_abort", "--", "errors-return"], None, ["MPI_Send", "MPI_Init"]),
    (["send-before-init"], None, ["MPI_Send", "MPI_Init"]),
    (["send-after-finalize"], None, ["MPI_Send", "MPI_Finalize"]),
    (["init-twice"], None, ["MPI_Init"]),
    (["leave-without-finalize", "5"], 5, ["rank 0"]),
    (["killed"], 137, ["signal 9"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mpiexec", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--other-mpi", action="store_true")
    options = parser.parse_args()
    failures = checks = 0
    for words, expected, texts in CASES:
        split = words.index("--") if "--" in words else 0
        extra, arguments = words[:split], words[split + 1 if split else 0:]
        if extra and options.other_mpi:
            continue
        for np in (1, 3):
            what = f"{' '.join(words)} on {np} rank{'s' if np > 1 else ''}"
            problems = []
            try:
                job = subprocess.run([options.mpiexec, *extra, "-n", str(np), options.program, *arguments],
                                     capture_output=True, text=True, errors="replace",
                                     stdin=subprocess.DEVNULL, timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                print(f"FAILED {what}: still running after {LIMIT_S} s")
                failures += 1
                continue
            checks += 1
            code = job.returncode
            if expected is None and code == 0:
                problems.append("exit code 0, expected a failure")
            # Other launchers mix in the codes of the ranks that they end themselves.
            mixed = options.other_mpi and arguments[0] in ("killed", "leave-without-finalize")
            if expected is not None and code != expected and not (mixed and code != 0):
                problems.append(f"exit code {code}, expected {expected}")
            if not options.other_mpi:
                problems += [f"stderr does not say '{text}'" for text in texts if text not in job.stderr]
                if expected == 0 and job.stderr:
                    problems.append("says something on stderr")
            for problem in problems:
                print(f"FAILED {what}: {problem}\n    stderr: {job.stderr.strip()[:600]}")
            failures += len(problems)
    print(f"{checks} jobs, {failures} failures")
    return 1 if failures or not checks else 0


if __name__ == "__main__":
    sys.exit(main())

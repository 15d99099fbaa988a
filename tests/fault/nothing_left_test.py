#!/usr/bin/env python3
"""Nothing is left behind when a job is killed: no process, no memfd, no file, no socket.

  nothing_left_test.py --mpiexec MPIEXEC --program ENDINGS

The job's ranks talk to all others (so that there are connections), print their pids and wait for
ever, or run collectives for ever. Then one rank, several ranks or mpiexec itself get a signal, and the system is searched: for
processes that carry this job's mark in their environment (and with them any memfd they hold), and
for new names in /dev/shm, in the temporary folder and among unix sockets.
"""

import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid

LIMIT_S = 60
RANKS = 4


def processes_with(mark):
    """Live processes whose environment holds the mark: [(pid, command)]. Zombies do not count."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state not in "ZX":
                    found.append((int(entry.name), (entry / "comm").read_text().strip()))
        except OSError:
            pass  # Ended while we looked, or not ours.
    return found


def memfds_of(pids):
    """Names of Tern's memfd objects that these processes hold open or mapped."""
    names = []
    for pid in pids:
        try:
            names += [line.split()[-2] for line in open(f"/proc/{pid}/maps") if "memfd:tern" in line]
        except OSError:
            pass
    return names


def names_in_the_system():
    """Everything that could stay behind by name."""
    names = {f"/dev/shm/{name}" for name in os.listdir("/dev/shm")}
    folder = tempfile.gettempdir()
    names |= {f"{folder}/{name}" for name in os.listdir(folder) if "tern" in name.lower()}
    for line in open("/proc/net/unix"):
        fields = line.split()
        if len(fields) == 8 and "tern" in fields[7].lower():
            names.add("socket " + fields[7])
    return names


def start(options, mark, doing):
    """The running job and the pids of its ranks."""
    job = subprocess.Popen([options.mpiexec, "-n", str(RANKS), options.program, doing],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           stdin=subprocess.DEVNULL, env={**os.environ, "TERN_TEST_MARK": mark},
                           start_new_session=True)
    pids = []
    while len(pids) < RANKS:
        line = job.stdout.readline()
        if not line:
            raise RuntimeError("the job ended by itself: " + job.stderr.read())
        pids.append(int(line.split()[1]))
    return job, pids


# name -> (what to do to the job, texts mpiexec must say if it lives to say anything)
def kill_one(job, pids):
    os.kill(random.choice(pids), signal.SIGKILL)


def kill_one_in_collectives(job, pids):
    time.sleep(random.random() / 2)
    os.kill(random.choice(pids), signal.SIGKILL)


def kill_all_but_one(job, pids):
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)


def crash_one(job, pids):
    os.kill(random.choice(pids), signal.SIGSEGV)


def kill_mpiexec(job, pids):
    job.kill()


def terminate_mpiexec(job, pids):
    job.terminate()


def interrupt_twice(job, pids):
    job.send_signal(signal.SIGINT)
    if job.poll() is None:
        try:
            job.send_signal(signal.SIGINT)
        except ProcessLookupError:
            pass


CASES = [(kill_one, ["signal 9"]), *3 * [(kill_one_in_collectives, ["signal 9"])],
         (kill_all_but_one, ["signal 9"]), (crash_one, ["signal 11"]),
         (kill_mpiexec, None), (terminate_mpiexec, []), (interrupt_twice, [])]


def run_case(options, action, texts):
    """Problems found, as sentences."""
    mark = f"tern-test-{uuid.uuid4().hex}"
    before = names_in_the_system()
    doing = "collectives" if action is kill_one_in_collectives else "hang"
    job, pids = start(options, mark, doing)
    problems = []
    if options.tern and not memfds_of(pids):
        problems.append("no memfd was found while the job ran: this test looks at the wrong place")
    action(job, pids)
    try:
        _, stderr = job.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        problems.append(f"mpiexec still runs after {LIMIT_S} s")
        job.kill()
        _, stderr = job.communicate()
    if job.returncode == 0:
        problems.append("mpiexec returned 0")
    for text in texts or []:
        if options.tern and text not in stderr:
            problems.append(f"mpiexec does not say '{text}': {stderr.strip()[:500]}")
    deadline = time.monotonic() + LIMIT_S  # mpiexec may have been killed: the ranks notice themselves.
    while (left := processes_with(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        problems.append(f"processes are left: {left}, memfds {memfds_of([pid for pid, _ in left])}")
        for pid, _ in left:  # Ours: they carry the mark.
            os.kill(pid, signal.SIGKILL)
    new = names_in_the_system() - before
    if new:
        problems.append(f"names are left: {sorted(new)}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mpiexec", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--other-mpi", dest="tern", action="store_false",
                        help="check only what holds for any MPI")
    options = parser.parse_args()
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**9)))
    random.seed(seed)
    print(f"TEST_SEED={seed}")
    failures = 0
    for action, texts in CASES:
        problems = run_case(options, action, texts)
        for problem in problems:
            print(f"FAILED {action.__name__}: {problem}")
        failures += len(problems)
        if not problems:
            print(f"ok     {action.__name__}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

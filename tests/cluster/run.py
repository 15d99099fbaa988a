#!/usr/bin/env python3
"""The checks of the step `cluster` of scripts/test: jobs on three hosts made by scripts/cluster.

run.py BUILD_DIRECTORY [CHECK...]: prints a line per check and, of a failed one, its output; ends with
`N passed, M failed, K skipped`. Exit status 0 when none failed, 125 when there can be no hosts here.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import slurm

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1]).resolve()
MPIEXEC = str(BUILD / "bin/mpiexec")
JOB = str(BUILD / "tests/cluster/bin/cluster_job")
CLUSTER = [str(ROOT / "scripts/cluster"), "--name", f"test-{os.getpid()}"]
STATE = pathlib.Path("/run/tern-cluster") / CLUSTER[2]
HOSTS = ["h1", "h2", "h3"]
ADDRESS = "10.78.0."
MARKER = "CLUSTER_TEST_MARKER"
END_S = 30  # In which all must be gone after a fault; less than 5 s where there is time.
# Daemons and helpers that launchers start on hosts for one job.
DAEMONS = {"orted", "prted", "hydra_pmi_proxy", "mpirun.openmpi", "orterun", "mpiexec.hydra", "mpiexec", "srun",
           "cluster_job"}
CHECKS = {}


class Failed(Exception):
    """What was wrong, and the output that shows it."""


class Skipped(Exception):
    """Why a check cannot be made here."""


def check(function):
    CHECKS[function.__name__] = function
    return function


def require(condition, text, output=""):
    if not condition:
        raise Failed(f"{text}\n{output}")


def plain_environment(**more):
    """Without what the surroundings of the test would tell launchers."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("SLURM", "PMI", "OMPI", "TERN_", "HYDRA"))}
    return dict(kept, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **more)


def execute(host, *command, **env):
    """Runs a command that must succeed; its output."""
    return subprocess.run([*CLUSTER, "exec", host, *command], check=True, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=plain_environment(**env), timeout=30).stdout


def run(host, *command, limit_s=30, **env):
    """Output and exit status."""
    done = subprocess.run([*CLUSTER, "exec", host, "timeout", str(limit_s), *command], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=plain_environment(**env), check=False)
    return done.stdout, done.returncode


# ---- The launchers.

def is_tern(program):
    return os.path.basename(os.path.realpath(program)) == "mpiexec"


class Engine:
    """One of mpiexec's --launcher, and how its own command starts a program on two ranks of each of two hosts."""

    def __init__(self, name, programs, package, direct):
        self.name = name
        self.direct = direct
        found = [path for program in programs for folder in os.get_exec_path()
                 if os.access(path := f"{folder}/{program}", os.X_OK) and not is_tern(path)]
        self.program = found[0] if found else ""
        self.missing = "" if found else f"{programs[0]} is not installed (Debian: {package})"
        self.env = {}

    def require(self):
        if self.missing:
            raise Skipped(self.missing)
        if self.name == "srun":
            cluster_slurm()

    def mpiexec(self, *words):
        """mpiexec by this launcher, from h1."""
        outer = ["salloc", "-Q", "-N3", "-n12"] if self.name == "srun" else []
        return [*outer, MPIEXEC, "--launcher", self.name, *words]


ENGINES = {
    "hydra": Engine("hydra", ["mpiexec.hydra"], "mpich", [["-hosts", "h1:2,h2:2", "-n", "4"]]),
    "openmpi": Engine("openmpi", ["mpirun.openmpi", "orterun"], "openmpi-bin", [["-H", "h1:2,h2:2", "-n", "4"]]),
    "srun": Engine("srun", ["srun"], "slurm-client",
                   [["--mpi=" + kind, "-w", "h1,h2", "-n", "4", "--ntasks-per-node=2"] for kind in ("pmi2", "pmix")]),
}
the_slurm = None


def cluster_slurm():
    """Slurm, started by whoever needs it first."""
    global the_slurm
    if the_slurm is None:
        the_slurm = slurm.why_not()
        if not the_slurm:
            started = slurm.Slurm(execute, str(STATE / "slurm"), HOSTS, ADDRESS)
            ENGINES["srun"].env = {"SLURM_CONF": started.configuration}
            the_slurm = started.await_hosts(execute, len(HOSTS))
    if the_slurm:
        raise Skipped(the_slurm)


def for_each_engine(function):
    """A check per launcher."""
    for name, engine in ENGINES.items():
        def one(engine=engine):
            engine.require()
            function(engine)
        CHECKS[f"{function.__name__}_{name}"] = one
    return function


def read_world(output):
    """What the ranks of `job world` wrote, by rank."""
    pattern = r"rank (\d+) of (\d+) host (\S+) sharing (\d+) appnum (-?\d+) cwd (\S+) given (.*)"
    ranks = {}
    for number, size, host, sharing, appnum, cwd, given in re.findall(pattern, output):
        ranks[int(number)] = {"size": int(size), "host": host, "sharing": int(sharing), "appnum": int(appnum),
                              "cwd": cwd, "given": given}
    return ranks


def expect_world(command, hosts, env=None, status=0, **facts):
    """Runs `job world`; hosts[R] is where rank R must be."""
    output, code = run("h1", *command, **(env or {}))
    require(code == status, f"exit status {code} of {' '.join(command)}", output)
    ranks = read_world(output)
    require(sorted(ranks) == list(range(len(hosts))), "not every rank reported", output)
    for rank, told in ranks.items():
        require(told["size"] == len(hosts) and told["host"] == hosts[rank], f"rank {rank} is at the wrong place", output)
        require(told["sharing"] == hosts.count(hosts[rank]), f"rank {rank} does not share memory with its host", output)
        for key, value in facts.items():
            wanted = value[rank] if isinstance(value, list) else value
            require(told[key] == wanted, f"rank {rank}: {key} is {told[key]}, not {wanted}", output)
    return output


@for_each_engine
def under(engine):
    """A program that the launcher's own command starts."""
    for words in engine.direct:
        expect_world([engine.program, *words, JOB, "world"], ["h1", "h1", "h2", "h2"], engine.env)


@for_each_engine
def mpiexec_by(engine):
    """Hosts in every form, the environment, directories, several programs."""
    with tempfile.NamedTemporaryFile("w", dir=STATE, suffix=".hosts") as hosts:
        hosts.write("# two syntaxes\nh2 slots=2 max_slots=4\nh3:1\n")
        hosts.flush()
        expect_world(engine.mpiexec("-machinefile", hosts.name, JOB, "world"), ["h2", "h2", "h3"], engine.env)
    expect_world(engine.mpiexec("-hosts", "h1,h2", "-ppn", "2", "--wdir", "/usr", "-x", "GIVEN=a b", JOB, "world"),
                 ["h1", "h1", "h2", "h2"], engine.env, cwd="/usr", given="a b")
    expect_world(engine.mpiexec("-host", "h1,h3", "--map-by", "ppr:1:node", "-n", "1", "-env", "GIVEN", "one", JOB,
                                "world", ":", "-n", "1", JOB, "world"),
                 ["h1", "h3"], engine.env, appnum=[0, 1], given=["one", "-"])
    expect_world(engine.mpiexec("-hosts", "h1:2,h2:2", "--map-by", "node", "-n", "4", JOB, "world"),
                 ["h1", "h2", "h1", "h2"], engine.env)
    output, code = run("h1", *engine.mpiexec("-hosts", "h1,h2", JOB, "exit", "7"), **engine.env)
    # Hydra and srun add what they make of the rank that they end then.
    require(code == 7 or (code != 0 and engine.name != "openmpi"), f"exit status {code} for a rank that exits with 7", output)


# ---- Faults.

def processes_of(host):
    """Names of the launchers' and the job's processes in a host, by their numbers on this machine."""
    found = {}
    space = space_of(processes_of.agents[host]) if host in processes_of.agents else ""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and space and space_of(entry) == space:
            name = read_proc(entry, "comm").strip()
            # Of a zombie only its parent takes notice.
            if name in {daemon[:15] for daemon in DAEMONS} and read_proc(entry, "stat").rpartition(")")[2].split()[:1] != ["Z"]:
                found[int(entry)] = name
    return found


def find_agents():
    """Process 1 of each host. The name of its parent, which stays outside, begins otherwise."""
    agents = {}
    for entry in os.listdir("/proc"):
        words = read_proc(entry, "cmdline").split("\0") if entry.isdigit() else []
        if "_agent" in words and not words[0].endswith("unshare"):
            where = words.index("_agent")
            if words[where + 1] == str(STATE) and space_of(entry) != space_of(parent_of(int(entry))):
                agents["h" + words[where + 2]] = entry
    return agents


def read_proc(entry, name):
    try:
        return pathlib.Path("/proc", entry, name).read_text(errors="replace")
    except OSError:
        return ""


def space_of(entry):
    """The process namespace."""
    try:
        return os.readlink(f"/proc/{entry}/ns/pid")
    except OSError:
        return ""


def parent_of(pid):
    return int(read_proc(str(pid), "stat").rpartition(")")[2].split()[1])


class Waiting:
    """A job of four ranks on h1 and h2 that ends only by a fault."""

    def __init__(self, engine):
        command = engine.mpiexec("-hosts", "h1:2,h2:2", JOB, "wait")
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*CLUSTER, "exec", "h1", *command], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, env=plain_environment(**engine.env))
        end = time.monotonic() + 30
        while self.text().count("ready") < 4:
            require(time.monotonic() < end and self.process.poll() is None, "the job did not start", self.text())
            time.sleep(0.02)

    def text(self):
        self.output.seek(0)
        return self.output.read()

    def pids(self, host, name):
        return sorted(pid for pid, comm in processes_of(host).items() if comm == name)

    def expect_end(self, has_status=True):
        """Everything is gone in time, on all hosts."""
        end = time.monotonic() + END_S
        while True:
            left = {host: processes_of(host) for host in HOSTS}
            if not any(left.values()) and self.process.poll() is not None:
                break
            if time.monotonic() > end:
                for pid in [pid for host in left.values() for pid in host]:
                    os.kill(pid, signal.SIGKILL)
                self.process.kill()
                require(False, f"after {END_S} s there is still {left}", self.text())
            time.sleep(0.05)
        require(self.process.returncode != 0 or not has_status, "the exit status is 0", self.text())
        for host in HOSTS:
            shown = execute(host, "sh", "-c", "ls -A /dev/shm; ls -A /tmp | grep -i tern || true")
            require(not shown.strip(), f"left behind in {host}: {shown}", self.text())


@for_each_engine
def rank_killed(engine):
    waiting = Waiting(engine)
    os.kill(waiting.pids("h2", "cluster_job")[0], signal.SIGKILL)
    waiting.expect_end()


@for_each_engine
def daemon_killed(engine):
    """The launcher's daemon in the other host: its ranks end with it, and the rest of the job, too."""
    waiting = Waiting(engine)
    os.kill(parent_of(waiting.pids("h2", "cluster_job")[0]), signal.SIGKILL)
    waiting.expect_end()


@for_each_engine
def mpiexec_killed(engine):
    waiting = Waiting(engine)
    os.kill(waiting.pids("h1", "mpiexec")[0], signal.SIGKILL)
    waiting.expect_end(has_status=engine.name != "srun")  # salloc says 0 when its command was killed.


@for_each_engine
def mpiexec_asked_to_end(engine):
    waiting = Waiting(engine)
    os.kill(waiting.pids("h1", "mpiexec")[0], signal.SIGTERM)
    waiting.expect_end()


@check
def time_limit():
    ENGINES["hydra"].require()
    output, code = run("h1", *ENGINES["hydra"].mpiexec("--timeout", "1", "-hosts", "h1,h2", JOB, "wait"))
    require(code == 124 and "time limit" in output, f"exit status {code}", output)


@check
def garbage_in_the_host_file():
    with tempfile.NamedTemporaryFile("wb", dir=STATE) as hosts:
        hosts.write(b"h1\n" + bytes(range(1, 256)) * 40)
        hosts.flush()
        output, code = run("h1", MPIEXEC, "-f", hosts.name, JOB, "world")
    require(code == 2 and "line 2" in output and len(output.splitlines()) == 1, f"exit status {code}", output)


@check
def dead_name_server():
    """Nothing waits for a server of names that does not answer."""
    ENGINES["hydra"].require()
    table = STATE / "h1/resolv.conf"
    table.write_text("nameserver 192.0.2.1\n")
    try:
        begin = time.monotonic()
        expect_world(ENGINES["hydra"].mpiexec("-hosts", "h1,h2", JOB, "world"), ["h1", "h2"])
        require(time.monotonic() - begin < 25, "it took longer than 25 s")  # A resolver waits 5 s for each of its tries.
    finally:
        table.write_text("")


@check
def no_launcher():
    output, code = run("h1", MPIEXEC, "-hosts", "h1,h2", JOB, "world", PATH="/nonexistent")
    require(code in (127, 125) or "install" in output, f"exit status {code}", output)


# ---- Jobs that meet.

@check
def port_between_hosts():
    """A job in h1 and one of two ranks in h2, with no common launcher."""
    env = plain_environment()
    path = STATE / "port"
    server = subprocess.Popen([*CLUSTER, "exec", "h1", "timeout", "30", MPIEXEC, "-n", "2", JOB, "serve", str(path)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end and server.poll() is None:
        time.sleep(0.02)
    output, code = run("h2", MPIEXEC, "-n", "2", JOB, "connect", str(path))
    output += server.communicate(timeout=40)[0]
    require(code == 0 and server.returncode == 0, f"exit statuses {code} and {server.returncode}", output)
    require(output.count("met 4 sum 2") == 2, "they did not meet", output)


@for_each_engine
def spawn_under(engine):
    """Children beside the root, which all parents of both hosts talk to."""
    output, code = run("h1", *engine.mpiexec("-hosts", "h1,h2", JOB, "spawn", JOB, "2"), **engine.env)
    require(code == 0 and output.count("met 4 sum 2") == 2, f"exit status {code}", output)


@check
def spawn_elsewhere():
    """Children on a host that the parents are not on; and on one that there is not."""
    engine = ENGINES["hydra"]
    engine.require()
    output, code = run("h1", *engine.mpiexec("-hosts", "h1,h2", JOB, "spawn", JOB, "2", "host", "h3:2"))
    require(code == 0 and output.count("met 4 sum 2") == 2, f"exit status {code}", output)
    require(output.count("host h3") == 2, "the children are not on h3", output)
    output, code = run("h1", *engine.mpiexec("-hosts", "h1,h2", JOB, "spawn", JOB, "1", "host", "h9"))
    require(code == 0 and "no spawn: class MPI_ERR_SPAWN" in output, f"exit status {code}", output)


def main():
    up = subprocess.run([*CLUSTER, "up", str(len(HOSTS))], capture_output=True, text=True, check=False)
    if up.returncode != 0:
        print(up.stderr.strip())
        return 125
    processes_of.agents = find_agents()
    wanted = sys.argv[2:] or list(CHECKS)
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    try:
        for name in wanted:
            begin = time.monotonic()
            outcome, text = "ok", ""
            try:
                CHECKS[name]()
            except Skipped as reason:
                outcome, text = "skipped", str(reason)
            except Failed as failure:
                outcome, text = "FAILED", str(failure)
            except (subprocess.SubprocessError, OSError, IndexError) as error:
                outcome, text = "FAILED", f"{error}\n{getattr(error, 'output', '') or ''}"
            counts[outcome] += 1
            print(f"{name:32} {outcome:8} {time.monotonic() - begin:5.1f} s  {text if outcome == 'skipped' else ''}".rstrip(),
                  flush=True)
            if outcome == "FAILED":
                print("\n".join("    " + line[:400] for line in text.splitlines()[:60]), flush=True)
    finally:
        subprocess.run([*CLUSTER, "down"], check=False)
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())

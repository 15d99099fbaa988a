"""What the checks of tests/cluster are made of: hosts, launchers, jobs under way, what is left of them."""
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
# In which all must be gone; what it takes is printed. It is less than 5 s after a kill, where nothing else uses the cores.
KILLED_S = 15
CUT_OFF_S = 30  # The launchers wait for the host, too.
# Daemons and helpers that launchers start on hosts for one job.
DAEMONS = {"orted", "prted", "hydra_pmi_proxy", "mpirun.openmpi", "orterun", "mpiexec.hydra", "mpiexec", "srun",
           "cluster_job"}
CHECKS = {}
remarks = []  # On the check that runs, for people.


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
# Its PATH begins with the folder that mpirun is in, where there may be a true ssh.
ENGINES["openmpi"].env = {"OMPI_MCA_plm_rsh_agent": str(STATE / "bin/ssh")}
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


# ---- Jobs under way.

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


def read_link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def space_of(entry):
    """The process namespace."""
    return read_link(f"/proc/{entry}/ns/pid")


def parent_of(pid):
    return int(read_proc(str(pid), "stat").rpartition(")")[2].split()[1])


class Waiting:
    """A job of four ranks that ends only by a fault."""

    def __init__(self, engine, verb="wait", hosts="h1:2,h2:2", **env):
        command = engine.mpiexec("-hosts", hosts, JOB, verb)
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*CLUSTER, "exec", "h1", *command], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, env=plain_environment(**engine.env, **env))
        end = time.monotonic() + 30
        while self.text().count("ready") < 4:
            require(time.monotonic() < end and self.process.poll() is None, "the job did not start", self.text())
            time.sleep(0.02)

    def text(self):
        self.output.seek(0)
        return self.output.read()

    def pids(self, host, name):
        return sorted(pid for pid, comm in processes_of(host).items() if comm == name)

    def expect_end(self, has_status=True, hosts=HOSTS, limit_s=KILLED_S):
        """Everything is gone in time, on all hosts."""
        begin = time.monotonic()
        end = begin + limit_s
        while True:
            left = {host: processes_of(host) for host in hosts}
            if not any(left.values()) and self.process.poll() is not None:
                break
            if time.monotonic() > end:
                for pid in [pid for host in left.values() for pid in host]:
                    os.kill(pid, signal.SIGKILL)
                self.process.kill()
                require(False, f"after {limit_s} s there is still {left}", self.text())
            time.sleep(0.05)
        remarks.append(f"gone after {time.monotonic() - begin:.1f} s")
        require(self.process.returncode != 0 or not has_status, "the exit status is 0", self.text())
        for host in hosts:
            shown = execute(host, "sh", "-c", "ls -A /dev/shm; ls -A /tmp | grep -i tern || true")
            require(not shown.strip(), f"left behind in {host}: {shown}", self.text())

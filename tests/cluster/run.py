#!/usr/bin/env python3
"""The checks of the step `cluster` of scripts/test: jobs on three hosts made by scripts/cluster.

run.py BUILD_DIRECTORY [CHECK...|all]: prints a line per check and, of a failed one, its output; ends with
`N passed, M failed, K skipped`. Exit status 0 when none failed, 125 when there can be no hosts here. `all` adds the
programs of tests/mpi under every launcher.
"""
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import programs
from rig import (CHECKS, CLUSTER, CUT_OFF_S, ENGINES, HOSTS, JOB, MPIEXEC, STATE, Failed, Skipped, Waiting, check, execute,
                 find_agents, for_each_engine, parent_of, plain_environment, processes_of, read_link, read_proc, remarks, require, run)

STRANGERS = str(pathlib.Path(__file__).resolve().parent / "strangers.py")

# ---- Where ranks are, and what they are told.


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


@for_each_engine
def host_cut_off(engine):
    """In the middle of an all-to-all: survivors name the host, mpiexec ends, and nothing is left."""
    waiting = Waiting(engine, "exchange", "h1:2,h2:1,h3:1", TERN_PEER_TIMEOUT="1")
    cluster("cut", "h3")
    try:
        waiting.expect_end(hosts=["h1", "h2"], limit_s=CUT_OFF_S)
    finally:
        cluster("mend", "h3")
    # Who ends because of another survivor's end names that one.
    told = re.findall(r"(?m)^rank \d host h[12] class (\S+): (.*)", waiting.text())
    require(told and all(re.search("on host h[123]", text) for _, text in told), "no survivor says why", waiting.text())
    require(any("on host h3" in text for _, text in told), "no survivor names the host", waiting.text())
    waiting.expect_end()


@check
def scanned_with_random_bytes():
    """What strangers send to the sockets that a job listens on disturbs nobody."""
    seed = int(os.environ.get("TERN_TEST_SEED") or random.getrandbits(31))

    def scan():
        ports = [f"h1:{port}" for port in listening_ports("h1")]
        shown = execute("h3", sys.executable, STRANGERS, "scan", str(seed), *ports)
        require(ports and "connected 0 times" not in shown, f"seed {seed}: nobody listens", shown)

    meet("h1", "h2", scan)


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
def slow_name_server():
    """One that answers after a second, and knows nobody."""
    ENGINES["hydra"].require()
    table = STATE / "h1/resolv.conf"
    table.write_text("nameserver 10.78.0.3\n")
    server = subprocess.Popen([*CLUSTER, "exec", "h3", sys.executable, STRANGERS, "names"], stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, env=plain_environment())
    try:
        require(server.stdout.readline() == "ready\n", "the server of names did not start")
        expect_world(ENGINES["hydra"].mpiexec("-hosts", "h1,h2", JOB, "world"), ["h1", "h2"])
        output, code = run("h1", *ENGINES["hydra"].mpiexec("-hosts", "h1,nobody", JOB, "world"))
        require(code not in (0, 124) and "nobody" in output, f"exit status {code} for a host that there is not", output)
    finally:
        table.write_text("")
        server.terminate()
        server.wait()


@check
def no_launcher():
    output, code = run("h1", MPIEXEC, "-hosts", "h1,h2", JOB, "world", PATH="/nonexistent")
    require(code in (127, 125) or "install" in output, f"exit status {code}", output)


@check
def slow_and_lossy_network():
    """Delays and losses of scripts/cluster, and a job that goes on over them."""
    ENGINES["hydra"].require()
    # A connection that is refused takes a round trip.
    probe = ("import socket, time; begin = time.monotonic(); s = socket.socket(); s.settimeout(0.5); "
             "print(s.connect_ex(('h2', 9)) == 111, time.monotonic() - begin)")
    try:
        cluster("net", "all", "--delay", "30")
        refused, elapsed_s = execute("h1", sys.executable, "-c", probe).split()
        require(refused == "True" and float(elapsed_s) >= 0.06, f"a round trip took {elapsed_s} s")
        cluster("net", "h2", "--loss", "100")
        require(execute("h1", sys.executable, "-c", probe).split()[0] == "False", "nothing is lost")
        cluster("net", "all", "--delay", "1", "--loss", "1")
        expect_world(ENGINES["hydra"].mpiexec("-hosts", "h1:2,h2:2", JOB, "world"), ["h1", "h1", "h2", "h2"])
    finally:
        cluster("net", "all")


# ---- Jobs that meet.

@check
def port_between_hosts():
    """A job in h1 and one of two ranks in h2, with no common launcher; and a client without any."""
    meet("h1", "h2")
    meet("h1", "h2", client=[], members="3 sum 1")


@check
def port_from_a_step_of_slurm():
    ENGINES["srun"].require()
    meet("h1", "h2", client=[ENGINES["srun"].program, "--mpi=pmix", "-w", "h2", "-n", "2"], **ENGINES["srun"].env)


def meet(one, other, between=lambda: None, client=(MPIEXEC, "-n", "2"), members="4 sum 2", **client_env):
    """A server in a host and a client in another; `between` is called when the port is open."""
    env = plain_environment()
    path = STATE / "port"
    path.unlink(missing_ok=True)
    server = subprocess.Popen([*CLUSTER, "exec", one, "timeout", "30", MPIEXEC, "-n", "2", JOB, "serve", str(path)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end and server.poll() is None:
        time.sleep(0.02)
    between()
    output, code = run(other, *client, JOB, "connect", str(path), **client_env)
    output += server.communicate(timeout=40)[0]
    require(code == 0 and server.returncode == 0, f"exit statuses {code} and {server.returncode}", output)
    require(output.count(f"met {members}") == 2, "they did not meet", output)


@for_each_engine
def spawn_under(engine):
    """Children beside the root, which all parents of both hosts talk to. They are not kept on the core that the
    root is bound to."""
    cpus = len(os.sched_getaffinity(0))
    output, code = run("h1", *engine.mpiexec("-hosts", "h1,h2", "--bind-to", "core", JOB, "spawn", JOB, "2"), **engine.env)
    require(code == 0 and output.count("met 4 sum 2") == 2, f"exit status {code}", output)
    bound = int(re.search(r"parent cpus (\d+)", output)[1])
    # The rig's Slurm binds nothing, and two CPUs may be one core.
    require(bound < cpus or engine.name == "srun" or cpus <= 2, "the root is not bound", output)
    require(output.count(f"host h1 cpus {cpus}\n") == 2, f"the children do not have {cpus} CPUs", output)


@check
def spawn_keys_that_name_hosts():
    engine = ENGINES["hydra"]
    engine.require()
    with tempfile.NamedTemporaryFile("w", dir=STATE, suffix=".hosts") as hosts:
        hosts.write("h3 slots=2\n")
        hosts.flush()
        cases = (
            (("hostfile", hosts.name), ["h3", "h3"]), (("add-host", "h3:2"), ["h3", "h3"]),
            (("add-hostfile", hosts.name), ["h3", "h3"]), (("host", "h2:2,h3:2", "npernode", "1"), ["h2", "h3"]),
            (("host", "h2:2,h3:2", "tern_pernode", "true"), ["h2", "h3"]), (("host", "h2,h3", "ppr", "1:node"), ["h2", "h3"]),
            (("host", "h2:1,h3:1", "map_by", "node"), ["h2", "h3"]))
        for keys, wanted in cases:
            output, code = run("h1", *engine.mpiexec("-hosts", "h1", "-n", "1", JOB, "spawn", JOB, "2", *keys))
            require(code == 0 and "met 3" in output, f"exit status {code} with {keys}", output)
            found = sorted(re.findall(r"(?m)^child \d of 2 host (\S+)", output))
            require(found == wanted, f"the children are on {found} with {keys}", output)
    for keys, text in ((("host", "h2,h3", "pernode", "1"), "npernode"), (("host", "h3", "ompi_preload_binary", "1"), "preload")):
        output, code = run("h1", *engine.mpiexec("-hosts", "h1", "-n", "1", JOB, "spawn", JOB, "3", *keys))
        require(code == 0 and re.search(rf"no spawn: class MPI_ERR_SPAWN.*{text}", output), f"exit status {code} with {keys}", output)


@for_each_engine
def spawn_elsewhere(engine):
    """Children on a host that the parents are not on, and on one that there is not: in a job of mpiexec's, and of the
    launcher's own command."""
    outer = ["salloc", "-Q", "-N3", "-n12"] if engine.name == "srun" else []
    starts = [engine.mpiexec("-hosts", "h1,h2"), *([*outer, engine.program, *words] for words in engine.direct[:1])]
    for start in starts:
        output, code = run("h1", *start, JOB, "spawn", JOB, "2", "host", "h3:2", **engine.env)
        require(code == 0 and "met " in output, f"exit status {code}", output)
        require(output.count("host h3") == 2, "the children are not on h3", output)
    output, code = run("h1", *starts[0], JOB, "spawn", JOB, "1", "host", "h9", **engine.env)
    require(code == 0 and "no spawn: class MPI_ERR_SPAWN" in output, f"exit status {code}", output)


def cluster(*words):
    subprocess.run([*CLUSTER, *words], check=True, stdin=subprocess.DEVNULL)


def listening_ports(host):
    """Of TCP, of the job's processes: launchers have ports of their own, and some do not survive strangers."""
    ports = set()
    for pid, name in processes_of(host).items():
        if name != "cluster_job":
            continue
        own = {read_link(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        for words in map(str.split, read_proc(str(pid), "net/tcp").splitlines()[1:]):
            if words[3] == "0A" and f"socket:[{words[9]}]" in own:
                ports.add(int(words[1].rpartition(":")[2], 16))
    return sorted(ports)


def remove_remains():
    """Clusters of runs that were killed."""
    for folder in STATE.parent.glob("test-*"):
        if not os.path.exists(f"/proc/{folder.name.removeprefix('test-')}"):
            subprocess.run([CLUSTER[0], "--name", folder.name, "down"], check=False)


def main():
    # So that the hosts end with this process.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    remove_remains()
    up = subprocess.run([*CLUSTER, "up", str(len(HOSTS))], capture_output=True, text=True, check=False)
    if up.returncode != 0:
        print(up.stderr.strip())
        return 125
    processes_of.agents = find_agents()
    if any(word.startswith("all") for word in sys.argv[2:]):  # Or one of them by its name.
        programs.add_all()
    wanted = list(CHECKS) if sys.argv[2:] in ([], ["all"]) else sys.argv[2:]
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    try:
        for name in wanted:
            begin = time.monotonic()
            outcome, text = "ok", ""
            remarks.clear()
            try:
                CHECKS[name]()
            except Skipped as reason:
                outcome, text = "skipped", str(reason)
            except Failed as failure:
                outcome, text = "FAILED", str(failure)
            except (subprocess.SubprocessError, OSError, IndexError) as error:
                outcome, text = "FAILED", f"{error}\n{getattr(error, 'output', '') or ''}"
            counts[outcome] += 1
            print(f"{name:32} {outcome:8} {time.monotonic() - begin:5.1f} s  {text if outcome == 'skipped' else ', '.join(remarks)}".rstrip(),
                  flush=True)
            if outcome == "FAILED":
                print("\n".join("    " + line[:400] for line in text.splitlines()[:60]), flush=True)
    finally:
        subprocess.run([*CLUSTER, "down"], check=False)
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""The checks of the step `rdma` of scripts/test, run in the first of two hosts of scripts/rdma-vm.

run.py BUILD_DIRECTORY [all|CHECK...]: prints a line per check and, of a failed one, its output; ends with
`N passed, M failed`. Exit status 0 when none failed. Without names, those that tell most per second; `all` for
what they leave out, too.
"""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import ports  # noqa: E402
from pmi_launch import Job  # noqa: E402

BUILD = os.path.realpath(sys.argv[1])
CHECKS = {}
SLOW = set()  # Left out unless asked for.
HOSTS = ["v1", "v2"]
SURVIVE = f"{BUILD}/tests/rdma/bin/rdma_survive"


def check(function):
    CHECKS[function.__name__] = function
    return function


def slow_check(function):
    SLOW.add(function.__name__)
    return check(function)


class Failed(Exception):
    pass


def require(condition, text, output=""):
    if not condition:
        raise Failed(f"{text}\n{output}")


def run(command, timeout_s, **env):
    result = subprocess.run(["timeout", str(timeout_s), *command], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, env=dict(os.environ, **env))
    require(result.returncode == 0, f"exit status {result.returncode} of {' '.join(command)}", result.stdout)
    return result.stdout


def mpiexec(ranks, program, fabric, timeout_s=90, **env):
    return run([f"{BUILD}/bin/mpiexec", "-n", str(ranks), f"{BUILD}/tests/mpi/bin/mpi_{program}"], timeout_s,
               TERN_FABRIC=fabric, **env)


@check
def conformance():
    output = run([f"{BUILD}/tests/unit/bin/unit_fabric_conformance", "--gtest_filter=*Verbs*:*verbs*"], 120)
    require("SKIPPED" not in output, "a test was skipped although there is a device", output)


@check
def mpi_inside_one_host():
    for program, ranks in (("coll_data", 4), ("p2p_probe", 3)):
        mpiexec(ranks, program, "verbs")


@slow_check
def mpi_without_thread():
    mpiexec(3, "p2p_matching", "verbs", TERN_CONNECT_THREAD="0")


@check
def mpi_mixed_with_shm():
    mpiexec(4, "coll_reduce", "shm,verbs")


@slow_check
def mpi_threads():
    mpiexec(2, "threads", "verbs")


def across_hosts(program, ranks, fabric, **env):
    job = Job(HOSTS, ranks, [f"{BUILD}/tests/mpi/bin/mpi_{program}"], {"TERN_FABRIC": fabric, **env})
    output, statuses = job.wait(90)
    require(statuses == [0] * ranks, f"{program} on {ranks} ranks over {fabric}: {statuses}", output)


@check
def verbs_by_default():
    """Between hosts without being asked for; on one host nothing of it is opened."""
    job = Job(HOSTS, 4, [f"{BUILD}/tests/mpi/bin/mpi_preconnect", "ring"], {"TERN_REPORT": "1"})
    output, statuses = job.wait(90)
    require(statuses == [0] * 4, f"exit statuses {statuses}", output)
    for text in "ranks 1 and 2 over verbs", "ranks 0 and 1 over shm", "TERN_FABRIC=shm,verbs":
        require(text in output, f"the report does not say `{text}`", output)
    output = run([f"{BUILD}/bin/mpiexec", "-n", "2", f"{BUILD}/tests/mpi/bin/mpi_lazy"], 60)
    require("tern:" not in output, "it was not silent", output)


@check
def mpi_across_hosts():
    across_hosts("coll_reduce", 4, "shm,verbs")


@slow_check
def mpi_across_hosts_more():
    across_hosts("coll_data", 2, "verbs")
    across_hosts("p2p_status", 3, "verbs")


def why_not_verbs(*before, host="v2", **env):
    """What a process on a host says about verbs there."""
    words = ["on", host, *before, "env", *(f"{name}={value}" for name, value in env.items()), f"{BUILD}/bin/tern-info",
             "fabrics"]
    return run(words, 40)


@check
def paths_found_by_librdmacm():
    """Inside a host, where two of the ranks are, and between two."""
    across_hosts("p2p_status", 3, "verbs", TERN_VERBS_CM="rdmacm")


@slow_check
def what_librdmacm_needs():
    """Is named where it is missing."""
    cm = {"TERN_VERBS_CM": "rdmacm"}
    mpiexec(3, "p2p_status", "verbs", **cm)
    shown = why_not_verbs("unshare", "--mount", "bash", "-c",
                          "mount --bind /dev/null $(readlink -f /usr/lib/*/librdmacm.so.1); exec \"$@\"", "bash", **cm)
    require("librdmacm.so.1, which cannot be loaded" in shown, "a library that is not there is not named", shown)
    shown = why_not_verbs(TERN_VERBS_CM="tcp")
    require("TERN_VERBS_CM is `tcp`; allowed: ud, rdmacm" in shown, "a wrong word is not named", shown)
    run(["on", "v2", "ip", "address", "del", "192.168.77.2/24", "dev", "eth0"], 20)
    try:
        shown = why_not_verbs(**cm)
    finally:
        run(["on", "v2", "ip", "address", "add", "192.168.77.2/24", "dev", "eth0"], 20)
    require("needs an IP address" in shown, "an address that is not there is not named", shown)


@slow_check
def paths_of_two_kinds_do_not_meet():
    """Both sides have to find each other in the same way, and are told so."""
    job = Job(HOSTS, 2, ["bash", "-c", f"TERN_VERBS_CM=$([ $PMI_ID = 0 ] && echo ud || echo rdmacm) exec {SURVIVE} 1 may-lose"],
              {"TERN_FABRIC": "verbs"})
    output, statuses = job.wait(60)
    require(output.count("TERN_VERBS_CM has to be the same for both") >= 1, f"exit statuses {statuses}", output)


@check
def broken_queue_pairs_and_replaced_memory():
    """Queue pairs forced into error under messages and reads; memory unmapped and mapped again between reads."""
    output = run([f"{BUILD}/tests/unit/bin/unit_verbs_fabric", "--gtest_filter=*RealDevice*"], 120)
    require("[       OK ]" in output and "SKIPPED" not in output, "nothing was tested although there is a device", output)


def programs():
    """All of tests/mpi but those that look at shared memory, or are no test by themselves."""
    apart = ("lazy", "preconnect", "endings", "p2p_huge")
    names = [name.removeprefix("mpi_") for name in sorted(os.listdir(f"{BUILD}/tests/mpi/bin"))]
    return [name for name in names if name not in apart]


@slow_check
def all_programs_inside_one_host():
    for program in programs():
        mpiexec(3, program, "verbs")


@slow_check
def all_programs_across_hosts():
    for program in programs():
        across_hosts(program, 4, "shm,verbs")


@slow_check
def all_programs_across_hosts_over_verbs():
    for program in programs():
        across_hosts(program, 2, "verbs")


def queue_pairs(kind):
    shown = run(["rdma", "resource", "show", "qp"], 20)
    return len([line for line in shown.splitlines() if f"type {kind} " in line and "rdma_survive" in line])


@check
def queue_pairs_are_lazy():
    """After MPI_Init only the one for signalling; then one per peer that is talked to."""
    job = Job(["v1"], 3, [SURVIVE, "4", "pause"], {"TERN_FABRIC": "verbs"})
    for rank in range(3):
        require(job.wait_for("initialized", 40, rank), "it did not start", "".join(job.output))
    counts = queue_pairs("UD"), queue_pairs("RC")
    require(counts == (3, 0), f"after MPI_Init of 3 ranks there are {counts} UD and RC queue pairs")
    for rank in range(3):
        job.signal(rank, "USR1")
    require(job.wait_for("running", 40), "it did not go on", "".join(job.output))
    counts = queue_pairs("UD"), queue_pairs("RC")
    require(counts == (3, 6), f"with all pairs talking there are {counts} UD and RC queue pairs")
    output, statuses = job.wait(60)
    require(statuses == [0] * 3, f"exit statuses {statuses}", output)


def connected_by(plan, hosts, what="init", **env):
    """What four ranks print that connect by a plan in MPI_Init."""
    job = Job(hosts, 4, [f"{BUILD}/tests/mpi/bin/mpi_preconnect", what],
              {"TERN_FABRIC": "verbs", "TERN_REPORT": "1", "TERN_PRECONNECT": plan, **env})
    output, statuses = job.wait(90)
    require(statuses == [0] * 4, f"exit statuses {statuses} with {plan} {env}", output)
    return output


def expect_connected(plan, hosts, pairs, strangers=0):
    """`strangers`: ranks that the plan does not connect with rank 0, whose report may find it still counting."""
    output = connected_by(plan, hosts)
    require(f"connected in advance ({plan}): {pairs} pairs" in output, "the report lacks the plan", output)
    ends = re.search(r"verbs: (\d+) connection ends opened", output)
    require(ends and 0 <= int(ends.group(1)) - 2 * pairs <= strangers, f"{ends and ends.group(1)} ends", output)


@check
def connected_in_advance():
    """The pairs of a plan, and no others."""
    expect_connected("neighbors:1", HOSTS, 4, strangers=1)


@slow_check
def connected_in_advance_more():
    expect_connected("all", ["v1"], 6)
    expect_connected("nodes", HOSTS, 3, strangers=1)
    connected_by("all", HOSTS, "ring", TERN_MAX_CONNECTIONS="1")  # Fewer than the plan wants.


def survive(disturb, seconds, timeout_s=120, **env):
    job = Job(HOSTS, 2, [SURVIVE, str(seconds)], {"TERN_FABRIC": "verbs", **env})
    require(job.wait_for("running", 40), "it did not start", "".join(job.output))
    disturb(job)
    output, statuses = job.wait(timeout_s)
    require(statuses == [0, 0], f"exit statuses {statuses}", output)
    require(output.count("all right") == 2, "not all ranks finished", output)
    return output


def link_down(seconds):
    def disturb(_):
        subprocess.run(["on", "v2", "bash", "-c",
                        f"ip link set eth0 down; sleep {seconds}; ip link set eth0 up"], check=True)
    return disturb


@check
def link_down_1s():
    survive(link_down(1), 5)


@slow_check
def link_down_3s():
    survive(link_down(3), 7)


@slow_check
def link_down_8s():
    survive(link_down(8), 12)


def netem(text):
    def disturb(_):
        run(["on", "v2", "tc", "qdisc", "add", "dev", "eth0", "root", "netem", *text.split()], 20)
        time.sleep(5)
        run(["on", "v2", "tc", "qdisc", "del", "dev", "eth0", "root"], 20)
    return disturb


# Over soft-RoCE a read can be reported as done that is not: verbs/reads.cc. These two would get wrong data.
@slow_check
def loss_1_percent():
    survive(netem("loss 1%"), 7)


@check
def loss_5_percent_reordered():
    survive(netem("delay 2ms loss 5% reorder 25%"), 7)


@slow_check
def two_ports_share_large_messages():
    """A second device on each host; its link goes down for good while messages are written over both."""
    for number, host in enumerate(HOSTS, 1):
        run(["on", host, "bash", "-ec",
             # Both interfaces are on one wire: each is to answer for its own address only.
             "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; "
             "ip link add second link eth0 type macvlan mode bridge; "
             f"ip address add 192.168.78.{number}/24 dev second; ip link set second mtu 4200 up; "
             "rdma link add rxe1 type rxe netdev second; "
             "until grep -q ACTIVE /sys/class/infiniband/rxe1/ports/1/state && "
             "grep -qs ffff:c0a8 /sys/class/infiniband/rxe1/ports/1/gids/*; do sleep 0.1; done"], 20)

    def disturb(job):
        shown = run(["rdma", "resource", "show", "qp"], 20)
        counts = [len([line for line in shown.splitlines() if f"link {device}/" in line and "type RC " in line])
                  for device in ("rxe0", "rxe1")]
        require(counts == [1, 1], f"there are {counts} queue pairs on rxe0 and rxe1", shown)
        time.sleep(1)
        run(["on", "v2", "ip", "link", "set", "second", "down"], 20)

    try:
        survive(disturb, 4, TERN_VERBS_DEVICES="rxe0,rxe1", TERN_VERBS_RENDEZVOUS="write")
    finally:
        for host in HOSTS:
            run(["on", host, "bash", "-c", "rdma link delete rxe1; ip link delete second"], 20)


@slow_check
def large_messages_written_by_their_sender():
    survive(netem("delay 2ms loss 5% reorder 25%"), 7, TERN_VERBS_RENDEZVOUS="write")


@slow_check
def what_reads_over_soft_roce_are_worth():
    """Without Tern: only the last read before an error of its queue pair may be wrong."""
    raw_read = f"{BUILD}/tests/rdma/bin/rdma_raw_read"
    ends = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for command in ([raw_read, "listen", "7777", "12", "16"],
                            ["on", "v2", raw_read, "v1", "7777", "12", "16"])]
    time.sleep(5)
    netem("delay 2ms loss 5% reorder 25%")(None)
    outputs = [end.communicate(timeout=60)[0] for end in ends]
    require([end.returncode for end in ends] == [0, 0], "a read was wrong that no error followed", "".join(outputs))


def kill_peer(words):
    """Rank 1, on another host, dies; rank 0 is told so by an error that names what to look at."""
    pauses = "pause" in words
    job = Job(HOSTS, 2, [SURVIVE, "60", "expect-loss", *words], {"TERN_FABRIC": "verbs", "TERN_PEER_TIMEOUT": "3"})
    started = [job.wait_for("initialized", 40, rank) for rank in (0, 1)] if pauses else [job.wait_for("running", 40, 0)]
    require(all(started), "it did not start", "".join(job.output))
    job.signal(1, "KILL")
    if pauses:
        job.signal(0, "USR1")
    output, statuses = job.wait(40)
    require(statuses[0] == 0, f"exit statuses {statuses}", output)
    for what in ("rank 1 on host v2", "device rxe0, port 1", "port state ACTIVE", "TERN_PEER_TIMEOUT"):
        require(what in output, f"the text of the error lacks `{what}`", output)


@check
def peer_killed_before_it_is_connected():
    kill_peer(["pause"])


@slow_check
def peer_killed_during_eager_messages():
    kill_peer(["eager"])


@check
def peer_killed_during_large_messages():
    kill_peer(["large"])


@check
def peer_killed_while_others_only_wait():
    kill_peer(["listen"])


@slow_check
def device_removed():
    """The kernel removes a soft-RoCE device when its last user is gone, or at once: whichever, nobody hangs."""
    job = Job(HOSTS, 2, [SURVIVE, "4", "may-lose"], {"TERN_FABRIC": "verbs", "TERN_PEER_TIMEOUT": "3"})
    require(job.wait_for("running", 40), "it did not start", "".join(job.output))
    removal = subprocess.Popen(["on", "v2", "rdma", "link", "delete", "rxe0"])
    try:
        output, statuses = job.wait(60)
    finally:
        removal.wait(60)
        run(["on", "v2", "rdma", "link", "add", "rxe0", "type", "rxe", "netdev", "eth0"], 20)
    require(statuses == [0, 0], f"exit statuses {statuses}", output)
    lost = [rank for rank in (0, 1) if "is lost over verbs, device rxe0" in job.output[rank]]
    require(output.count("all right") == 2 or lost == [0, 1], "neither did all finish nor were all told of a loss", output)


@check
def adapter_unplugged():
    """A network adapter that goes away under traffic: both ranks are told so, and the kernel gets it back."""
    job = Job(HOSTS, 2, [SURVIVE, "60", "expect-loss"], {"TERN_FABRIC": "verbs", "TERN_PEER_TIMEOUT": "3"})
    require(job.wait_for("running", 40), "it did not start", "".join(job.output))
    removal = subprocess.Popen(["on", "v2", "bash", "-c", "echo 1 >$(readlink -f /sys/class/net/eth0/device/..)/remove"])
    try:
        output, statuses = job.wait(40)
    finally:
        removal.wait(60)
        with open("/sys/class/net/eth0/mtu") as mtu:
            plug_in = ["echo 1 >/sys/bus/pci/rescan", "until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done",
                       f"ip link set eth0 mtu {mtu.read().strip()} up", "ip address add 192.168.77.2/24 dev eth0",
                       "rdma link add rxe0 type rxe netdev eth0",
                       "until grep -q ACTIVE /sys/class/infiniband/rxe0/ports/1/state; do sleep 0.1; done"]
        run(["on", "v2", "bash", "-c", "; ".join(plug_in)], 60)
    require(statuses == [0, 0], f"exit statuses {statuses}", output)
    require(removal.returncode == 0, "the kernel did not get the device back", output)
    for rank, texts in enumerate((("rank 1 on host v2", "port state ACTIVE", "TERN_PEER_TIMEOUT"),
                                  ("rank 0 on host v1", "port state gone", "is gone or has failed"))):
        for text in ("device rxe0, port 1", *texts):
            require(text in job.output[rank], f"the text of rank {rank}'s error lacks `{text}`", output)


@slow_check
def hosts_are_compared():
    """scripts/rdma-compare, with another program in the place of ssh; peers may fail on soft-RoCE."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    output = run([f"{root}/scripts/rdma-compare", "v1", "v2", "--rsh", f"{root}/tests/rdma/rsh", "--rounds", "1",
                  "--scale", "0.003", "--gid-index", "1", "--prefix", BUILD, "--folder", "/out/compare", "--json",
                  "/out/compare.json"], 400)
    require("device rxe0" in output and "tern/raw" in output, "raw figures or Tern's are missing", output)
    with open("/out/compare.json") as samples:
        measured = json.load(samples)
    for figure in "first", "latency 2", "minimum 65536", "bandwidth 1048576":
        require(measured["tern"].get(figure, [0])[0] > 0, f"there is no `{figure}`", output)


@check
def little_lockable_memory():
    """The limit is named together with the remedy; with verbs and UCX, UCX leaves the device alone."""
    def limited(fabrics):
        command = ["timeout", "30", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c",
                   f"ulimit -l 64; TERN_FABRIC={fabrics} exec {BUILD}/tests/mpi/bin/mpi_env"]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    run(["chmod", "-R", "a+rw", "/dev/infiniband"], 10)
    result = limited("verbs")
    require(result.returncode != 0, "it did not fail", result.stdout)
    require("ulimit -l unlimited" in result.stdout, "the remedy is not named", result.stdout)
    result = limited("verbs,ucx")
    require(result.returncode == 0, f"exit status {result.returncode} with UCX", result.stdout)


@check
def no_device():
    """Falls back to shm without a word."""
    run(["rdma", "link", "delete", "rxe0"], 20)
    try:
        output = mpiexec(2, "p2p_status", "verbs,shm")
        require("tern:" not in output, "it was not silent", output)
        output = run([f"{BUILD}/bin/mpiexec", "-n", "2", f"{BUILD}/tests/mpi/bin/mpi_p2p_status"], 60)
        require("tern:" not in output, "it was not silent", output)
        info = run([f"{BUILD}/bin/tern-info", "fabrics"], 30)
        require("no RDMA device" in info, "tern-info does not say why", info)
    finally:
        run(["rdma", "link", "add", "rxe0", "type", "rxe", "netdev", "eth0"], 20)


ports.add(check, require, run, BUILD)


def main():
    wanted = sys.argv[2:] or [name for name in CHECKS if name not in SLOW]
    if wanted == ["all"]:
        wanted = list(CHECKS)
    failed = 0
    for name in wanted:
        begin = time.monotonic()
        try:
            CHECKS[name]()
            outcome = "ok"
        except (Failed, subprocess.CalledProcessError, OSError) as problem:
            outcome = "FAILED"
            failed += 1
            print("    " + str(problem)[-4000:].replace("\n", "\n    "))
        print(f"{name:<28} {outcome:<7} {time.monotonic() - begin:6.1f} s", flush=True)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""A model of what a job of N processes costs: time and memory as functions of N.

Knows the steps of the code and how many of each there are; what one step costs comes from a run (costs_of) and, for
networks and launchers that this machine does not have, from ASSUMED, whose entries say where they are from. Every formula
names the code that it describes. Not a simulator: nothing is lost, late or congested (tests/sim has that).
"""
import math
from dataclasses import dataclass, field, replace

PAGE_KIB = 4.0
SHARED_MAX = 16  # mpi_api/coll/selection.cc: collectives of up to so many members go through shared memory.
UNDER_WAY = 16  # core/meet.h: connections that a process makes at a time.
# sizeof(Peer) 256 (core/peer.h), its counters::Traffic 64, the entry of Engine::peers_ about 64.
PEER_BYTES = 384
POINTER_BYTES = 8  # Comm::peers_, one per member, in pages that are touched only where a peer was looked up.
HOST_BLOCK_BYTES = 12  # spawn/wireup.h HostBlock: one per run of equal hosts, not per process.
HOST_MAP_BYTES = 8  # mpi_api/coll/host_map.h: leaders_ and starts_, per host, from the first collective on.
CALIBRATION_MAX = 16  # Jobs up to this size give the costs; larger ones are predicted.

# name: (value, where it is from). Values that are assumptions were not measured with Tern: replace them (--set).
ASSUMED = {
    "network_us": (1.5, "assumption: half round trip of a small message between two hosts on InfiniBand, MPI included"),
    "message_gap_us": (0.2, "assumption: a process sends 5 million small messages a second"),
    "bandwidth_mb_s": (12000.0, "assumption: one 100 Gbit/s port"),
    "card_us": (100.0, "assumption: asking a launcher on the same host for a business card that another host put"),
    "endpoint_us": (150.0, "assumption: queue pair created and brought to RTS by a hardware device; "
                           "soft-RoCE under emulation takes 3000"),
    "queue_pair_kib": (63.0, "measured on soft-RoCE: system memory of a queue pair of depth 16"),
    "receive_kib": (24.0, "verbs/constants.h: 6 receive slots of one page for a peer with a small window"),
    "daemon_ms": (20.0, "assumption: a launcher starts its daemon on one host, and that starts others as a tree"),
    "daemon_fanout": (32.0, "assumption: hosts that one daemon starts"),
    "host_of_ns": (10.0, "assumption: one LaunchInfo::host_of with few blocks"),
}


@dataclass(frozen=True)
class Costs:
    """What single steps cost. Times in us or ms of one core, memory in KiB."""
    cores: int = 2  # Of the machine of the run.
    launch_ms: float = 5.0  # mpiexec itself.
    process_ms: float = 3.0  # Core time of one process from fork to the end of MPI_Init.
    init_ms: float = 0.5  # MPI_Init where nobody else wants the core.
    hop_us: float = 0.5  # Message between processes that both run.
    switch_us: float = 5.0  # Message to one that has to get a core first.
    contact_us: float = 150.0  # What the first round trip in shared memory costs more than later ones.
    pair_us: float = 200.0  # Core time to connect a pair in advance.
    goodbye_us: float = 100.0  # Finalize: the launcher's time for one process.
    base_kib: float = 5200.0  # Resident after MPI_Init.
    connection_kib: float = 30.0  # Per peer talked with in shared memory, in each of the two processes.
    assumed: dict = field(default_factory=lambda: {name: value for name, (value, _) in ASSUMED.items()})

    def __getattr__(self, name):
        try:
            return self.__dict__["assumed"][name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Place:
    """Where the processes run: all hosts alike, ranks host by host."""
    ranks: int
    per_host: int
    cores: int  # Per host.

    @property
    def hosts(self):
        return math.ceil(self.ranks / self.per_host)

    @property
    def here(self):  # Processes of one host.
        return min(self.ranks, self.per_host)

    @property
    def turns(self):  # How many processes share a core.
        return max(1.0, self.here / self.cores)


def rounds(count):
    """Rounds in which everybody hears of everybody, each twice as many as before (coll/barrier.cc, dissemination)."""
    return max(0, math.ceil(math.log2(count))) if count > 1 else 0


def hop(costs, place):
    """A message inside a host; with more processes than cores (core/wait.h) the receiver needs a core first."""
    return costs.hop_us if place.turns <= 1 else costs.switch_us


def start_ms(costs, place):
    """mpiexec until MPI_Init has returned everywhere: the launcher's tree of daemons, then the processes of each host, one
    core time each (spawn/job.cc). Nothing here but the launcher's own steps depends on the number of processes."""
    tree = 0.0 if place.hosts == 1 else costs.daemon_ms * math.ceil(math.log(place.hosts, costs.daemon_fanout) + 1e-9)
    return costs.launch_ms + tree + costs.process_ms * max(1.0, place.here / place.cores)


def init_ms(costs, place):
    """MPI_Init of one process (mpi_api/init.cc bring_up): reads its environment, opens fabrics, puts its card, waits for
    nobody. The same for any number of processes; crowded cores stretch it."""
    return costs.init_ms


def contact_us(costs, place):
    """The first message to a process: in shared memory a memfd and two maps (shm/fabric.cc); over InfiniBand its card from
    the launcher (core/engine.h ensure_link), a queue pair at both ends, and request, accept, message (core/connect.h)."""
    if place.hosts == 1:
        return costs.contact_us + 2 * hop(costs, place)
    return costs.card_us + 2 * costs.endpoint_us + 4 * costs.network_us


def partners(plan, ranks):
    """How many partners a plan gives each process (core/preconnect.cc)."""
    if plan == "none" or ranks < 2:
        return 0
    return ranks - 1 if plan == "all" else min(ranks - 1, 2 * int(plan.split(":")[1]))


def preconnect_ms(costs, place, plan):
    """What a plan adds to MPI_Init (mpi_api/preconnect.cc): each process's partners, UNDER_WAY at a time. Pairs inside a
    host share its cores; those between hosts cost a process an endpoint each, and the latency of a contact per UNDER_WAY."""
    count = partners(plan, place.ranks)
    inside = count * (place.here - 1) / max(1, place.ranks - 1) if plan == "all" else count if place.hosts == 1 else 0
    between = count - inside
    shared = costs.pair_us * place.here * inside / 2 / place.cores
    remote = between * costs.endpoint_us * place.turns
    remote += math.ceil(between / UNDER_WAY) * contact_us(costs, place) if between else 0
    return (shared + remote) / 1e3


def inside_us(costs, place, members):
    """Members of one host tell each other: through shared memory (coll/shared.h) each takes one turn on its core, above
    SHARED_MAX by dissemination one turn per round."""
    turns = 1 if members <= SHARED_MAX else rounds(members)
    return turns * max(1.0, members / place.cores) * hop(costs, place)


def barrier_us(costs, place):
    """coll/barrier.cc on one host, coll/two_level.h and host_comms.h on several: in the host, between one process of each,
    in the host again."""
    if place.ranks == 1:
        return 0.0
    if place.hosts == 1:
        return inside_us(costs, place, place.ranks)
    inside = inside_us(costs, place, place.here) if place.here > 1 else 0.0
    return 2 * inside + rounds(place.hosts) * costs.network_us


def ring_us(costs, place):
    """A token once around: a message per process, one after the other, those at the ends of hosts over the network."""
    if place.ranks == 1:
        return 0.0
    between = place.hosts if place.hosts > 1 else 0
    return (place.ranks - between) * hop(costs, place) + between * costs.network_us


def alltoall_us(costs, place):
    """One integer from everybody to everybody: coll/alltoall.cc bruck, half of the integers per round, on one host;
    coll/two_level_blocks.cc on several: gathered in the host, one message from each host to each other, spread."""
    if place.ranks == 1:
        return 0.0
    local = inside_us(costs, place, place.here)
    if place.hosts == 1:
        return local
    moved = 4.0 * place.here * place.ranks / costs.bandwidth_mb_s  # Bytes of one host; MB/s are bytes per us.
    return 2 * local + (place.hosts - 1) * costs.message_gap_us + costs.network_us + moved


def finalize_ms(costs, place):
    """The launcher's barrier (spawn/pmi1_server.h): a request and an answer per process of a host, and the hosts' tree."""
    tree = 0.0 if place.hosts == 1 else 2 * costs.network_us * rounds(place.hosts) / 1e3
    return costs.goodbye_us * place.here / 1e3 + tree


def untalked_bytes(costs, place):
    """Memory for a process never talked to: none. Peers begin at first contact (core/peer.h), the world is a range
    (mpi_api/group.h), pages of Comm::peers_ are touched by look-ups only."""
    return 0.0


def connections(place, algorithm):
    """How many processes, of its host and of others, one has talked with after: "init" none, "ring" two, "barrier" and
    "alltoall" as their algorithms say."""
    ranks, hosts = place.ranks, place.hosts
    if algorithm == "init" or ranks == 1:
        return 0, 0
    if algorithm == "ring":
        return min(2, ranks - 1), 1 if hosts > 1 else 0
    local = place.here - 1 if place.here <= SHARED_MAX else min(place.here - 1, 2 * rounds(place.here))
    if hosts == 1:
        return local, 0
    if algorithm == "alltoall":  # Everybody of its host, who give it what they have, and the other leaders.
        return place.here - 1, hosts - 1
    return local, min(hosts - 1, 2 * rounds(hosts))


def memory_kib(costs, place, local, remote):
    """Resident memory of a process (a leader, which has most) that talked with `local` others of its host and `remote` ones
    of other hosts: base, what each connection takes, its record, and pages of Comm::peers_ that look-ups touched."""
    count = local + remote
    table_kib = place.ranks * POINTER_BYTES / 1024
    pages = min(count, math.ceil(table_kib / PAGE_KIB)) if table_kib > 128 else 0  # Below, malloc has it anyway.
    kib = costs.base_kib + HOST_BLOCK_BYTES / 1024 + pages * PAGE_KIB
    kib += local * costs.connection_kib + remote * (costs.queue_pair_kib + costs.receive_kib)
    kib += count * PEER_BYTES / 1024 if remote else 0  # In the measured connection it is contained.
    return kib


def host_map(costs, place):
    """A communicator's first collective on several hosts (coll/comm_hosts.cc find_hosts): microseconds, KiB that stay (per
    host) and KiB that are needed for a moment (a number per member). Not in MPI_Init."""
    if place.hosts == 1:
        return 0.0, 0.0, 0.0
    return place.ranks * costs.host_of_ns / 1e3, place.hosts * HOST_MAP_BYTES / 1024, place.ranks * 4 / 1024


def stage_kib(costs, place, stage):
    """Memory after MPI_Init, the ring, the barrier or the all-to-all."""
    kept = host_map(costs, place)[1] if stage in ("barrier", "alltoall") else 0.0
    return memory_kib(costs, place, *connections(place, stage)) + kept


def costs_of(run):
    """Costs from the jobs of a run of up to CALIBRATION_MAX processes on one host; what the run lacks stays as it is."""
    cores = run["machine"]["cores"]
    jobs = {(job["ranks"], job["preconnect"]): job["median"] for job in run["jobs"]
            if job["hosts"] == 1 and job["ranks"] <= CALIBRATION_MAX}
    plain = sorted(ranks for ranks, plan in jobs if plan == "none")
    costs = Costs(cores=cores)
    if not plain:
        return costs
    small, large = jobs[plain[0], "none"], jobs[plain[-1], "none"]
    few, many = plain[0], plain[-1]
    found = {"init_ms": small["init_ms"], "base_kib": small["memory.init.rss_kib.mean"]}
    if few > 1 and few <= cores:
        found["hop_us"] = small["ring_us"] / few
    if many > max(few, cores):
        found["process_ms"] = max(0.0, large["start_ms"] - small["start_ms"]) * cores / (many - min(few, cores))
        found["launch_ms"] = max(0.0, small["start_ms"] - found["process_ms"] * max(1, few / cores))
        found["switch_us"] = large["ring_us"] / many
        found["goodbye_us"] = 1e3 * large["finalize_ms"] / many
        if "contact_us" in large:
            found["contact_us"] = max(0.0, large["contact_first_us"] - large["contact_us"])
    joined = jobs.get((many, "all"))
    if joined is not None and many > 1:
        found["connection_kib"] = (joined["memory.init.rss_kib.mean"] - large["memory.init.rss_kib.mean"]) / (many - 1)
        pairs = many * (many - 1) / 2
        found["pair_us"] = max(0.0, joined["start_ms"] - large["start_ms"]) * 1e3 * cores / pairs
    return replace(costs, **found)


def place_of(job, cores):
    """Where a job ran; hosts made on one machine share its cores."""
    return Place(job["ranks"], math.ceil(job["ranks"] / job["hosts"]), cores / job["hosts"])


def host_jobs(run):
    """Those on several hosts without connections in advance, smallest first."""
    jobs = [job for job in run["jobs"] if job["hosts"] > 1 and job["preconnect"] == "none"]
    return sorted(jobs, key=lambda job: job["ranks"])


def costs_on_hosts(run, costs):
    """Costs of the network and the launcher of a run, from its two smallest jobs on several hosts; None: it has no two."""
    jobs = host_jobs(run)[:2]
    if len(jobs) < 2:
        return None
    small, large = (job["median"] for job in jobs)
    one, other = (place_of(job, costs.cores) for job in jobs)
    turns = other.turns - one.turns
    process_ms = max(0.0, large["start_ms"] - small["start_ms"]) / turns if turns > 0 else costs.process_ms
    daemon_ms = max(0.0, small["start_ms"] - costs.launch_ms - process_ms * one.turns)
    goodbye_us = 1e3 * max(0.0, large["finalize_ms"] - small["finalize_ms"]) / max(1, other.here - one.here)
    # What a leader has of a process of another host, over what it has of one of its own.
    kib = small["memory.ring.rss_kib.max"] - small["memory.init.rss_kib.mean"] - 2 * costs.connection_kib
    known = {"network_us": small.get("contact_us", 0) / 2, "daemon_ms": daemon_ms, "queue_pair_kib": max(0.0, kib),
             "receive_kib": 0.0}
    contact_us = max(0.0, small.get("contact_first_us", 0) - 4 * known["network_us"])
    known |= {"card_us": contact_us, "endpoint_us": 0.0}
    return replace(costs, process_ms=process_ms, goodbye_us=goodbye_us, init_ms=small["init_ms"],
                   base_kib=small["memory.init.rss_kib.mean"], assumed={**costs.assumed, **known})

"""The programs of tests/mpi on two hosts, under each launcher's own command: some of them under one launcher by
default, all of them under all with `run.py BUILD_DIRECTORY all`."""
import re

from rig import BUILD, CHECKS, ENGINES, ROOT, Skipped, require, run

# Those that differ most over a network.
FEW = ["p2p_stress", "datatype_transfer", "comms", "coll_sequences", "threads"]
# What they look at is not there with several hosts or other launchers: exit codes of mpiexec itself, hosts and
# connections that tests/mpi makes up, what one host shares, many GiB of memory, ranks that end on purpose.
OTHERS = {"endings", "ending", "hosts", "preconnect", "p2p_huge", "lazy"}
LIMIT_S = 120
SKIPPED = 77


def names():
    text = (ROOT / "tests/mpi/CMakeLists.txt").read_text()
    found = re.findall(r"(?m)^ *tern_mpi_test\(NAME (\S+)", text)
    return [name for name in found if name not in OTHERS]


def run_programs(engine, words, wanted):
    engine.require()
    failures = []
    for name in wanted:
        output, code = run("h1", engine.program, *words, str(BUILD / f"tests/mpi/bin/mpi_{name}"), limit_s=LIMIT_S,
                           **engine.env)
        if code not in (0, SKIPPED):
            failures.append(f"{name}: exit status {code}\n{output[-1500:]}")
    require(not failures, f"{len(failures)} of {len(wanted)} programs failed", "\n".join(failures))


def programs_under(engine, words, wanted):
    def one():
        if not (BUILD / f"tests/mpi/bin/mpi_{FEW[0]}").exists():
            raise Skipped("the programs of tests/mpi are not built")
        run_programs(engine, words, wanted)
    return one


def add_all():
    for name, engine in ENGINES.items():
        for words in engine.direct:
            kind = "_" + words[0].removeprefix("--mpi=") if words[0].startswith("--mpi=") else ""
            CHECKS[f"all_of_tests_mpi_{name}{kind}"] = programs_under(engine, words, names())


CHECKS["some_of_tests_mpi"] = programs_under(ENGINES["hydra"], ENGINES["hydra"].direct[0], FEW)

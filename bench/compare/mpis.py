"""The MPIs to compare: how to find each, compile for it and launch with it.

Knows nothing of what is measured. Failure: an MPI that is not there is simply not listed; one that
cannot compile or run is reported by the caller.
"""

import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass, field

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
STAGE = REPOSITORY / "build" / "stage"

# Set for every run. Open MPI refuses root otherwise, also where its mpirun is called by a wrapper.
COMMON_ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@dataclass(frozen=True)
class Mpi:
    """One library with one way of running it; two entries may share a compiler."""

    name: str  # short, for options and columns
    label: str  # for people
    compiler: str
    launcher: str
    bind: tuple  # options for one rank per core
    float: tuple  # options for ranks that the system may move
    options: tuple = ()
    environment: dict = field(default_factory=dict, hash=False)

    def command(self, ranks, bound, program, arguments):
        placement = self.bind if bound else self.float
        return [self.launcher, *self.options, *placement, "-n", str(ranks), str(program),
                *map(str, arguments)]

    def environ(self):
        return {**os.environ, **COMMON_ENVIRONMENT, **self.environment}


_GNU_STYLE = {"bind": ("--bind-to", "core"), "float": ("--bind-to", "none")}
_HYDRA_STYLE = {"bind": ("-bind-to", "core"), "float": ("-bind-to", "none")}
_OPEN_MPI_OPTIONS = ("--allow-run-as-root", "--oversubscribe")


def _first_line(*command):
    """What a program says of itself, or an empty string."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20,
                              env={**os.environ, **COMMON_ENVIRONMENT})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[0] if lines else ""


def _hydra_version(launcher):
    try:
        done = subprocess.run([launcher, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    for line in done.stdout.splitlines():
        if line.strip().startswith("Version:"):
            return line.split(":", 1)[1].strip()
    return ""


def _tern(prefix):
    compiler, launcher = prefix / "bin" / "mpicc", prefix / "bin" / "mpiexec"
    if not (compiler.exists() and launcher.exists()):
        return []
    version = _first_line(str(launcher), "--version").replace("mpiexec (Tern)", "Tern")
    return [Mpi("tern", version or "Tern", str(compiler), str(launcher), **_GNU_STYLE,
                options=("--oversubscribe",))]


def _mpich(compiler, launcher, name="mpich"):
    label = f"MPICH {_hydra_version(launcher)}".strip()
    return [Mpi(name, label, compiler, launcher, **_HYDRA_STYLE)]


def _open_mpi(compiler, launcher, name="ompi"):
    """Both ways of Open MPI: its own shared memory, and UCX (which it takes on one host only when
    told to take any device)."""
    version = _first_line(launcher, "--version").replace("(Open MPI)", "").split()
    label = f"Open MPI {version[-1]}" if version else "Open MPI"
    quiet = {"OMPI_MCA_btl_base_warn_component_unused": "0"}
    return [
        Mpi(f"{name}-ob1", f"{label}, pml ob1", compiler, launcher, **_GNU_STYLE,
            options=(*_OPEN_MPI_OPTIONS, "--mca", "pml", "ob1", "--mca", "btl", "vader,self"),
            environment=quiet),
        Mpi(f"{name}-ucx", f"{label}, pml ucx", compiler, launcher, **_GNU_STYLE,
            options=(*_OPEN_MPI_OPTIONS, "--mca", "pml", "ucx", "--mca", "osc", "ucx", "--mca",
                     "btl", "^openib,ofi"),
            environment={**quiet, "OMPI_MCA_pml_ucx_tls": "any", "OMPI_MCA_pml_ucx_devices": "any"}),
    ]


def _by_prefix(name, prefix):
    """An MPI that the user names: its launcher's version text tells which options it knows."""
    compiler, launcher = prefix / "bin" / "mpicc", prefix / "bin" / "mpiexec"
    if not (compiler.exists() and launcher.exists()):
        raise ValueError(f"no bin/mpicc and bin/mpiexec in {prefix}")
    text = _first_line(str(launcher), "--version")
    if "Open MPI" in text or "OpenRTE" in text:
        return _open_mpi(str(compiler), str(launcher), name)
    if "HYDRA" in text or "Intel" in text:
        return _mpich(str(compiler), str(launcher), name)
    return [Mpi(name, text or name, str(compiler), str(launcher), **_GNU_STYLE)]


def find_mpis(stage=STAGE, named=()):
    """All MPIs of this machine, Tern first. `named` holds (name, prefix) pairs.

    The suffixed names are Debian's; elsewhere pass prefixes, because a bare `mpicc` may be anybody's
    (also Tern's own)."""
    mpis = _tern(pathlib.Path(stage))
    mpicc, mpiexec = shutil.which("mpicc.mpich"), shutil.which("mpiexec.mpich")
    if mpicc and mpiexec:
        mpis += _mpich(mpicc, mpiexec)
    mpicc, mpirun = shutil.which("mpicc.openmpi"), shutil.which("mpirun.openmpi")
    if mpicc and mpirun:
        mpis += _open_mpi(mpicc, mpirun)
    for name, prefix in named:
        mpis += _by_prefix(name, pathlib.Path(prefix))
    return mpis


def compile_programs(mpi, sources, folder):
    """Compiles every source for one MPI unless it is up to date; returns {stem: executable}.

    Raises RuntimeError with the compiler's own words."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = {}
    headers = max((path.stat().st_mtime for path in sources[0].parent.glob("*.h")), default=0)
    for source in sources:
        program = folder / source.stem
        programs[source.stem] = program
        newest = max(source.stat().st_mtime, headers, os.stat(mpi.compiler).st_mtime)
        if program.exists() and program.stat().st_mtime > newest:
            continue
        done = subprocess.run(
            [mpi.compiler, "-std=gnu11", "-O2", str(source), "-o", str(program)],
            capture_output=True, text=True, env=mpi.environ())
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
            raise RuntimeError(f"{source.name} does not compile: " + " | ".join(last))
    return programs

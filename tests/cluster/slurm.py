"""A Slurm of the test's own on the hosts of a cluster: one controller in h1, a daemon in each host."""
import os
import shutil
import subprocess
import time

PROGRAMS = {"srun": "slurm-client", "slurmctld": "slurmctld", "slurmd": "slurmd", "munged": "munge",
            "setpriv": "util-linux"}
CPUS = 8  # Of each host, as Slurm is told.

CONFIGURATION = """ClusterName=tern
SlurmctldHost=h1({address}1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmctldPort=17000
ReturnToService=2
KillWait=1
MpiDefault=none
"""


def why_not():
    """The reason why there can be no Slurm here; empty when there can."""
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            return f"{program} is not installed (Debian: {package})"
    return ""


class Slurm:
    """Lives in `folder`, which all hosts see; ends with them."""

    def __init__(self, execute, folder, hosts, address):
        self.configuration = f"{folder}/slurm.conf"
        os.makedirs(f"{folder}/state")
        with open(f"{folder}/munge.key", "wb") as key:
            key.write(os.urandom(1024))
        for path, mode in ((folder, 0o755), (f"{folder}/munge.key", 0o600)):
            os.chmod(path, mode)
            shutil.chown(path, "munge")
        lines = [CONFIGURATION.format(folder=folder, address=address)]
        for k, host in enumerate(hosts, 1):
            os.mkdir(f"{folder}/spool.{host}")
            lines.append(f"NodeName={host} NodeAddr={address}{k} Port=17001 CPUS={CPUS} State=UNKNOWN\n")
        lines.append("PartitionName=all Nodes=ALL Default=YES State=UP\n")
        with open(self.configuration, "w", encoding="ascii") as configuration:
            configuration.write("".join(lines))
        own = f"{folder}/munge"
        execute("h1", "setpriv", "--reuid=munge", "--clear-groups", "munged", "--force", f"--key-file={own}.key",
                f"--socket={own}.socket", f"--pid-file={own}.pid", f"--log-file={own}.log", f"--seed-file={own}.seed")
        execute("h1", "slurmctld", "-f", self.configuration)
        for host in hosts:
            execute(host, "slurmd", "-N", host, "-f", self.configuration)

    def await_hosts(self, execute, count):
        """Until all hosts have reported; the reason when they do not."""
        end = time.monotonic() + 15
        shown = ""
        while time.monotonic() < end:
            try:
                shown = execute("h1", "sinfo", "-h", "-o", "%D %t", SLURM_CONF=self.configuration)
                if shown.split() == [str(count), "idle"]:
                    return ""
            except subprocess.CalledProcessError as error:
                shown = error.output
            time.sleep(0.1)
        return f"Slurm did not come up: {shown.strip()}"

#!/usr/bin/env python3
"""A slow or lossy wire between a host of scripts/cluster and the others, for kernels without netem.

    cluster_wire.py lay PORT DELAY_MS LOSS_PERCENT RATE_MBIT PIDFILE    replaces one that is there; 0: not limited
    cluster_wire.py remove PORT PIDFILE

Runs in the cluster's own network, where PORT (vethK) is a port of bridge0. A process in the background takes the port's
place there with a device of its own, wire-PORT, and carries every packet from one to the other: at once towards the host,
and as netem would from the host. Packets keep the offload headers that virtual devices give them, so a long one of TCP
goes through, or is lost, as a whole. Exit status: 0 done, 1 with a sentence. Not for measuring: a packet costs some 20 us.
"""
import collections
import fcntl
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time

TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
ALL_OFFLOADS = 0x01 | 0x02 | 0x04  # Checksums, TCP segments over IPv4 and IPv6.
OFFLOAD_HEADER_BYTES = 10
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING, ETH_P_ALL = 263, 15, 4, 3
PACKET_BYTES_MAX = 128 * 1024
WAITING_MAX = 1000  # As netem's limit; what comes then is lost.


def ip(*words, may_fail=False):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0 and not may_fail:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def make_device(name):
    """The end of the wire at the bridge; it is there as long as the descriptor is open."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(device, TUNSETVNETHDRSZ, struct.pack("i", OFFLOAD_HEADER_BYTES))
    fcntl.ioctl(device, TUNSETOFFLOAD, ALL_OFFLOADS)
    return device


def open_port(name):
    """All that the host sends, and the way to it."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.bind((name, ETH_P_ALL))
    port.setblocking(False)
    return port


class Wire:
    def __init__(self, device, port, delay_ms, loss_percent, rate_mbit):
        self.device, self.port = device, port
        self.delay_s, self.loss = delay_ms / 1e3, loss_percent / 100
        self.seconds_per_byte = 8 / (rate_mbit * 1e6) if rate_mbit else 0
        self.free_at = 0.0  # When the last packet has left by the rate.
        self.waiting = collections.deque()  # (when it arrives, packet): none overtakes another.

    def carry(self):
        """Until the process is ended."""
        while True:
            wait_s = max(0.0, self.waiting[0][0] - time.monotonic()) if self.waiting else None
            readable = select.select([self.device, self.port], [], [], wait_s)[0]
            if self.device in readable:
                self.to_host()
            if self.port in readable:
                self.from_host()
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                deliver(os.write, self.device, self.waiting.popleft()[1])

    def to_host(self):
        try:
            packet = os.read(self.device, PACKET_BYTES_MAX)
        except BlockingIOError:
            return
        deliver(socket.socket.send, self.port, packet)

    def from_host(self):
        try:
            packet, source = self.port.recvfrom(PACKET_BYTES_MAX)
        except OSError:  # Nothing there, or the host has crashed and its device is no more.
            return
        # Towards the host goes only what this process sends.
        if source[2] == PACKET_OUTGOING or random.random() < self.loss or len(self.waiting) >= WAITING_MAX:
            return
        now = time.monotonic()
        self.free_at = max(now, self.free_at) + len(packet) * self.seconds_per_byte
        self.waiting.append((self.free_at + self.delay_s, packet))


def deliver(write, where, packet):
    try:
        write(where, packet)
    except OSError:
        pass  # A full queue loses packets on any network.


def remove(port, pid_file):
    try:
        with open(pid_file, encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
    except (OSError, ValueError):
        return
    os.unlink(pid_file)
    ip("link", "set", port, "master", "bridge0", may_fail=True)


def lay(port, shape, pid_file):
    remove(port, pid_file)
    device = make_device("wire-" + port)
    ends = (device, open_port(port))
    ip("link", "set", port, "nomaster")
    ip("link", "set", "wire-" + port, "master", "bridge0", "up")
    if (child := os.fork()) != 0:
        with open(pid_file, "w", encoding="ascii") as file:
            file.write(str(child))
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    Wire(*ends, *shape).carry()


def main(words):
    try:
        if words[:1] == ["lay"] and len(words) == 6:
            lay(words[1], [float(word) for word in words[2:5]], words[5])
        elif words[:1] == ["remove"] and len(words) == 3:
            remove(*words[1:])
        else:
            raise OSError(f"'{' '.join(words)}' is not understood")
    except OSError as error:
        print(f"cluster_wire: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

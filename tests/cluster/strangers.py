#!/usr/bin/env python3
"""Who disturbs jobs, as a program in one of the hosts; see run.py.

strangers.py scan SEED HOST:PORT...   connects to each port several times and sends random bytes, or nothing
strangers.py names                    a server of names that answers after a second, and knows nobody
"""
import random
import socket
import sys
import threading
import time


def scan(seed, targets):
    rng = random.Random(seed)
    heads = [b"", b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n", b"\0" * 64, b"\xff" * 64]
    held = []
    connected = 0
    for target in targets:
        host, port = target.split(":")
        for head in [*heads, *(b"" for _ in range(15))]:
            try:
                stranger = socket.create_connection((host, int(port)), timeout=5)
                connected += 1
                stranger.sendall(head or rng.randbytes(rng.choice([0, 1, 7, 8, 16, 24, 100, 4096, 100000])))
            except OSError:
                continue  # It may hang up at any time.
            # Some are closed, some reset, some stay.
            how = rng.randrange(3)
            if how == 0:
                held.append(stranger)
            elif how == 1:
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            if how != 0:
                stranger.close()
    print(f"connected {connected} times to {len(targets)} ports", flush=True)


def serve_names():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 53))
    print("ready", flush=True)
    while True:
        query, asker = server.recvfrom(512)
        # The same with "this is the answer" and "there is no such name".
        answer = query[:2] + b"\x81\x83" + query[4:]
        threading.Timer(1, server.sendto, (answer, asker)).start()


if __name__ == "__main__":
    if sys.argv[1] == "scan":
        scan(int(sys.argv[2]), sys.argv[3:])
        time.sleep(0.2)  # Those that stay stay a little.
    else:
        serve_names()

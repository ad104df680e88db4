"""Forges webhooks as fast as it can: `python forger.py HOST PORT PATH SECONDS NUMBER`.

It stops after SECONDS, but not before it sent NUMBER, and prints the seconds it took and the answers by status as JSON.
Each connection sends a batch of requests without waiting for the answers, so that the server is the slower side.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter

CONNECTIONS, BATCH = 4, 20
ANSWER = b"HTTP/1.1 "


def main(host: str, port: str, path: str, seconds: str, number: str) -> None:
    begun = time.monotonic()
    counts: Counter[str] = Counter()

    def goes_on() -> bool:
        return time.monotonic() < begun + float(seconds) or sum(counts.values()) < int(number)

    def forge(thread: int) -> None:
        made = 0
        while goes_on():
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                while goes_on():
                    connection.sendall(b"".join(request(path, f"{thread}-{made + turn}") for turn in range(BATCH)))
                    made += BATCH
                    if not read_answers(connection, counts):
                        break

    threads = [threading.Thread(target=forge, args=(thread,)) for thread in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": time.monotonic() - begun, "statuses": counts}))


def request(path: str, reference: str) -> bytes:
    body = json.dumps({"reference": f"forged-{reference}", "status": "SUCCESSFUL", "amount": 5000}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Real-IP: 10.6.6.6\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def read_answers(connection: socket.socket, counts: Counter[str]) -> bool:
    """Count the answers to one batch; False when the server closed the connection."""
    received, seen = b"", 0
    while seen < BATCH or not received.endswith(b"}"):
        data = connection.recv(262_144)
        if not data:
            break
        received += data
        seen = received.count(ANSWER)
    for part in received.split(ANSWER)[1:]:
        counts[part[:3].decode()] += 1
    return seen == BATCH


if __name__ == "__main__":
    main(*sys.argv[1:])

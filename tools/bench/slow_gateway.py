"""A gateway that always answers "pending" after a delay: `python -m tools.bench.slow_gateway SECONDS`.

It is a separate process, so that its CPU time is not measured. It prints its port and ends when its standard input
is closed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


async def serve(delay_seconds: float) -> None:

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            if length := _LENGTH.search(head):
                await reader.readexactly(int(length[1]))
            await asyncio.sleep(delay_seconds)
            writer.write(_reply(head))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _reply(head: bytes) -> bytes:
    reference = head.split(b" ", 2)[1].rsplit(b"/", 1)[1].decode()
    body = json.dumps({"reference": reference, "status": "PENDING", "amount": 5000}).encode()
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return start + str(len(body)).encode() + b"\r\n\r\n" + body


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))

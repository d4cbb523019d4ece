#!/usr/bin/env python3
"""Stand-in for our programs, to test the harness itself: `run --config FILE`.

A TCP proxy that takes endpoints in turn, plus an admin listener. It reads just enough of the file, and reads it
again on SIGHUP.
"""

import asyncio
import itertools
import json
import re
import signal
import sys

CONFIG = sys.argv[sys.argv.index("--config") + 1]


def read():
    with open(CONFIG, encoding="utf-8") as file:
        text = file.read()
    found = [(ip, int(port)) for ip, port in re.findall(r'address: "([\d.]+):(\d+)"', text)]
    return found[0], found[1], found[2:], re.search(r"^name: (\S+)", text).group(1)


LISTENER, ADMIN, endpoints, NAME = read()
turn = itertools.count()
served = 0


def reload():
    global endpoints
    endpoints = read()[2]


async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def connect():
    first = next(turn)
    for step in range(len(endpoints)):
        try:
            return await asyncio.open_connection(*endpoints[(first + step) % len(endpoints)])
        except OSError:
            continue
    return None


async def proxy(reader, writer):
    global served
    served += 1
    upstream = await connect()
    if upstream is None:
        return writer.close()
    await asyncio.gather(pipe(reader, upstream[1]), pipe(upstream[0], writer))


async def admin(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    path = head.split(" ")[1]
    body = {
        "/readyz": "ready\n",
        "/metrics": f'stand_in_connections{{name="{NAME}"}} {served}\n',
        "/api/v1/status": json.dumps({"name": NAME, "endpoints": len(endpoints)}),
    }.get(path)
    status = "404 Not Found" if body is None else "200 OK"
    body = body or ""
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
    writer.close()


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await asyncio.start_server(proxy, *LISTENER)
    await asyncio.start_server(admin, *ADMIN)
    print(f"{NAME} listens", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())

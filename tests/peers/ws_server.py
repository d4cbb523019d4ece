"""Websocket echo server (package `websockets`): IP PORT. Answers /healthz with 200; sends no pings.

The text `close CODE REASON` makes it close so. Each end is told in a line `closed CODE REASON`, as the peer gave it.
"""

import asyncio
import http
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    try:
        async for message in connection:
            if isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                await connection.close(int(code), reason)
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass
    print("closed", connection.close_code, connection.close_reason, flush=True)


def health(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "ok\n")


async def main():
    options = {"process_request": health, "ping_interval": None, "max_size": 64 * 1024 * 1024}
    async with serve(echo, sys.argv[1], int(sys.argv[2]), **options) as server:
        print("ready", flush=True)
        await server.serve_forever()


asyncio.run(main())

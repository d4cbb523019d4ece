"""Websocket echo server (package `websockets`): IP PORT. Answers /healthz with 200; sends no pings."""

import asyncio
import http
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def health(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "ok\n")


async def main():
    options = {"process_request": health, "ping_interval": None, "max_size": 64 * 1024 * 1024}
    async with serve(echo, sys.argv[1], int(sys.argv[2]), **options) as server:
        print("ready", flush=True)
        await server.serve_forever()


asyncio.run(main())

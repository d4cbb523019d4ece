"""Websocket client (package `websockets`): URL MESSAGES BYTES QUIET_SECONDS.

Sends messages, alternately text and binary, and wants each back unchanged. Stays silent before the last one.
The last line of the output is a JSON report.
"""

import asyncio
import json
import os
import sys
import time

from websockets.asyncio.client import connect


async def main():
    url, messages, size, quiet = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    echoed = 0
    options = {"ping_interval": None, "max_size": 64 * 1024 * 1024, "proxy": None}
    async with connect(url, **options) as connection:
        for number in range(messages):
            if number == messages - 1 and quiet > 0:
                await asyncio.sleep(quiet)
            message = os.urandom(size)
            if number % 2 == 0:
                message = message.hex()[:size]
            await connection.send(message)
            answer = await asyncio.wait_for(connection.recv(), 15)
            if answer != message:
                sys.exit(f"message {number} came back changed ({len(answer)} of {len(message)})")
            echoed += 1
        started = time.monotonic()
    report = {
        "echoed": echoed,
        "quiet_seconds": quiet,
        "close_code": connection.close_code,
        "close_seconds": time.monotonic() - started,
    }
    print(json.dumps(report))


asyncio.run(main())

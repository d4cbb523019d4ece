"""Websocket client (package `websockets`): URL SIDE CODE REASON. Closes, or has the server close, with a code and a reason.

SIDE is `client` or `server`, or `nobody`: then it says `open` and waits. The last line of the output is a JSON report: the
code and the reason that came back.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect


async def main():
    url, side, code, reason = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    async with connect(url, ping_interval=None, proxy=None) as connection:
        await connection.send("before")
        await asyncio.wait_for(connection.recv(), 15)
        if side == "server":
            await connection.send(f"close {code} {reason}")
            await asyncio.wait_for(connection.wait_closed(), 15)
        elif side == "nobody":
            print("open", flush=True)
            await asyncio.wait_for(connection.wait_closed(), 60)
        else:
            await connection.close(code, reason)
    print(json.dumps({"code": connection.close_code, "reason": connection.close_reason}))


asyncio.run(main())

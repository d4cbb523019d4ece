"""gRPC client (package `grpcio`): ADDRESS. Opens a call of both directions, uses it once, says `open`, and waits for its end.

The last line of the output is a JSON report: the call's code and details.
"""

import json
import queue
import sys

import grpc

with grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_http_proxy", 0)]) as channel:
    outgoing = queue.Queue()
    call = channel.stream_stream("/strata.Echo/Bidi")(iter(outgoing.get, None), timeout=60)
    outgoing.put(b"once")
    if next(call) != b"echo:once":
        sys.exit("not an echo")
    print("open", flush=True)
    try:
        next(call)
    except grpc.RpcError:
        pass
    print(json.dumps({"code": str(call.code()), "details": call.details()}))
    outgoing.put(None)

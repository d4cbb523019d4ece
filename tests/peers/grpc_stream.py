"""gRPC client (package `grpcio`): ADDRESS. Keeps one call of both directions in use until SIGTERM.

A call that ends with UNAVAILABLE and `leaving` has parted as it should and is opened anew; any other end is a failure. The last
line of the output is a JSON report: messages that came back, calls that parted, failures.
"""

import json
import queue
import signal
import sys
import threading

import grpc

report = {"echoed": 0, "parted": 0, "failures": []}
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())


def talk(channel):
    outgoing = queue.Queue()
    call = channel.stream_stream("/strata.Echo/Bidi")(iter(outgoing.get, None), timeout=120)
    try:
        while not stop.is_set():
            message = b"turn %d" % report["echoed"]
            outgoing.put(message)
            if next(call) != b"echo:" + message:
                raise RuntimeError("another's echo")
            report["echoed"] += 1
            if report["echoed"] == 1:
                print("open", flush=True)
            stop.wait(0.1)
        outgoing.put(None)
        for _ in call:
            raise RuntimeError("one too many")
    except StopIteration:
        report["failures"].append("an end without a reason")
    except RuntimeError as fault:
        report["failures"].append(str(fault))
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAVAILABLE and error.details() == "leaving":
            report["parted"] += 1
        else:
            report["failures"].append(f"{error.code()}: {error.details()}")
    finally:
        outgoing.put(None)


# The shortest pause is also the longest that an attempt may take.
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 5000)]
with grpc.insecure_channel(sys.argv[1], options=OPTIONS) as channel:
    while not stop.is_set():
        talk(channel)
        if report["failures"]:
            stop.wait(0.1)

report["failures"] = report["failures"][:20]
print(json.dumps(report))

"""gRPC client (package `grpcio`): ADDRESS. Makes each kind of call; the last line of the output is a JSON report."""

import json
import queue
import sys

import grpc

TIMEOUT = 10
report = {}


def trailers(call):
    return {key: value for key, value in call.trailing_metadata() or ()}


def note(kind, is_ok, call, **more):
    report[kind] = {"ok": bool(is_ok), "trailers": trailers(call), **more}


def unary(channel):
    answer, call = channel.unary_unary("/strata.Echo/Unary").with_call(b"hello", timeout=TIMEOUT)
    initial = {key: value for key, value in call.initial_metadata()}
    note("unary", answer == b"unary:hello" and initial.get("x-initial") == "yes", call)


def client_stream(channel):
    pieces = [b"piece %d" % number for number in range(50)]
    answer, call = channel.stream_unary("/strata.Echo/ClientStream").with_call(iter(pieces), timeout=TIMEOUT)
    note("client_stream", answer == b"|".join(pieces), call)


def server_stream(channel):
    call = channel.unary_stream("/strata.Echo/ServerStream")(b"50", timeout=TIMEOUT)
    items = list(call)
    note("server_stream", items == [b"item %d" % number for number in range(50)], call)


def bidi(channel):
    """Each message is sent only after the answer to the one before: both directions must flow at once."""
    outgoing = queue.Queue()
    call = channel.stream_stream("/strata.Echo/Bidi")(iter(outgoing.get, None), timeout=TIMEOUT)
    is_ok = True
    try:
        for number in range(20):
            message = b"turn %d" % number
            outgoing.put(message)
            is_ok &= next(call) == b"echo:" + message
    finally:
        outgoing.put(None)
    is_ok &= next(call, None) is None
    note("bidi", is_ok, call)


def failing(channel):
    try:
        channel.unary_unary("/strata.Echo/Fail")(b"", timeout=TIMEOUT)
        report["failing"] = {"ok": False, "trailers": {}}
    except grpc.RpcError as error:
        is_ok = error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "as ordered"
        note("failing", is_ok, error, code=str(error.code()), details=error.details())


def unknown(channel):
    """A server answers this by trailers only: one HEADERS frame that ends the stream."""
    try:
        channel.unary_unary("/strata.Echo/Nowhere")(b"", timeout=TIMEOUT)
        report["unknown"] = {"ok": False, "trailers": {}}
    except grpc.RpcError as error:
        note("unknown", error.code() == grpc.StatusCode.UNIMPLEMENTED, error, code=str(error.code()))


with grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_http_proxy", 0)]) as channel:
    for kind in (unary, client_stream, server_stream, bidi, failing, unknown):
        try:
            kind(channel)
        except grpc.RpcError as error:
            report[kind.__name__] = {"ok": False, "error": f"{error.code()}: {error.details()}"}

print(json.dumps(report))
sys.exit(0 if all(kind["ok"] for kind in report.values()) else 1)

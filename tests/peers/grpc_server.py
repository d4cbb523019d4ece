"""gRPC server (package `grpcio`): ADDRESS NAME. Messages are bare bytes, so no protoc is needed.

Service `strata.Echo`: Unary, ClientStream, ServerStream, Bidi, Fail. Each call ends with trailing metadata.
Service `grpc.health.v1.Health`: Check says SERVING.
"""

import sys
from concurrent import futures

import grpc

NAME = sys.argv[2]


def finish(context, count):
    context.set_trailing_metadata((("x-count", str(count)), ("x-served-by", NAME)))


def unary(request, context):
    context.send_initial_metadata((("x-initial", "yes"),))
    finish(context, 1)
    return b"unary:" + request


def client_stream(requests, context):
    received = list(requests)
    finish(context, len(received))
    return b"|".join(received)


def server_stream(request, context):
    count = int(request)
    for number in range(count):
        yield b"item %d" % number
    finish(context, count)


def bidi(requests, context):
    count = 0
    for request in requests:
        count += 1
        yield b"echo:" + request
    finish(context, count)


def fail(request, context):
    finish(context, 0)
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as ordered")


def check(_request, _context):
    return b"\x08\x01"  # field 1, SERVING


SERVICES = [
    grpc.method_handlers_generic_handler(
        "strata.Echo",
        {
            "Unary": grpc.unary_unary_rpc_method_handler(unary),
            "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
            "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
            "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
        },
    ),
    grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    ),
]

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), handlers=SERVICES)
if server.add_insecure_port(sys.argv[1]) == 0:
    sys.exit("cannot bind " + sys.argv[1])
server.start()
print("ready", flush=True)
server.wait_for_termination()

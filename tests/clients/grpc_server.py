"""A gRPC server whose bidirectional calls return each message. Prints its port."""

from concurrent import futures

import grpc


def chat(messages, _context):
    yield from messages


def handler(service):
    return grpc.method_handlers_generic_handler(service, {"Chat": grpc.stream_stream_rpc_method_handler(chat)})


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    server.add_generic_rpc_handlers((handler("live.Echo"), handler("kept.Echo")))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


main()

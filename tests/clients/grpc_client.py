"""A gRPC client that sends each line of its standard input as a message of a bidirectional call,
and prints each message that it gets and, last, the status of the call."""

import os
import queue
import sys
import threading

import grpc


def main():
    target, method, token = sys.argv[1:]
    lines = queue.Queue()

    def read_lines():
        for line in sys.stdin:
            lines.put(line.rstrip("\n").encode())
        lines.put(None)

    threading.Thread(target=read_lines, daemon=True).start()
    channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
    call = channel.stream_stream(method)(iter(lines.get, None), metadata=[("authorization", f"Bearer {token}")])
    try:
        for message in call:
            print("message", message.decode(), flush=True)
        print("end", call.code().name, flush=True)
    except grpc.RpcError as error:
        print("end", error.code().name, flush=True)
    os._exit(0)  # the thread that reads lines would wait for the end of the input


main()

#!/usr/bin/env python3
"""gRPC by the PyPI package grpcio, without generated code: messages are bytes.

  serve                        a service; prints its port first, then "cancelled" for each call of /t.T/Hang that was
  visit PORT HOST COMMAND...   a visitor, who does one thing after the other and prints one line of JSON for each

Commands: {"unary": size} echoes so many bytes, {"fail": text} is refused with that text, {"count": n} gets n messages,
{"sum": [sizes]} sends messages and gets their number of bytes, {"chat": n} sends n messages, each after the answer to the
one before, {"hang": n} cancels after n messages, {"late": seconds} gives up after that time, {"listen": seconds} sends a message, and
one more after that time, in which only answers come.
"""

import json
import os
import queue
import sys
import time
from concurrent import futures

import grpc

LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def unary(request, context):
    asked = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-early", asked.get("x-asked", "")), ("x-raw-bin", asked.get("x-raw-bin", b""))))
    context.set_trailing_metadata((("x-late", "yes"), ("x-bytes-bin", bytes(range(256)))))
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, request.decode())


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def total(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def chat(requests, context):
    for request in requests:
        yield request[::-1]


def hang(request, context):
    left = queue.Queue()
    context.add_callback(lambda: left.put(None))
    for number in range(int(request)):
        yield str(number).encode()
    left.get()
    print("cancelled", flush=True)


NEXT = queue.Queue()


def listen(requests, context):
    yield next(requests)
    yield from iter(NEXT.get, b"")
    yield next(requests)


def following(request, context):
    NEXT.put(request)
    return b""


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Sum": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Listen": grpc.stream_stream_rpc_method_handler(listen),
    "Next": grpc.unary_unary_rpc_method_handler(following),
    "Hang": grpc.unary_stream_rpc_method_handler(hang),
}


def refusal(error):
    return {"code": error.code().name, "details": error.details()}


def do(channel, what, value):
    if what == "unary":
        message, raw = os.urandom(value), os.urandom(64)
        call = channel.unary_unary("/t.T/Unary")
        answer, call = call.with_call(message, metadata=(("x-asked", "me"), ("x-raw-bin", raw)), timeout=60)
        early, late = dict(call.initial_metadata()), dict(call.trailing_metadata())
        return {
            "same": answer == message and early["x-raw-bin"] == raw and late["x-bytes-bin"] == bytes(range(256)),
            "early": early["x-early"],
            "late": late["x-late"],
        }
    if what == "fail":
        return {"answer": channel.unary_unary("/t.T/Fail")(value.encode(), timeout=60).decode()}
    if what == "count":
        answers = channel.unary_stream("/t.T/Count")(str(value).encode(), timeout=60)
        return {"right": [int(answer) for answer in answers] == list(range(value))}
    if what == "sum":
        sizes = (bytes(size) for size in value)
        return {"sum": int(channel.stream_unary("/t.T/Sum")(sizes, timeout=60))}
    if what == "chat":
        said = queue.Queue()
        answers = channel.stream_stream("/t.T/Chat")(iter(said.get, None), timeout=60)
        for number in range(value):
            said.put(b"message %d" % number)
            if next(answers) != (b"message %d" % number)[::-1]:
                return {"wrong": number}
        said.put(None)
        return {"right": value, "ended": next(answers, None) is None, "code": answers.code().name}
    if what == "listen":
        said = queue.Queue()
        answers = channel.stream_stream("/t.T/Listen")(iter(said.get, None), timeout=60)
        said.put(b"first")
        seen = [next(answers)]
        until = time.monotonic() + value
        while time.monotonic() < until:
            channel.unary_unary("/t.T/Next")(b"tick", timeout=60)
            if next(answers) != b"tick":
                return {"wrong": "tick"}
        channel.unary_unary("/t.T/Next")(b"", timeout=60)
        said.put(b"last")
        seen.append(next(answers))
        said.put(None)
        return {"seen": [answer.decode() for answer in seen], "ended": next(answers, None) is None}
    if what == "hang":
        answers = channel.unary_stream("/t.T/Hang")(str(value).encode(), timeout=60)
        seen = [int(next(answers)) for _ in range(value)]
        answers.cancel()
        return {"seen": seen}
    if what == "late":
        return {"answers": list(channel.unary_stream("/t.T/Hang")(b"0", timeout=value))}
    raise ValueError(what)


def visit(port, host, commands):
    options = LARGE + [("grpc.default_authority", host), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"ipv4:127.0.0.1:{port}", options) as channel:
        for command in commands:
            [(what, value)] = json.loads(command).items()
            try:
                answer = do(channel, what, value)
            except grpc.RpcError as error:
                answer = refusal(error)
            print(json.dumps(answer), flush=True)


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(64), options=LARGE)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        visit(int(sys.argv[2]), sys.argv[3], sys.argv[4:])

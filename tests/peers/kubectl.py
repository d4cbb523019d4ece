#!/usr/bin/python3 -IS
"""Stands in for kubectl: lists pods, hands out a secret, forwards ports. What it knows is in the file PODS_FILE:
{"token": "…", "pods": [{"name": "…", "labels": {…}, "address": "IP:PORT", "phase": "Running"}]}. Words that kubectl wouldn't take fail.
"""

import argparse
import json
import os
import socket
import sys
import threading


def fail(text):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(1)


def listed(known, selector):
    wanted = dict(part.split("=", 1) for part in selector.split(","))
    chosen = [pod for pod in known["pods"] if wanted.items() <= pod["labels"].items()]
    item = lambda pod: {
        "metadata": {"name": pod["name"], "labels": pod["labels"]},
        "spec": {"containers": [{"name": "lb", "ports": [{"name": "admin", "containerPort": int(pod["address"].split(":")[1])}]}]},
        "status": {"phase": pod["phase"]},
    }
    print(json.dumps({"kind": "List", "items": [item(pod) for pod in chosen]}))


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def forward(known, name, port):
    pod = next((pod for pod in known["pods"] if f"pod/{pod['name']}" == name), None)
    if pod is None or pod.get("unreachable"):
        fail(f"unable to forward port because pod {name} is not running")
    address, own = pod["address"].split(":")
    if port != f":{own}":
        fail(f"pod has no port {port}")
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> {own}", flush=True)
    while True:
        client, _ = listener.accept()
        print(f"Handling connection for {own}", flush=True)
        server = socket.create_connection((address, int(own)))
        for pair in ((client, server), (server, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def main():
    with open(os.environ["PODS_FILE"]) as file:
        known = json.load(file)
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--context")
    verbs = parser.add_subparsers(dest="verb", required=True)
    get = verbs.add_parser("get")
    get.add_argument("what", choices=["pods", "secret"])
    get.add_argument("name", nargs="?")
    get.add_argument("--selector")
    get.add_argument("--output", required=True)
    port_forward = verbs.add_parser("port-forward")
    port_forward.add_argument("--address", choices=["127.0.0.1"])
    port_forward.add_argument("pod")
    port_forward.add_argument("port")
    args = parser.parse_args()
    if args.namespace != "edge":
        fail(f'namespaces "{args.namespace}" not found')
    if args.verb == "port-forward":
        forward(known, args.pod, args.port)
    elif args.what == "pods":
        listed(known, args.selector)
    elif args.name == "lb-admin-tokens" and args.output.startswith("go-template="):
        print(known["token"])
    else:
        fail(f'secrets "{args.name}" not found')


main()

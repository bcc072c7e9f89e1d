"""A small receiver of webhooks in a namespace: HTTPS, every POST a line of JSON in a file.

    /hook      200, or whatever its standard input has said last ("503")
    /refuse    403
    /redirect  302
    /mute      takes the request and never answers
"""
from __future__ import annotations

import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from processes import end_helper  # noqa: E402

PORT = 9443


class Receiver:
    def __init__(self, namespace: str, certificate: str, key: str, file: pathlib.Path):
        self.command = ["ip", "netns", "exec", namespace, sys.executable, __file__, certificate, key, str(file)]
        self.file = file
        self.url = f"https://localhost:{PORT}/hook"

    def __enter__(self) -> Receiver:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == "ready", "the receiver did not start"
        return self

    def __exit__(self, *_) -> None:
        end_helper(self.process)

    def answer(self, status: int) -> None:
        """From now on, at /hook."""
        print(status, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline().strip() == "ok"

    def got(self) -> list[dict]:
        """Every request: path, auth (cf-webhook-auth), id, body, status (what it was answered), at."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def told(self) -> list[dict]:
        """Notifications that were taken, without test messages."""
        return [one for one in self.got() if one["status"] == 200 and one["id"] != "test"]


def serve(certificate: str, key: str, file: str) -> None:
    status = [200]
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = {"/refuse": 403, "/redirect": 302}.get(self.path, status[0])
            line = {"path": self.path, "auth": self.headers.get("cf-webhook-auth"), "id": self.headers.get("x-qanat-notification-id"),
                    "body": json.loads(body), "status": answer, "at": time.time()}
            with lock, open(file, "a") as out:
                out.write(json.dumps(line) + "\n")
            if self.path == "/mute":
                time.sleep(60)
            self.send_response(answer)
            self.send_header("Location", "https://localhost:9443/hook")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        status[0] = int(line)
        print("ok", flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])

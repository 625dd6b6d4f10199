"""An application behind a gateway: it answers each request with what it saw of it, as JSON.

A path that begins with /500 is answered with 500, and /reached with the number of requests so far, which are all others.
Usage: echo-application.py PORT
"""

import hashlib
import http.server
import itertools
import json
import sys

count = itertools.count(1)
reached = 0


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        self.trailers = []
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while line := self.rfile.readline().strip():
            self.trailers.append(line.decode("latin-1"))
        return body

    def answer(self):
        global reached
        if self.path == "/reached":
            return self.send(200, str(reached).encode())
        body = self.body()
        reached = next(count)
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "trailers": self.trailers,
        }
        self.send(500 if self.path.startswith("/500") else 200, json.dumps(seen).encode())

    def send(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = answer

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()

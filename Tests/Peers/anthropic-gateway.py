"""A gateway in front of a broker, as small as one can be, for clients that know only one base URL.

POST /v1/oauth/token goes to the broker as it came; POST /v1/messages is answered with a message as the provider documents
it, after the broker's /verify said yes. What arrives is printed, a line of JSON for each request, without the bodies.
Usage: anthropic-gateway.py PORT BROKER-URL
"""

import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BROKER = sys.argv[2]
MESSAGE = {
    "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "pong"}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def call(method, path, headers, body=None):
    request = urllib.request.Request(BROKER + path, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        print(json.dumps({"path": path, "headers": {k.lower(): v for k, v in self.headers.items()}}), flush=True)
        if path == "/v1/oauth/token":
            names = ("Content-Type", "anthropic-beta", "User-Agent")
            kept = {name: self.headers[name] for name in names if self.headers[name]}
            self.answer(*call("POST", path, kept, body))
        elif path == "/v1/messages":
            kept = {"Authorization": self.headers.get("Authorization") or ""}
            status, headers, _ = call("GET", "/verify?scope=anthropic:messages", kept)
            error = {"type": "error", "error": {"type": "authentication_error", "message": "refused"}}
            self.answer(status, headers, json.dumps(MESSAGE if status == 200 else error).encode())
        else:
            self.answer(404, {}, b"{}")

    def answer(self, status, headers, body):
        self.send_response(status)
        for name in ("request-id", "Daypass-Subject", "Daypass-Rule", "Retry-After"):
            if headers.get(name):
                self.send_header(name, headers[name])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Gateway).serve_forever()

"""What may answer where a client looks for its broker.

Each exchange is printed: the digest of its subject token.
With CERTIFICATE, a PEM file with its key, it speaks TLS.
Usage: bad-broker.py PORT MODE [CERTIFICATE], of: good, silent, drip, cut, html, json-list, expired, endless, deep, session, redirect, echo, busy, busy-once, bad-gateway
"""

import hashlib
import http.server
import json
import ssl
import sys
import time
import urllib.parse

mode = sys.argv[2]
count = 0


class Broker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            self.answer(200, {})
        elif mode == "silent":
            time.sleep(30)
        elif mode == "drip" and self.path.startswith("/.well-known/"):
            self.drip()
        else:
            self.answer(200 if mode != "expired" else 401, {})

    def do_POST(self):
        global count
        count += 1
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        token = form["subject_token"][0]
        print(hashlib.sha256(token.encode()).hexdigest(), flush=True)
        issued = {"access_token": f"token-{count}", "token_type": "Bearer", "expires_in": 900, "scope": "a", "session_id": "s"}
        if mode == "silent":
            time.sleep(30)
        elif mode == "drip":
            self.drip()
        elif mode == "cut":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"access_token":"eyJhbGciOiJFUzI1NiJ9.e30.c2VjcmV0","token_type":"Bearer"')
        elif mode == "html":
            self.answer(200, f"<html>sign in, {token}</html>", "text/html; charset=utf-8")
        elif mode == "json-list":
            self.answer(200, [])
        elif mode == "expired":
            self.answer(200, {**issued, "expires_in": 0})
        elif mode == "endless":
            self.answer(200, {**issued, "scope": "a" * (1 << 20)})
        elif mode == "deep":
            # A parser may take time by the square of it.
            self.answer(200, "[" * 30000 + "]" * 30000)
        elif mode == "session":
            self.answer(200, {**issued, "session_id": "s" * 40000})
        elif mode == "redirect":
            self.answer(302, {}, headers={"Location": f"http://127.0.0.1:{sys.argv[1]}/elsewhere"})
        elif mode == "echo":
            words = f"no: {token} \n\x1b[2Kdaypass: all is well"
            self.answer(400, {"error": "invalid_request", "error_description": words})
        elif mode == "bad-gateway":
            self.answer(502, f"<html>{token}</html>", "text/html")
        elif mode == "busy" or (mode == "busy-once" and count == 1):
            error = {"error": "temporarily_unavailable", "error_description": "too many"}
            self.answer(503, error, headers={"Retry-After": "1" if mode == "busy-once" else "60"})
        else:
            self.answer(200, issued)

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(30):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(1)

    def answer(self, status, body, kind="application/json", headers={}):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer.request_queue_size = 128
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Broker)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()

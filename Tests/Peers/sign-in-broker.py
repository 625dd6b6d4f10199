"""A broker's sign-in of people as RFC 8628, RFC 6749 §6 and RFC 7009 have it, on loopback, with scripted answers.

The file script.json is read for each request:
  polls    what the n-th question of a device is answered with, the last one for good: pending, slow_down, slow_down_429,
           denied, expired, unknown (as after a restart), busy (503), broken (500), closed (no answer), foreign (HTML), approved
  asked    what a device that asks to be signed in is told beside or instead of the usual
  granted  what a grant has beside or instead of the usual; a member that is null is left out
  refresh  ok; or ended, busy, closed, lost (it is rotated, and the answer does not arrive), alone (each takes a tenth of a
           second, and another one meanwhile ends all sessions)
  revoke   ok; or busy
Refresh tokens are rotated at each use. One that was used is answered again until its successor is used; after that its use
ends the session. An access token is good while its session lasts.
Each request is printed in a line of JSON: its path, and its form without tokens and codes.
Usage: sign-in-broker.py PORT script.json
"""

import hashlib
import http.server
import json
import sys
import threading
import time
import urllib.parse

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
lock = threading.Lock()


class State:
    polls = 0
    devices = 0
    tokens = 0
    under_way = 0
    sessions = {}


def successor(token):
    return "refresh-" + hashlib.sha256(token.encode()).hexdigest()


class Broker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def script(self, name, usual):
        with open(sys.argv[2]) as file:
            return json.load(file).get(name, usual)

    def answer(self, status, body, headers=(), kind="application/json"):
        data = (json.dumps(body) if kind == "application/json" else body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, error, headers=()):
        self.answer(status, {"error": error, "error_description": f"scripted (trace {'0' * 32})"}, headers)

    def hang_up(self):
        self.close_connection = True

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()))
        hidden = ("token", "refresh_token", "device_code")
        shown = {name: value for name, value in form.items() if name not in hidden}
        with lock:
            print(json.dumps({"path": self.path, **shown}), flush=True)
        if self.headers.get("Content-Type") != "application/x-www-form-urlencoded":
            return self.error(400, "invalid_request")
        grant = form.get("grant_type")
        if grant == "refresh_token" and self.script("refresh", "ok") == "alone":
            self.take_time()
        with lock:
            if self.path == "/oauth/device_authorization":
                self.device()
            elif self.path == "/oauth/token" and grant == DEVICE:
                self.poll(form.get("device_code"))
            elif self.path == "/oauth/token" and grant == "refresh_token":
                self.refresh(form.get("refresh_token"), form.get("scope"))
            elif self.path == "/oauth/revoke":
                self.revoke(form.get("token"))
            else:
                self.error(400, "unsupported_grant_type" if grant else "invalid_request")

    def take_time(self):
        with lock:
            State.under_way += 1
            if State.under_way > 1:
                for session in State.sessions.values():
                    session["live"] = False
        time.sleep(0.1)
        with lock:
            State.under_way -= 1

    def device(self):
        State.devices += 1
        State.polls = 0
        usual = {
            "device_code": f"device-{State.devices}", "user_code": "BCDF-GHJK", "expires_in": 600, "interval": 1,
            "verification_uri": f"http://127.0.0.1:{sys.argv[1]}/device",
            "verification_uri_complete": f"http://127.0.0.1:{sys.argv[1]}/device?code=BCDF-GHJK",
        }
        self.answer(200, {**usual, **self.script("asked", {})})

    def poll(self, code):
        if code != f"device-{State.devices}":
            return self.error(400, "invalid_grant")
        polls = self.script("polls", ["approved"])
        answer = polls[min(State.polls, len(polls) - 1)]
        State.polls += 1
        if answer == "approved":
            name = f"session-{State.devices}"
            State.sessions[name] = {"current": f"refresh-of-{name}", "used": None, "live": True}
            return self.grant(name, f"refresh-of-{name}", None)
        if answer == "closed":
            return self.hang_up()
        if answer == "foreign":
            return self.answer(200, "<p>sign in to the guest network</p>", kind="text/html")
        status, error = {
            "pending": (400, "authorization_pending"), "slow_down": (400, "slow_down"), "slow_down_429": (429, "slow_down"),
            "unknown": (400, "invalid_grant"), "denied": (400, "access_denied"), "expired": (400, "expired_token"), "busy": (503, "temporarily_unavailable"),
            "broken": (500, "server_error"),
        }[answer]
        self.error(status, error, [("Retry-After", "1")] if status == 503 else [])

    def grant(self, session, refresh, scope):
        State.tokens += 1
        usual = {
            "access_token": f"{session}.token-{State.tokens}", "token_type": "Bearer", "expires_in": 900,
            "scope": scope or "anthropic:messages anthropic:count_tokens", "session_id": session,
            "refresh_token": refresh, "email": "ada@example.com",
        }
        members = {**usual, **self.script("granted", {})}
        self.answer(200, {name: value for name, value in members.items() if value is not None})

    def refresh(self, token, scope):
        answer = self.script("refresh", "ok")
        if answer == "busy":
            return self.error(503, "temporarily_unavailable", [("Retry-After", "60")])
        if answer == "closed":
            return self.hang_up()
        for name, session in State.sessions.items():
            if answer == "ended":
                session["live"] = False
            if not session["live"] or token not in (session["current"], session["used"]):
                continue
            if token == session["current"]:
                session["used"], session["current"] = token, successor(token)
            if answer == "lost":
                return self.hang_up()
            return self.grant(name, session["current"], scope)
        # Known to no session, or used twice: whose it was, its form tells nobody here, so that all end.
        for session in State.sessions.values():
            session["live"] = False
        self.error(401, "invalid_grant")

    def revoke(self, token):
        if self.script("revoke", "ok") == "busy":
            return self.error(503, "temporarily_unavailable", [("Retry-After", "1")])
        for session in State.sessions.values():
            if token in (session["current"], session["used"]):
                session["live"] = False
        self.answer(200, {})

    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with lock:
            session = State.sessions.get(token.split(".")[0])
        if self.path.startswith("/verify"):
            if not session or not session["live"]:
                return self.error(401, "invalid_token", [("WWW-Authenticate", 'Bearer error="invalid_token"')])
            name = token.split(".")[0]
            headers = [
                ("Daypass-Subject", "company:ada"), ("Daypass-Session", name), ("Daypass-Rule", "developers"),
                ("Daypass-Scope", "anthropic:messages anthropic:count_tokens"),
            ]
            return self.answer(200, {}, headers)
        self.answer(200, {"issuer": f"http://127.0.0.1:{sys.argv[1]}"})

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Broker).serve_forever()

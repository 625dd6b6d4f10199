"""The identity token service of GitHub Actions as its documentation describes it, on loopback.

`GET /ID//idtoken/…?api-version=2.0&audience=A` with `Authorization: bearer SECRET` answers `{"count": 1, "value": TOKEN}`.
What is given out for an audience is in the file tokens.json: {"A": "TOKEN"}, read for each request.
Each request is printed: its status and its audience.
Usage: github-tokens.py PORT SECRET tokens.json
"""

import http.server
import json
import sys
import urllib.parse


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        where = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(where.query)
        scheme, _, secret = self.headers.get("Authorization", "").partition(" ")
        audience = query.get("audience", ["https://github.com/acme"])[0]
        with open(sys.argv[3]) as file:
            tokens = json.load(file)
        if where.path == "/":
            status, body = 200, {}
        elif scheme.lower() != "bearer" or secret != sys.argv[2]:
            status, body = 401, {"message": "who are you, " + secret}
        elif "/idtoken/" not in where.path or query.get("api-version") != ["2.0"] or audience not in tokens:
            status, body = 400, {"message": "no"}
        else:
            status, body = 200, {"count": 1, "value": tokens[audience]}
        if where.path != "/":
            print(status, audience, flush=True)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8; api-version=2.0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()

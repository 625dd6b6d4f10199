"""An HTTP client with a certificate, of Python's own `http.client` and `ssl`, that keeps its connections open for as long
as a test wants: it never opens one anew by itself. Tests tell it what to send over HTTP, at 127.0.0.1:PORT.

Usage: mtls-client.py PORT

POST of {"connection": NAME, "method", "path", "headers": [[NAME, VALUE], …], "body"}, and where the connection is not open
yet with {"port", "authority": FILE, "certificate": FILE, "key": FILE, "version": "1.2"}, all but the first two optional.
Answers {"status", "headers", "body", "port": the client's own, "server": DER of the server's certificate in hexadecimal},
or {"failure"}: there was none.
"""

import http.client
import http.server
import json
import ssl
import sys

connections = {}


def opened(wanted):
    context = ssl.create_default_context(cafile=wanted["authority"])
    # The broker is to refuse weak certificates, and not the library here.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    if wanted.get("version") == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if "certificate" in wanted:
        context.load_cert_chain(wanted["certificate"], wanted["key"])
    connection = http.client.HTTPSConnection("localhost", wanted["port"], context=context, timeout=20)
    connection.connect()
    connection.auto_open = 0
    return connection


def send(wanted):
    name = wanted["connection"]
    if name not in connections:
        connections[name] = opened(wanted)
    connection = connections[name]
    if connection.sock is None:
        raise http.client.NotConnected("its last answer said that it was the last")
    port = connection.sock.getsockname()[1]
    server = connection.sock.getpeercert(binary_form=True).hex()
    connection.putrequest(wanted["method"], wanted["path"])
    body = wanted.get("body", "").encode()
    for header, value in wanted.get("headers", []) + [["Content-Length", str(len(body))]]:
        connection.putheader(header, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    return {
        "status": answer.status, "headers": answer.getheaders(), "body": text, "port": port, "server": server,
    }


class Control(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            answer = send(wanted)
        except (OSError, http.client.HTTPException) as failure:
            connections.pop(wanted["connection"], None)
            answer = {"failure": f"{type(failure).__name__}: {failure}"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Control).serve_forever()

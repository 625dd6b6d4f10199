"""A gateway in front of a broker with the provider's API behind it, as small as one can be, for clients that know only one
base URL: Anthropic's SDKs and Claude Code.

POST /v1/oauth/token goes to the broker as it came; POST /v1/messages is answered as the provider documents it, with one JSON
message or with server-sent events, after the broker's /verify said yes. The answer is pong, but to a prompt with a line
"Run: COMMAND" it is first that the model wants the tool Bash with that command. What arrives is printed, a line of JSON for
each request with the status that it gets, without the bodies. Without BROKER-URL it is the provider's API alone, for behind
another gateway: it asks nobody, and knows no /v1/oauth/token.
Usage: anthropic-gateway.py PORT [BROKER-URL]
"""

import json
import re
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BROKER = sys.argv[2] if len(sys.argv) > 2 else None


def call(method, path, headers, body=None):
    request = urllib.request.Request(BROKER + path, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def blocks(body):
    for message in body["messages"]:
        content = message["content"]
        yield from [{"type": "text", "text": content}] if isinstance(content, str) else content


def reply(body):
    """The message that answers, whole."""
    found = list(blocks(body))
    command = next((m[1] for b in found if b["type"] == "text" and (m := re.search(r"(?m)^Run: (.+)$", b["text"]))), None)
    content, reason = {"type": "text", "text": "pong"}, "end_turn"
    if command and not any(b["type"] == "tool_result" for b in found):
        tool = {"command": command, "description": "Runs the command"}
        content, reason = {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": tool}, "tool_use"
    return {
        "id": "msg_01", "type": "message", "role": "assistant", "model": body["model"], "content": [content],
        "stop_reason": reason, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def events(message):
    """The same as the events of a stream."""
    (block,) = message["content"]
    if block["type"] == "text":
        empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    for event in (
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


class Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        if path == "/v1/oauth/token" and BROKER:
            names = ("Content-Type", "anthropic-beta", "User-Agent")
            kept = {name: self.headers[name] for name in names if self.headers[name]}
            self.answer(*call("POST", path, kept, body))
        elif path == "/v1/messages":
            names = ("Authorization", "x-api-key")
            kept = {name: self.headers[name] for name in names if self.headers[name]}
            verify = "/verify?scope=anthropic:messages"
            status, headers, _ = call("GET", verify, kept) if BROKER else (200, {}, b"")
            if status != 200:
                error = {"type": "error", "error": {"type": "authentication_error", "message": "refused"}}
                self.answer(status, headers, json.dumps(error).encode())
                return
            request = json.loads(body)
            message = reply(request)
            if request.get("stream"):
                self.answer(200, headers, b"".join(events(message)), "text/event-stream")
            else:
                self.answer(200, headers, json.dumps(message).encode())
        else:
            self.answer(404, {}, b"{}")

    def answer(self, status, headers, body, kind="application/json"):
        received = {name.lower(): value for name, value in self.headers.items()}
        print(json.dumps({"path": self.path.split("?")[0], "headers": received, "status": status}), flush=True)
        self.send_response(status)
        for name in ("request-id", "Daypass-Subject", "Daypass-Rule", "Retry-After"):
            if headers.get(name):
                self.send_header(name, headers[name])
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Gateway).serve_forever()

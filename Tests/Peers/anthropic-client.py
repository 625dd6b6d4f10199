"""What an application with Anthropic's SDK does: it takes everything from ANTHROPIC_* variables or a profile, says ping as
often as it is told, and prints the last answer, or how the SDK shows that it has no credentials, as a line of JSON.
Usage: anthropic-client.py [TIMES [FILE-REMOVED-AFTER-THE-FIRST]]
"""

import json
import os
import sys

import anthropic
from anthropic.lib.credentials import WorkloadIdentityError

client = anthropic.Anthropic(max_retries=0)
try:
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        message = client.messages.create(
            model="claude-sonnet-4-5", max_tokens=16, messages=[{"role": "user", "content": "ping"}])
        if len(sys.argv) > 2 and os.path.exists(sys.argv[2]):
            os.remove(sys.argv[2])
    print(json.dumps({"text": message.content[0].text}))
except WorkloadIdentityError as error:
    print(json.dumps({"status": error.status_code, "body": error.body, "request_id": error.request_id}))

"""What an application with Anthropic's SDK does: it takes everything from ANTHROPIC_* variables, says ping, and prints the
answer, or how the SDK shows that it has no credentials, as a line of JSON.
"""

import json

import anthropic
from anthropic.lib.credentials import WorkloadIdentityError

client = anthropic.Anthropic(max_retries=0)
try:
    message = client.messages.create(
        model="claude-sonnet-4-5", max_tokens=16, messages=[{"role": "user", "content": "ping"}])
    print(json.dumps({"text": message.content[0].text}))
except WorkloadIdentityError as error:
    print(json.dumps({"status": error.status_code, "body": error.body, "request_id": error.request_id}))

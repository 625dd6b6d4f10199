"""oidc-provider-mock with the `kid` of its key in the header of its ID tokens.

The provider leaves it out, and Daypass demands it: without it a rotated key looks like a forged signature. The library
below it takes the `kid` from the provider's own configuration of its tokens, so this only adds it there.
`POST /logout-token` with a form answers with what the provider would send at a logout (OpenID Connect Back-Channel Logout
1.0 §2.4), its claims changed by those of the form: that provider sends none.
Usage: openid-provider.py PORT [--without-kid]; the user is alice, in the group platform-admins.
"""

import secrets
import sys
import time
import warnings

warnings.simplefilter("ignore")

import flask
import oidc_provider_mock
from authlib import jose
from oidc_provider_mock import _app as provider

if "--without-kid" not in sys.argv:
    configured = provider.OpenIDCode.get_jwt_config

    def with_key_id(self, grant, client=None):
        return {**configured(self, grant, client), "kid": provider.storage.jwk.thumbprint()}

    provider.OpenIDCode.get_jwt_config = with_key_id

alice = provider.User(sub="alice", claims={"email": "alice@example.com", "groups": ["platform-admins"]})
app = oidc_provider_mock.app(user_claims=[alice])
app.debug = False


@app.post("/logout-token")
def logout_token():
    now = int(time.time())
    claims = {
        "iss": flask.request.host_url.rstrip("/"), "aud": "daypass", "sub": "alice", "iat": now, "exp": now + 120,
        "jti": secrets.token_urlsafe(16), "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        **flask.request.form,
    }
    key = provider.storage.jwk
    header = {"alg": "RS256", "typ": "logout+jwt", "kid": key.thumbprint()}
    return jose.jwt.encode(header, claims, key).decode()


app.run(host="127.0.0.1", port=int(sys.argv[1]), use_reloader=False)

"""Prepares Debian's glewlwyd, an OpenID provider with refresh tokens, for one client and one user, over its own interface.

Usage: glewlwyd.py prepare FOLDER PORT REDIRECT-URI     writes FOLDER/glewlwyd.conf and its database; it then serves with
                                                        glewlwyd -c FOLDER/glewlwyd.conf
       glewlwyd.py remove PORT USER                     while it serves: USER leaves. One who is only disabled goes on to
                                                        refresh there
       glewlwyd.py logout FOLDER PORT USER              while it serves: USER ends every session there, which it tells its clients
The user is alice with the password of the same name, the client daypass with the secret "secret".
"""

import http.cookiejar
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

from joserfc.jwk import RSAKey

TABLES = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
CONFIGURATION = """\
port={port}
bind_address="127.0.0.1"
external_url="{origin}"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="WARNING"
cookie_secure=0
session_expiration=2419200
session_key="GLEWLWYD2_SESSION_ID"
admin_session_authentication="cookie"
profile_session_authentication="cookie"
login_api_enabled=true
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=false
secure_connection_key_file=""
secure_connection_pem_file=""
secure_connection_ca_file=""
hash_algorithm="SHA512"
database = {{ type = "sqlite3"; path = "{folder}/glewlwyd.db"; }};
"""


class Browser:
    """Whoever is signed in there; the password of admin is that of a new database."""

    def __init__(self, origin, user="admin", password="password"):
        self.origin = origin
        jar = http.cookiejar.CookieJar()
        self.client = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        self.send("POST", "/api/auth/", {"username": user, "password": password})

    def send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.origin + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self.client.open(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code}: {error.read().decode()}") from None
        return json.loads(text) if text else None


def administrator(origin):
    """Waits until it serves."""
    for _ in range(200):
        try:
            return Browser(origin)
        except urllib.error.URLError:
            time.sleep(0.05)
    raise SystemExit("glewlwyd does not serve")


def prepare(folder, port, redirect):
    os.makedirs(folder, exist_ok=True)
    origin = f"http://127.0.0.1:{port}"
    with open(f"{folder}/glewlwyd.conf", "w") as file:
        file.write(CONFIGURATION.format(port=port, origin=origin, folder=folder))
    with open(TABLES) as file, sqlite3.connect(f"{folder}/glewlwyd.db") as database:
        database.executescript(file.read())
    key = RSAKey.generate_key(2048, {"kid": f"key-{port}", "alg": "RS256", "use": "sig"}, private=True)
    server = subprocess.Popen(["glewlwyd", "-c", f"{folder}/glewlwyd.conf"], stdout=sys.stderr)
    try:
        admin = administrator(origin)
        for scope in ["email", "offline_access"]:
            admin.send("POST", "/api/scope/", {
                "name": scope, "display_name": scope, "description": scope, "password_required": False, "password_max_age": 0,
                "scheme": {}})
        admin.send("POST", "/api/mod/plugin/", {
            "module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "enabled": True,
            "parameters": {
                "iss": origin + "/api/oidc", "jwks-private": json.dumps({"keys": [key.as_dict(private=True)]}), "default-kid": f"key-{port}", "jwt-type": "rsa",
                "jwt-key-size": "256", "jwks-show": True, "access-token-duration": 3600,
                "refresh-token-duration": 1209600, "code-duration": 600, "refresh-token-rolling": True,
                "refresh-token-one-use": "always", "allow-non-oidc": False, "auth-type-code-enabled": True,
                "auth-type-refresh-enabled": True, "pkce-allowed": True, "pkce-required": True,
                "pkce-method-plain-allowed": False, "subject-type": "public", "oauth-rar-allowed": False,
                "email-claim": "mandatory", "email-claim-scope": ["openid"],
                "front-channel-logout-allowed": False, "back-channel-logout-allowed": True,
                "session-management-allowed": True, "session-cookie-name": "GLEWLWYD2_OIDC_SID",
                "session-cookie-expiration": 2419200,
            }})
        admin.send("POST", "/api/client/", {
            "client_id": "daypass", "name": "Daypass", "password": "secret", "client_secret": "secret",
            "confidential": True, "enabled": True, "redirect_uri": [redirect], "scope": [],
            "authorization_type": ["code", "refresh_token"], "token_endpoint_auth_method": ["client_secret_basic"],
            "backchannel_logout_uri": redirect.replace("/callback", "/backchannel-logout"),
        })
        admin.send("POST", "/api/user/", {
            "username": "alice", "password": "alice", "name": "Alice", "email": "alice@example.com", "enabled": True,
            "scope": ["openid", "email", "offline_access"]})
    finally:
        server.terminate()
        server.wait(10)


def logout(folder, port, user):
    with sqlite3.connect(f"{folder}/glewlwyd.db") as database:
        found = database.execute(
            "SELECT DISTINCT gpoi_sid FROM gpo_id_token WHERE gpoi_username = ? AND gpoi_sid IS NOT NULL", [user]).fetchall()
    browser = Browser(f"http://127.0.0.1:{port}", user, user)
    for (session,) in found:
        browser.send("DELETE", f"/api/oidc/session/{session}/")


match sys.argv[1:]:
    case ["prepare", folder, port, redirect]:
        prepare(folder, int(port), redirect)
    case ["remove", port, user]:
        administrator(f"http://127.0.0.1:{port}").send("DELETE", f"/api/user/{user}")
    case ["logout", folder, port, user]:
        logout(folder, int(port), user)
    case _:
        raise SystemExit(__doc__)

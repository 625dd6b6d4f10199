"""What the soak knows of tokens, and so of each answer; and its requests."""
import base64, dataclasses, json, os, random, re, time, urllib.parse

ISSUER, AUDIENCE, SCOPE = "https://issuer.example.com", "https://daypass.example.com", "anthropic:messages"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT, ACCESS = ("urn:ietf:params:oauth:token-type:" + kind for kind in ("jwt", "access_token"))
RULES = {"second": (1, 6), "seconds": (4, 30), "quarter": (15, 60), "minute": (60, 120)}  # name: ttl, max_session


class Wrong(Exception):
    """An answer that must not be."""


def base64url(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@dataclasses.dataclass(eq=False)
class Session:
    id: str
    subject: str
    rule: str
    end: float
    # Whether somebody has begun to end it, and whether that is acknowledged.
    doomed: bool = False
    dead: bool = False


@dataclasses.dataclass(eq=False)
class Token:
    text: str
    id: str
    expiry: float
    session: Session
    own_doomed: bool = False
    own_dead: bool = False

    doomed = property(lambda self: self.own_doomed or self.session.doomed)
    dead = property(lambda self: self.own_dead or self.session.dead)
    live = property(lambda self: not self.doomed and time.time() < self.expiry)

    def __str__(self):
        return (f"jti {self.id}, sid {self.session.id}, {self.session.rule}, exp in {self.expiry - time.time():.3f} s, "
                f"being revoked: {self.doomed}, revoked: {self.dead}")


class Opening:
    """In the place of a token, for a session that is being opened. Where its subject or its rule is revoked meanwhile nobody
    can say whether it is refused, and whether what it gets is good."""

    dead, expiry = False, float("inf")

    def __init__(self, marks, *names):
        self.marks, self.names = marks, names
        self.before = self.now

    now = property(lambda self: [self.marks[name] for name in self.names])
    live = property(lambda self: self.now == self.before and not any(mark % 2 for mark in self.before))

    def __str__(self):
        return f"a session of {self.names}"


@dataclasses.dataclass
class Question:
    request: bytes
    # A Token or an Opening; None where the answer is always that of a bad one.
    token: object
    # What is answered about one that is good, and about one that is not.
    good: int
    bad: int
    was_dead: bool = False

    def sent(self):
        self.was_dead = self.token is None or self.token.dead or time.time() >= self.token.expiry
        return self.request

    def check(self, status, head, body, counts):
        """Called as soon as the answer was read, before anything else can begin."""
        token, text = self.token, head.decode("latin-1") + body.decode("latin-1")
        counts[status] += 1
        if status in (429, 503) and "retry-after" in text.lower():
            return
        allowed = {self.bad} if self.was_dead else {self.good} if token.live else {self.good, self.bad}
        if status not in allowed:
            raise Wrong(f"{status} in the place of {sorted(allowed)} for {token or 'no token'}:\n{self.request[:90]!r}\n{text}")
        if status == 200 and b"/verify" in self.request[:20]:
            for name, value in (("subject", token.session.subject), ("session", token.session.id)):
                found = re.search(rf"(?mi)^daypass-{name}: (.*?)\r$", text)
                if not found or urllib.parse.unquote(found[1]) != value:
                    raise Wrong(f"an answer that is about another {name} than {value}:\n{text}")


def form(path, **fields):
    body = urllib.parse.urlencode(fields).encode()
    return b"POST %s HTTP/1.1\r\nHost: daypass\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


def order(path, **members):
    body = json.dumps(members).encode()
    return b"POST /admin/v1/%s HTTP/1.1\r\nHost: daypass\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


def verify(token, scope=SCOPE, line=b"GET /verify HTTP/1.1", key=False, *more):
    fields = [line, b"Host: gateway", b"Daypass-Require-Scope: " + scope.encode(), *more]
    if token:
        fields.append((b"x-api-key: " if key else b"Authorization: Bearer ") + token.encode())
    return b"\r\n".join(fields) + b"\r\n\r\n"


def subject_token(key, subject, **claims):
    now = int(time.time())
    text = base64url({"alg": "EdDSA", "kid": "soak"}) + "." + base64url(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 120, "jti": os.urandom(12).hex(), **claims})
    return f"{text}.{base64url(key.sign(text.encode()))}"


def tampered(text):
    """The same with another bit: of the signature, or of what is signed."""
    head, payload, signature = text.split(".")
    if random.random() < 0.5:
        raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
        raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
        return f"{head}.{payload}.{base64url(bytes(raw))}"
    return f"{head}.{base64url(claims_of(text) | {'exp': int(time.time()) + 3600})}.{signature}"

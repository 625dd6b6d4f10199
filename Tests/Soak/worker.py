"""One process of the soak's load."""
import asyncio, collections, json, os, random, re, signal, time
from answers import ACCESS, EXCHANGE, JWT, RULES, SCOPE, Opening, Question, Session, Token, Wrong, claims_of, form, order, subject_token, tampered, verify


class Connection:
    """Kept open until the other side says that it ends it."""

    def __init__(self, place, counts):
        self.place, self.counts, self.writer = place, counts, None

    async def ask(self, questions, pieces=1):
        """Sends all of them at once and checks the answers in their order; returns status and body of the last."""
        try:
            if self.writer is None:
                self.reader, self.writer = await self.place.open()
            data = b"".join(question.sent() for question in questions)
            cuts = sorted(random.randrange(len(data)) for _ in range(pieces - 1))
            for start, end in zip([0, *cuts], [*cuts, len(data)]):
                self.writer.write(data[start:end])
                if end < len(data):
                    await asyncio.sleep(0.001)
            for number, question in enumerate(questions):
                head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)
                status, lower = int(head[9:12]), head.lower()
                length = re.search(rb"\r\ncontent-length: (\d+)", lower)
                body = await self.reader.readexactly(int(length[1])) if length and length[1] != b"0" else b""
                question.check(status, head, body, self.counts)
                if b"\r\nconnection: close" in lower:
                    self.close()
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.TimeoutError) as error:
            raise Wrong(f"no answer to {questions[0].request[:60]!r}: {error!r}")
        return status, body

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class Place:
    """Where a listener of the broker is."""

    def __init__(self, port=None, path=None, context=None):
        self.port, self.path, self.context = port, path, context

    async def open(self):
        if self.path:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)


class Worker:
    """One process of load. What it knows of its tokens nobody else changes."""

    def __init__(self, soak, number):
        self.soak, self.number, self.key, self.ending = soak, number, soak.key, False
        self.counts, self.tokens, self.revoked = collections.Counter(), collections.deque(maxlen=3000), collections.Counter()
        # Of the subjects and rules, how often somebody has begun to revoke them, and how often it was acknowledged.
        self.marks = collections.Counter()
        self.public, self.admin = Place(soak.port, context=soak.client_context), Place(path=str(soak.folder / "admin.sock"))

    def connection(self):
        return Connection(self.public, self.counts)

    def question(self, token, good=200, **options):
        return Question(verify(token.text, **options), token, good, 401)

    def some_token(self):
        """Half of the time one of the newest; of the others most have expired or are revoked."""
        newest = len(self.tokens) - 1
        return self.tokens[random.randint(max(0, newest - 200), newest) if random.random() < 0.5 else random.randint(0, newest)]

    def some_question(self):
        if not self.tokens or random.random() < 0.02:
            return Question(verify(None), None, 401, 401)
        token, dice = self.some_token(), random.random()
        if dice < 0.7:
            return self.question(token)
        if dice < 0.78:
            return self.question(token, good=403, scope="anthropic:batches")
        if dice < 0.81:
            return Question(verify(tampered(token.text)), None, 401, 401)
        if dice < 0.86:
            return self.question(token, line=b"POST /verify/v1/messages?scope=none HTTP/1.1")
        if dice < 0.91:
            return self.question(token, key=True)
        return Question(b"GET /verify?scope=%s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\n\r\n" % (
            SCOPE.encode(), token.text.encode()), token, 200, 401)

    async def gateway(self):
        while not self.ending:
            connection = self.connection()
            for _ in range(random.randint(1, 300)):
                questions = [self.some_question() for _ in range(random.choice([1, 1, 4, 16, 48]))]
                await connection.ask(questions, random.choice([1, 1, 1, 2, 4]))
                await asyncio.sleep(random.choice([0, 0, 0.002]))
            connection.close()

    async def other_gateway(self):
        """Its requests are none for the gate: two spaces, or the end of the connection asked for."""
        while not self.ending:
            connection = self.connection()
            for _ in range(random.choice([0, 0, 20])):
                if self.tokens:
                    await connection.ask([self.question(self.some_token(), line=b"GET /verify HTTP/1.1\r\nAccept:  */*") for _ in range(random.randint(1, 8))])
            if self.tokens:
                await connection.ask([self.question(self.some_token(), line=b"GET /verify HTTP/1.1\r\nConnection: close")])
            if connection.writer and await asyncio.wait_for(connection.reader.read(), 30):
                raise Wrong("something was sent behind the last answer")
            connection.close()
            await asyncio.sleep(0.01)

    async def stranger(self):
        while not self.ending:
            await asyncio.sleep(0.02)
            good = f"Authorization: Bearer {self.some_token().text}\r\n" if self.tokens else ""
            head = random.choice([
                os.urandom(random.randint(1, 200)) + b"\r\n\r\n", b"GET /verify\r\n\r\n", b"GET /verify HTTP/1.1\r\n\r\n",
                f"GET /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n{good}\r\n".encode(),
                f"GET /verify HTTP/1.1\r\nHost: a\r\n{good}{good}\r\n".encode(), f"GET /verify HTTP/1.1\r\nHost: a\r\n {good}\r\n".encode(),
                f"GET /verify HTTP/1.1\nHost: a\nDaypass-Require-Scope : {SCOPE}\n{good}\n\n".encode()])
            reader, writer = await self.public.open()
            try:
                writer.write(head)
                answer = await asyncio.wait_for(reader.read(4096), 1)
                self.counts["strangers"] += 1
                if answer.startswith(b"HTTP/1.1 200"):
                    raise Wrong(f"200 to {head!r}:\n{answer.decode('latin-1')}")
            except (asyncio.TimeoutError, ConnectionError):
                pass
            finally:
                writer.close()

    def granted(self, body, session):
        text = json.loads(body)["access_token"]
        claims = claims_of(text)
        return Token(text, claims["jti"], claims["exp"], session or Session(claims["sid"], claims["sub"], claims["rule"], 0))

    async def job(self):
        connection = self.connection()
        while not self.ending:
            await asyncio.sleep(random.uniform(0, 0.08))
            name, subject = random.choice(list(RULES)), f"job-{self.number}-{random.randrange(100)}"
            rule = f"{name}-{self.number}"
            proof = subject_token(self.key, subject, team=str(self.number), life=name)
            opening = Opening(self.marks, f"soak:{subject}", rule)
            status, body = await connection.ask([Question(
                form("/oauth/token", grant_type=EXCHANGE, subject_token=proof, subject_token_type=JWT), opening, 200, 400)])
            if status != 200 or not opening.live:
                continue
            token = self.granted(body, None)
            token.session.end = time.time() + RULES[name][1] - 3
            if (token.session.subject, token.session.rule) != (f"soak:{subject}", rule):
                raise Wrong(f"a token of {token.session.subject} by {token.session.rule} for {subject}, {rule}")
            self.tokens.append(token)

    async def renewer(self):
        connection = self.connection()
        while not self.ending:
            await asyncio.sleep(random.uniform(0, 0.1))
            parent = self.some_token() if self.tokens else None
            if parent is None or time.time() > parent.session.end:
                continue
            status, body = await connection.ask([Question(
                form("/oauth/token", grant_type=EXCHANGE, subject_token=parent.text, subject_token_type=ACCESS), parent, 200, 400)])
            if status == 200:
                # Where its session was ended meanwhile, this one is dead like all others of it.
                self.tokens.append(self.granted(body, parent.session))

    def victims(self, kind, token):
        """What is revoked with that kind, and its value."""
        session = token.session
        if kind == "token":
            return [token], token.id
        value = {"session": session.id, "subject": session.subject, "rule": session.rule}[kind]
        return [one for one in self.tokens if value in (one.session.id, one.session.subject, one.session.rule)], value

    async def revoker(self):
        admin, holder, hot = Connection(self.admin, self.counts), self.connection(), [self.connection() for _ in range(3)]
        while not self.ending:
            await asyncio.sleep(random.uniform(0, 0.05))
            live = [token for token in list(self.tokens)[-300:] if token.live]
            if not live:
                continue
            kind = random.choices(["token", "session", "subject", "rule"], [50, 30, 20, 2])[0]
            token = random.choice(live)
            victims, value = self.victims(kind, token)
            if kind == "token" and random.random() < 0.6:
                connection, request = holder, form("/oauth/revoke", token=token.text)
            else:
                connection, request = admin, order("revocations", kind=kind, value=value)
            self.marks[value] += 1
            ended = [token] if kind == "token" else {one.session for one in victims}
            for one in ended:
                if kind == "token": one.own_doomed = True
                else: one.doomed = True
            over = False

            async def under_way(connection):
                while not over:
                    await connection.ask([self.question(token)])
                await connection.ask([self.question(token)])

            asking = [asyncio.create_task(under_way(connection)) for connection in hot]
            await connection.ask([Question(request, None, 200, 200)])
            over = True
            for one in ended:
                if kind == "token": one.own_dead = True
                else: one.dead = True
            self.marks[value] += 1
            self.revoked[kind] += 1
            await asyncio.gather(*asking)
            for connection in hot:
                await connection.ask([self.question(victim) for victim in victims[-32:]])

    async def work(self, until):
        # Whatever else is wrong is not reported after the first.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        tasks = [asyncio.create_task(one()) for one in [self.gateway] * 6 + [self.other_gateway] * 2 + [self.stranger, self.revoker] + [self.job] * 3 + [self.renewer] * 2]
        done, _ = await asyncio.wait(tasks, timeout=until - time.monotonic(), return_when=asyncio.FIRST_EXCEPTION)
        self.ending = True
        # Each looks at what it has asked for; the first that is wrong is reported.
        await asyncio.gather(*(done or tasks))
        shed = self.counts[429] + self.counts[503]
        if shed * 4 > sum(self.counts.values()):
            raise Wrong(f"{shed} of {sum(self.counts.values())} requests were shed")
        for needed in (200, 401, 403, 400):
            if not self.counts[needed]:
                raise Wrong(f"nothing was ever answered {needed}")

    def run(self, until, report):
        # With the one that started it.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        random.seed()
        try:
            asyncio.run(self.work(until))
            report.send((dict(self.counts), dict(self.revoked)))
        except Wrong as wrong:
            report.send(f"worker {self.number}: {wrong}")

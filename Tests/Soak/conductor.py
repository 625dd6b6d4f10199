"""The soak's broker, the processes that load it, and what is looked at from outside."""
import collections, json, multiprocessing, os, pathlib, random, re, shutil, signal, socket, ssl, statistics, subprocess, sys, tempfile, time
from answers import AUDIENCE, EXCHANGE, ISSUER, JWT, RULES, SCOPE, Wrong, base64url, claims_of, form, order, subject_token, verify
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from worker import Worker

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# In seconds.
SHUTDOWN = 15
# How much more the last third of the run may take than the second one: a factor, and MiB.
GROWTH, GROWTH_MIB = 1.02, 3


class Soak:
    def __init__(self, options):
        self.options, self.key = options, Ed25519PrivateKey.generate()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="daypass-soak-"))
        self.daypassd, self.workers, self.client_context = None, [], None
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0)), other.bind(("127.0.0.1", 0))
            self.port, self.telemetry = one.getsockname()[1], other.getsockname()[1]

    def write_configuration(self, *more):
        rules = [(f"{name}-{worker}", {"team": str(worker), "life": name}, *RULES[name]) for worker in range(self.options.workers) for name in RULES]
        tls = ", tls: {certificate: certificates/server.pem, key: certificates/server.key}" if self.options.tls else ""
        (self.folder / "daypass.yaml").write_text(f"""
server:
  public: {{listen: "127.0.0.1:{self.port}", url: "http{'s' if tls else ''}://127.0.0.1:{self.port}"{tls}}}
  telemetry: {{listen: "127.0.0.1:{self.telemetry}"}}
  admin: {{socket: admin.sock}}
  limits: {{exchanges_per_second_per_address: 1000000}}
tokens: {{audiences: ["https://gateway.example.com"]}}
verify: {{cache_entries: 1000, failures_per_second_per_address: 100000}}
store: {{sqlite: data/daypass.db}}
audit: {{file: data/audit.jsonl}}
master_key_file: data/master.key
issuers:
  - {{name: soak, issuer: "{ISSUER}", audience: "{AUDIENCE}", keys: {{file: keys.json}}, algorithms: [EdDSA]}}
rules:
""" + "".join(f"  - {{name: {name}, issuer: soak, match: {json.dumps(match)}, grant: {{scope: [\"{SCOPE}\"], ttl: {ttl}s, max_session: {end}s}}}}\n"
              for name, match, ttl, end in [*rules, ("conductor", {"life": "conductor"}, 60, 120), *more]))

    def start(self):
        public = self.key.public_key().public_bytes_raw()
        (self.folder / "keys.json").write_text(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "soak", "x": base64url(public)}]}))
        if self.options.tls:
            subprocess.run([ROOT / "certs/make-development", self.folder / "certificates"], check=True, stdout=subprocess.DEVNULL)
            self.client_context = ssl.create_default_context(cafile=self.folder / "certificates/bundle.pem")
        self.write_configuration()
        configuration = self.folder / "daypass.yaml"
        subprocess.run([self.options.daypassd, "init", "--config", configuration], check=True, stdout=subprocess.DEVNULL)
        self.log = open(self.folder / "log", "w")
        # It ends with this process, whatever becomes of that.
        self.daypassd = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", self.options.daypassd, "serve", "--config", configuration], stderr=self.log)
        for _ in range(600):
            if (self.folder / "admin.sock").exists() and '"listener":"public"' in (self.folder / "log").read_text():
                return
            if self.daypassd.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"daypassd does not listen:\n{(self.folder / 'log').read_text()[-3000:]}")

    def resident(self):
        status = pathlib.Path(f"/proc/{self.daypassd.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daypassd.pid}/fd"))

    def exchange(self, hand, life):
        """By a rule that no worker revokes; None where no rule matches."""
        fields = dict(grant_type=EXCHANGE, subject_token=subject_token(self.key, "conductor", life=life), subject_token_type=JWT)
        status, _, body = hand.send(form("/oauth/token", **fields))
        return json.loads(body)["access_token"] if status == 200 else None

    def revoke_and_ask(self, one, other, admin):
        """Nothing stands between the acknowledgement and the question but two system calls."""
        token = self.exchange(one, "conductor")
        claims = claims_of(token)
        for _ in range(2):
            if (answer := one.send(verify(token)))[0] != 200:
                raise Wrong(f"{answer[0]} for a good token:\n{answer[1]}")
        if random.random() < 0.5:
            status, head, _ = one.send(form("/oauth/revoke", token=token))
        else:
            status, head, _ = admin.send(order("revocations", kind="session", value=claims["sid"]))
        answer = other.send(verify(token))
        if status != 200 or answer[0] != 401:
            raise Wrong(f"revoked with {status}, and the next question was answered {answer[0]}:\n{head}\n{answer[1]}")

    def conduct(self, seconds):
        """The run; returns what the workers have counted, and the resident memory all along, in MiB."""
        begun = time.monotonic()
        for number in range(self.options.workers):
            receiver, sender = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.Process(target=Worker(self, number).run, args=(begun + seconds, sender), daemon=True)
            process.start()
            self.workers.append((process, receiver))
        one, other, admin = Hand(self), Hand(self), Hand(self, "admin.sock")
        resident, reports, rotated, reloaded = [], {}, 0, False
        while (passed := time.monotonic() - begun) < seconds:
            resident.append(self.resident())
            self.revoke_and_ask(one, other, admin)
            # What was signed with the key before stays good.
            if passed > seconds * (rotated + 1) / 4 and rotated < 2:
                status, _, body = admin.send(order("keys/rotate", force=True))
                if status != 200:
                    raise Wrong(f"the key was not rotated: {status} {body[:300]}")
                rotated += 1
            if not reloaded and passed > seconds / 3:
                self.reload(one)
                reloaded = True
            self.collect(reports)
            time.sleep(0.05)
        while len(reports) < len(self.workers):
            if time.monotonic() > begun + seconds + 60:
                raise Wrong("a worker does not end")
            self.collect(reports)
            time.sleep(0.05)
        for connection in (one, other, admin):
            connection.close()
        counts, revoked = (sum((collections.Counter(report[part]) for report in reports.values()), collections.Counter()) for part in (0, 1))
        return counts, revoked, resident

    def collect(self, reports):
        """What the workers have to say: how often what was answered and revoked, or what was wrong."""
        for number, (process, receiver) in enumerate(self.workers):
            if number in reports:
                continue
            if receiver.poll():
                reports[number] = receiver.recv()
                if isinstance(reports[number], str):
                    raise Wrong(reports[number])
            elif process.exitcode is not None:
                raise Wrong(f"worker {number} ended with {process.exitcode}")
        if self.daypassd.poll() is not None:
            raise Wrong(f"daypassd ended with {self.daypassd.returncode}")

    def reload(self, hand):
        if self.exchange(hand, "late") is not None:
            raise Wrong("a token by a rule that there is not yet")
        self.write_configuration(("late", {"life": "late"}, 60, 60))
        self.daypassd.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while self.exchange(hand, "late") is None:
            if time.monotonic() > deadline:
                raise Wrong("the configuration was not reloaded")
            time.sleep(0.05)

    def check_end(self, resident, descriptors):
        third = len(resident) // 3
        before, after = statistics.median(resident[third:2 * third]), statistics.median(resident[2 * third:])
        print(f"resident: {resident[0]:.0f} MiB at first, {before:.1f} in the second third, {after:.1f} in the last")
        if after > before * GROWTH + GROWTH_MIB:
            raise Wrong("the memory is not flat")
        deadline = time.monotonic() + 15
        while (left := self.descriptors()) > descriptors and time.monotonic() < deadline:
            time.sleep(0.1)
        print(f"descriptors: {descriptors} before, {left} after")
        if left > descriptors:
            links = [os.readlink(f"/proc/{self.daypassd.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{self.daypassd.pid}/fd")]
            raise Wrong(f"descriptors are left open: {sorted(links)}")
        for arguments in ([], ["--against", self.folder / "data/audit.jsonl"]):
            done = subprocess.run([pathlib.Path(self.options.daypassd).with_name("daypass"), "audit", "verify", *arguments],
                                  env=os.environ | {"DAYPASS_SOCKET": str(self.folder / "admin.sock")}, capture_output=True, text=True)
            print("audit:", *done.stdout.splitlines())
            if done.returncode:
                raise Wrong(f"the audit trail: {done.stdout}{done.stderr}")
        idle = [Hand(self) for _ in range(5)]
        for hand in idle:
            hand.send(verify(None))
        begun = time.monotonic()
        self.daypassd.send_signal(signal.SIGTERM)
        try:
            status = self.daypassd.wait(SHUTDOWN)
        except subprocess.TimeoutExpired:
            raise Wrong(f"daypassd does not end within {SHUTDOWN} s of SIGTERM")
        print(f"ended with {status} after {time.monotonic() - begun:.1f} s, with {len(idle)} connections open")
        if status:
            raise Wrong(f"daypassd ended with {status}")

    def run(self):
        self.start()
        hands = [Hand(self), Hand(self, "admin.sock")]
        token = self.exchange(hands[0], "conductor")
        hands[0].send(verify(token)), hands[0].send(form("/oauth/revoke", token=token)), hands[1].send(order("revocations", kind="token", value="none"))
        for hand in hands:
            hand.close()
        time.sleep(1)
        descriptors = self.descriptors()
        counts, revoked, resident = self.conduct(self.options.seconds)
        answers = {str(name): count for name, count in counts.items()}
        print("answers:", ", ".join(f"{count:,} {name}" for name, count in sorted(answers.items())))
        print("revoked:", ", ".join(f"{count:,} {name}" for name, count in sorted(revoked.items())), flush=True)
        self.check_end(resident, descriptors)

    def stop(self):
        for process in [*(worker for worker, _ in self.workers), self.daypassd]:
            if process is not None:
                process.kill()
        if self.daypassd is not None:
            self.daypassd.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Hand:
    """A connection of the conductor's, which waits for each answer, and begins anew where the broker ends it."""

    def __init__(self, soak, path=None):
        self.soak, self.path, self.socket = soak, path and str(soak.folder / path), None

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        self.socket.settimeout(30)
        self.socket.connect(self.path or ("127.0.0.1", self.soak.port))
        if self.soak.client_context and not self.path:
            self.socket = self.soak.client_context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.file = self.socket.makefile("rb")

    def close(self):
        if self.socket:
            self.file.close(), self.socket.close()
            self.socket = None

    def send(self, request):
        """The status, the head and the body of what is answered; asked again, a few times, where that is to come again later."""
        for _ in range(20):
            status, head, body = self.send_once(request)
            if status != 503 or "retry-after" not in head.lower() or b"applied" in body:
                break
            time.sleep(0.1)
        return status, head, body

    def send_once(self, request):
        if not self.socket:
            self.connect()
        self.socket.sendall(request)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := self.file.readline()):
                raise Wrong(f"no answer to {request[:60]!r}")
            head += line
        length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
        body = self.file.read(int(length[1])) if length else b""
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return int(head[9:12]), head.decode("latin-1"), body

"""Makes SVIDs with the Python package `cryptography`: good ones of every kind of key, and certificates that are none.

Usage: make-svids.py FOLDER
       make-svids.py FOLDER --expiring SECONDS      another one of FOLDER's: short.pem, valid for that long
       make-svids.py FOLDER --again                 another certificate of the key of good/bound: good/bound-again

FOLDER has afterwards, each certificate with those that signed it, beside its key (NAME.key):
  server.pem            of https://localhost, signed by root.pem
  bundle.json           of python.example.org: a root for each kind of key, and the key of its JWT-SVIDs
  without-root.json     the same without the root of good/p256, good/bound and short
  empty.json            the same without anything
  other.json            of other.example.org, which signed nothing
  good/*.pem, good/*.jwt, bad/*.pem, bad/*.jwt
"""

import base64
import datetime
import ipaddress
import json
import os
import subprocess
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from joserfc import jwk, jwt

DOMAIN = "python.example.org"
AUDIENCE = "https://daypass.example.com"
# Whoever prints a certificate's names prints this: a line of its own, and colours.
MARK = 'intruder\x1b[31m\n{"level":"info","message":"intruder"}'
DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


KINDS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsapss": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


class Signed:
    """A certificate, its key, and those that signed it, without the root."""

    def __init__(self, certificate, key, above=()):
        self.certificate, self.key, self.above = certificate, key, list(above)

    @property
    def chain(self):
        return [self.certificate, *self.above]


def usage(*names):
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
        " encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: name in names for name in every})


def sign(
    kind, signer, *, uris=(), dns=(), addresses=(), key=None, common_name=None, authority=False, path_length=None,
    key_usage=None, usage_critical=True, names_critical=None, extended=(ExtendedKeyUsageOID.CLIENT_AUTH,), start=-DAY,
    end=DAY, more=(),
):
    """A certificate over a new key of this kind; where there is no signer, it signs itself."""
    key = key or KINDS[kind]()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() + start)
        .not_valid_after(now() + end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if key_usage is None:
        key_usage = usage("key_cert_sign", "crl_sign") if authority else usage("digital_signature")
    if key_usage:
        builder = builder.add_extension(key_usage, critical=usage_critical)
    if extended and not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    if names:
        # RFC 5280 §4.1.2.6: where they are the only names.
        critical = not common_name if names_critical is None else names_critical
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=critical)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    signing = signer.key if signer else key
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if kind == "rsapss" else None
    certificate = builder.sign(signing, digest, rsa_padding=pss)
    # The root is the receiver's to know.
    is_below_root = signer and signer.certificate.issuer != signer.certificate.subject
    return Signed(certificate, key, signer.chain if is_below_root else [])


def pem(thing):
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def write(name, contents):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(contents)


def keep(name, signed, chain=None):
    write(f"{name}.pem", b"".join(pem(certificate) for certificate in chain or signed.chain))
    write(f"{name}.key", pem(signed.key))


def read(name):
    with open(os.path.join(folder, f"{name}.key"), "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    with open(os.path.join(folder, f"{name}.pem"), "rb") as file:
        chain = x509.load_pem_x509_certificates(file.read())
    return Signed(chain[0], key, chain[1:])


def bundle(name, roots, keys=()):
    entries = [
        {**public, "use": "x509-svid", "x5c": [base64.b64encode(der).decode()]}
        for root in roots
        for der in [root.public_bytes(serialization.Encoding.DER)]
        for public in [jwk.import_key(pem_of_public(root), key_type(root)).as_dict(private=False)]
    ]
    for entry in entries:
        entry.pop("kid", None)
    entries += [{**key.as_dict(private=False), "use": "jwt-svid"} for key in keys]
    write(name, json.dumps({"spiffe_sequence": 1, "spiffe_refresh_hint": 60, "keys": entries}).encode())


def pem_of_public(certificate):
    return certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_type(certificate):
    key = certificate.public_key()
    return "RSA" if isinstance(key, rsa.RSAPublicKey) else "EC" if isinstance(key, ec.EllipticCurvePublicKey) else "OKP"


def good(roots):
    for kind, root in roots.items():
        between = sign(kind, root, authority=True, path_length=0, common_name=f"{kind} intermediate")
        keep(f"good/{kind}", sign(kind, between, uris=[f"spiffe://{DOMAIN}/key/{kind}"]))
        if kind in ["p256", "rsa2048"]:
            keep("between" if kind == "p256" else f"between-{kind}", between)
    root, between = roots["p256"], read("between")
    keep("good/direct", sign("p256", root, uris=[f"spiffe://{DOMAIN}/key/direct"]))
    keep("good/mixed", sign("ed25519", sign("p384", roots["rsa2048"], authority=True, common_name="mixed"),
                            uris=[f"spiffe://{DOMAIN}/key/mixed"]))
    # What stands in a DNS name is no URI, whatever it says.
    keep("good/dns", sign("p256", between, uris=[f"spiffe://{DOMAIN}/key/dns"],
                          dns=[f"a,URI:spiffe://{DOMAIN}/admin", "localhost"]))
    constraints = x509.NameConstraints([x509.UniformResourceIdentifier(DOMAIN)], None)
    constrained = sign("p256", root, authority=True, common_name="constrained", more=[(constraints, True)])
    keep("good/constrained", sign("p256", constrained, uris=[f"spiffe://{DOMAIN}/key/constrained"]))
    for name in ["bound", "bound-other"]:
        keep(f"good/{name}", sign("p256", between, uris=[f"spiffe://{DOMAIN}/bound"]))
    keep("good/nobody", sign("p256", between, uris=[f"spiffe://{DOMAIN}/nobody"]))


def bad(roots):
    root, between = roots["p256"], read("between")

    def leaf(name, signer=between, kind="p256", **arguments):
        arguments.setdefault("uris", [f"spiffe://{DOMAIN}/key/bad"])
        arguments.setdefault("common_name", MARK)
        signed = sign(kind, signer, **arguments)
        keep(f"bad/{name}", signed)
        return signed

    leaf("two-uris", uris=[f"spiffe://{DOMAIN}/key/bad", f"spiffe://{DOMAIN}/key/worse"])
    leaf("no-uri", uris=[], dns=["localhost"])
    leaf("uri-in-dns", uris=[], dns=[f"URI:spiffe://{DOMAIN}/key/bad"])
    leaf("upper-case", uris=["spiffe://Python.example.org/key/bad"])
    leaf("scheme", uris=["https://intruder.example.org/key/bad"])
    leaf("no-path", uris=[f"spiffe://{DOMAIN}"])
    leaf("nul", uris=[f"spiffe://{DOMAIN}/key/bad\0intruder"])
    leaf("nul-domain", uris=[f"spiffe://{DOMAIN}\0.intruder.example.org/key/bad"])
    leaf("comma", uris=[f"spiffe://{DOMAIN}/key/bad,URI:spiffe://{DOMAIN}/intruder"])
    leaf("many-names", dns=["a"] * 1000)
    leaf("ten-thousand-names", dns=["a"] * 10_000)
    leaf("ca", key_usage=usage("digital_signature"), authority=True)
    leaf("key-cert-sign", key_usage=usage("digital_signature", "key_cert_sign"))
    leaf("crl-sign", key_usage=usage("digital_signature", "crl_sign"))
    leaf("no-digital-signature", key_usage=usage("key_encipherment"))
    leaf("no-key-usage", key_usage=False)
    leaf("usage-not-critical", usage_critical=False)
    leaf("names-not-critical", common_name=None, names_critical=False)
    leaf("server-only", extended=(ExtendedKeyUsageOID.SERVER_AUTH,))
    leaf("other-domain", uris=["spiffe://other.example.org/w"])
    leaf("unknown-domain", uris=["spiffe://unknown.example.org/w"])
    leaf("expired", start=-3 * DAY, end=-DAY)
    leaf("not-yet", start=DAY, end=3 * DAY)
    leaf("critical", more=[(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\0"), True)])
    leaf("rsa1024", kind="p256", key=rsa.generate_private_key(65537, 1024))
    leaf("self-signed", signer=None)
    leaf("unknown-root", signer=sign("p256", None, authority=True, common_name="elsewhere"))
    leaf("root-of-the-same-name", signer=sign("p256", None, authority=True, common_name="p256 root"))
    elsewhere = x509.NameConstraints([x509.UniformResourceIdentifier("elsewhere.example.org")], None)
    leaf("constrained", signer=sign("p256", root, authority=True, common_name="c", more=[(elsewhere, True)]))
    leaf("path-length", signer=sign("p256", between, authority=True, common_name="below"))
    leaf("leaf-as-authority", signer=sign("p256", between, uris=[f"spiffe://{DOMAIN}/key/p256"], common_name="leaf"))
    # The authority is one, but it is not whose key signed.
    twin = Signed(between.certificate, KINDS["p256"](), between.above)
    leaf("signature", signer=twin)
    signer = root
    for number in range(8):
        signer = sign("p256", signer, authority=True, common_name=f"authority {number}")
    leaf("nine", signer=signer)
    # In the bundle itself, where only authorities belong.
    listed = leaf("in-bundle", signer=None)
    with_openssl(read("between-rsa2048"))
    return listed


def with_openssl(between):
    """What `cryptography` refuses to make."""
    keep("openssl-signer", between)
    signer = os.path.join(folder, "openssl-signer")
    extensions = os.path.join(folder, "openssl.ext")
    write("openssl.ext", (
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n"
        f"subjectAltName=URI:spiffe://{DOMAIN}/key/bad\n").encode())
    for name, curve, digest in [
        ("explicit-curve", ["-pkeyopt", "ec_param_enc:explicit"], "-sha256"), ("sha1", [], "-sha1"),
        ("md5", [], "-md5"),
    ]:
        path = os.path.join(folder, "bad", name)
        for command in [
            ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", *curve, "-out", f"{path}.key"],
            ["req", "-new", "-key", f"{path}.key", "-subj", "/CN=intruder", "-out", f"{path}.csr"],
            ["x509", "-req", "-in", f"{path}.csr", "-days", "1", digest, "-extfile", extensions, "-CA",
             f"{signer}.pem", "-CAkey", f"{signer}.key", "-set_serial", "77", "-out", f"{path}.pem"],
        ]:
            subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=20)
        with open(f"{path}.pem", "ab") as file:
            file.write(pem(between.certificate))


def tokens():
    keys = {
        "es256": (jwk.generate_key("EC", "P-256", {"kid": "es256"}), "ES256"),
        "es384": (jwk.generate_key("EC", "P-384", {"kid": "es384"}), "ES384"),
        "rs256": (jwk.generate_key("RSA", 2048, {"kid": "rs256"}), "RS256"),
        "ps256": (jwk.generate_key("RSA", 2048, {"kid": "ps256"}), "PS256"),
    }
    stranger = jwk.generate_key("EC", "P-256", {"kid": "es256"})

    def token(name, key, algorithm, subject=f"spiffe://{DOMAIN}/key/jwt", header=None, **claims):
        claims = {"sub": subject, "aud": [AUDIENCE], "iat": int(time.time()), "exp": int(time.time()) + 240, **claims}
        header = {"alg": algorithm, "kid": key.kid, "typ": "JWT", **(header or {})}
        write(name, jwt.encode(header, claims, key, algorithms=[algorithm]).encode())

    for name, (key, algorithm) in keys.items():
        token(f"good/{name}.jwt", key, algorithm)
    key = keys["es256"][0]
    token("good/bound.jwt", key, "ES256", f"spiffe://{DOMAIN}/bound")
    token("bad/stranger.jwt", stranger, "ES256")
    token("bad/other-domain.jwt", key, "ES256", "spiffe://other.example.org/w")
    token("bad/audience.jwt", key, "ES256", aud=["https://elsewhere.example.com"])
    token("bad/expired.jwt", key, "ES256", exp=int(time.time()) - 240)
    token("bad/type.jwt", key, "ES256", header={"typ": "wit+jwt"})
    return [key for key, _ in keys.values()]


def everything():
    roots = {
        kind: sign(kind, None, authority=True, common_name=f"{kind} root", uris=[f"spiffe://{DOMAIN}"])
        for kind in KINDS
    }
    good(roots)
    listed = bad(roots)
    keys = tokens()
    authorities = [root.certificate for root in roots.values()]
    bundle("bundle.json", [*authorities, listed.certificate], keys)
    bundle("without-root.json", authorities[1:], keys)
    bundle("empty.json", [])
    bundle("other.json", [sign("p256", None, authority=True, common_name="other root").certificate])
    server = sign("p256", roots["p256"], dns=["localhost"], addresses=["127.0.0.1"], common_name="localhost",
                  extended=(ExtendedKeyUsageOID.SERVER_AUTH,))
    keep("server", server)
    write("root.pem", pem(roots["p256"].certificate))


folder = sys.argv[1]
match sys.argv[2:]:
    case []:
        everything()
    case ["--expiring", seconds]:
        end = datetime.timedelta(seconds=int(seconds))
        keep("short", sign("p256", read("between"), uris=[f"spiffe://{DOMAIN}/key/short"], end=end))
    case ["--again"]:
        key = read("good/bound").key
        keep("good/bound-again", sign("p256", read("between"), key=key, uris=[f"spiffe://{DOMAIN}/bound"]))
    case _:
        sys.exit(__doc__)

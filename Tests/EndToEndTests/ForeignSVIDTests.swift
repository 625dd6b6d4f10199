import BrokerTesting
import Foundation
import JOSE
import Testing

/// SVIDs, and what is none, from the Python package `cryptography` and the command openssl.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(
        if: Programs.certificatePython != nil && Programs.openssl != nil,
        "cryptography or openssl is not installed: Tests/Peers/install"))
struct `SVIDs that others made` {
    private func stage() async throws -> (SecureBroker, CertificateClient) {
        let workspace = try Workspace()
        try await Certificates.python(workspace)
        let broker = try await SecureBroker(workspace, rules: Certificates.pythonDomain)
        return (broker, try await CertificateClient(of: broker))
    }

    private func names(_ broker: SecureBroker, _ folder: String, _ ending: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: broker.workspace.path(folder))
            .filter { $0.hasSuffix(ending) }.map { String($0.dropLast(ending.count)) }.sorted()
    }

    @Test func `are exchanged over TLS 1 point 2 and 1 point 3, whatever kind of key they have`() async throws {
        let (broker, client) = try await stage()
        let names = [
            "p256", "p384", "p521", "rsa2048", "rsapss", "ed25519", "direct", "mixed", "dns", "constrained",
        ]
        let rest = Set(try self.names(broker, "good", ".pem")).subtracting(names)
        #expect(rest == ["bound", "bound-other", "nobody"])
        for name in names {
            for version in ["1.2", "1.3"] {
                let granted = try await client.token(as: "good/\(name)", version: version)
                let token = try #require(granted.text("access_token"), "\(name), TLS \(version): \(granted)")
                let verified = try await client.verify(token, as: nil)
                #expect(verified.header("Daypass-Subject") == "spiffe://python.example.org/key/\(name)")
            }
        }
        #expect(try broker.handshakeLines().isEmpty)
        try await broker.stop()
    }

    @Test func `are exchanged as JWT-SVIDs, and those that are none are refused`() async throws {
        let (broker, client) = try await stage()
        for name in ["es256", "es384", "rs256", "ps256"] {
            let svid = try String(contentsOfFile: broker.workspace.path("good/\(name).jwt"), encoding: .utf8)
            let granted = try await client.exchange(svid, as: nil)
            let token = try #require(granted.text("access_token"), "\(name): \(granted)")
            let verified = try await client.verify(token, as: nil)
            #expect(verified.header("Daypass-Subject") == "spiffe://python.example.org/key/jwt")
        }
        let bad = try names(broker, "bad", ".jwt")
        #expect(bad == ["audience", "expired", "other-domain", "stranger", "type"])
        for name in bad {
            let svid = try String(contentsOfFile: broker.workspace.path("bad/\(name).jwt"), encoding: .utf8)
            // Not even with the right certificate.
            let refused = try await client.exchange(svid, as: "good/p256")
            #expect(refused.status == 400 && refused.text("error") == "invalid_request", "\(name): \(refused)")
        }
        try await broker.stop()
    }

    /// The name of a certificate in `bad`, and what the log says of it.
    private static let refusals: [(name: String, reason: String)] = [
        ("two-uris", "the leaf is no X509-SVID: it has 2 URIs among its alternative names, where one is allowed"),
        ("no-uri", "the leaf is no X509-SVID: it has no URI among its alternative names"),
        ("uri-in-dns", "the leaf is no X509-SVID: it has no URI among its alternative names"),
        ("upper-case", "\(noID)its trust domain has a character other than a-z, 0-9, `.`, `-` and `_`"),
        ("scheme", "\(noID)it does not begin with spiffe://"),
        (
            "no-path",
            "the leaf is no X509-SVID: its SPIFFE ID has no path, and so names a trust domain and not a workload"
        ),
        ("nul", "\(noID)its path has a character other than letters, digits, `.`, `-` and `_`"),
        ("nul-domain", "\(noID)its trust domain has a character other than a-z, 0-9, `.`, `-` and `_`"),
        ("comma", "\(noID)its path has a character other than letters, digits, `.`, `-` and `_`"),
        ("many-names", "the leaf is refused: it has more than 256 alternative names"),
        ("ten-thousand-names", "the leaf is refused: it is longer than 16384 bytes"),
        ("ca", "the leaf is no X509-SVID: it is a certificate authority"),
        ("key-cert-sign", "the leaf is no X509-SVID: its key may sign certificates"),
        ("crl-sign", "the leaf is no X509-SVID: its key may sign revocation lists"),
        // BoringSSL's own word, before anybody is asked.
        ("no-digital-signature", "KEY_USAGE_BIT_INCORRECT"),
        ("no-key-usage", "the leaf is no X509-SVID: it does not say what its key may be used for"),
        ("usage-not-critical", "the leaf is no X509-SVID: its key usage is not marked critical"),
        ("server-only", "the leaf is no X509-SVID: its extended key usage does not allow client authentication"),
        (
            "names-not-critical",
            "the leaf is no X509-SVID: its subject is empty and its alternative names are not marked critical"
        ),
        ("other-domain", "spiffe://other.example.org/w: the path ends at no root of the trust domain, at authority 1"),
        ("unknown-domain", "spiffe://unknown.example.org/w: its trust domain is not configured"),
        ("expired", "\(bad)has expired, at the leaf"),
        ("not-yet", "\(bad)is not valid yet, at the leaf"),
        ("critical", "\(bad)has a critical extension that is not known, at the leaf"),
        ("rsa1024", "the leaf is refused: its key is an RSA key of 1024 bits; 2048 to 8192 are accepted"),
        ("self-signed", "\(bad)ends at no root of the trust domain, at the leaf"),
        ("in-bundle", "\(bad)ends at no root of the trust domain, at the leaf"),
        ("unknown-root", "\(bad)ends at no root of the trust domain, at the leaf"),
        ("root-of-the-same-name", "\(bad)has a signature that is not valid, at the leaf"),
        ("signature", "\(bad)has a signature that is not valid, at the leaf"),
        ("constrained", "\(bad)has a name that an authority of it may not give, at the leaf"),
        ("path-length", "\(bad)is longer than an authority of it allows, at authority 2"),
        (
            "leaf-as-authority",
            "authority 1 of the chain cannot be one: its basic constraints do not make it a certificate authority"
        ),
        ("nine", "more than 8 certificates were sent"),
        ("sha1", "\(bad)has a signature of an algorithm that is not accepted, at the leaf"),
        ("md5", "\(bad)has a signature of an algorithm that is not accepted, at the leaf"),
        ("explicit-curve", "DECODE_ERROR"),
    ]
    private static let noID = "the leaf is no X509-SVID: its URI is no SPIFFE ID: "
    private static let bad = "spiffe://python.example.org/key/bad: the path "

    @Test func `and are none end the handshake with one line that has the reason and nothing else of them`()
        async throws
    {
        let (broker, client) = try await stage()
        #expect(try names(broker, "bad", ".pem") == Self.refusals.map(\.name).sorted())
        for (index, (name, reason)) in Self.refusals.enumerated() {
            // Ten lines a second are logged, and no more.
            if index % 8 == 7 { try await Task.sleep(for: .milliseconds(1100)) }
            let answer = try await client.token(as: "bad/\(name)")
            #expect(answer.status == nil && answer.failure != "", "\(name): \(answer)")
            try await waitUntil("\(name) is logged") { try broker.handshakeLines().count > index }
            let line = try #require(broker.handshakeLines().last)
            #expect(line["reason"]?.string?.string == reason, "\(name)")
            #expect(line["omitted"]?.string == "0", "\(name)")
            // It goes on for everybody else.
            #expect(try await client.token(as: "good/p256", over: "kept").status == 200, "\(name)")
        }
        #expect(try await client.token(as: "good/p256").status == 200)
        #expect(try broker.handshakeLines().count == Self.refusals.count)
        let log = broker.process.error + broker.process.output
        #expect(!log.contains("intruder"))
        #expect(log.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == UInt8(ascii: "\n") })
        // It is one JSON object a line, still.
        for line in log.split(separator: "\n") { _ = try JSONReader.readObject(Array(line.utf8)) }
        try await broker.stop()
    }
}

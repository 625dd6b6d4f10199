import Broker
import Foundation
import SPIFFE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Client certificates` {
    private static let workload = ["--cert", "certificates/workload.pem", "--key", "certificates/workload.key"]

    @Test func `curl with an SVID is who the SVID says, and without one nobody`() async throws {
        try await TLSServer.run { server in
            let known = try await server.curl(
                "--cert", "certificates/workload.pem", "--key", "certificates/workload.key")
            #expect(known.output == "you are spiffe://dev.example.org/workload")
            let unknown = try await server.curl()
            #expect(unknown.output == "you are nobody")
            #expect(server.handshakes("certificate") == "1")
            #expect(server.handshakes("no_certificate") == "1")
            #expect(server.log.lines == [])
        }
    }

    @Test func `where certificates are off nobody is asked for one`() async throws {
        try await TLSServer.run(requests: false) { server in
            let known = try await server.openssl(
                "-cert", "certificates/workload.pem", "-key", "certificates/workload.key")
            #expect(known.output.contains("you are nobody"))
            #expect(known.output.contains("No client certificate CA names sent"))
            #expect(!known.output.contains("Acceptable client certificate CA names"))
            #expect(!known.output.contains("Requested Signature Algorithms"))
        }
    }

    @Test(
        arguments: [
            "rsa:2048", "rsa:3072", "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384",
            "ec -pkeyopt ec_paramgen_curve:P-521", "ed25519",
        ], ["-tls1_3", "-tls1_2"])
    func `a key of each kind proves its identity`(kind: String, version: String) async throws {
        try await TLSServer.run(minimumVersion: .tls12) { server in
            try await server.makeAuthority(kind, "other", "spiffe://other.example.org")
            try await server.makeLeaf("leaf", signedBy: "other", kind, "URI:spiffe://other.example.org/job")
            try server.trust("other", "other.example.org")
            let answer = try await server.openssl(version, "-cert", "leaf.pem", "-key", "leaf.key")
            #expect(answer.output.contains("you are spiffe://other.example.org/job"), "\(answer.output)")
        }
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        let names: String
        var usage = "digitalSignature"
        var days = "1"
        let reason: String
        var testDescription: String { reason }
    }

    @Test(
        arguments: [
            Bad(
                names: "URI:spiffe://unknown.example.org/job",
                reason: "spiffe://unknown.example.org/job: its trust domain is not configured"),
            Bad(
                names: "URI:spiffe://dev.example.org/job",
                reason: "spiffe://dev.example.org/job: the path ends at no root of the trust domain"),
            Bad(names: "DNS:job.other.example.org", reason: "the leaf is no X509-SVID: "),
            Bad(
                names: "URI:spiffe://other.example.org/a,URI:spiffe://other.example.org/b",
                reason: "the leaf is no X509-SVID: "),
            Bad(
                names: "URI:spiffe://other.example.org/job", usage: "digitalSignature,keyCertSign",
                reason: "the leaf is no X509-SVID: "),
            Bad(
                names: "URI:spiffe://other.example.org/job", days: "-1",
                reason: "spiffe://other.example.org/job: the path has expired"),
        ], ["-tls1_3", "-tls1_2"])
    func `a certificate that proves nothing ends the handshake, with one line that says why`(
        bad: Bad, version: String
    ) async throws {
        try await TLSServer.run(minimumVersion: .tls12) { server in
            try await server.makeAuthority("ec -pkeyopt ec_paramgen_curve:P-256", "other", "spiffe://other.example.org")
            try await server.makeLeaf(
                "leaf", signedBy: "other", "ec -pkeyopt ec_paramgen_curve:P-256", bad.names, usage: bad.usage,
                days: bad.days)
            try server.trust("other", "other.example.org")
            let answer = try await server.openssl(version, "-cert", "leaf.pem", "-key", "leaf.key")
            #expect(!answer.output.contains("you are"), "\(answer.output)")
            #expect(answer.output.contains("alert certificate unknown"), "\(answer.output)")
            let line = await server.log.firstLine()
            #expect(server.log.lines.count == 1)
            #expect(
                line.hasPrefix("info client certificate refused client=127.0.0.1 omitted=0 reason=\(bad.reason)"),
                "\(line)")
            #expect(server.handshakes("refused_certificate") == "1")
            #expect(server.handshakes("failed") == "0")
        }
    }

    @Test func `the bundle of the moment decides`() async throws {
        try await TLSServer.run { server in
            let arguments = Self.workload
            let before = try await server.curl(arguments[0], arguments[1], arguments[2], arguments[3])
            #expect(before.output.contains("spiffe://dev.example.org/workload"))
            server.bundles.value = TrustBundleSet()
            let after = try await server.curl(arguments[0], arguments[1], arguments[2], arguments[3])
            #expect(after.status != 0)
            #expect(await server.log.firstLine().hasSuffix("its trust domain is not configured"))
        }
    }
}

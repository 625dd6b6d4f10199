import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(
        if: Programs.certificatePython != nil && Programs.openssl != nil,
        "cryptography or openssl is not installed: Tests/Peers/install"))
struct `A token that is bound to a certificate` {
    private struct Stage {
        let broker: SecureBroker
        let client: CertificateClient
        /// Bound to `good/bound`.
        let token: String
        let thumbprint: String

        func isBound(_ token: String) throws -> Bool {
            try TokenSegments(token).claims["cnf"] == .object(["x5t#S256": .string(ExactString(thumbprint))])
        }
    }

    /// Its certificate, one of its own key, another of the same workload, another workload's, and none.
    private static let presenters: [(who: String?, counts: Bool)] = [
        ("good/bound", true), ("good/bound-again", false), ("good/bound-other", false), ("good/p256", false),
        (nil, false),
    ]

    private func stage() async throws -> Stage {
        let workspace = try Workspace()
        try await Certificates.python(workspace)
        try await Certificates.python(workspace, "--again")
        let broker = try await SecureBroker(workspace, rules: Certificates.pythonDomain)
        let client = try await CertificateClient(of: broker)
        let granted = try await client.token(as: "good/bound")
        return Stage(
            broker: broker, client: client, token: try #require(granted.text("access_token"), "\(granted)"),
            thumbprint: Base64URL.encode(try await Certificates.fingerprint(workspace, "good/bound.pem")))
    }

    @Test func `names it as the command openssl computes it, and passes with it alone`() async throws {
        let stage = try await stage()
        #expect(try stage.isBound(stage.token))
        for (who, counts) in Self.presenters {
            for header in ["Authorization", "x-api-key"] {
                let answer = try await stage.client.verify(stage.token, as: who, in: header)
                #expect(answer.status == (counts ? 200 : 401), "\(who ?? "nobody") in \(header): \(answer)")
            }
        }
        // Whatever is required: what is wrong is the token, and not what it is for.
        let other = try await stage.client.request(
            as: nil, "GET", "/verify?scope=openai:responses", [("Authorization", "Bearer \(stage.token)")])
        #expect(other.status == 401)
        // A client is no proxy: what it says of its certificate is nothing.
        let der = try #require(
            try String(contentsOfFile: stage.broker.workspace.path("good/bound.pem"), encoding: .utf8)
                .components(separatedBy: "-----").dropFirst(2).first
        ).replacing("\n", with: "")
        let hash = try await Certificates.fingerprint(stage.broker.workspace, "good/bound.pem")
            .map { String(format: "%02x", $0) }.joined()
        for (name, value) in [("Client-Cert", ":\(der):"), ("X-Forwarded-Client-Cert", "Hash=\(hash)")] {
            for who in ["good/p256", nil] {
                let answer = try await stage.client.verify(stage.token, as: who, [(name, value)])
                #expect(answer.status == 401, "\(name) of \(who ?? "nobody")")
            }
        }
        try await stage.broker.stop()
    }

    @Test func `is renewed and narrowed with it alone, and what comes of it is bound as well`() async throws {
        let stage = try await stage()
        for (scope, expected) in [
            ("", "anthropic:messages anthropic:count_tokens"), ("anthropic:messages", "anthropic:messages"),
        ] {
            for (who, counts) in Self.presenters {
                let answer = try await stage.client.exchange(stage.token, type: "access_token", as: who, scope: scope)
                guard counts else {
                    #expect(answer.status == 400 && answer.text("error") == "invalid_request", "\(answer)")
                    continue
                }
                #expect(answer.status == 200 && answer.text("scope") == expected, "\(answer)")
                let next = try #require(answer.text("access_token"))
                #expect(try stage.isBound(next))
                for (who, counts) in Self.presenters {
                    #expect(try await stage.client.verify(next, as: who).status == (counts ? 200 : 401))
                }
            }
        }
        let records = try await stage.broker.refusals()
        #expect(records.count == 8)
        for record in records {
            #expect(record["reason"]?.string == "certificate")
            #expect(record["rule"]?.string == "bound")
        }
        try await stage.broker.stop()
    }

    @Test func `comes of a JWT-SVID as well, bound to the connection that brought it`() async throws {
        let stage = try await stage()
        let svid = try String(contentsOfFile: stage.broker.workspace.path("good/bound.jwt"), encoding: .utf8)
        let refused = try await stage.client.exchange(svid, as: nil)
        #expect(refused.status == 400 && refused.text("error") == "invalid_request", "\(refused)")
        let granted = try await stage.client.exchange(svid, as: "good/bound")
        let token = try #require(granted.text("access_token"), "\(granted)")
        #expect(try stage.isBound(token))
        for (who, counts) in Self.presenters {
            #expect(try await stage.client.verify(token, as: who).status == (counts ? 200 : 401))
        }
        try await stage.broker.stop()
    }
}

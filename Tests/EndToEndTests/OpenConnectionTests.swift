import BrokerTesting
import Foundation
import JOSE
import Testing

/// A connection that a client keeps open is no identity that it keeps: each exchange asks again.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.certificatePython != nil, "cryptography is not installed: Tests/Peers/install"))
struct `A connection that stays open` {
    /// Exchanges over one connection, until one has this status.
    private func waitUntilAnswered(
        _ status: Int, _ client: CertificateClient, as who: String, port: Int
    ) async throws {
        try await waitUntil("\(who) is answered \(status)") {
            let answer = try await client.token(as: who, over: who)
            #expect([200, 401].contains(answer.status) && answer.port == port, "\(answer)")
            if answer.status == 401 { #expect(answer.text("error") == "invalid_client") }
            return answer.status == status
        }
    }

    private func lastMessage(_ broker: SecureBroker) async throws -> String? {
        try await broker.refusals().last?["details"]?.object?["message"]?.string?.string
    }

    @Test func `loses and regains its identity with the authority in the bundle`() async throws {
        let workspace = try Workspace()
        try await Certificates.python(workspace)
        let broker = try await SecureBroker(workspace, rules: Certificates.pythonDomain)
        let client = try await CertificateClient(of: broker)
        let bundles = try ["bundle", "without-root", "empty"].map {
            try Data(contentsOf: workspace.folder.appending(path: "\($0).json"))
        }
        let first = try await client.token(as: "good/p256", over: "good/p256")
        #expect(first.status == 200, "\(first)")
        let other = try await client.token(as: "good/p384", over: "good/p384")
        #expect(other.status == 200, "\(other)")
        let bound = try #require(try await client.token(as: "good/bound", over: "good/bound").text("access_token"))
        #expect(try await client.verify(bound, as: "good/bound", over: "good/bound").status == 200)

        let words = "the certificate of the connection: spiffe://python.example.org/key/p256: "
        try workspace.write("bundle.json", bundles[1])
        try await waitUntilAnswered(401, client, as: "good/p256", port: first.port)
        // Of the intermediate, whose issuer is not there any more.
        #expect(try await lastMessage(broker) == words + "the path ends at no root of the trust domain, at authority 1")
        // It is no identity for a bound token either; and another authority's connection is as good as before.
        #expect(try await client.verify(bound, as: "good/bound", over: "good/bound").status == 401)
        #expect(try await client.token(as: "good/p384", over: "good/p384").status == 200)

        try workspace.write("bundle.json", bundles[0])
        try await waitUntilAnswered(200, client, as: "good/p256", port: first.port)
        #expect(try await client.verify(bound, as: "good/bound", over: "good/bound").status == 200)

        try workspace.write("bundle.json", bundles[2])
        try await waitUntilAnswered(401, client, as: "good/p256", port: first.port)
        #expect(try await lastMessage(broker) == words + "the bundle of its trust domain has no usable authority")
        #expect(try await client.token(as: "good/p384", over: "good/p384").status == 401)
        let anew = try await client.token(as: "good/p256")
        #expect(anew.status == nil, "\(anew)")

        try workspace.write("bundle.json", bundles[0])
        try await waitUntilAnswered(200, client, as: "good/p256", port: first.port)
        #expect(try await client.token(as: "good/p384", over: "good/p384").port == other.port)
        try await broker.stop()
    }

    @Test func `loses its identity when the certificate expires`() async throws {
        let workspace = try Workspace()
        try await Certificates.python(workspace)
        let broker = try await SecureBroker(workspace, rules: Certificates.pythonDomain)
        let client = try await CertificateClient(of: broker)
        try await Certificates.python(workspace, "--expiring", "10")
        let first = try await client.token(as: "short", over: "short")
        #expect(first.status == 200, "\(first)")
        try await waitUntilAnswered(401, client, as: "short", port: first.port)
        #expect(
            try await lastMessage(broker)
                == "the certificate of the connection: spiffe://python.example.org/key/short: "
                + "the path has expired, at the leaf")
        // That answer was the connection's last: a client with a newer certificate has to be able to show it.
        #expect(try await client.request(as: "short", "GET", "/healthz", over: "short").status == nil)
        // Nobody remembers that it was good once.
        #expect(try await client.token(as: "short").status == nil)
        try await broker.stop()
    }
}

import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `A running broker with a trust domain` {
    private static func configuration(_ workspace: Workspace, _ domain: TestTrustDomain) throws -> String {
        try workspace.write("prod.json", domain.bundleJSON)
        return """
            trust_domains:
              - name: prod.example.com
                bundle: {file: prod.json}
                audience: \(TestTrustDomain.audience)
                replay: {mode: "off"}
            rules:
              - name: scorer
                trust_domain: prod.example.com
                match: {spiffe_id: "spiffe://prod.example.com/ns/ml/sa/*"}
                grant: {scope: ["anthropic:messages"], ttl: 15m}
              - name: bound
                trust_domain: prod.example.com
                match: {spiffe_id: "spiffe://prod.example.com/ns/pay/**"}
                grant: {scope: ["anthropic:messages"], bind: true}

            """
    }

    @Test func `exchanges JWT-SVIDs by the bundle in its file, through rotations and without a restart`() async throws {
        let workspace = try Workspace()
        let domain = try TestTrustDomain()
        let broker = try await RunningBroker(
            workspace, issuersAndRules: Self.configuration(workspace, domain))
        let granted = try await broker.exchange(domain.token(at: Date()))
        #expect(granted.status == 200, "\(granted.body)")
        let token = try #require(granted.text("access_token"))
        let verified = try await broker.verify(token)
        #expect(verified.status == 200)
        #expect(verified.headers.first(name: "Daypass-Subject") == "spiffe://prod.example.com/ns/ml/sa/scorer")

        // A key that comes beside the old one: both work, and nobody is refused meanwhile.
        let next = try TestIssuer("spiffe://prod.example.com", algorithm: .ES256)
        try workspace.write(
            "prod.json", TestTrustDomain.json(authorities: [domain.ca], signers: [domain.signer, next]))
        try await waitUntil("the new key works") {
            #expect(try await broker.exchange(domain.token(at: Date())).status == 200)
            return try await broker.exchange(domain.token(at: Date(), by: next)).status == 200
        }
        // A damaged file replaces nothing, and the report says so.
        try workspace.write("prod.json", Array(#"{"keys": "#.utf8))
        try await waitUntil("the damaged file is noticed") {
            #expect(try await broker.exchange(domain.token(at: Date())).status == 200)
            let report = try await broker.send(.GET, broker.telemetry + "/readyz", [])
            let state = report.json["trust_domains"]?.object?["prod.example.com"]?.object
            return report.status == 200 && state?["ready"] == true && state?["last_error"] != nil
        }
        // An empty one is taken at its word.
        try workspace.write("prod.json", TestTrustDomain.json(authorities: [], signers: []))
        try await waitUntil("nobody is trusted any more") {
            try await broker.exchange(domain.token(at: Date())).status == 400
        }
        #expect(try await broker.verify(token).status == 200)
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    @Test func `gives no bound token to who has no certificate, and no token to client credentials`() async throws {
        let workspace = try Workspace()
        let domain = try TestTrustDomain()
        let broker = try await RunningBroker(
            workspace, issuersAndRules: Self.configuration(workspace, domain))
        let bound = try await broker.exchange(domain.token("/ns/pay/sa/x", at: Date()))
        #expect(bound.status == 400 && bound.text("error") == "invalid_request", "\(bound.body)")
        let client = try await broker.token([("grant_type", "client_credentials")])
        #expect(client.status == 401 && client.text("error") == "invalid_client", "\(client.body)")
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }
}

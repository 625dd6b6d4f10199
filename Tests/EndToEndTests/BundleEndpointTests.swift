import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import Testing

@Suite(.onOwnThreads) struct `A running broker with a bundle endpoint` {
    private static let name = "prod.example.com"

    /// The endpoint's file, replaced as a whole.
    private func publish(
        _ sequence: Double, _ signers: [TestIssuer], in workspace: Workspace, _ domain: TestTrustDomain
    )
        throws
    {
        let bundle = TestTrustDomain.json(
            authorities: signers.isEmpty ? [] : [domain.ca], signers: signers, sequence: sequence, refreshHint: 1)
        try workspace.write("served/next.json", bundle)
        #expect(rename(workspace.path("served/next.json"), workspace.path("served/bundle.json")) == 0)
    }

    private static func configuration(_ origin: String, bundle: String? = nil) -> String {
        let bundle =
            bundle
            ?? #"{endpoint: "\#(origin)/moved", profile: https_web, authorities: web-ca.pem, allow_private: true}"#
        return """
            trust_domains:
              - name: \(name)
                bundle: \(bundle)
                audience: \(TestTrustDomain.audience)
                replay: {mode: "off"}
            rules:
              - name: scorer
                trust_domain: \(name)
                match: {spiffe_id: "spiffe://\(name)/ns/ml/sa/*"}
                grant: {scope: ["anthropic:messages"], ttl: 15m}

            """
    }

    private func state(_ broker: RunningBroker) async throws -> JSONObject {
        let report = try await broker.send(.GET, broker.telemetry + "/readyz", [])
        return try #require(report.json["trust_domains"]?.object?[ExactString(Self.name)]?.object, "\(report.body)")
    }

    private func waitForSequence(_ sequence: ExactString, _ broker: RunningBroker) async throws {
        try await waitUntil("the bundle of sequence \(sequence) is trusted", within: 30) {
            try await state(broker)["sequence"]?.string == sequence
        }
    }

    private func waitForError(_ text: String, _ broker: RunningBroker) async throws {
        try await waitUntil("readyz says: \(text)", within: 30) {
            let state = try await state(broker)
            return state["ready"] == true && state["last_error"]?.string?.string.contains(text) == true
        }
    }

    @Test(.enabled(if: Programs.nginx != nil, "nginx is not installed"))
    func `follows rotations that nginx serves without refusing anybody, and never goes back`() async throws {
        let nginxProgram = try #require(Programs.nginx)
        let workspace = try Workspace()
        let domain = try TestTrustDomain()
        let next = try TestIssuer("spiffe://\(Self.name)", algorithm: .ES256)
        try Nginx.makeCertificates(in: workspace)
        try publish(1, [domain.signer], in: workspace, domain)
        let port = try Workspace.freePort()
        var nginx = try await Nginx(nginxProgram, workspace, port: port)
        var broker = try await RunningBroker(workspace, issuersAndRules: Self.configuration(nginx.origin))
        try await waitForSequence("1", broker)

        // The first generation's workloads, and from the moment the bundle has their key, the second's.
        let old = Exchanges(of: domain, by: domain.signer, at: broker)
        #expect(try await broker.exchange(domain.token(at: Date(), by: next)).status == 400)
        try publish(2, [domain.signer, next], in: workspace, domain)
        try await waitForSequence("2", broker)
        let new = Exchanges(of: domain, by: next, at: broker)
        try await old.go(on: 20)
        try await new.go(on: 20)
        // The last of the first generation has renewed; then its key goes.
        let oldOutcomes = await old.end()
        try publish(3, [next], in: workspace, domain)
        try await waitForSequence("3", broker)
        #expect(try await broker.exchange(domain.token(at: Date())).status == 400)
        try await new.go(on: 20)

        // An older file, as a restored backup would have it.
        try publish(2, [domain.signer, next], in: workspace, domain)
        try await waitForError("the bundle has the sequence 2, after one with 3", broker)
        try await new.go(on: 20)
        let newOutcomes = await new.end()
        #expect(oldOutcomes.granted >= 20 && newOutcomes.granted >= 60)
        #expect(oldOutcomes.refusals == [] && newOutcomes.refusals == [])
        #expect(try await broker.exchange(domain.token(at: Date())).status == 400)
        #expect(
            broker.process.error.contains("a trust bundle cannot be had from its endpoint"))

        // Without its endpoint the broker starts with what it last had, and with its sequence.
        try await nginx.stop()
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
        broker = try await RunningBroker(restarting: broker)
        #expect(try await state(broker)["source"] == "stored")
        #expect(try await broker.exchange(domain.token(at: Date(), by: next)).status == 200)
        nginx = try await Nginx(nginxProgram, workspace, port: port)
        try await waitForError("the bundle has the sequence 2, after one with 3", broker)
        #expect(try await broker.exchange(domain.token(at: Date())).status == 400)

        // An empty one is taken at its word.
        try publish(4, [], in: workspace, domain)
        try await waitUntil("nobody is trusted any more", within: 30) {
            try await broker.exchange(domain.token(at: Date(), by: next)).status == 400
        }
        let report = try await broker.send(.GET, broker.telemetry + "/readyz", [])
        #expect(report.status == 503)
        #expect(try await state(broker)["ready"] == false)
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
        try await nginx.stop()
    }
}

extension `A running broker with a bundle endpoint` {
    private static let server = "spiffe://\(name)/bundle-endpoint"

    @Test(.enabled(if: Programs.nginx != nil, "nginx is not installed"))
    func `knows an https_spiffe endpoint by its SVID and its newest bundle`() async throws {
        let program = try #require(Programs.nginx)
        let workspace = try Workspace()
        let domain = try TestTrustDomain()
        let (first, second) = (
            try TestCA("first", id: "spiffe://\(Self.name)", edit: Nginx.valid),
            try TestCA("second", id: "spiffe://\(Self.name)", edit: Nginx.valid)
        )
        func publish(_ sequence: Double, _ authorities: [TestCA], as path: String) throws {
            try workspace.write(
                "served/next",
                TestTrustDomain.json(
                    authorities: authorities, signers: [domain.signer], sequence: sequence, refreshHint: 1))
            #expect(rename(workspace.path("served/next"), workspace.path(path)) == 0)
        }
        let port = try Workspace.freePort()
        try Nginx.makeCertificate(signedBy: first, of: Self.server, in: workspace)
        try publish(1, [first], as: "first.json")
        try publish(2, [first, second], as: "served/bundle.json")
        var nginx = try await Nginx(program, workspace, port: port)
        let endpoint = """
            {endpoint: "\(nginx.origin)/moved", profile: https_spiffe, endpoint_spiffe_id: "\(Self.server)", \
            file: first.json, allow_private: true}
            """
        let broker = try await RunningBroker(
            workspace, issuersAndRules: Self.configuration(nginx.origin, bundle: endpoint))
        try await waitForSequence("2", broker)

        // The server rolls over to the authority that its last bundle announced.
        try await nginx.stop()
        try Nginx.makeCertificate(signedBy: second, of: Self.server, in: workspace)
        try publish(3, [second], as: "served/bundle.json")
        nginx = try await Nginx(program, workspace, port: port)
        try await waitForSequence("3", broker)

        // The authority that is gone makes no server any more, and another workload of the domain is not this one.
        for (authority, id, reason) in [
            (first, Self.server, "the path ends at no root"),
            (second, "spiffe://\(Self.name)/other", "is spiffe://\(Self.name)/other and not \(Self.server)"),
        ] {
            try await nginx.stop()
            try Nginx.makeCertificate(signedBy: authority, of: id, in: workspace)
            try publish(4, [first], as: "served/bundle.json")
            nginx = try await Nginx(program, workspace, port: port)
            try await waitForError(reason, broker)
            #expect(try await state(broker)["sequence"]?.string == "3")
        }
        #expect(try await broker.exchange(domain.token(at: Date())).status == 200)
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
        try await nginx.stop()
    }
}

/// JWT-SVIDs of one generation, each new, exchanged one after another until the test has seen enough.
private final class Exchanges: Sendable {
    struct Outcomes: Sendable {
        var granted = 0
        var refusals: [String] = []
    }

    private let outcomes: Task<Outcomes, Never>
    private let granted: Counter

    init(of domain: TestTrustDomain, by signer: TestIssuer, at broker: RunningBroker) {
        let counter = Counter()
        granted = counter
        outcomes = Task(executorPreference: OwnThreads.shared) {
            var outcomes = Outcomes()
            while !Task.isCancelled {
                do {
                    let answer = try await broker.exchange(domain.token(at: Date(), by: signer))
                    if answer.status == 200 {
                        outcomes.granted += 1
                    } else {
                        outcomes.refusals.append(answer.body)
                    }
                } catch is CancellationError {
                    break
                } catch {
                    if !Task.isCancelled { outcomes.refusals.append("\(error)") }
                }
                counter.ended()
            }
            return outcomes
        }
    }

    /// Returns when so many more have ended.
    func go(on count: Int) async throws {
        let target = granted.value + count
        try await waitUntil("\(count) more exchanges", within: 60) { self.granted.value >= target }
    }

    func end() async -> Outcomes {
        outcomes.cancel()
        return await outcomes.value
    }

    private final class Counter: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func ended() { count.withLock { $0 += 1 } }
    }
}

import Foundation

/// What workloads do with the running server, over mutual TLS, and what the demonstration says about it.
struct DemoWorkloads: Sendable {
    let origin: String
    let trustDomain: DemoTrustDomain
    /// Why the server refused certificates, from its log.
    let refusals: AsyncStream<String>

    private static let foreignDomain = "staging.demo"

    func run() async throws {
        let workload = try client(of: trustDomain, as: DemoTrustDomain.workload)
        say(
            "\n9. A workload has no token at all, but an X509-SVID, and connects with it:  grant_type=client_credentials"
        )
        let granted = try await workload.exchangeCertificate()
        let (token, session) = try DemoTour.issued(granted)
        say("   \(granted.status): a token bound to that certificate, in session \(session)")

        say("\n10. A gateway's check, over a connection with the certificate:  GET /verify")
        let allowed = try await workload.verify(token, scope: DemoTour.scope)
        say("   \(allowed.status): Daypass-Subject: \(allowed.text("Daypass-Subject"))")

        say("\n11. The same token stolen, over a connection without the certificate:")
        let thief = DemoClient(origin: origin, tls: try trustDomain.client())
        let stolen = try await thief.verify(token, scope: DemoTour.scope)
        say("   \(stolen.status): \(stolen.text("WWW-Authenticate")): it proves nothing by itself")

        say("\n12. A workload of another trust domain connects:")
        let foreign = try client(
            of: DemoTrustDomain(Self.foreignDomain), as: "spiffe://\(Self.foreignDomain)/ns/ml/sa/batch-scorer")
        let reason = try await refusal(of: foreign)
        say("   no connection: the handshake fails. What the broker logged:")
        say("     \(reason)")

        guard allowed.status == 200, stolen.status == 401 else {
            throw CommandFailure("the broker did not answer as it should have")
        }
    }

    private func client(of signer: DemoTrustDomain, as id: String) throws -> DemoClient {
        DemoClient(origin: origin, tls: try signer.client(as: id, of: trustDomain))
    }

    /// Why the server did not let the client in.
    private func refusal(of client: DemoClient) async throws -> String {
        if let answer = try? await client.exchangeCertificate() {
            throw CommandFailure("the broker answered a workload that it does not know: \(answer.status)")
        }
        return try await withThrowingTaskGroup(of: String?.self) { group in
            group.addTask { [refusals] in
                for await reason in refusals { return reason }
                return nil
            }
            // The client may hear of it before the log does.
            group.addTask {
                try await Task.sleep(for: .seconds(5))
                return nil
            }
            defer { group.cancelAll() }
            guard let reason = try await group.next() ?? nil else {
                throw CommandFailure("the broker logged no reason")
            }
            return reason
        }
    }

    private func say(_ line: String) {
        print(line)
    }
}

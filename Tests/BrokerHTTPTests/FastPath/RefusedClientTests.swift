import Broker
@testable import BrokerHTTP
import Foundation
import HTTPTypes
import JOSE
import Testing

/// Whom `explain` names as the client of a refusal of `/verify`.
@Suite struct `The client of a refusal` {
    private let recent = RecentRefusals()

    /// The peer is 10.0.0.1, which is trusted.
    private func client(
        _ address: String = "10.0.0.1", trusting proxies: [String] = ["10.0.0.1"],
        of refuse: (VerifyEndpoint, VerifyEndpoint.Asker, TraceID) -> VerifyAnswer
    ) throws -> ExactString? {
        let endpoint = try EmbeddedGate.endpoint(trusting: proxies, recent: recent)
        let trace = TraceID()
        let client = ClientAddress(try #require(IPAddress(parsing: address)))
        #expect(refuse(endpoint, .init(client: client, now: Date()), trace).status.code >= 400)
        return recent.refusals(of: trace).first?.client
    }

    private func forwarded(_ client: String) -> HTTPFields { [.forwardedFor: client] }

    private typealias Refusal = @Sendable (VerifyEndpoint, VerifyEndpoint.Asker, HTTPFields, TraceID) -> VerifyAnswer

    private static let refusals: [Refusal] = [
        { endpoint, asker, fields, trace in
            endpoint.refuse(.missing, by: asker, headers: { fields }) { trace }
        },
        { endpoint, asker, fields, trace in
            endpoint.answer(
                VerifyQuestion(credential: .none, requirement: .init()), by: asker, headers: { fields },
                hasTime: { true }
            ) { trace }
        },
        { endpoint, asker, fields, trace in
            endpoint.answer(
                VerifyQuestion(credential: .ambiguous, requirement: .init()), by: asker, headers: { fields },
                hasTime: { true }
            ) { trace }
        },
        { endpoint, asker, fields, trace in
            let token = Array("a.b.c".utf8)
            return endpoint.answer(token.span, requiring: .init(), by: asker, headers: { fields }, hasTime: { true }) {
                trace
            }
        },
        { endpoint, asker, fields, trace in
            let token = Array("a.b.c".utf8)
            return endpoint.answer(token.span, requiring: nil, by: asker, headers: { fields }, hasTime: { true }) {
                trace
            }
        },
    ]

    @Test(arguments: refusals.indices)
    func `is the one for whom a trusted gateway asks, and of any other the gateway`(index: Int) throws {
        for (peer, proxies, expected) in [
            ("10.0.0.1", ["10.0.0.1"], "198.51.100.7"), ("10.0.0.2", ["10.0.0.1"], "10.0.0.2"),
            ("10.0.0.1", [], "10.0.0.1"),
        ] as [(String, [String], ExactString)] {
            let client = try client(peer, trusting: proxies) { endpoint, asker, trace in
                Self.refusals[index](endpoint, asker, forwarded("192.0.2.1, 198.51.100.7"), trace)
            }
            #expect(client == expected)
        }
    }

    @Test func `drives out its own refusals, and few of the same gateway's other clients'`() throws {
        let endpoint = try EmbeddedGate.endpoint(trusting: ["10.0.0.1"], recent: recent)
        let asker = VerifyEndpoint.Asker(
            client: ClientAddress(try #require(IPAddress(parsing: "10.0.0.1"))), now: Date())
        func refuse(_ client: String) -> TraceID {
            let trace = TraceID()
            _ = endpoint.refuse(.missing, by: asker, headers: { forwarded(client) }) { trace }
            return trace
        }
        let others = (0..<64).map { refuse("198.51.100.\($0)") }
        for _ in 0..<1000 { _ = refuse("192.0.2.1") }
        #expect(others.count { !recent.refusals(of: $0).isEmpty } >= 32)
    }

    /// In front of the decoder, as a gateway's requests come.
    @Test(arguments: ["", "Authorization: Bearer a.b.c\r\n", "Authorization: Basic x\r\nx-api-key: a.b.c\r\n"])
    func `is read in front of the decoder, too`(credentials: String) throws {
        let endpoint = try EmbeddedGate.endpoint(trusting: ["10.0.0.1"], recent: recent)
        let gate = try EmbeddedGate(
            endpoint, client: ClientAddress(try #require(IPAddress(parsing: "10.0.0.1"))))
        let request = "GET /verify HTTP/1.1\r\nHost: x\r\n\(credentials)X-Forwarded-For: 198.51.100.7\r\n\r\n"
        try gate.receive(Array(request.utf8))
        #expect(gate.passed.bytes.isEmpty)
        let answer = try gate.written()
        let trace = try #require(answer.firstMatch(of: /(?i)daypass-trace-id: (\w+)/)).output.1
        let refusals = recent.refusals(of: try #require(TraceID(parsing: String(trace))))
        #expect(refusals.map(\.client) == ["198.51.100.7"])
    }
}

import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Blocks by names that the configuration does not have.
@Suite struct `A block of what is not configured` {
    private let clock = ManualClock()
    private let revocations: Revocations
    private let configuration: BrokerConfiguration

    init() throws {
        let state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
        revocations = Revocations(MemoryStore(), publishedIn: state, clock: clock, logger: LogRecorder().logger)
        let issuers = [try Fixture.configuration(Fixture.quick)]
        let domain = try TestTrustDomain("prod.example.com").configuration()
        configuration = try Fixture.configuration(
            issuers: issuers, trustDomains: [domain], [Fixture.rule("known", texts: [("sub", ["alice"])])])
    }

    private func block(_ target: Revocation.Target, until: Date? = nil) async throws {
        _ = try await revocations.revoke(RevocationRequest(target, block: .init(until: until)), by: .daemon)
    }

    private var lines: [String] { revocations.unmatchedBlocks(in: configuration, at: clock.now) }

    @Test func `is named with its number, by rule, issuer and trust domain`() async throws {
        let (gone, domain) = (try Fixture.name("gone"), try #require(IssuerName(recorded: "spiffe://old.example.com")))
        for target in [Revocation.Target.rule("old"), .issuer(gone), .issuer(domain)] { try await block(target) }
        let end =
            " and is not configured: if it goes by another name now, nobody is kept out until that one is blocked too"
        #expect(
            lines == [
                "the rule old is blocked (revocation 1)\(end)", "the issuer gone is blocked (revocation 2)\(end)",
                "the issuer spiffe://old.example.com is blocked (revocation 3)\(end)",
            ])
    }

    @Test func `is counted by issuer where subjects are blocked`() async throws {
        for subject in ["gone:alice", "corp:alice", "gone:bob", "spiffe://prod.example.com/a"] as [ExactString] {
            try await block(.subject(subject))
        }
        #expect(lines.count == 1)
        #expect(lines.first?.hasPrefix("the issuer gone has 2 blocked subjects (revocation 3) and ") == true)
    }

    @Test func `is nothing to speak of while it is configured, over, no block, or of everybody`() async throws {
        try await block(.rule("known"))
        try await block(.issuer(Fixture.name("corp")))
        try await block(.issuer(try #require(IssuerName(recorded: "spiffe://prod.example.com"))))
        try await block(.all)
        try await block(.rule("old"), until: clock.now.addingTimeInterval(-1))
        try await block(.rule("older"))
        _ = try await revocations.lift(RevocationRequest(.rule("older")), by: .daemon)
        _ = try await revocations.revoke(RevocationRequest(.rule("revoked")), by: .daemon)
        #expect(lines == [])
    }

    @Test func `is one of so many that the others are counted, and of a long name the beginning is shown`() async throws
    {
        for index in 0..<25 { try await block(.rule(ExactString(String(repeating: "x", count: 4000) + "\(index)"))) }
        #expect(lines.count == 21 && lines.last == "5 more blocks go by names that are not configured")
        #expect(lines.allSatisfy { $0.utf8.count < 400 })
    }
}

@Suite struct `The record of a refused reload` {
    @Test(arguments: ReloadOutcome.Reason.allCases)
    func `has who asked, why, and the errors`(_ reason: ReloadOutcome.Reason) {
        let event = AuditEvent(
            refusingReload: reason, ["a.yaml:1:2: no", "b.yaml:3:4: no"], by: .signal, under: TraceID(), at: Date())
        #expect(event.kind == .configurationRefused && event.reason == reason.rawValue)
        #expect(
            event.details == ["caller": ["by": "signal"], "errors": "a.yaml:1:2: no\nb.yaml:3:4: no", "error_count": 2])
    }

    @Test(arguments: ["x", "é", "€", "😀"]) func `has no more than 2048 bytes of them`(_ character: String) throws {
        for length in 2046...2050 {
            let text = String(repeating: "x", count: length % 4) + String(repeating: character, count: length)
            let event = AuditEvent(
                refusingReload: .invalid, [text], by: .signal, under: TraceID(), at: Date())
            let errors = try #require(event.details["errors"]?.string)
            #expect(errors.utf8.count <= 2048 && errors.utf8.count > 2030)
        }
    }
}

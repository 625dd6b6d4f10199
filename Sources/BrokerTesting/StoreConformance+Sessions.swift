import Broker
import FoundationEssentials
import JOSE
import SPIFFE

// Sessions, and the uses of the subject tokens that open them.
extension StoreConformance {
    static func sessionComesBack(_ store: any Store) async throws {
        let actor: JSONObject = ["sub": "ci:b", "act": ["sub": "ci:\u{0}\"é", "act": ["sub": "agents:c"]]]
        let claims: JSONObject = ["z": "last\u{0}", "a": [true, .null, .number(-0.5), ["b": ""]]]
        let sessions = [
            Sample.session("s1"), Sample.session("s2", below: ["s0", "s1"], actor: actor, claims: claims),
            Sample.session("s3", below: ["s0"], rule: "other"),
            Sample.session(
                "s5", issuer: try workloads, subject: "spiffe://prod.example.com/ns/a", actor: actor,
                binding: CertificateFingerprint(ofDER: [0, 1]), revision: 1 << 53),
        ]
        for session in sessions {
            try await store.record(session, Sample.grant(session: session.id.string))
        }
        for session in sessions {
            let found = try await store.session(session.id)
            try expect(found == session, "found \(String(describing: found)) instead of \(session)")
            try expect(found?.claims.encoded() == session.claims.encoded(), "the claims came back in another order")
            try expect(found?.joining == session.joining, "what a further use has to share came back otherwise")
        }
        for unknown in ["s0", "s4", "", "S1", "s1 "] as [ExactString] {
            try expect(try await store.session(unknown) == nil, "a session of the id \(unknown) was found")
        }
    }

    /// A trust domain, which vouches for its workloads.
    private static var workloads: IssuerName {
        get throws { IssuerName(try TrustDomain(parsing: "prod.example.com")) }
    }

    static func usesAreCounted(_ store: any Store) async throws {
        let (session, use) = (Sample.session("s1"), Sample.use(atMost: 3))
        for number in 1...3 {
            let (outcome, event) = try await record(session, use, store)
            try expect(outcome == .recorded, "use \(number) of 3: \(outcome)")
            try expect(try await store.auditEvents(trace: event.trace), are: [event])
        }
        for session in [session, Sample.session("s2"), Sample.session("s3", rule: "other")] {
            let (outcome, event) = try await record(session, use, store)
            try expect(outcome == .exhausted, "use 4 of 3: \(outcome)")
            try expect(try await store.auditEvents(trace: event.trace), are: [])
        }
        try expect(try await store.session("s2") == nil, "a refused use left its session")
        // A limit that is raised afterwards counts from what there was.
        try expect(try await record(session, Sample.use(atMost: 4), store).0 == .recorded, "use 4 of 4")
        try expect(try await record(session, Sample.use(atMost: 4), store).0 == .exhausted, "use 5 of 4")
        try expect(try await record(session, Sample.use(atMost: 1), store).0 == .exhausted, "use 5 of 1")
    }

    static func usesJoin(_ store: any Store) async throws {
        let actor: JSONObject = ["sub": "ci:b", "act": ["sub": "ci:\"é\n"]]
        let use = Sample.use(atMost: 2)
        let first = Sample.session("s1", actor: actor)
        try expect(try await record(first, use, store).0 == .recorded, "the first use")
        let second = Sample.session("s2", actor: actor, claims: ["sub": "x"])
        for _ in 0..<3 {
            let (outcome, event) = try await record(second, use, store)
            guard case .joins(let joined) = outcome else {
                throw ConformanceFailure(description: "a further use does not join: \(outcome)")
            }
            try expect(joined == first, "it joins \(joined)")
            try expect(try await store.auditEvents(trace: event.trace), are: [])
        }
        try expect(try await store.session("s2") == nil, "a use that was not recorded left its session")
        let found = try await store.session("s1") ?? first
        try expect(try await record(found, use, store).0 == .recorded, "being told to join has used it up")
        try expect(try await record(found, use, store).0 == .exhausted, "use 3 of 2")
    }

    static func usesOfAnother(_ store: any Store) async throws {
        let use = Sample.use(atMost: 7)
        let sessions = [
            Sample.session("s1"), Sample.session("s2", rule: "other"), Sample.session("s3", actor: ["sub": "ci:b"]),
            Sample.session("s4", actor: ["sub": "ci:b", "act": ["sub": "ci:c"]]),
            Sample.session("s5", binding: CertificateFingerprint(ofDER: [1])),
            Sample.session("s6", binding: CertificateFingerprint(ofDER: [2])),
            Sample.session("s7", actor: ["sub": "ci:b"], binding: CertificateFingerprint(ofDER: [1])),
        ]
        for session in sessions {
            try expect(try await record(session, use, store).0 == .recorded, "\(session.id) is not its own")
            try expect(try await store.session(session.id) == session, "\(session.id) was not recorded")
        }
        for session in sessions {
            try expect(try await record(session, use, store).0 == .exhausted, "they are counted apart")
        }
    }

    static func usesApart(_ store: any Store) async throws {
        let uses = [Sample.use(of: 1, atMost: 1), Sample.use(of: 2, atMost: 1)]
        for (number, use) in uses.enumerated() {
            let session = Sample.session("s\(number)")
            try expect(try await record(session, use, store).0 == .recorded, "the first use")
            try expect(try await store.session(session.id) == session, "it has joined another token's session")
            try expect(try await record(session, use, store).0 == .exhausted, "the second use")
        }
    }

    static func usesOfFailures(_ store: any Store) async throws {
        let use = Sample.use(atMost: 1)
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        try await expect(.conflict, "a use with a session id that is taken") { () async throws(StoreFailure) in
            _ = try await store.record(Sample.session("s1"), Sample.grant(session: "s1"), using: use)
        }
        try expect(try await record(Sample.session("s2"), use, store).0 == .recorded, "a failure was counted")
    }

    static func usesTogether(_ store: any Store) async throws {
        for (token, limit) in [1, 32, 49, 50].enumerated() {
            let use = Sample.use(of: UInt8(token), atMost: limit)
            let recorded = try await presented(use, store) { Sample.session("t\(token)s\($0)") }
            try expect(recorded.count == limit, "\(recorded.count) uses of \(limit) were recorded")
            try expect(Set(recorded).count == 1, "they are of \(Set(recorded).count) sessions")
        }
    }

    static func usesTogetherOfTwo(_ store: any Store) async throws {
        let recorded = try await presented(Sample.use(atMost: 48), store) {
            Sample.session("s\($0)", rule: $0.isMultiple(of: 2) ? "even" : "odd")
        }
        try expect(recorded.count == 48, "\(recorded.count) uses of 48 were recorded")
        try expect(Set(recorded).count == 2, "they are of \(Set(recorded).count) sessions")
    }

    /// Uses one token fifty times at once, each time for a session of its own or the one that it is told to join.
    /// - Returns: the sessions of those uses that were recorded, each of which has its audit record.
    private static func presented(
        _ use: SubjectTokenUse, _ store: any Store, session: @escaping @Sendable (Int) -> SessionRecord
    ) async throws -> [ExactString] {
        let recorded = try await withThrowingTaskGroup(of: AuditEvent?.self) { group in
            for number in 0..<50 {
                group.addTask {
                    var (outcome, event) = try await record(session(number), use, store)
                    if case .joins(let first) = outcome { (outcome, event) = try await record(first, use, store) }
                    return outcome == .recorded ? event : nil
                }
            }
            return try await group.reduce(into: [AuditEvent]()) { events, event in if let event { events.append(event) }
            }
        }
        for event in recorded { try expect(try await store.auditEvents(trace: event.trace), are: [event]) }
        let sessions = recorded.compactMap(\.sessionID)
        for id in Set(sessions) {
            try expect(try await store.session(id)?.id == id, "a session that tokens belong to is missing")
        }
        return sessions
    }

    private static func record(
        _ session: SessionRecord, _ use: SubjectTokenUse, _ store: any Store
    ) async throws -> (UseOutcome, AuditEvent) {
        let event = Sample.grant(session: session.id.string)
        return (try await store.record(session, event, using: use), event)
    }
}

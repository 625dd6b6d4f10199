import Broker
import FoundationEssentials
import JOSE

// What is revoked, and the sessions that a condition names.
extension StoreConformance {
    static func revocationsComeBack(_ store: any Store) async throws {
        try expect(try await store.revocations().isEmpty, "a new store has revocations")
        let callers: [Caller] = [
            .daemon, .socket(uid: .max, loginUID: nil, pid: 1), .socket(uid: 0, loginUID: 7, pid: .max),
            .token(subject: "ci:\u{0}\"é", session: "s", rule: "r"),
            .holder(subject: "ci:\u{0}\"é", session: "s", root: "s", rule: "r"),
            .holder(subject: "ci:a", session: "s2", root: "s", rule: "r"),
        ]
        let targets: [(Revocation.Target, Revocation.Block?)] = [
            (.token("t"), nil), (.session("s"), nil), (.subject("ci:\u{0}é"), .init(until: nil)), (.key("k"), nil),
            (.rule("r"), .init(until: Sample.time)), (.issuer(Sample.issuer), nil), (.all, .init(until: nil)),
        ]
        let recorded =
            targets.enumerated().map { index, target in
                Sample.revocation(
                    UInt64(index) + 3, target.0, block: target.1, by: callers[index % callers.count])
            } + [Sample.revocation(Revocation.maximumSequence)]
        try await store.record(Array(recorded.dropFirst()))
        try await store.record([recorded[0]])
        try expect(try await store.revocations() == recorded.map(\.revocation), "they came back otherwise")
        for each in recorded { try expect(try await store.auditEvents(trace: each.event.trace), are: [each.event]) }
        try await store.delete(revocations: [4, 99])
        let left = recorded.map(\.revocation).filter { $0.sequence != 4 }
        try expect(try await store.revocations() == left, "others were deleted, or none")
    }

    static func revocationsOnce(_ store: any Store) async throws {
        let (first, second) = (Sample.revocation(1), Sample.revocation(2))
        try await store.record([first])
        let again = RecordedRevocation(first.revocation, Sample.refusal())
        try await store.record([again, second])
        try expect(try await store.revocations() == [first.revocation, second.revocation], "not each once")
        try expect(try await store.auditEvents(trace: again.event.trace), are: [])
        try expect(try await store.auditEvents(trace: second.event.trace), are: [second.event])
    }

    static func blocksAreLifted(_ store: any Store) async throws {
        let recorded = [
            Sample.revocation(1, block: .init(until: nil)), Sample.revocation(2, block: .init(until: Sample.time)),
            Sample.revocation(3, .all, block: .init(until: nil)), Sample.revocation(4),
        ]
        try await store.record(recorded)
        let event = Sample.refusal()
        try await store.lift(blocksOf: [1, 2, 4, 99], event)
        let (first, second) = (recorded[0].revocation.withoutBlock, recorded[1].revocation.withoutBlock)
        try expect(first != recorded[0].revocation && first.sequence == 1, "the sample does not block")
        let left = [first, second, recorded[2].revocation, recorded[3].revocation]
        try expect(try await store.revocations() == left, "others were lifted, or more than the block was")
        try expect(try await store.auditEvents(trace: event.trace), are: [event])
        // What was lifted does not come back with its record.
        try await store.record([recorded[0]])
        try expect(try await store.revocations() == left, "the block came back")
    }

    static func revocationNumbers(_ store: any Store) async throws {
        try expect(try await store.highestRevocation() == 0, "a new store has given out numbers")
        try await store.record([Sample.revocation(5), Sample.revocation(3)])
        try expect(try await store.highestRevocation() == 5, "it is not 5")
        try await store.delete(revocations: [3, 5])
        try expect(try await store.highestRevocation() == 5, "it was forgotten with its revocation")
        try await store.record(Sample.session("s1", revision: 4), Sample.grant(session: "s1"))
        try expect(try await store.highestRevocation() == 5, "a session took it back")
        try await store.record(Sample.session("s2", revision: 9), Sample.grant(session: "s2"))
        try expect(try await store.highestRevocation() == 9, "a session's is not counted")
        let use = Sample.use(atMost: 1)
        _ = try await store.record(Sample.session("s3", revision: 11), Sample.grant(session: "s3"), using: use)
        try expect(try await store.highestRevocation() == 11, "that of a session that a use opened is not counted")
    }

    static func sessionsByClaim(_ store: any Store) async throws {
        let long = String(repeating: "n", count: 300)
        let claims: [JSONObject] = [
            ["email": "a@x.com"], ["email": "a@x.co"], ["email": ["b@x.com", "a@x.com"]], ["name": "a@x.com"],
            ["n": 7], ["n": "7"], ["n": [true]], ["email": ["x": "a@x.com"]], ["/a": "q\"\\é"], ["e\u{301}": "v"],
            ["long": KeptClaims.shortened(.string(ExactString(long)))],
        ]
        for (number, claims) in claims.enumerated() {
            try await store.record(
                Sample.session("s\(number)", claims: claims), Sample.grant(session: "s\(number)"))
        }
        let now = Sample.time
        func found(_ condition: String, at now: Date = now, limit: Int = 100) async throws -> [ExactString] {
            guard let condition = ClaimCondition(parsing: condition) else {
                throw ConformanceFailure(description: "\(condition) is no condition")
            }
            return try await store.sessions(SessionCondition(claim: condition), at: now, before: nil, limit: limit)
                .sessions.map(\.id)
        }
        let expected: [(String, [ExactString])] = [
            ("email=a@x.com", ["s2", "s0"]), ("email=A@x.com", []), ("email=a@x", []), ("email=%", []),
            ("n=7", ["s5", "s4"]), ("n=7.0", ["s4"]), ("n=true", ["s6"]), ("/email/x=a@x.com", ["s7"]),
            ("/~1a=q\"\\é", ["s8"]), ("\u{e9}=v", []), ("e\u{301}=v", ["s9"]), ("long=\(long)", ["s10"]),
            ("long=\(long)n", []), ("missing=null", []),
        ]
        for (condition, ids) in expected {
            let got = try await found(condition)
            try expect(got == ids, "\(condition): found \(got) instead of \(ids)")
        }
        try expect(try await found("email=a@x.com", limit: 1) == ["s2"], "more than were asked for")
        try expect(
            try await found("email=a@x.com", at: now.addingTimeInterval(3600)).isEmpty, "a session that is over")
    }

    static func sessionsByCondition(_ store: any Store) async throws {
        let (nul, other) = ("ci:a\0b" as ExactString, Sample.name("other"))
        let sessions = [
            Sample.session("s0", subject: nul), Sample.session("s1", subject: "ci:a\0c", rule: "docs"),
            Sample.session("s2", issuer: other, subject: "other:\u{e9}"),
            Sample.session("s3", below: ["s0"], subject: nul, claims: ["email": "a@x.com"]),
            Sample.session("s33", subject: "other:e\u{301}"),
        ]
        for session in sessions { try await store.record(session, Sample.grant(session: session.id.string)) }
        let now = Sample.time
        let expected: [(SessionCondition, [ExactString])] = [
            (.init(), ["s33", "s3", "s2", "s1", "s0"]), (.init(subject: nul), ["s3", "s0"]),
            (.init(subject: "ci:a"), []), (.init(subject: "other:\u{e9}"), ["s2"]), (.init(rule: "docs"), ["s1"]),
            (.init(issuer: "other"), ["s2"]), (.init(issuer: "o"), []), (.init(ancestor: "s0"), ["s3", "s0"]),
            (.init(ancestor: "s3"), ["s3"]), (.init(subject: nul, rule: "docs"), []),
            (.init(subject: nul, claim: ClaimCondition(parsing: "email=a@x.com")), ["s3"]),
        ]
        for (condition, ids) in expected {
            var (found, position) = ([ExactString](), Int64?.none)
            repeat {
                let part = try await store.sessions(condition, at: now, before: position, limit: 2)
                try expect(part.sessions.count == 2 || part.next == nil, "a part that is not full has a next one")
                found += part.sessions.map(\.id)
                position = part.next
            } while position != nil
            try expect(found == ids, "\(condition): found \(found) instead of \(ids)")
        }
        let whole = try await store.sessions(.init(), at: now, before: nil, limit: 5)
        try expect(whole.sessions == sessions.reversed() && whole.next == nil, "they came back otherwise")
        let late = now.addingTimeInterval(3600)
        try expect(
            try await store.sessions(.init(), at: late, before: nil, limit: 5).sessions.isEmpty, "one that is over")
        for position in [.min, -1, 0, 1] as [Int64] {
            let part = try await store.sessions(.init(), at: now, before: position, limit: 5)
            try expect(part.sessions.isEmpty && part.next == nil, "there is something before the first")
        }
    }
}

import Broker
import FoundationEssentials
import JOSE

// Sign-ins and their refresh tokens.
extension StoreConformance {
    static func signInComesBack(_ store: any Store) async throws {
        let plain = Sample.signIn("s1")
        let full = Sample.signIn(
            "s2", email: "a\u{e9}@example.com", providerSession: "p\u{0}", device: "ada's laptop",
            program: "claude_code")
        for signIn in [plain, full] { try await open(signIn, store) }
        for signIn in [plain, full] {
            let found = try await store.signIn(ofToken: digest(signIn, 0))
            try expect(found?.signIn == signIn, "found \(String(describing: found)) instead of \(signIn)")
            try expect(found?.session == Sample.session(signIn.session.string), "another session")
            try expect(found?.generation == 0, "another generation")
        }
        let both = try await store.signIns(ofSessions: ["s0", "s2", "s1", "s1"])
        try expect(both == ["s1": plain, "s2": full], "by session: \(both)")
        try expect(try await store.signIns(ofSessions: []).isEmpty, "of no session")
        for unknown in [[UInt8](repeating: 9, count: 32), [], Array(digest(plain, 0).dropLast())] {
            try expect(try await store.signIn(ofToken: unknown) == nil, "a token that there never was is found")
        }
    }

    static func signInRotates(_ store: any Store) async throws {
        let first = Sample.signIn("s1")
        try await open(first, store)
        let second = Sample.signIn("s1", generation: 1, rotated: Sample.time.addingTimeInterval(60), sealed: [7])
        let event = Sample.grant(session: "s1")
        let session = Sample.session("s1")
        let outcome = try await store.record(event, rotating: second, of: session, token: digest(second, 1))
        try expect(outcome == .recorded, "\(outcome)")
        try expect(try await store.auditEvents(trace: event.trace), are: [event])
        for generation in 0...1 {
            let found = try await store.signIn(ofToken: digest(first, generation))
            try expect(found?.signIn == second && found?.generation == generation, "\(String(describing: found))")
        }
        for other in [second, Sample.signIn("s1", generation: 3), Sample.signIn("s0", generation: 1)] {
            let late = Sample.grant(session: "s1")
            try await expect(.conflict, "generation \(other.generation)") { () async throws(StoreFailure) in
                _ = try await store.record(late, rotating: other, of: session, token: [5])
            }
            try expect(try await store.auditEvents(trace: late.trace), are: [])
            try expect(try await store.signIn(ofToken: [5]) == nil, "the token of a refused rotation is there")
        }
    }

    static func signInIsKept(_ store: any Store) async throws {
        let (first, other) = (Sample.signIn("s1", email: "a@example.com"), Sample.signIn("s2"))
        for signIn in [first, other] { try await open(signIn, store) }
        try await store.keep(first.resealed(as: [8, 9], under: "m2"))
        let kept = try await store.signIns(ofSessions: ["s1", "s2"])
        try expect(kept == ["s1": first.resealed(as: [8, 9], under: "m2"), "s2": other], "\(kept)")
        try expect(try await store.signIn(ofToken: digest(first, 0))?.generation == 0, "its token is another")
        for late in [Sample.signIn("s1", generation: 1), Sample.signIn("s0")] {
            try await expect(.conflict, "generation \(late.generation)") { () async throws(StoreFailure) in
                try await store.keep(late)
            }
        }
        for (id, isThere) in [("s1", true), ("s0", false), ("", false)] as [(ExactString, Bool)] {
            try expect(try await store.isSignIn(id) == isThere, "\(id)")
        }
        _ = try await store.record(Sample.session("s3"), Sample.grant(session: "s3"))
        try expect(try await !store.isSignIn("s3"), "nobody signed in to it")
    }

    static func signInAllOrNone(_ store: any Store) async throws {
        try await open(Sample.signIn("s1"), store)
        let event = Sample.grant(session: "s2")
        // Another sign-in's token.
        try await expect(.conflict, "a taken token") { () async throws(StoreFailure) in
            _ = try await store.record(
                Sample.session("s2"), event, opening: Sample.signIn("s2"), token: digest(Sample.signIn("s1"), 0))
        }
        try expect(try await store.session("s2") == nil, "a session without a sign-in is there")
        try expect(try await store.auditEvents(trace: event.trace), are: [])
    }

    static func signInsOfProvider(_ store: any Store) async throws {
        let (a, b) = (Sample.signIn("s1", providerSession: "p1"), Sample.signIn("s2", providerSession: "p2"))
        for signIn in [a, b, Sample.signIn("s3")] { try await open(signIn, store) }
        let now = Sample.time
        func found(
            _ subject: ExactString?, _ provider: ExactString?, of issuer: IssuerName = Sample.issuer, at now: Date = now
        ) async throws -> Set<ExactString> {
            Set(
                try await store.signIns(of: issuer, subject: subject, providerSession: provider, at: now).map(\.id))
        }
        let subject = Sample.session("s1").subject
        try expect(try await found(nil, "p1") == ["s1"], "by the provider's session")
        try expect(try await found(subject, nil) == ["s1", "s2", "s3"], "by subject")
        try expect(try await found(subject, "p2") == ["s2", "s3"], "by both, and that of no known session")
        try expect(try await found(nil, nil).isEmpty, "by nothing")
        try expect(try await found("ci:other", "p2").isEmpty, "another's session")
        try expect(try await found(nil, "p3").isEmpty, "of no session")
        try expect(try await found(subject, nil, of: Sample.name("other")).isEmpty, "of another issuer")
        try expect(try await found(subject, nil, at: a.end).isEmpty, "of sessions that have ended")
    }

    static func signInsByCondition(_ store: any Store) async throws {
        for number in 0..<3 {
            let id = "s\(number)"
            try await store.record(Sample.session(id), Sample.grant(session: id))
            let email: ExactString? = number == 2 ? nil : ExactString("a\(number)@example.com")
            try await open(Sample.signIn("p\(number)", email: email), store)
        }
        let expected: [(SessionCondition, [ExactString])] = [
            (.init(signIn: .any), ["p2", "p1", "p0"]), (.init(signIn: .email("a1@example.com")), ["p1"]),
            (.init(signIn: .email("A1@example.com")), []), (.init(signIn: .email("a1")), []),
            (.init(signIn: .email("")), []), (.init(subject: "ci:other", signIn: .any), []),
        ]
        for (condition, ids) in expected {
            var (found, position) = ([ExactString](), Int64?.none)
            repeat {
                let part = try await store.sessions(condition, at: Sample.time, before: position, limit: 2)
                found += part.sessions.map(\.id)
                position = part.next
            } while position != nil
            try expect(found == ids, "\(condition): found \(found) instead of \(ids)")
        }
    }

    static func signInsAreForgotten(_ store: any Store) async throws {
        let signIns = (1...3).map { Sample.signIn("s\($0)") }
        for signIn in signIns { try await open(signIn, store) }
        let end = signIns[0].end
        try expect(try await store.forgetSignIns(endedBefore: end, limit: 9) == 0, "one that ends now is forgotten")
        let later = end.addingTimeInterval(1)
        try expect(try await store.forgetSignIns(endedBefore: later, limit: 4) == 4, "not two of three")
        try expect(try await store.forgetSignIns(endedBefore: later, limit: 1) == 1, "not the token of the last")
        try expect(try await store.forgetSignIns(endedBefore: later, limit: 4) == 1, "not the last")
        for signIn in signIns {
            try expect(try await store.signIn(ofToken: digest(signIn, 0)) == nil, "a token is left")
            try expect(try await store.session(signIn.session) != nil, "the session is gone")
        }
    }

    static func signInSecretsAreDropped(_ store: any Store) async throws {
        let signIns = (1...5).map { Sample.signIn("s\($0)") }
        for signIn in signIns { try await open(signIn, store) }
        var (position, rounds) = (Int64?(0), 0)
        while let next = position {
            position = try await store.dropSecrets(after: next, limit: 2) { ["s2", "s5"].contains($0.id) }
            rounds += 1
        }
        try expect(rounds == 3, "\(rounds) batches")
        for signIn in signIns {
            let found = try await store.signIn(ofToken: digest(signIn, 0))?.signIn
            let isDead = ["s2", "s5"].contains(signIn.session)
            let expected = isDead ? signIn.resealed(as: [], under: signIn.masterKeyID) : signIn
            try expect(found == expected, "\(signIn.session): \(String(describing: found))")
        }
        let left = try await store.sealedRows().map(\.id).filter { $0.string.hasPrefix("s") }
        try expect(left.sorted() == ["s1", "s3", "s4"], "sealed: \(left)")
        try expect(try await store.dropSecrets(after: 0, limit: 9) { _ in false } == nil, "there is more")
    }

    static func signInsEndWithGeneration(_ store: any Store) async throws {
        let signIn = Sample.signIn("s1")
        try await open(signIn, store)
        try await store.begin(StoreGeneration(number: 2), with: [Sample.key("k1", .active)], Sample.refusal())
        try expect(try await store.signIn(ofToken: digest(signIn, 0)) == nil, "a refresh token of the last one is good")
        try expect(try await store.session("s1") != nil, "the session is gone")
        try expect(try await store.isSignIn("s1"), "nobody knows any more that it was signed in to")
    }

    private static func open(_ signIn: SignInRecord, _ store: any Store) async throws {
        let outcome = try await store.record(
            Sample.session(signIn.session.string), Sample.grant(session: signIn.session.string), opening: signIn,
            token: digest(signIn, 0))
        try expect(outcome == .recorded, "\(outcome)")
    }

    private static func digest(_ signIn: SignInRecord, _ generation: Int) -> [UInt8] {
        Array(signIn.session.utf8) + [UInt8](repeating: UInt8(generation), count: 30)
    }
}

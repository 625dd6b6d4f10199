import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Whoever has a token can have any number of them, and give each back.
@Suite struct `What holders give back` {
    private static let administrators: [Caller] = [
        .socket(uid: 0, loginUID: nil, pid: 1), .token(subject: "ci:a", session: "s", rule: "admins"), .daemon,
    ]

    private func revocation(_ bench: ExchangeBench) -> TokenRevocation {
        TokenRevocation(
            verifier: bench.verifier, certificates: .none, revocations: bench.revocations,
            clock: bench.clock)
    }

    private func isGood(_ response: ExchangeResponse, _ bench: ExchangeBench) -> Bool {
        (try? bench.verifier.claims(of: response.accessToken, presentedBy: nil, at: bench.clock.now)) != nil
    }

    /// Lets a holder of that session give back as many tokens as take no more than a place each.
    private func exhaust(_ session: ExchangeResponse, _ bench: ExchangeBench) async throws {
        for _ in 0..<Revocations.maximumOfSession {
            let token = try await bench.renewed(session)
            let outcome = try await revocation(bench).revoke(token.accessToken, presenting: nil, trace: TraceID())
            guard case .token = outcome?.revocation?.target else {
                Issue.record("\(String(describing: outcome))")
                return
            }
        }
    }

    @Test func `of a session that gives back one token after the other all is given back at last`() async throws {
        let bench = try ExchangeBench()
        let session = try await bench.opened()
        let other = try await bench.opened(["jti": "t2"])
        try await exhaust(session, bench)
        let last = try await bench.renewed(session)
        #expect(isGood(session, bench))
        let outcome = try await revocation(bench).revoke(last.accessToken, presenting: nil, trace: TraceID())
        #expect(outcome?.revocation?.target == .session(session.sessionID) && outcome?.isDurable == true)
        #expect(!isGood(session, bench) && !isGood(last, bench))
        #expect(try await bench.refusal(renewing: session) == "subjectToken: revoked")
        // Nobody else's, and there is nothing left to take places with.
        #expect(isGood(other, bench))
        #expect(try await revocation(bench).revoke(session.accessToken, presenting: nil, trace: TraceID()) == nil)
        #expect(bench.revocations.liveCount == Revocations.maximumOfSession + 1)
        let caller = bench.revocations.list.last?.caller
        #expect(
            caller
                == .holder(
                    subject: "corp:alice", session: session.sessionID, root: session.sessionID, rule: "main"))
    }

    @Test func `whoever was handed a narrower token ends its own session, not the one above`() async throws {
        let bench = try ExchangeBench()
        let parent = try await bench.opened()
        let child = try await bench.renewed(parent, scope: ["a:read"])
        try await exhaust(child, bench)
        let outcome = try await revocation(bench).revoke(child.accessToken, presenting: nil, trace: TraceID())
        #expect(outcome?.revocation?.target == .session(child.sessionID))
        #expect(!isGood(child, bench) && isGood(parent, bench))
    }

    @Test func `a session gets no more places by sessions below it, however deep, nor they any of its own`()
        async throws
    {
        let terms = try ExchangeBench.terms(scope: ["a:read", "a:write", "a:admin"])
        let bench = try ExchangeBench(rules: [try ExchangeBench.main(terms)])
        let (parent, other) = (try await bench.opened(), try await bench.opened(["jti": "t2"]))
        // A token of a session of its own each, some of them below one another.
        for index in 0..<Revocations.maximumBelowSession {
            var child = try await bench.renewed(parent, scope: ["a:read", "a:write"])
            if index % 100 == 0 { child = try await bench.renewed(child, scope: ["a:read"]) }
            #expect(try await giveBack(child, bench)?.isDurable == true)
        }
        try await expectFull(bench.renewed(parent, scope: ["a:read"]), bench)
        // After a start they count the same.
        try await bench.revocations.restore()
        try await expectFull(bench.renewed(parent, scope: ["a:write"]), bench)
        // The session itself has its own, and so has another one of the same subject, and those below that.
        #expect(try await giveBack(bench.renewed(parent), bench)?.isDurable == true)
        #expect(try await giveBack(bench.renewed(other, scope: ["a:read"]), bench)?.isDurable == true)
        #expect(isGood(parent, bench) && isGood(other, bench))
        try await expectRoomForAdministrators(bench)
        // What is over gives them back.
        let later = try #require(bench.revocations.list.first?.expires.addingTimeInterval(86_401))
        try await bench.revocations.prune(at: later)
        #expect(try await giveBack(bench.renewed(parent, scope: ["a:read"]), bench)?.isDurable == true)
    }

    @Test func `an administrator on the network revokes the tokens that he names, however many`() async throws {
        let bench = try ExchangeBench()
        let caller = Caller.token(subject: "corp:alice", session: "s", rule: "admins")
        for index in 0...Revocations.maximumOfSession {
            let target = Revocation.Target.token(ExactString("t\(index)"))
            let outcome = try await bench.revocations.revoke(RevocationRequest(target), by: caller)
            #expect(outcome.revocation?.target == target)
        }
    }

    /// A broker whose store has so many from holders: of each subject as many, each of a session of its own.
    private func bench(_ count: Int, of subjects: [ExactString]) async throws -> ExchangeBench {
        let store = MemoryStore()
        try await store.record(
            (0..<count).map { index in
                let session = ExactString("s\(index)")
                let holder = Caller.holder(
                    subject: subjects[index % subjects.count], session: session, root: session, rule: "main")
                return Sample.revocation(UInt64(index + 1), .token(ExactString("t\(index)")), by: holder)
            })
        let rule = try ExchangeBench.main(match: [("ref", ["refs/heads/main"])])
        let bench = try ExchangeBench(rules: [rule], store: store)
        try await bench.revocations.restore()
        return bench
    }

    private func giveBack(_ token: ExchangeResponse, _ bench: ExchangeBench) async throws -> RevocationOutcome? {
        try await revocation(bench).revoke(token.accessToken, presenting: nil, trace: TraceID())
    }

    private func expectFull(_ token: ExchangeResponse, _ bench: ExchangeBench) async throws {
        let refusal = await #expect(throws: RevocationRefusal.self) { try await giveBack(token, bench) }
        guard case .full = refusal else {
            Issue.record("\(String(describing: refusal))")
            return
        }
        #expect(isGood(token, bench))
    }

    private func expectRoomForAdministrators(_ bench: ExchangeBench) async throws {
        for caller in Self.administrators {
            for target: Revocation.Target in [.token("x"), .session("x"), .subject("corp:x")] {
                #expect(try await bench.revocations.revoke(RevocationRequest(target), by: caller).isDurable)
            }
        }
    }

    @Test func `a subject has a tenth of the places, after a start too, and pruning gives them back`() async throws {
        let bench = try await bench(Revocations.maximumOfHolder - 1, of: ["corp:alice"])
        let (first, second) = (try await bench.opened(), try await bench.opened(["jti": "t2"]))
        let other = try await bench.opened(["sub": "bob"])
        #expect(try await giveBack(first, bench)?.isDurable == true)
        try await expectFull(second, bench)
        #expect(try await giveBack(other, bench)?.isDurable == true)
        try await expectRoomForAdministrators(bench)
        try await expectFull(second, bench)
        let later = try #require(bench.revocations.list.first?.expires.addingTimeInterval(86_401))
        try await bench.revocations.prune(at: later)
        #expect(try await giveBack(second, bench)?.isDurable == true)
    }

    @Test func `all holders together have their places, and none of the administrators'`() async throws {
        let subjects = (0..<10).map { ExactString("corp:\($0)") }
        let bench = try await bench(Revocations.maximumOfHolders, of: subjects)
        try await expectFull(bench.opened(["sub": "bob"]), bench)
        try await expectRoomForAdministrators(bench)
    }
}

import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Synchronization
import Testing

@testable import Broker

@Suite(.timeLimit(.minutes(1))) struct `Asking the provider again` {
    private func renewal(_ vouching: ProviderRenewal.Vouching, _ token: String? = nil) -> ScriptedProvider.Answer {
        guard let token else { return .success(ProviderRenewal(vouching, token: nil)) }
        var bytes = Array(token.utf8)
        return .success(ProviderRenewal(vouching, token: .init(moving: &bytes)))
    }

    private func isGood(_ response: SignInResponse, _ bench: SignInBench) -> Bool {
        let claims = try? bench.base.verifier.claims(
            of: response.token.accessToken, presentedBy: nil, at: bench.base.clock.now)
        return claims != nil
    }

    @Test func `cannot be got round by renewing the gateway token, of which less lasts no longer`() async throws {
        let bench = try SignInBench(provider: ScriptedProvider())
        let first = try await bench.signedIn(providerToken: "p")
        let exchange = try ExchangeBench(rules: [ExchangeBench.main()], after: bench.base)
        for scope in [nil, ["a:write", "a:read"]] {
            #expect(try await exchange.refusal(renewing: first.token, scope: scope) == "signedIn: signed_in")
        }
        let below = try await exchange.renewed(first.token, scope: ["a:read"])
        #expect(below.sessionID != first.token.sessionID)
        bench.base.clock.advance(by: .seconds(600))
        #expect(try await exchange.renewed(below).lifetime == 300)
        let second = try await bench.refresh(first.refreshToken).get()
        #expect(try await exchange.refusal(renewing: second.token) == "signedIn: signed_in")
        // Whether it is one has to be known.
        bench.base.store.fail(afterCalls: 1)
        #expect(await exchange.refusal(try exchange.renewal(of: second.token.accessToken))?.name == "unavailable")
    }

    @Test func `ends the session where it vouches for others, or says what the rule wants no more`()
        async throws
    {
        let provider = ScriptedProvider()
        let rule = try ExchangeBench.main(match: [("sub", ["*"]), ("ref", ["refs/heads/main"])])
        let base = try SignInBench(rules: [rule], provider: provider)
        let cases: [(ProviderRenewal.Vouching, String)] = [
            (.proves(try await base.subject(["sub": "bob"])), "claim"),
            (.proves(try await base.subject(["ref": "other"])), "no_rule"),
            (.foreign("its azp is not our client"), "claim"),
        ]
        for (vouching, reason) in cases {
            let bench = try SignInBench(rules: [rule], after: base)
            let first = try await bench.signedIn(providerToken: "p")
            provider.says(renewal(vouching))
            #expect(isGood(first, bench))
            #expect(await bench.refresh(first.refreshToken).refusal == "ended")
            #expect(bench.base.store.events.last?.reason == reason)
            #expect(!isGood(first, bench), "its gateway tokens are dead as well")
            provider.says(renewal(.proves(try await bench.subject())))
            #expect(await bench.refresh(first.refreshToken).refusal == "ended", "for good")
        }
    }

    @Test func `ends no session where it is the rules that changed`() async throws {
        let provider = ScriptedProvider()
        func bench(_ ref: String, after earlier: SignInBench? = nil) throws -> SignInBench {
            try SignInBench(
                rules: [ExchangeBench.main(match: [("sub", ["*"]), ("ref", [ref])])], provider: provider, after: earlier
            )
        }
        let before = try bench("refs/heads/main")
        let first = try await before.signedIn(providerToken: "p")
        provider.says(renewal(.proves(try await before.subject())))
        #expect(try await bench("refs/tags/*", after: before).refresh(first.refreshToken).refusal == "ended")
        #expect(before.base.store.events.last?.reason == "no_rule")
        #expect(isGood(first, before))
        #expect(await before.refresh(first.refreshToken).refusal == nil)
    }

    @Test func `loses no token that the provider gave, whatever became of its answer, and of the broker`() async throws
    {
        let provider = ScriptedProvider(renewal(.unchecked("its keys do not answer"), "p1"))
        var bench = try SignInBench(provider: provider)
        let first = try await bench.signedIn(providerToken: "p0")
        #expect(await bench.refresh(first.refreshToken).refusal == "unavailable keysUnavailable")
        // As after a kill.
        bench = try SignInBench(after: bench)
        provider.says(renewal(.none, "p2"))
        let wider = [try #require(Scope(parsing: "more:than"))]
        #expect(await bench.refresh(first.refreshToken, scope: wider).refusal == "scope")
        bench = try SignInBench(after: bench)
        provider.says(renewal(.none, "p3"))
        bench.base.store.fail(afterCalls: 2)
        #expect(await bench.refresh(first.refreshToken).refusal == "unavailable store")
        bench.base.store.fail(afterCalls: .max)
        provider.says(renewal(.none, "p4"))
        let second = try await bench.refresh(first.refreshToken).get()
        bench = try SignInBench(after: bench)
        #expect(await bench.refresh(second.refreshToken).refusal == nil)
        #expect(provider.asked == ["p0", "p1", "p2", "p3", "p4"])
    }

    @Test func `counts the 30 s of a lost answer from the answer, not from before the provider was asked`() async throws
    {
        let provider = ScriptedProvider()
        let bench = try SignInBench(provider: provider)
        let first = try await bench.signedIn(providerToken: "p")
        let clock = bench.base.clock
        provider.takes { clock.advance(by: .seconds(10)) }
        let lost = try await bench.refresh(first.refreshToken).get()
        clock.advance(by: .seconds(25))
        let again = try await bench.refresh(first.refreshToken).get()
        #expect(again.refreshToken?.reveal() == lost.refreshToken?.reveal())
        clock.advance(by: .seconds(6))
        #expect(await bench.refresh(first.refreshToken).refusal == "ended")
    }

    @Test func `takes nobody for a thief whose answer was lost while the clock was set back`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        bench.base.clock.advance(by: .seconds(120))
        let lost = try await bench.refresh(first.refreshToken).get()
        bench.base.clock.now.addTimeInterval(-60)
        let again = try await bench.refresh(first.refreshToken).get()
        #expect(again.refreshToken?.reveal() == lost.refreshToken?.reveal())
    }

    @Test func `is done once for five who refresh at once, also where the provider takes long and fails`() async throws
    {
        let provider = ScriptedProvider(.failure(.unavailable("it does not answer")))
        let bench = try SignInBench(provider: provider)
        let first = try await bench.signedIn(providerToken: "p")
        let (turns, session) = (bench.signIn.turns, first.token.sessionID)
        provider.takes {
            while provider.asked.count == 1, turns.waitingCount(for: session) < 4 { await Task.yield() }
        }
        let refusals = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<5 { group.addTask { await bench.refresh(first.refreshToken).refusal } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(refusals == Array(repeating: "unavailable keysUnavailable", count: 5))
        #expect(provider.asked.count == 1)
        provider.says(renewal(.none))
        #expect(await bench.refresh(first.refreshToken).refusal == nil)
    }

    @Test func `is waited for by so many of a session, and further ones are sent away`() async throws {
        let provider = ScriptedProvider()
        let bench = try SignInBench(provider: provider)
        let first = try await bench.signedIn(providerToken: "p")
        let (turns, session) = (bench.signIn.turns, first.token.sessionID)
        let further = Mutex<String?>(nil)
        provider.takes {
            while turns.waitingCount(for: session) < SignInTurns.maximumWaiting { await Task.yield() }
            let refusal = await bench.refresh(first.refreshToken).refusal
            further.withLock { $0 = refusal }
        }
        let refusals = await withTaskGroup(of: String?.self) { group in
            for _ in 0...SignInTurns.maximumWaiting {
                group.addTask { await bench.refresh(first.refreshToken).refusal }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(further.withLock { $0 } == "busy")
        #expect(refusals.allSatisfy { $0 == nil } && provider.asked.count == 1)
        #expect(turns.waitingCount(for: session) == 0)
    }

    @Test func `takes a 400 without a word for a refusal where it comes again, and not too soon`() async throws {
        let provider = ScriptedProvider(.failure(.wordless))
        let bench = try SignInBench(provider: provider)
        let first = try await bench.signedIn(providerToken: "p")
        for seconds in [0, 14] {
            bench.base.clock.advance(by: .seconds(seconds))
            #expect(await bench.refresh(first.refreshToken).refusal == "unavailable keysUnavailable")
        }
        provider.says(renewal(.none))
        let second = try await bench.refresh(first.refreshToken).get()
        provider.says(.failure(.wordless))
        for seconds in [60, 14] {
            bench.base.clock.advance(by: .seconds(seconds))
            #expect(await bench.refresh(second.refreshToken).refusal == "unavailable keysUnavailable")
        }
        #expect(isGood(second, bench))
        bench.base.clock.advance(by: .seconds(1))
        #expect(await bench.refresh(second.refreshToken).refusal == "ended")
        #expect(bench.base.store.events.last?.reason == "session_over" && !isGood(second, bench))
    }

    @Test func `remembers a 400 without a word for an hour, of so many sessions`() {
        let refusals = WordlessRefusals()
        #expect(!refusals.isRefusal(of: "s", at: .seconds(100)))
        #expect(refusals.isRefusal(of: "s", at: .seconds(3699)))
        #expect(!refusals.isRefusal(of: "s", at: .seconds(3700)) && !refusals.isRefusal(of: "s", at: .seconds(3714)))
        for number in 1..<WordlessRefusals.maximum {
            #expect(!refusals.isRefusal(of: ExactString("s\(number)"), at: .seconds(3720)))
        }
        for time in [3720, 3900] { #expect(!refusals.isRefusal(of: "one more", at: .seconds(time))) }
        #expect(refusals.isRefusal(of: "s1", at: .seconds(3900)))
        refusals.forget("s1")
        for (time, isRefusal) in [(3900, false), (3915, true)] {
            #expect(refusals.isRefusal(of: "one more", at: .seconds(time)) == isRefusal)
        }
    }
}

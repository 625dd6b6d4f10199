import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@testable import Broker

@Suite struct `Signing in on a device` {
    @Test func `gives a token of a new session and a refresh token, on the record`() async throws {
        let bench = try SignInBench()
        let response = try await bench.signedIn()
        #expect(response.token.lifetime == 900 && response.email == "alice@example.com")
        #expect(response.refreshToken?.count == 43)
        let session = try #require(bench.base.store.sessions.first)
        #expect(session.id == response.token.sessionID && session.subject == "corp:alice" && session.rule == "main")
        let event = try #require(bench.base.store.events.first)
        #expect(event.kind == .exchangeGranted && event.sessionID == session.id)
        #expect(event.details["claims"]?.object?["sub"] == "alice")
        let claims = try bench.base.verifier.claims(
            of: response.token.accessToken, presentedBy: nil, at: bench.base.clock.now)
        #expect(claims.sessionID == session.id)
    }

    @Test func `says in the record which device it is and from where it was approved, in which session there`()
        async throws
    {
        let bench = try SignInBench()
        let device = DeviceDescription(surface: "claude_code", name: "ada's laptop")
        _ = try await bench.redeem(bench.approved(bench.approval(), on: device)).get()
        let said = bench.base.store.events.first?.details["sign_in"]?.object
        #expect(said?["step"] == "device" && said?["device"] == "ada's laptop" && said?["program"] == "claude_code")
        #expect(said?["approved_from"] == "198.51.100.4" && said?["provider_session"] == "p1")
        _ = try await bench.redeem(bench.approved(bench.approval(providerSession: nil))).get()
        let bare: JSONObject = ["step": "device", "approved_from": "198.51.100.4"]
        #expect(bench.base.store.events.last?.details["sign_in"]?.object == bare)
        // The pages know whose request it is that approves.
        let approval = try #require(
            try await bench.signIn.approval(
                by: bench.subject(), since: bench.signIn.highestRevocation, from: "203.0.113.9", under: TraceID()))
        #expect(approval.approvedFrom == "203.0.113.9")
    }

    @Test func `that a person refuses is in the log with what the device said of itself`() throws {
        let bench = try SignInBench()
        let asking = DeviceDescription(surface: "claude_code", name: "mallory's")
        guard
            case .begun(let begun) = try bench.signIn.devices.begin(
                from: .init(bytes: [192, 0, 2, 66])!, asking: asking)
        else { throw SignInBench.NotGranted() }
        let (device, trace) = (try #require(bench.signIn.devices.pending(begun.userCode)), TraceID())
        bench.signIn.noteDenial(of: device, from: "203.0.113.9", under: trace)
        let line = try #require(bench.base.log.lines.last)
        for part in ["mallory's", "claude_code", "203.0.113.9", "\(trace)"] {
            #expect(line.contains(part), "\(line)")
        }
        #expect(!line.contains(begun.userCode.text))
        for _ in 0..<1000 { bench.signIn.noteDenial(of: device, from: "203.0.113.9", under: trace) }
        #expect(bench.base.log.messages.count { $0 == "a device was refused on the page" } <= 10)
    }

    @Test func `ends the sign-in of the person that was used longest ago where he has a hundred`() async throws {
        let bench = try SignInBench(rules: [ExchangeBench.main(match: [("sub", ["*"])])])
        let bob = try await bench.signedIn(["sub": "bob"])
        let approval = try await bench.approval()
        var tokens: [SecretText?] = []
        for _ in 0..<100 {
            tokens.append(try await bench.redeem(bench.approved(approval)).get().refreshToken)
            bench.base.clock.advance(by: .seconds(1))
        }
        #expect(bench.base.state.current.revocations.highest == 0)
        // The first was used later than the second.
        let used = await bench.refresh(tokens[0]).refreshToken
        _ = try await bench.redeem(bench.approved(approval)).get()
        #expect(await bench.refresh(tokens[1]).refusal == "ended")
        for token in [used, tokens[2], tokens[99], bob.refreshToken] {
            #expect(await bench.refresh(token).refusal == nil)
        }
        let revoked = bench.base.store.events.filter { $0.kind == .revoked }
        #expect(revoked.count == 1 && revoked[0].details["reason"]?.string?.string.contains("100 sign-ins") == true)
        #expect(try await bench.signIn.ownSessions(of: Fixture.name(), subject: "corp:alice").count == 100)
    }

    @Test func `leaves no token of the provider's in the store once its session is revoked`() async throws {
        let bench = try SignInBench(rules: [ExchangeBench.main(match: [("sub", ["*"])])])
        let (store, state) = (bench.base.store, bench.base.state)
        let bob = try await bench.signedIn(["sub": "bob"], providerToken: "b")
        let alice = try await bench.signedIn(providerToken: "a")
        var pruning = StorePruning(
            store, retention: .seconds(86_400), archive: "archive", revocations: { state.current.revocations },
            clock: bench.base.clock, logger: bench.base.log.logger)
        await pruning.round()
        #expect(try await store.sealedRows().count == 2)
        _ = try await bench.base.revocations.revoke(RevocationRequest(.subject("corp:alice")), by: .daemon)
        bench.base.clock.advance(by: .seconds(60))
        await pruning.round()
        #expect(try await store.sealedRows().map(\.id) == [bob.token.sessionID])
        #expect(await bench.refresh(alice.refreshToken).refusal == "ended")
        #expect(await bench.refresh(bob.refreshToken).refusal == nil)
    }

    @Test func `ends with its last refresh token, which is no theft`() async throws {
        let bench = try SignInBench()
        let response = try await bench.signedIn()
        let store = bench.base.store
        let text = try #require(response.refreshToken)
        let digest = try #require(OpaqueToken(parsing: text)).digest
        let presented = try #require(try await store.signIn(ofToken: digest))
        var (signIn, last) = (presented.signIn, digest)
        for _ in 0..<SignIn.maximumGenerations {
            signIn = signIn.next(at: bench.base.clock.now, sealed: signIn.sealed, under: signIn.masterKeyID)
            let token = try OpaqueToken(from: SystemRandom())
            last = token.digest
            let outcome = try await store.record(
                Sample.grant(session: "x"), rotating: signIn, of: presented.session, token: last)
            #expect(outcome == .recorded)
            if signIn.generation == SignIn.maximumGenerations {
                #expect(await bench.refresh(token.text).refusal == "ended")
            }
        }
        #expect(store.events.last?.reason == "session_over")
    }

    @Test func `gets what a later rule grants where an earlier one is bound to a certificate`() async throws {
        let scope = try #require(Scope(parsing: "strong"))
        let terms = try #require(
            GrantTerms(
                scope: [scope], timeToLive: .seconds(900), audiences: ExchangeBench.audiences, bindsCertificate: true))
        let bound = try Fixture.rule("strong", issuer: "corp", texts: [("sub", ["alice"])], terms: terms)
        let bench = try SignInBench(rules: [bound, ExchangeBench.main()])
        let subject = try await bench.subject()
        let approval = try #require(
            try await bench.signIn.approval(
                by: subject, since: 0, from: "192.0.2.7", under: TraceID()))
        #expect(approval.grant.rule == "main")
        #expect(try await bench.redeem(bench.approved(approval)).get().refreshToken != nil)
        #expect(bench.base.store.sessions.map(\.rule) == ["main"])
        #expect(bench.signIn.largestGrant(of: subject.issuer)?.scope.contains(scope) == false)
        // With that one alone there is nothing, and the record says why.
        let alone = try SignInBench(rules: [bound], after: bench)
        let none = try await alone.signIn.approval(by: subject, since: 0, from: "192.0.2.7", under: TraceID())
        #expect(none == nil && bench.base.store.events.last?.reason == "certificate")
    }

    @Test func `keeps neither the refresh token nor the provider's where the store can be read`() async throws {
        let bench = try SignInBench()
        let response = try await bench.signedIn(providerToken: "provider-secret")
        let token = try #require(response.refreshToken)
        let digest = try #require(OpaqueToken(parsing: token)).digest
        let stored = try #require(try await bench.base.store.signIn(ofToken: digest))
        var dumped = ""
        dump(bench.base.store.events, to: &dumped)
        dump(stored, to: &dumped)
        #expect(!dumped.contains(token.reveal()) && !dumped.contains("provider-secret"))
        #expect(!String(decoding: stored.signIn.sealed, as: UTF8.self).contains("provider-secret"))
        #expect(try await bench.base.store.signIn(ofToken: Base64URL.decode(ExactString(token.reveal()))) == nil)
    }

    @Test func `gives no refresh token where the session ends with its first token`() async throws {
        let terms = try ExchangeBench.terms(maximumSession: .seconds(900))
        let bench = try SignInBench(rules: [ExchangeBench.main(terms)])
        #expect(try await bench.signedIn().refreshToken == nil)
        #expect(bench.base.store.sessions.count == 1)
    }

    @Test func `gives nothing where the rule is gone by then, and says so in the record`() async throws {
        let before = try SignInBench()
        let code = try before.approved(try await before.approval())
        let bench = try SignInBench(
            rules: [ExchangeBench.main(match: [("sub", ["bob"])])], after: before)
        #expect(await bench.redeem(code).refusal == "denied")
        #expect(bench.base.store.events.map(\.reason) == ["no_rule"] && bench.base.store.sessions.isEmpty)
    }

    @Test func `gives nothing to whoever was blocked or revoked after he approved`() async throws {
        for block in [Revocation.Block(), nil] {
            let bench = try SignInBench()
            let code = try bench.approved(try await bench.approval())
            _ = try await bench.base.revocations.revoke(
                RevocationRequest(.subject("corp:alice"), block: block), by: .daemon)
            #expect(await bench.redeem(code).refusal == "denied")
            #expect(bench.base.store.sessions.isEmpty)
        }
    }

    @Test func `is tried again with the same code where the store failed`() async throws {
        let bench = try SignInBench()
        let code = try bench.approved(try await bench.approval())
        bench.base.store.fail(with: StoreFailure(.unavailable, "record", cause: "test"))
        #expect(await bench.redeem(code).refusal == "unavailable store")
        bench.base.store.fail(with: nil)
        bench.base.clock.advance(by: .seconds(5))
        #expect(await bench.redeem(code).refusal == nil)
        bench.base.clock.advance(by: .seconds(5))
        #expect(await bench.redeem(code).refusal == "expired")
        #expect(bench.base.store.sessions.count == 1)
    }

    @Test func `gives one token to fifty who poll at once`() async throws {
        let bench = try SignInBench()
        let code = try bench.approved(try await bench.approval())
        let refusals = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<50 { group.addTask { await bench.redeem(code).refusal } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(refusals.count { $0 == nil } == 1 && bench.base.store.sessions.count == 1)
    }
}

@Suite struct `Staying signed in` {
    @Test func `gives a further token of the session and the next refresh token`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        bench.base.clock.advance(by: .seconds(600))
        let second = try await bench.refresh(first.refreshToken).get()
        #expect(second.token.sessionID == first.token.sessionID && second.email == "alice@example.com")
        #expect(second.refreshToken?.reveal() != first.refreshToken?.reveal())
        bench.base.clock.advance(by: .seconds(600))
        let third = try await bench.refresh(second.refreshToken).get()
        #expect(third.token.sessionID == first.token.sessionID)
        #expect(bench.base.store.events.map(\.kind) == [.exchangeGranted, .sessionRenewed, .sessionRenewed])
    }

    @Test func `ends with the session, whatever is refreshed`() async throws {
        let bench = try SignInBench()
        var token = try await bench.signedIn().refreshToken
        for _ in 0..<5 {
            bench.base.clock.advance(by: .seconds(600))
            token = try await bench.refresh(token).get().refreshToken
        }
        bench.base.clock.advance(by: .seconds(599))
        let last = try await bench.refresh(token).get()
        #expect(last.token.lifetime == 1)
        bench.base.clock.advance(by: .seconds(1))
        #expect(await bench.refresh(last.refreshToken).refusal == "ended")
        #expect(bench.base.store.events.last?.reason == "session_over")
    }

    @Test func `gives a lost answer again within 30 s, the same refresh token`() async throws {
        let bench = try SignInBench(provider: ScriptedProvider())
        let first = try await bench.signedIn(providerToken: "p")
        let second = try await bench.refresh(first.refreshToken).get()
        bench.base.clock.advance(by: .seconds(30))
        let again = try await bench.refresh(first.refreshToken).get()
        #expect(again.refreshToken?.reveal() == second.refreshToken?.reveal())
        #expect(bench.provider?.asked == ["p"], "the provider was asked once")
        #expect(await bench.refresh(second.refreshToken).refusal == nil)
    }

    @Test func `ends the session when a lost answer is asked for after 30 s`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        let second = try await bench.refresh(first.refreshToken).get()
        bench.base.clock.advance(by: .seconds(31))
        #expect(await bench.refresh(first.refreshToken).refusal == "ended")
        #expect(await bench.refresh(second.refreshToken).refusal == "ended")
        let events = bench.base.store.events
        #expect(events.contains { $0.kind == .revoked } && events.contains { $0.reason == "replayed" })
        #expect(throws: (any Error).self, "its gateway tokens are dead as well") {
            try bench.base.verifier.claims(of: second.token.accessToken, presentedBy: nil, at: bench.base.clock.now)
        }
    }

    @Test func `ends the session when a token comes back whose successor was used, however soon`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        let second = try await bench.refresh(first.refreshToken).get()
        let third = try await bench.refresh(second.refreshToken).get()
        #expect(await bench.refresh(first.refreshToken).refusal == "ended")
        #expect(await bench.refresh(third.refreshToken).refusal == "ended")
    }

    @Test func `gives fifty who refresh at once the same next token`() async throws {
        let bench = try SignInBench(provider: ScriptedProvider())
        let first = try await bench.signedIn(providerToken: "p")
        let answers = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<50 { group.addTask { await bench.refresh(first.refreshToken).refreshToken?.reveal() } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.count == 50 && Set(answers).count == 1 && answers[0] != nil)
        #expect(bench.provider?.asked.count == 1)
    }

    @Test(arguments: ["", "x", String(repeating: "A", count: 43)])
    func `leaves nothing behind of a token that there never was`(text: String) async throws {
        let bench = try SignInBench()
        _ = try await bench.signedIn()
        #expect(await bench.refresh(SecretText(text)).refusal == "ended")
        #expect(bench.base.store.events.count == 1)
    }

    @Test func `goes by the rules that are in force`() async throws {
        let before = try SignInBench()
        let first = try await before.signedIn()
        let narrower = try SignInBench(
            rules: [ExchangeBench.main(ExchangeBench.terms(scope: ["a:read"]))], after: before)
        let second = try await narrower.refresh(first.refreshToken).get()
        #expect(second.token.scope.map(\.text) == ["a:read"])
        let gone = try SignInBench(rules: [ExchangeBench.main(match: [("sub", ["bob"])])], after: before)
        #expect(await gone.refresh(second.refreshToken).refusal == "ended")
        #expect(gone.base.store.events.last?.reason == "no_rule")
    }

    @Test func `gives less scope where less is asked for, and never more`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        let second = try await bench.refresh(first.refreshToken, scope: Fixture.scopes(["a:read"])).get()
        #expect(second.token.scope.map(\.text) == ["a:read"])
        #expect(await bench.refresh(second.refreshToken, scope: try Fixture.scopes(["b:all"])).refusal == "scope")
        #expect(await bench.refresh(second.refreshToken).refusal == nil, "a wish that is refused turns nothing")
    }

    @Test func `ends when an administrator ends the session`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        _ = try await bench.base.revocations.revoke(
            RevocationRequest(.session(first.token.sessionID)), by: .daemon)
        #expect(await bench.refresh(first.refreshToken).refusal == "ended")
        #expect(bench.base.store.events.last?.reason == "revoked")
    }

    @Test func `asks the provider with the token that it gave last`() async throws {
        let provider = ScriptedProvider()
        let bench = try SignInBench(provider: provider)
        let first = try await bench.signedIn(providerToken: "p0")
        var next = Array("p1".utf8)
        provider.says(
            .success(ProviderRenewal(.proves(try await bench.subject()), token: .init(moving: &next))))
        let second = try await bench.refresh(first.refreshToken).get()
        #expect(await bench.refresh(second.refreshToken).refusal == nil)
        #expect(provider.asked == ["p0", "p1"])
    }

    @Test func `is not ended by a provider that cannot be reached, and is by one that refuses`() async throws {
        let provider = ScriptedProvider(.failure(.unavailable("down")))
        let bench = try SignInBench(provider: provider)
        let first = try await bench.signedIn(providerToken: "p")
        #expect(await bench.refresh(first.refreshToken).refusal == "unavailable keysUnavailable")
        provider.says(.failure(.refused("invalid_grant")))
        #expect(await bench.refresh(first.refreshToken).refusal == "ended")
        provider.says(.success(ProviderRenewal(.none, token: nil)))
        #expect(await bench.refresh(first.refreshToken).refusal == "ended", "for good")
    }

    @Test func `turns nothing where the store fails, at whichever call`() async throws {
        for calls in 0..<4 {
            let bench = try SignInBench()
            let first = try await bench.signedIn()
            bench.base.store.fail(afterCalls: calls)
            let refusal = await bench.refresh(first.refreshToken).refusal
            #expect(refusal == (calls < 3 ? "unavailable store" : nil), "call \(calls)")
            bench.base.store.fail(afterCalls: .max)
            #expect(await bench.refresh(first.refreshToken).refusal == nil)
        }
    }

    @Test func `ends when its holder gives back any of its refresh tokens`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        let second = try await bench.refresh(first.refreshToken).get()
        #expect(try await bench.signIn.revoke(SecretText("x"), under: TraceID()) == nil)
        let outcome = try await bench.signIn.revoke(try #require(first.refreshToken), under: TraceID())
        #expect(outcome?.revocation?.target == .session(first.token.sessionID))
        #expect(await bench.refresh(second.refreshToken).refusal == "ended")
        #expect(try await bench.signIn.revoke(try #require(second.refreshToken), under: TraceID()) == nil)
    }
}

@Suite struct `Approving, and logging out at the provider` {
    private func approval(
        _ bench: SignInBench, _ claims: JSONObject = [:]
    ) async throws -> Approval? {
        try await bench.signIn.approval(
            by: try await bench.subject(claims), since: bench.signIn.highestRevocation, email: "a@example.com",
            providerSession: "p1", from: "192.0.2.7", under: TraceID())
    }

    @Test func `A subject that a rule matches may approve, and no other, on the record`() async throws {
        let bench = try SignInBench()
        #expect(try await approval(bench)?.grant.rule == "main")
        #expect(bench.base.store.events.isEmpty)
        #expect(try await approval(bench, ["sub": "bob"]) == nil)
        #expect(bench.base.store.events.map(\.reason) == ["no_rule"])
        _ = try await bench.base.revocations.revoke(
            RevocationRequest(.subject("corp:alice"), block: .init()), by: .daemon)
        #expect(try await approval(bench) == nil)
        #expect(bench.base.store.events.last?.reason == "blocked")
    }

    @Test func `What was revoked while the proof was looked at takes the session with it`() async throws {
        let bench = try SignInBench()
        let revision = bench.signIn.highestRevocation
        let subject = try await bench.subject()
        _ = try await bench.base.revocations.revoke(RevocationRequest(.subject("corp:alice")), by: .daemon)
        let approval = try #require(
            try await bench.signIn.approval(by: subject, since: revision, from: "192.0.2.7", under: TraceID()))
        #expect(await bench.redeem(try bench.approved(approval)).refusal == "denied")
    }

    @Test func `A logout ends the sessions that it names, and no others`() async throws {
        let bench = try SignInBench(rules: [ExchangeBench.main(match: [("sub", ["*"])])])
        let (alice, bob) = (try await bench.signedIn(), try await bench.signedIn(["sub": "bob"]))
        let issuer = try Fixture.name()
        func end(_ subject: ExactString?, _ session: ExactString?) async throws -> Int {
            try await bench.signIn.endSessions(
                of: issuer, subject: subject, providerSession: session, under: TraceID())?.revocations.count ?? 0
        }
        for (subject, session) in [(nil, nil), ("corp:carol", "p1"), ("corp:alice", "p2")]
            as [(ExactString?, ExactString?)]
        {
            #expect(try await end(subject, session) == 0)
        }
        #expect(await bench.refresh(alice.refreshToken).refusal == nil)
        #expect(try await end("corp:alice", "p1") == 1)
        #expect(await bench.refresh(alice.refreshToken).refusal == "ended")
        #expect(try await end(nil, "p1") == 1, "the other one of that session")
        #expect(await bench.refresh(bob.refreshToken).refusal == "ended")
    }
}

import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@testable import Broker

@Suite struct `A logout at the identity provider` {
    private func token(_ bench: SignInBench, _ changes: JSONObject = [:]) throws -> SecretText {
        let claims = bench.base.issuer.claims(at: bench.base.clock.now).merging([
            "jti": "1", "events": ["http://schemas.openid.net/event/backchannel-logout": [:]],
        ])
        return SecretText(try bench.base.issuer.token(claims.merging(changes)))
    }

    private func logOut(_ bench: SignInBench, _ token: SecretText) async -> Result<Int, LogoutFailure> {
        do {
            let outcome = try await bench.signIn.logOut(by: token, from: "192.0.2.9", under: TraceID())
            return .success(outcome?.revocations.count ?? 0)
        } catch {
            return .failure(error)
        }
    }

    @Test func `ends every session of the person, on the record, and the gateway tokens with them`() async throws {
        let bench = try SignInBench(rules: [ExchangeBench.main(match: [("sub", ["*"])])])
        let alice = [try await bench.signedIn(), try await bench.signedIn()]
        let bob = try await bench.signedIn(["sub": "bob"])
        #expect(await logOut(bench, try token(bench)) == .success(1))
        for one in alice {
            #expect(await bench.refresh(one.refreshToken).refusal == "ended")
            let session = try #require(bench.base.store.sessions.first { $0.id == one.token.sessionID })
            #expect(bench.base.state.current.revocations.kills(session) != nil)
        }
        #expect(await bench.refresh(bob.refreshToken).refusal == nil)
        let revoked = bench.base.store.events.filter { $0.kind == .revoked }
        #expect(revoked.count == 1 && revoked.allSatisfy { $0.details["caller"] == ["by": "daemon"] })
        #expect(revoked.allSatisfy { $0.details["reason"] == "logout at the identity provider" })
    }

    @Test func `ends with a sid the sessions of that one alone`() async throws {
        let bench = try SignInBench()
        let alice = try await bench.signedIn()
        #expect(await logOut(bench, try token(bench, ["sid": "p2"])) == .success(0))
        #expect(await bench.refresh(alice.refreshToken).refusal == nil)
        #expect(await logOut(bench, try token(bench, ["sid": "p1", "sub": "bob", "jti": "2"])) == .success(0))
        let nobody = try token(bench, ["sid": "p1", "jti": "3"])
        #expect(await logOut(bench, nobody) == .success(1))
    }

    @Test func `is taken again where the store failed, and not where it did not`() async throws {
        let bench = try SignInBench()
        let alice = try await bench.signedIn()
        let token = try token(bench, ["sid": "p1"])
        bench.base.store.fail(with: StoreFailure(.unavailable, "find", cause: "test"))
        #expect(await logOut(bench, token) == .failure(.unavailable))
        bench.base.store.fail(with: nil)
        #expect(await logOut(bench, token) == .success(1))
        #expect(await logOut(bench, token) == .failure(.replayed))
        #expect(await bench.refresh(alice.refreshToken).refusal == "ended")
    }

    @Test func `is in force and not yet done where it could not be recorded, until it is`() async throws {
        let bench = try SignInBench()
        let alice = try await bench.signedIn()
        let token = try token(bench, ["sid": "p1"])
        // The sessions are found, and their revocation is not stored.
        bench.base.store.fail(afterCalls: 1)
        let first = try await bench.signIn.logOut(by: token, from: "192.0.2.9", under: TraceID())
        #expect(first?.isDurable == false)
        bench.base.store.fail(afterCalls: .max)
        let second = try await bench.signIn.logOut(by: token, from: "192.0.2.9", under: TraceID())
        #expect(second?.isDurable == false, "a restart would lose it yet")
        await bench.base.revocations.retry()
        #expect(try await bench.signIn.logOut(by: token, from: "192.0.2.9", under: TraceID()) == nil)
        #expect(await bench.refresh(alice.refreshToken).refusal == "ended")
    }

    @Test func `of all of a person is in force and not yet done where it could not be recorded`() async throws {
        let bench = try SignInBench()
        let alice = try await bench.signedIn()
        let token = try token(bench)
        bench.base.store.fail(afterCalls: 0)
        let first = try await bench.signIn.logOut(by: token, from: "192.0.2.9", under: TraceID())
        #expect(first?.isDurable == false)
        bench.base.store.fail(afterCalls: .max)
        #expect(await bench.refresh(alice.refreshToken).refusal == "ended")
        let second = try await bench.signIn.logOut(by: token, from: "192.0.2.9", under: TraceID())
        #expect(second?.isDurable == true)
        #expect(await logOut(bench, token) == .failure(.replayed))
    }

    @Test func `ends sessions too that the person's ID tokens opened by token exchange`() async throws {
        let bench = try SignInBench()
        let opened = try await bench.base.opened()
        #expect(await logOut(bench, try token(bench, ["sid": "p1"])) == .success(0), "it is of no session there")
        #expect(await logOut(bench, try token(bench, ["jti": "2"])) == .success(1))
        let session = try #require(bench.base.store.sessions.first { $0.id == opened.sessionID })
        #expect(bench.base.state.current.revocations.kills(session) != nil)
        #expect(try await bench.base.refusal(renewing: opened) != nil)
    }

    @Test func `with a sid ends sessions of that person of which the provider's session is not known`() async throws {
        let bench = try SignInBench(rules: [ExchangeBench.main(match: [("sub", ["*"])])])
        let unknown = try await bench.redeem(bench.approved(bench.approval(providerSession: nil))).get()
        let other = try await bench.redeem(bench.approved(bench.approval(providerSession: "p2"))).get()
        let bob = try await bench.redeem(bench.approved(bench.approval(["sub": "bob"], providerSession: nil))).get()
        let waiting = try bench.approved(try await bench.approval(providerSession: nil))
        #expect(await logOut(bench, try token(bench, ["sid": "p1"])) == .success(1))
        #expect(await bench.refresh(unknown.refreshToken).refusal == "ended")
        #expect(await bench.redeem(waiting).refusal == "denied")
        #expect(await bench.refresh(other.refreshToken).refusal == nil)
        #expect(await bench.refresh(bob.refreshToken).refusal == nil)
    }

    @Test func `ends a session that has no refresh token, and the page shows it before`() async throws {
        let terms = try ExchangeBench.terms(maximumSession: .seconds(900))
        let bench = try SignInBench(rules: [ExchangeBench.main(terms)])
        let response = try await bench.signedIn()
        #expect(response.refreshToken == nil)
        let own = try await bench.signIn.ownSessions(of: Fixture.name(), subject: "corp:alice")
        #expect(own.map(\.record.id) == [response.token.sessionID])
        #expect(await logOut(bench, try token(bench, ["sid": "p1"])) == .success(1))
        let session = try #require(bench.base.store.sessions.first)
        #expect(bench.base.state.current.revocations.kills(session) != nil)
    }

    @Test(arguments: [["sid": "p1"], ["sub": "alice"], ["sid": "p1", "sub": "alice"]] as [JSONObject])
    func `takes back what was approved and not yet fetched`(names: JSONObject) async throws {
        let bench = try SignInBench()
        let code = try bench.approved(try await bench.approval())
        let claims = bench.base.issuer.claims(at: bench.base.clock.now).replacing("sub", with: nil)
        let event: JSONObject = ["jti": "1", "events": ["http://schemas.openid.net/event/backchannel-logout": [:]]]
        let token = try bench.base.issuer.token(claims.merging(event).merging(names))
        #expect((try? await logOut(bench, SecretText(token)).get()) != nil)
        #expect(await bench.redeem(code).refusal == "denied")
        #expect(bench.base.store.sessions.isEmpty)
    }

    @Test func `leaves alone what others have approved, or the same person in another session`() async throws {
        let bench = try SignInBench()
        let code = try bench.approved(try await bench.approval())
        _ = await logOut(bench, try token(bench, ["sid": "p2"]))
        _ = await logOut(bench, try token(bench, ["sub": "bob", "jti": "2"]))
        #expect(await bench.redeem(code).refusal == nil)
    }

    @Test(arguments: 0..<50) func `ends what a device is getting at the same moment`(round: Int) async throws {
        let bench = try SignInBench()
        let code = try bench.approved(try await bench.approval())
        let token = try token(bench)
        async let redeemed = bench.redeem(code)
        for _ in 0..<round { await Task.yield() }
        #expect((try? await logOut(bench, token).get()) != nil)
        let answer = await redeemed
        guard let refreshToken = answer.refreshToken else { return }
        #expect(await bench.refresh(refreshToken).refusal == "ended", "round \(round)")
    }

    @Test func `is heard where it comes while the session is being recorded`() async throws {
        let bench = try SignInBench()
        let approval = try await bench.approval()
        let code = try bench.approved(approval)
        let (signOuts, state, clock) = (bench.signIn.signOuts, bench.base.state, bench.base.clock)
        // When the store asks, sessions were looked for in vain.
        bench.base.store.ask {
            signOuts.note("corp:alice", providerSession: nil, of: approval.subject.issuer, at: clock.uptime)
            return state.current.revocations
        }
        #expect(await bench.redeem(code).refusal == "denied")
        let session = try #require(bench.base.store.sessions.first)
        #expect(state.current.revocations.kills(session) != nil)
    }

    @Test func `is heard by whoever asks who began before it, and by nobody who began after it`() async throws {
        let bench = try SignInBench()
        let issuer = try await bench.subject().issuer
        func isSignedOut(_ identity: ExactString, _ session: ExactString?, since: Duration) -> Bool {
            bench.signIn.isSignedOut(identity, providerSession: session, of: issuer, since: since)
        }
        let begun = bench.base.clock.uptime
        bench.base.clock.advance(by: .seconds(1))
        #expect(!isSignedOut("corp:alice", "p1", since: begun))
        #expect(await logOut(bench, try token(bench, ["sid": "p1"])) == .success(0))
        bench.base.clock.advance(by: .seconds(1))
        let after = bench.base.clock.uptime
        #expect(isSignedOut("corp:alice", "p1", since: begun))
        #expect(isSignedOut("corp:alice", nil, since: begun), "it may be that session")
        #expect(!isSignedOut("corp:alice", "p2", since: begun) && !isSignedOut("corp:bob", "p1", since: begun))
        #expect(!isSignedOut("corp:alice", "p1", since: after))
        #expect(await logOut(bench, try token(bench, ["jti": "2"])) == .success(1))
        #expect(isSignedOut("corp:alice", "p2", since: begun) && isSignedOut("corp:alice", nil, since: begun))
        let nobody = bench.base.issuer.claims(at: bench.base.clock.now).replacing("sub", with: nil).merging([
            "jti": "3", "sid": "p9", "events": ["http://schemas.openid.net/event/backchannel-logout": [:]],
        ])
        #expect(await logOut(bench, SecretText(try bench.base.issuer.token(nobody))) == .success(0))
        #expect(isSignedOut("corp:bob", "p9", since: begun) && !isSignedOut("corp:bob", nil, since: begun))
    }

    @Test func `that there is no room for in memory signs out whoever began before it`() throws {
        let (signOuts, issuer) = (SignOuts(maximum: 2), try #require(IssuerName(parsing: "corp")))
        for second in 1...3 {
            signOuts.note(ExactString("corp:\(second)"), providerSession: nil, of: issuer, at: .seconds(second))
        }
        func names(_ identity: ExactString, since second: Int) -> Bool {
            signOuts.names(identity, providerSession: "p", of: issuer, since: .seconds(second))
        }
        #expect(names("corp:3", since: 2) && names("corp:4", since: 2) && !names("corp:3", since: 4))
        #expect(!names("corp:1", since: 4))
        // Those that are 15 minutes old make room.
        signOuts.note("corp:5", providerSession: nil, of: issuer, at: .seconds(902))
        #expect(names("corp:5", since: 901) && !names("corp:3", since: 901))
    }

    @Test func `leaves nothing in the store where it is refused, and a line in the log and for explain`() async throws {
        let bench = try SignInBench()
        _ = try await bench.signedIn()
        let before = bench.base.store.events.map(\.trace)
        let trace = TraceID()
        await #expect(throws: LogoutFailure.nonce) {
            try await bench.signIn.logOut(
                by: token(bench, ["nonce": "secret-nonce"]), from: "192.0.2.9", under: trace)
        }
        #expect(bench.base.store.events.map(\.trace) == before)
        let refusal = try #require(bench.base.recent.refusals(of: trace).first)
        #expect(refusal.place == .logout && refusal.reason == "claim" && !refusal.words.contains("secret-nonce"))
        let line = try #require(bench.base.log.lines.last)
        #expect(line.hasPrefix("info logout refused") && line.contains("trace=\(trace)"))
        #expect(!bench.base.log.text.contains("secret-nonce"))
        for _ in 0..<1000 { _ = await logOut(bench, SecretText("x")) }
        #expect(bench.base.store.events.map(\.trace) == before)
        #expect(bench.base.log.messages.count { $0 == "logout refused" } <= 10)
    }

    @Test func `who came back from the provider and proved nothing is in the log, for explain and counted`() throws {
        let bench = try SignInBench()
        let trace = TraceID()
        bench.signIn.noteRefusal(.audience, "the ID token is for another client", from: "192.0.2.9", under: trace)
        #expect(bench.base.store.events.isEmpty)
        let refusal = try #require(bench.base.recent.refusals(of: trace).first)
        #expect(refusal.place == .signIn && refusal.reason == "audience" && refusal.client == "192.0.2.9")
        let line = try #require(bench.base.log.lines.last)
        #expect(line.hasPrefix("info sign-in refused") && line.contains("trace=\(trace)"))
    }
}

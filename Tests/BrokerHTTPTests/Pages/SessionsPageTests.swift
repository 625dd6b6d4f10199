import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@testable import BrokerHTTP

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct SessionsPageTests {
    private static let visitCookie = "__Host-daypass-sessions"

    private static func refusal(_ live: LivePages, _ token: SecretText?) async -> String? {
        do throws(SignInRefusal) {
            _ = try await live.signIn.refresh(
                token ?? SecretText(""), scope: nil, from: "203.0.113.7", under: TraceID())
            return nil
        } catch {
            if case .ended(.revoked) = error { return "ended" }
            return "\(error)"
        }
    }

    @Test func `a developer sees and ends a session of his own, on the record`() async throws {
        try await LivePages.run { live in
            let mine = try await live.signedInDevice()
            var browser = TestBrowser(live)
            let shown = try await browser.visit()
            #expect(shown.status == 200)
            let id = mine.token.sessionID.string
            for words in ["alice@example.com", id, "people", "Claude Code on laptop", "End this session"] {
                #expect(shown.body.contains(words))
            }
            let ended = try await browser.submit(["step": "end", "session": id], to: "/sessions")
            #expect(ended.status == 200)
            #expect(ended.body.contains("The session has ended.") && !ended.body.contains(id))
            #expect(await Self.refusal(live, mine.refreshToken) == "ended")
            let event = try #require(live.store.events.first { $0.kind == .revoked })
            #expect(event.details["caller"] == ["by": "person", "sub": "corp:alice"])
            let again = try await browser.submit(["step": "end", "session": id], to: "/sessions")
            #expect(again.status == 400 && again.body.contains("has ended already, or is not yours"))
        }
    }

    @Test func `somebody else's session is as unknown as one that there never was`() async throws {
        try await LivePages.run { live in
            let theirs = try await live.signedInDevice("bob")
            let mine = try await live.signedInDevice()
            var browser = TestBrowser(live)
            let shown = try await browser.visit()
            #expect(!shown.body.contains(theirs.token.sessionID.string))
            for id in [theirs.token.sessionID.string, "no-such-session", ""] {
                let answer = try await browser.submit(["step": "end", "session": id], to: "/sessions")
                #expect(answer.status == 400 && answer.body.contains("or is not yours"))
            }
            // All are his own.
            let all = try await browser.submit(["step": "end-all"], to: "/sessions")
            #expect(all.status == 200 && all.body.contains("You are not signed in on any device"))
            #expect(await Self.refusal(live, mine.refreshToken) == "ended")
            #expect(await Self.refusal(live, theirs.refreshToken) == nil)
        }
    }

    @Test func `all of one's own sessions end at once`() async throws {
        try await LivePages.run { live in
            let first = try await live.signedInDevice()
            let second = try await live.signedInDevice()
            var browser = TestBrowser(live)
            let shown = try await browser.visit()
            #expect(shown.body.contains("End all 2 sessions"))
            let ended = try await browser.submit(["step": "end-all"], to: "/sessions")
            #expect(ended.body.contains("2 sessions have ended."))
            for session in [first, second] { #expect(await Self.refusal(live, session.refreshToken) == "ended") }
        }
    }

    @Test func `whoever is not signed in on the page sees nothing, and a link alone sends nobody to the provider`()
        async throws
    {
        try await LivePages.run { live in
            let mine = try await live.signedInDevice()
            let asked = live.provider.tally.requests.count
            var browser = TestBrowser(live)
            let answer = try await browser.open("/sessions")
            #expect(answer.status == 200 && answer.body.contains("Sign in at corp"))
            #expect(!answer.body.contains(mine.token.sessionID.string))
            #expect(live.provider.tally.requests.count == asked)
            for step in ["end", "end-all", "leave"] {
                let refused = try await browser.submit(
                    ["step": step, "session": mine.token.sessionID.string], to: "/sessions")
                #expect(refused.status == 403)
            }
            #expect(await Self.refusal(live, mine.refreshToken) == nil)
        }
    }

    @Test func `a visit lasts for 15 minutes, in its browser, on this page`() async throws {
        try await LivePages.run { live in
            try await live.signedInDevice()
            var browser = TestBrowser(live)
            let shown = try await browser.visit()
            #expect(shown.body.contains("End this session"))
            // Its cookie in another browser.
            var other = TestBrowser(live)
            _ = try await other.open("/device")
            other.cookies[Self.visitCookie] = browser.cookies[Self.visitCookie]
            let elsewhere = try await other.open("/sessions")
            #expect(elsewhere.body.contains("Sign in at corp"))
            // Altered.
            var altered = browser
            altered.cookies[Self.visitCookie]?.removeLast()
            let broken = try await altered.open("/sessions")
            #expect(broken.body.contains("Sign in at corp"))
            live.clock.advance(by: .seconds(901))
            let late = try await browser.open("/sessions")
            #expect(late.body.contains("Sign in at corp"))
        }
    }

    @Test func `leaving the page ends the visit and no session`() async throws {
        try await LivePages.run { live in
            let mine = try await live.signedInDevice()
            var browser = TestBrowser(live)
            _ = try await browser.visit()
            let kept = browser
            let left = try await browser.submit(["step": "leave"], to: "/sessions")
            #expect(left.status == 200 && browser.cookies[Self.visitCookie] == nil)
            // Nor does its cookie bring it back, for whoever kept it.
            var replaying = kept
            let shown = try await replaying.open("/sessions")
            #expect(shown.status == 200 && shown.body.contains("Sign in at corp"))
            replaying = kept
            let refused = try await replaying.submit(["step": "end-all"], to: "/sessions")
            #expect(refused.status == 403 && refused.body.contains("not signed in on this page any more"))
            #expect(await Self.refusal(live, mine.refreshToken) == nil)
            // The next one is another.
            let next = try await browser.visit()
            #expect(next.body.contains(mine.token.sessionID.string))
        }
    }

    @Test func `a visit is over once its person is signed out at the provider, and no one else's is`() async throws {
        try await LivePages.run { live in
            var (alice, bob) = (TestBrowser(live), TestBrowser(live))
            _ = try await alice.visit()
            _ = try await bob.visit(as: "bob")
            try await live.logOut()
            let over = try await alice.submit(["step": "end-all"], to: "/sessions")
            #expect(over.status == 403 && over.body.contains("Sign in at corp"))
            let others = try await bob.open("/sessions")
            #expect(others.body.contains("bob@example.com"))
            let next = try await alice.visit()
            #expect(next.body.contains("alice@example.com"))
        }
    }

    @Test func `whoever is signed out at the provider while he is away there sees no sessions`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            _ = try await browser.open("/sessions")
            let query = try TestBrowser.Departure(try await browser.submit(["step": "sign-in"], to: "/sessions"))
            try await live.logOut()
            try live.give(nonce: query.nonce)
            let back = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(back.status == 403 && back.body.contains("You were signed out meanwhile"))
            #expect(browser.cookies[Self.visitCookie] == nil)
        }
    }

    @Test(arguments: [[("Origin", "https://evil.example")], [("Sec-Fetch-Site", "cross-site")], []])
    func `no other site ends anything`(headers: [(String, String)]) async throws {
        try await LivePages.run { live in
            let mine = try await live.signedInDevice()
            var browser = TestBrowser(live)
            _ = try await browser.visit()
            // Without headers: with a proof that the attacker got for himself.
            var attacker = TestBrowser(live)
            _ = try await attacker.visit(as: "mallory")
            let proof = headers.isEmpty ? attacker.fields["form"] : browser.fields["form"]
            let answer = try await browser.submit(
                ["step": "end-all", "form": try #require(proof)], headers, to: "/sessions")
            #expect(answer.status == (headers.isEmpty ? 400 : 403))
            #expect(await Self.refusal(live, mine.refreshToken) == nil)
        }
    }

    @Test func `a form of whoever was signed in here before ends nothing of the next one's`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            _ = try await browser.visit(as: "bob")
            let old = try #require(browser.fields["form"])
            let mine = try await live.signedInDevice()
            _ = try await browser.submit(["step": "leave"], to: "/sessions")
            _ = try await browser.visit()
            let answer = try await browser.submit(["step": "end-all", "form": old], to: "/sessions")
            #expect(answer.status == 400 && answer.body.contains("too old"))
            #expect(await Self.refusal(live, mine.refreshToken) == nil)
        }
    }

    @Test func `going back to the return of a visit leads to the page and asks nobody again`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            _ = try await browser.open("/sessions")
            let query = try TestBrowser.Departure(try await browser.submit(["step": "sign-in"], to: "/sessions"))
            try live.give(nonce: query.nonce)
            let path = "/oauth/callback?code=abc&state=\(query.state)"
            _ = try await browser.open(path)
            let asked = live.provider.tally.requests.count
            let again = try await browser.open(path)
            #expect(again.status == 303 && live.provider.tally.requests.count == asked)
        }
    }

    @Test func `signing in to the page approves no device`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let shown = try await browser.visit()
            #expect(shown.body.contains("You are not signed in on any device"))
            #expect(live.devices.pending(device.userCode) != nil)
            #expect(live.store.sessions.isEmpty)
        }
    }

    @Test func `a refusal at the provider on the way to the page denies no device`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            _ = try await browser.leave(for: device)
            _ = try await browser.open("/sessions")
            let query = try TestBrowser.Departure(try await browser.submit(["step": "sign-in"], to: "/sessions"))
            let refused = try await browser.open("/oauth/callback?error=access_denied&state=\(query.state)")
            #expect(refused.status == 403 && refused.body.contains("To your sessions"))
            #expect(browser.cookies[Self.visitCookie] == nil)
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test func `a store that cannot be read is said`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            _ = try await browser.visit()
            live.store.fail(with: StoreFailure(.unavailable, "read", cause: "gone"))
            let answer = try await browser.open("/sessions")
            #expect(answer.status == 503 && answer.body.contains("Reference: "))
        }
    }
}

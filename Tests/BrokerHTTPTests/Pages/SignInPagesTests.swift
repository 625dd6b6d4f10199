import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import Testing

@testable import BrokerHTTP

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct SignInPagesTests {
    @Test func `a person approves a device at the company's provider`() async throws {
        try await LivePages.run { live in
            let device = try live.device(.init(surface: "claude_code", name: "laptop", userAgent: "claude-code/2.1"))
            var browser = TestBrowser(live)
            let first = try await browser.open("/device")
            #expect(first.status == 200)
            let shown = try await browser.submit(["user_code": device.userCode.text.lowercased()])
            #expect(shown.status == 200)
            #expect(shown.body.contains("<code>anthropic:messages</code>") && shown.body.contains("up to 1 hour"))
            for words in ["Claude Code", "laptop", "claude-code/2.1", "203.0.113.7", device.userCode.text] {
                #expect(shown.body.contains(words))
            }
            guard case .pending = live.poll(device) else { throw LivePages.NoDevice() }
            let query = try await browser.leave(for: device)
            try live.give(nonce: query.nonce)
            let done = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(done.status == 200)
            #expect(done.body.contains("alice@example.com") && done.body.contains("anthropic:messages"))
            #expect(done.body.contains("up to 1 hour"))
            guard case .approved(let approval) = live.poll(device) else { throw LivePages.NoDevice() }
            #expect(approval.subject.identity == "corp:alice")
            #expect(approval.grant.rule == "people")
            #expect(approval.email == "alice@example.com")
        }
    }

    @Test func `pages let nobody else in: no script, no frame, nothing from elsewhere`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            let answer = try await browser.open("/device")
            let policy = try #require(answer.headers["Content-Security-Policy"].first)
            #expect(policy.hasPrefix("default-src 'none'; style-src 'sha256-"))
            for part in ["form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
                #expect(policy.contains(part))
            }
            #expect(!policy.contains("unsafe") && !policy.contains("script"))
            #expect(answer.headers["X-Frame-Options"] == ["DENY"])
            #expect(answer.headers["Cache-Control"] == ["no-store"])
            #expect(!answer.body.contains("<script"))
            let cookie = try #require(answer.headers["Set-Cookie"].first)
            #expect(cookie.hasPrefix("__Host-daypass-browser="))
            #expect(cookie.hasSuffix("; HttpOnly; SameSite=Lax; Secure"))
        }
    }

    @Test func `a code in a link is not filled in`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let answer = try await browser.open("/device?user_code=\(device.userCode.text)")
            #expect(answer.status == 200)
            #expect(!answer.body.contains(device.userCode.text))
        }
    }

    @Test func `what a device says of itself is text and nothing else`() async throws {
        try await LivePages.run { live in
            let device = try live.device(.init(surface: "<b>x</b>", name: #""><script>alert('1')</script>"#))
            var browser = TestBrowser(live)
            _ = try await browser.open("/device")
            let answer = try await browser.submit(["user_code": device.userCode.text])
            #expect(answer.body.contains("&lt;b&gt;x&lt;/b&gt;"))
            #expect(answer.body.contains("&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)"))
            #expect(!answer.body.contains("<script"))
        }
    }

    @Test(arguments: [
        [("Origin", "https://evil.example")], [("Origin", "null")], [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")], [("Sec-Fetch-Site", "none")],
    ])
    func `a form of another site does nothing`(headers: [(String, String)]) async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            _ = try await browser.open("/device")
            let good = try await browser.submit(
                ["user_code": device.userCode.text],
                [("Origin", LivePages.publicURL), ("Sec-Fetch-Site", "same-origin")])
            #expect(good.status == 200)
            let answer = try await browser.submit(["step": "continue"], headers)
            #expect(answer.status == 403)
            #expect(live.provider.tally.requests.isEmpty)
        }
    }

    @Test func `a form is good only in the browser that it was shown to`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var attacker = TestBrowser(live)
            _ = try await attacker.open("/device")
            _ = try await attacker.submit(["user_code": device.userCode.text])
            let stolen = attacker.fields
            var victim = TestBrowser(live)
            _ = try await victim.open("/device")
            var withoutCookie = TestBrowser(live)
            for step in ["continue", "refuse"] {
                let changes = stolen.merging(["step": step]) { $1 }
                let elsewhere = try await victim.submit(changes)
                #expect(elsewhere.status == 400)
                let lone = try await withoutCookie.submit(changes)
                #expect(lone.status == 400)
            }
            #expect(live.provider.tally.requests.isEmpty)
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test(arguments: ["https://Daypass.Example.COM", "HTTPS://daypass.example.com:443", LivePages.publicURL])
    func `the address is compared as browsers write it, whichever way it is configured`(url: String) async throws {
        try await LivePages.run(publicURL: url) { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let first = try await browser.open("/device")
            #expect(first.headers["Set-Cookie"].first?.hasPrefix("__Host-") == true)
            for origin in ["http://daypass.example.com", "https://daypass.example.com:8443", "https://example.com"] {
                var other = browser
                let answer = try await other.submit(["user_code": device.userCode.text], [("Origin", origin)])
                #expect(answer.status == 403, "\(origin)")
            }
            let answer = try await browser.submit(
                ["user_code": device.userCode.text], [("Origin", "https://daypass.example.com")])
            #expect(answer.status == 200)
        }
    }

    @Test func `codes cannot be guessed past the limit`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            _ = try await browser.open("/device")
            for _ in 0..<10 {
                let answer = try await browser.submit(["user_code": "BBBB-BBBB"])
                #expect(answer.status == 400)
                #expect(answer.body.contains("No device waits with that code"))
            }
            let limited = try await browser.submit(["user_code": device.userCode.text])
            #expect(limited.status == 429 && limited.headers["Retry-After"] == ["3600"])
            // Nor by the step after, which counts nothing.
            _ = try await browser.open("/device")
            let answer = try await browser.submit(["user_code": device.userCode.text, "step": "continue"])
            #expect(answer.status == 400)
            #expect(live.provider.tally.requests.isEmpty)
        }
    }

    @Test func `a person refuses a device`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            _ = try await browser.open("/device")
            _ = try await browser.submit(["user_code": device.userCode.text])
            let again = browser
            let done = try await browser.submit(["step": "refuse"])
            #expect(done.status == 200)
            guard case .denied = live.poll(device) else { throw LivePages.NoDevice() }
            // Once, with who asked, from where, and who refused; the page says under which trace id.
            let lines = live.log.lines.filter { $0.contains("reason=denied") }
            let trace = try #require(done.body.firstMatch(of: /Reference: ([^<]+)/))
            #expect(lines.count == 1)
            for words in ["sign-in refused", "203.0.113.7", "claude_code", "client=127.0.0.1", String(trace.output.1)] {
                #expect(lines.first?.contains(words) == true, "\(words)")
            }
            var late = again
            let afterwards = try await late.submit(["step": "continue"])
            #expect(afterwards.status == 410)
        }
    }

    @Test func `a callback is good once, in the browser that went away, for ten minutes`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            let path = "/oauth/callback?code=abc&state=\(query.state)"
            try live.give(nonce: query.nonce)
            // Somebody else's link, in a browser that knows nothing of it, or is away with another state.
            var other = TestBrowser(live)
            let strange = try await other.open(path)
            #expect(strange.status == 400)
            _ = try await other.leave(for: try live.device())
            let mixed = try await other.open(path)
            #expect(mixed.status == 400)
            #expect(live.devices.pending(device.userCode) != nil)
            let kept = browser
            let good = try await browser.open(path)
            #expect(good.status == 200)
            // Once more, as whoever goes back does it: nothing is done twice, and the provider is not asked.
            let asked = live.provider.tally.requests.count
            let again = try await browser.open(path)
            #expect(again.status == 200)
            #expect(again.body.contains("This sign-in is done"))
            #expect(live.provider.tally.requests.count == asked)
            // With the cookie that was replaced.
            var replaying = kept
            let replayed = try await replaying.open(path)
            #expect(replayed.status == 200 && replayed.body.contains("This sign-in is done"))
            #expect(live.provider.tally.requests.count == asked)
            live.clock.advance(by: .seconds(601))
            var late = kept
            let expired = try await late.open(path)
            #expect(expired.status == 400)
        }
    }

    @Test(arguments: [
        ("error=access_denied", 403, true), ("error=server_error", 502, false),
        ("code=abc&iss=https%3A%2F%2Fevil.example", 502, false), ("", 502, false),
    ])
    func `what the provider refuses is said with the trace id`(more: String, status: Int, denies: Bool) async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            let answer = try await browser.open("/oauth/callback?state=\(query.state)&\(more)")
            #expect(answer.status == status)
            #expect(answer.body.contains("Reference: "))
            let isDenied = if case .denied = live.poll(device) { true } else { false }
            #expect(isDenied == denies)
            #expect(live.log.text.contains("sign-in refused"))
        }
    }

    @Test func `whoever no rule grants anything is told so, and the device as well`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            try live.give(nonce: query.nonce, ["group": "visitors"])
            let answer = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(answer.status == 403)
            #expect(answer.body.contains("no rule here grants this account anything"))
            guard case .denied = live.poll(device) else { throw LivePages.NoDevice() }
            // On the record, with who it was.
            let event = try #require(live.store.events.last)
            #expect(event.reason == "no_rule" && event.details["claims"]?.object?["group"] == "visitors")
        }
    }

    @Test func `an ID token of another sign-in approves nothing`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            try live.give(nonce: "another")
            let answer = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(answer.status == 502)
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test func `a provider that is down is said, and the code stays good`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            live.answers.next.withLock { $0 = .document("", status: "503 Busy") }
            let answer = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(answer.status == 503 && answer.headers["Retry-After"] == ["60"])
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test(arguments: [
        ("PUT", "/device"), ("DELETE", "/device"), ("POST", "/oauth/callback"), ("HEAD", "/oauth/callback"),
        ("PUT", "/sessions"),
    ])
    func `other methods are refused`(method: String, path: String) async throws {
        try await LivePages.run { live in
            let answer = try await live.send(HTTPMethod(rawValue: method), path)
            #expect(answer.status == 405)
        }
    }
}

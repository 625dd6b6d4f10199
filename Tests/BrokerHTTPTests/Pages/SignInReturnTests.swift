import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import Testing

@testable import BrokerHTTP

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct SignInReturnTests {
    @Test func `two tabs with two codes keep out of each other's way`() async throws {
        try await LivePages.run { live in
            let (one, other) = (try live.device(), try live.device(.init(surface: "daypass", name: "build-host")))
            var browser = TestBrowser(live)
            let first = try await browser.leave(for: one)
            let second = try await browser.leave(for: other)
            try live.give(nonce: first.nonce)
            let done = try await browser.open("/oauth/callback?code=a&state=\(first.state)")
            #expect(done.status == 200 && done.body.contains("Claude Code"))
            guard case .approved = live.poll(one), case .pending = live.poll(other) else { throw LivePages.NoDevice() }
            try live.give(nonce: second.nonce)
            let last = try await browser.open("/oauth/callback?code=b&state=\(second.state)")
            #expect(last.status == 200 && last.body.contains("build-host"))
            guard case .approved = live.poll(other) else { throw LivePages.NoDevice() }
        }
    }

    @Test func `a browser that never comes back carries four sign-ins at most`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            var departures: [TestBrowser.Departure] = []
            for _ in 0..<7 {
                departures.append(try await browser.leave(for: try live.device()))
                live.clock.advance(by: .seconds(1))
            }
            #expect(browser.cookies.keys.filter { $0.contains("sign-in") }.count == 4)
            #expect(browser.cookies.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count } < 4096)
            let latest = try #require(departures.last)
            try live.give(nonce: latest.nonce)
            let done = try await browser.open("/oauth/callback?code=a&state=\(latest.state)")
            #expect(done.status == 200)
            let first = try await browser.open("/oauth/callback?code=a&state=\(departures[0].state)")
            #expect(first.status == 400)
        }
    }

    @Test func `a sign-in that was sealed for one thing is good for no other`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            let sealed = try #require(browser.cookies.first { $0.key.contains("sign-in-") })
            // As if it were who sees sessions.
            browser.cookies["__Host-daypass-sessions"] = sealed.value
            let sessions = try await browser.open("/sessions")
            #expect(sessions.status == 200 && sessions.body.contains("Sign in at corp"))
            // Beneath the name of another state.
            let tag = BrowserBinding.tag(of: SecretText("mine"))
            browser.cookies["__Host-daypass-sign-in-\(tag)"] = sealed.value
            try live.give(nonce: query.nonce)
            let foreign = try await browser.open("/oauth/callback?code=abc&state=mine")
            #expect(foreign.status == 400)
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test(arguments: ["error=access_denied", "error=access_denied&state=", "error=server_error"])
    func `an error without a state denies nothing by itself, and the person can`(query: String) async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            _ = try await browser.leave(for: device)
            let answer = try await browser.open("/oauth/callback?\(query)")
            #expect([400, 403].contains(answer.status))
            #expect(live.devices.pending(device.userCode) != nil)
            guard !query.hasSuffix("state=") else { return }
            #expect(answer.body.contains("Nobody was signed in"))
            var stranger = TestBrowser(live)
            let elsewhere = try await stranger.open("/oauth/callback?\(query)")
            #expect(!elsewhere.body.contains(device.userCode.text))
            let refused = try await browser.submit(["step": "refuse"])
            #expect(refused.status == 200)
            guard case .denied = live.poll(device) else { throw LivePages.NoDevice() }
        }
    }

    @Test(arguments: [LoopbackServer.Answer.stall([]), .document("", status: "502 Bad Gateway"), .bytes([])])
    func `a provider that is slow or down at discovery is said, and the same form tries again`(
        answer: LoopbackServer.Answer
    ) async throws {
        try await LivePages.run(timeLimit: .milliseconds(200)) { live in
            let device = try live.device()
            live.answers.discovery.withLock { $0 = answer }
            var browser = TestBrowser(live)
            _ = try await browser.open("/device")
            _ = try await browser.submit(["user_code": device.userCode.text])
            let down = try await browser.submit(["step": "continue"])
            #expect(down.status == 503 && down.body.contains("cannot be reached"))
            live.answers.discovery.withLock { $0 = nil }
            let away = try TestBrowser.Departure(try await browser.submit(["step": "continue"]))
            try live.give(nonce: away.nonce)
            let done = try await browser.open("/oauth/callback?code=abc&state=\(away.state)")
            #expect(done.status == 200)
        }
    }

    @Test(arguments: [LoopbackServer.Answer.stall([]), .document("", status: "503 Busy"), .bytes([])])
    func `a provider that is slow or down at its token endpoint is said, and the device's code begins anew`(
        answer: LoopbackServer.Answer
    ) async throws {
        try await LivePages.run(timeLimit: .milliseconds(200)) { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            live.answers.next.withLock { $0 = answer }
            let path = "/oauth/callback?code=abc&state=\(query.state)"
            let down = try await browser.open(path)
            #expect(down.status == 503 && down.body.contains("Reference: "))
            #expect(down.body.contains("start again with its code"))
            // The provider may have taken the code: it would take back what it gave for it.
            try live.give(nonce: query.nonce)
            let asked = live.provider.tally.requests.count
            var reloading = browser
            let again = try await reloading.open(path)
            #expect(again.status == 410 && live.provider.tally.requests.count == asked)
            let next = try TestBrowser.Departure(try await browser.submit(["step": "continue"]))
            try live.give(nonce: next.nonce)
            let done = try await browser.open("/oauth/callback?code=abc&state=\(next.state)")
            #expect(done.status == 200)
        }
    }

    @Test func `a provider whose keys cannot be had is said, and approves nothing`() async throws {
        try await LivePages.run(hasKeys: false) { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            try live.give(nonce: query.nonce)
            let answer = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(answer.status == 503)
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test func `whoever would wait for a slow provider in more than its places is told so at once`() async throws {
        try await LivePages.run(underWay: 1) { live in
            let (one, other) = (try live.device(), try live.device())
            var waiting = TestBrowser(live)
            let query = try await waiting.leave(for: one)
            var second = TestBrowser(live)
            _ = try await second.open("/device")
            let form = try #require(second.fields["form"])
            _ = try await second.submit(["user_code": other.userCode.text])
            live.answers.next.withLock { $0 = .stall([]) }
            let asked = live.provider.tally.requests.count
            let held = waiting
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    var browser = held
                    _ = try? await browser.open("/oauth/callback?code=abc&state=\(query.state)")
                }
                while live.provider.tally.requests.count == asked { await Task.yield() }
                let again = second
                let busy = try await second.submit(["step": "continue"])
                #expect(busy.status == 429 && busy.headers["Retry-After"] == ["1"])
                // The places of exchanges are free.
                second = again
                let shown = try await second.submit(["user_code": other.userCode.text, "form": form])
                #expect(shown.status == 200)
                await live.provider.hangUp()
            }
            #expect(live.devices.pending(other.userCode) != nil)
        }
    }

    @Test(
        arguments: [
            ("aud", "other"), ("azp", "other"), ("iss", "https://evil.example"), ("exp", .number(1)),
        ] as [(ExactString, JSONValue)])
    func `an ID token for another client, or of another provider, approves nothing`(
        claim: ExactString, value: JSONValue
    ) async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            try live.give(nonce: query.nonce, [claim: value])
            let answer = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(answer.status == 502)
            #expect(answer.body.contains("proves nothing"))
            #expect(live.devices.pending(device.userCode) != nil)
            // What was refused stays so.
            try live.give(nonce: query.nonce)
            let again = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(again.status == 410)
        }
    }

    @Test(arguments: ["next", "return_to", "redirect_uri", "url"])
    func `no parameter sends anybody elsewhere`(name: String) async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let evil = "\(name)=https%3A%2F%2Fevil.example"
            for path in ["/device?\(evil)", "/sessions?\(evil)"] {
                let answer = try await browser.open(path)
                #expect(answer.status == 200 && !answer.body.contains("evil"))
            }
            let query = try await browser.leave(for: device)
            try live.give(nonce: query.nonce)
            let done = try await browser.open("/oauth/callback?code=abc&state=\(query.state)&\(evil)")
            #expect(done.status == 200 && !done.body.contains("evil"))
        }
    }

    @Test func `a browser that others gave a name to is not theirs`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            // The attacker's name and form, in the victim's browser.
            var attacker = TestBrowser(live)
            _ = try await attacker.open("/device")
            _ = try await attacker.submit(["user_code": device.userCode.text])
            var victim = attacker
            let answer = try await victim.submit(["step": "continue"], [("Origin", "https://evil.example")])
            #expect(answer.status == 403)
            // And what came of it belongs to the browser that was sent away.
            let query = try await attacker.leave(for: device)
            let link = "/oauth/callback?code=abc&state=\(query.state)"
            try live.give(nonce: query.nonce)
            let led = try await victim.open(link)
            #expect(led.status == 400)
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test func `cookies of others do not get in the way`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            for number in 0..<30 { browser.cookies["other-\(number)"] = String(repeating: "x", count: 500) }
            browser.cookies["__Host-daypass-sign-in-"] = "nonsense"
            browser.cookies["__Host-daypass-sign-in-a b"] = "nonsense"
            let query = try await browser.leave(for: device)
            try live.give(nonce: query.nonce)
            let done = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(done.status == 200)
        }
    }
}

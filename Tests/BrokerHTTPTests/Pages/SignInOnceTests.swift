import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import Testing

@testable import BrokerHTTP

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `A return from the provider` {
    @Test func `that is loaded twice at once sends its code once, and both are told how it ends`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            let path = "/oauth/callback?code=abc&state=\(query.state)"
            live.answers.next.withLock { $0 = .stall([]) }
            let (held, asked) = (browser, live.provider.tally.requests.count)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    var first = held
                    let silent = try await first.open(path)
                    #expect(silent.status == 503 && silent.body.contains("did not answer"))
                }
                while live.provider.tally.requests.count == asked { await Task.yield() }
                let second = try await browser.open(path)
                #expect(second.status == 409 && second.body.contains("being finished"))
                #expect(second.headers["Set-Cookie"].isEmpty)
                try live.give(nonce: query.nonce)
                await live.provider.hangUp()
                try await tasks.waitForAll()
            }
            let third = try await browser.open(path)
            #expect(third.status == 410)
            #expect(live.provider.tally.requests.count == asked + 1)
            #expect(live.devices.pending(device.userCode) != nil)
        }
    }

    @Test func `sends one code for one cookie, whatever codes come with it`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: try live.device())
            live.answers.next.withLock {
                $0 = .document(#"{"error":"invalid_grant"}"#, status: "400 Bad Request")
            }
            let (kept, asked) = (browser, live.provider.tally.requests.count)
            for number in 0..<20 {
                var replaying = kept
                let answer = try await replaying.open("/oauth/callback?code=junk-\(number)&state=\(query.state)")
                #expect(answer.status == (number == 0 ? 400 : 410))
            }
            #expect(live.provider.tally.requests.count == asked + 1)
        }
    }

    @Test func `that sent nothing, since the provider could not be found, may be loaded again`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            _ = try await browser.leave(for: try live.device())
            live.clock.advance(by: .seconds(400))
            let query = try await browser.leave(for: try live.device())
            // What was known of the provider is too old.
            live.clock.advance(by: .seconds(201))
            live.answers.discovery.withLock { $0 = .document("", status: "502 Bad Gateway") }
            let path = "/oauth/callback?code=abc&state=\(query.state)"
            let down = try await browser.open(path)
            #expect(down.status == 503 && down.body.contains("cannot be reached"))
            live.answers.discovery.withLock { $0 = nil }
            try live.give(nonce: query.nonce)
            let done = try await browser.open(path)
            #expect(done.status == 200)
        }
    }

    @Test func `counts in the browser alone that was sent away, by its own name`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: device)
            try live.give(nonce: query.nonce)
            let path = "/oauth/callback?code=abc&state=\(query.state)"
            var other = TestBrowser(live)
            _ = try await other.open("/device")
            let cookie = try #require(browser.cookies.first { $0.key.contains("sign-in-") })
            for name in [nil, other.cookies["__Host-daypass-browser"]] {
                var taken = TestBrowser(live)
                taken.cookies = [cookie.key: cookie.value]
                taken.cookies["__Host-daypass-browser"] = name
                let answer = try await taken.open(path)
                #expect(answer.status == 400 && answer.body.contains("not begun here"))
            }
            #expect(live.devices.pending(device.userCode) != nil)
            let done = try await browser.open(path)
            #expect(done.status == 200)
        }
    }

    @Test func `finds the browser's name, however long ago it was given`() async throws {
        try await LivePages.run { live in
            var browser = TestBrowser(live)
            _ = try await browser.open("/device")
            _ = try await browser.submit(["user_code": try live.device().userCode.text])
            let away = try await browser.submit(["step": "continue"])
            let name = try #require(browser.cookies["__Host-daypass-browser"])
            #expect(away.headers["Set-Cookie"].contains { $0.hasPrefix("__Host-daypass-browser=\(name); ") })
        }
    }

    @Test func `of somebody who was signed out at the provider meanwhile approves nothing`() async throws {
        try await LivePages.run { live in
            let device = try live.device()
            var browser = TestBrowser(live)
            // Before he left.
            try await live.logOut()
            let query = try await browser.leave(for: device)
            try await live.logOut()
            try live.give(nonce: query.nonce)
            let refused = try await browser.open("/oauth/callback?code=abc&state=\(query.state)")
            #expect(refused.status == 403 && refused.body.contains("You were signed out meanwhile"))
            #expect(live.devices.pending(device.userCode) != nil)
            let next = try TestBrowser.Departure(try await browser.submit(["step": "continue"]))
            try live.give(nonce: next.nonce)
            let done = try await browser.open("/oauth/callback?code=abc&state=\(next.state)")
            #expect(done.status == 200)
        }
    }

    @Test func `of many that prove nothing has ten lines a second in the log`() async throws {
        try await LivePages.run { live in
            for _ in 0..<14 {
                var browser = TestBrowser(live)
                let query = try await browser.leave(for: try live.device())
                let answer = try await browser.open("/oauth/callback?error=server_error&state=\(query.state)")
                #expect(answer.status == 502)
            }
            let message = "the identity provider proved nothing"
            #expect(live.log.messages.count { $0 == message } == 10)
            live.clock.advance(by: .seconds(1))
            var browser = TestBrowser(live)
            let query = try await browser.leave(for: try live.device())
            _ = try await browser.open("/oauth/callback?error=server_error&state=\(query.state)")
            #expect(live.log.lines.last { $0.contains(message) }?.contains("omitted=4") == true)
        }
    }
}

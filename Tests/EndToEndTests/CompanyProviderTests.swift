import BrokerTesting
import Foundation
import NIOHTTP1
import Testing

/// With glewlwyd, a provider that nobody here wrote: code and PKCE, and refresh tokens that are good once.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.glewlwyd != nil, "glewlwyd is not installed: apt-get install glewlwyd, Tests/Peers/install"))
struct `A developer of a company with glewlwyd` {
    @Test func `signs in, and the provider is asked again at each renewal until they have left`() async throws {
        let stage = try await CompanyStage(.glewlwyd)
        try await stage.login()
        let token = try await stage.daypass(["token"])
        #expect(token.status == 0 && token.error == "", "\(token)")
        #expect(try await stage.isGood(token.output))
        for _ in 0..<3 { #expect(try await stage.anew().status == 0) }
        #expect(try await stage.renewals() == 4)
        let last = try await stage.daypass(["token"])
        try await stage.leaveProvider()
        // A 400 without a word, which a proxy may answer as well.
        let doubted = try await stage.anew()
        #expect(doubted.status == 0 && doubted.error.contains("is not renewed"), "\(doubted)")
        try await waitUntil("the provider has said it again, 15 s later", within: 60) {
            try await stage.anew().status != 0
        }
        let refused = try await stage.anew()
        #expect(refused.status == 77 && refused.output == "" && refused.error.contains("has ended"), "\(refused)")
        #expect(try await !stage.isGood(last.output))
    }

    @Test func `is signed out at once when they sign out at the provider, which tells the broker`() async throws {
        let stage = try await CompanyStage(.glewlwyd)
        try await stage.login()
        let token = try await stage.daypass(["token"])
        #expect(try await stage.isGood(token.output))
        try await stage.endProviderSession()
        try await waitUntil("the broker is told") { try await !stage.isGood(token.output) }
        let refused = try await stage.anew()
        #expect(refused.status == 77 && refused.error.contains("has ended"), "\(refused)")
        // And is let in again.
        try await stage.login()
        #expect(try await stage.daypass(["token"]).status == 0)
    }

    @Test func `is signed in yet while the provider is down, and goes on when it is back`() async throws {
        let stage = try await CompanyStage(.glewlwyd)
        try await stage.login()
        let token = try await stage.daypass(["token"])
        stage.provider.signal(SIGTERM)
        _ = try await stage.provider.outcome()
        // What there is lasts, and is given out with a warning; without it there is no other.
        let kept = try await stage.anew()
        #expect(kept.status == 0 && kept.output == token.output && kept.error.contains("is not renewed"), "\(kept)")
        try FileManager.default.removeItem(atPath: stage.workspace.path("home/.cache"))
        let none = try await stage.daypass(["token"])
        #expect(none.status == 69 && none.output == "" && none.error.contains("answers 503"), "\(none)")
        #expect(try await stage.isGood(token.output))

        let back = try await stage.providerAgain()
        let token2 = try await stage.daypass(["token"])
        #expect(token2.status == 0, "\(token2)")
        #expect(try await stage.isGood(token2.output))
        back.signal(SIGTERM)
    }

    @Test func `is told that the provider does not answer, at each step, and waits for no longer than the broker`()
        async throws
    {
        let stage = try await CompanyStage(.glewlwyd)
        let (login, code) = try await stage.begin()
        // It accepts connections, and says nothing: not what it is, and then not whose code it is.
        defer { stage.provider.signal(SIGCONT) }
        stage.provider.signal(SIGSTOP)
        let asked = try await stage.approve(code)
        #expect(asked.hasPrefix("503\n") && asked.contains("Reference: "), "\(asked)")
        stage.provider.signal(SIGCONT)
        let returned = try await stage.approve(code, "--stop=\(stage.provider.id)")
        #expect(returned.hasPrefix("503\n") && returned.contains("Reference: "), "\(returned)")
        stage.provider.signal(SIGCONT)
        // The device's code is good all the while.
        #expect(try await stage.approve(code).hasPrefix("200\n"))
        #expect(try await login.outcome().status == 0)
        stage.provider.signal(SIGSTOP)
        let refresh = try await stage.daypass(["token"])
        #expect(refresh.status == 69 && refresh.output == "" && refresh.error.contains("answers 503"), "\(refresh)")
        // What needs no provider goes on.
        #expect(try await stage.broker.send(.GET, "\(stage.origin)/device").status == 200)
        let out = try await stage.daypass(["logout"])
        #expect(out.status == 0, "\(out)")
    }
}

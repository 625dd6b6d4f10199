import BrokerTesting
import Foundation
import Testing

/// Chromium at the pages of signing in, as Tests/Peers/browse-pages.py drives it.
@Suite(.onOwnThreads) struct `People who sign in with a browser` {
    @Test(
        .enabled(if: Programs.browserPython != nil, "Chromium is not installed: Tests/Peers/install, chromium-driver"),
        arguments: [["--without-script"], []])
    func `approve devices, are told what went wrong, and end their own sessions`(flags: [String]) async throws {
        let (provider, origin) = try await `Programs that nobody here wrote`.provider()
        defer { provider.signal(SIGKILL) }
        let workspace = try Workspace()
        try workspace.write("secret.txt", "secret\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: workspace.path("secret.txt"))
        let broker = try await RunningBroker(workspace, issuersAndRules: Self.configuration(origin))
        let script = Programs.repository.appending(path: "Tests/Peers/browse-pages.py").path(percentEncoded: false)
        let walk = try await RunningProcess(
            try #require(Programs.browserPython), [script, broker.origin, "\(provider.id)"] + Self.screenshots + flags
        ).outcome()
        try #require(walk.status == 0, "\(walk.error)\n\(broker.process.error)")
        let found = try JSONDecoder().decode(Walk.self, from: Data(walk.output.utf8))

        let results = found.results
        #expect(results.polled == 200 && results.verified == 200 && results.email == "alice@example.com")
        #expect(results.denied == "access_denied", "\(broker.process.error)")
        #expect(results.sections == 3)
        #expect(results.ended == [401, 401] && results.others == [200, 200] && results.all_ended == [401, 401])
        #expect(results.policy.contains("default-src 'none'") && !results.policy.contains("unsafe"))
        #expect(results.focus == "input" && results.frames == "DENY")
        #expect(results.heads == [0, 0] && results.oversized == 431)
        #expect(Set(found.pages.map(\.name)).count == 18)
        for page in found.pages {
            #expect(page.scripts == 0 && page.console == [], "\(page.name)")
            #expect(page.lang == "en" && page.headings.first == "h1", "\(page.name)")
            #expect(page.headings.filter { $0 == "h1" }.count == 1, "\(page.name)")
            #expect(
                page.scrolls == [] && page.small == [] && page.unnamed == [] && page.unreached == [], "\(page.name)")
            for (scheme, contrast) in page.contrast {
                #expect(contrast.ratio >= 4.5, "\(page.name), \(scheme): \(contrast.text)")
            }
        }
        for (name, words) in [
            ("wrong-code", "No device waits with that code"), ("confirming", "anthropic:messages"),
            ("confirming", "claude-code/2.1.330"), ("signed-in", "alice@example.com"),
            ("signed-in-again", "This sign-in is done"), ("nothing-granted", "no rule here grants"),
            ("denied-at-the-provider", "refused"), ("session-ended", "The session has ended"),
            ("sessions-none", "not signed in on any device"), ("provider-unavailable", "cannot be reached"),
            ("not-begun-here", "begun in another browser"), ("too-many-codes", "Try again in an hour"),
        ] {
            let page = try #require(found.pages.first { $0.name == name })
            #expect(page.text.contains(words), "\(name): \(page.text)")
        }
        let failed: Set = ["wrong-code", "nothing-granted", "provider-unavailable", "not-begun-here", "too-many-codes"]
        for page in found.pages where failed.contains(page.name) { #expect(page.title.hasPrefix("Problem: ")) }
    }

    /// What the script prints.
    private struct Walk: Decodable {
        struct Page: Decodable {
            let name, title, lang, text: String
            let headings, console, scrolls, small, unnamed, unreached: [String]
            let scripts: Int
            /// The lowest, by colour scheme.
            let contrast: [String: Contrast]
        }

        struct Contrast: Decodable {
            let ratio: Double
            let text: String

            init(from decoder: any Decoder) throws {
                var pair = try decoder.unkeyedContainer()
                (ratio, text) = (try pair.decode(Double.self), try pair.decode(String.self))
            }
        }

        struct Results: Decodable {
            let polled, verified, sections, oversized: Int
            let email: String?
            let denied: String?
            let ended, others, all_ended, heads: [Int]
            let policy, focus, frames: String
        }

        let pages: [Page]
        let results: Results
    }

    /// For whoever wants to look at the pages.
    private static var screenshots: [String] {
        ProcessInfo.processInfo.environment["DAYPASS_SCREENSHOTS"].map { ["--screenshots", $0] } ?? []
    }

    private static func configuration(_ origin: String) -> String {
        """
        sign_in: {issuer: corp-sso, client_id: daypass, client_secret_file: secret.txt, scopes: [openid, email]}
        issuers:
          - name: corp-sso
            issuer: \(origin)
            audience: daypass
            allow_private: true
        rules:
          - name: platform
            issuer: corp-sso
            match: {sub: alice}
            grant: {scope: ["anthropic:messages", "anthropic:count_tokens"], models: ["claude-*"], ttl: 15m, max_session: 8h}

        """
    }
}

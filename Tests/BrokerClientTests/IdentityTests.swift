import BrokerTesting
import Foundation
import Testing

@testable import BrokerClient

@Suite struct `An identity` {
    @Test(arguments: [
        ("github", Identity.github), ("gitlab", .gitlab), ("buildkite", .buildkite), ("circleci", .circleci),
        ("kubernetes", .kubernetes), ("x509:a.pem,b.key", .certificate(chain: "a.pem", key: "b.key")),
        ("file:/a:b", .file("/a:b")), ("env:NAME", .variable("NAME")), ("login", .login),
    ])
    func `is named`(name: String, identity: Identity) {
        #expect(Identity(parsing: name) == identity)
    }

    @Test(arguments: [
        "", "GitHub", "github:x", "file:", "env:", "env:A=B", "env:eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "env:1A", "env: A",
        "login:x", "Login", "x509:a", "x509:,b", "x509:a,b,c", "jwt:x",
    ])
    func `of another name is none`(name: String) {
        #expect(Identity(parsing: name) == nil)
    }

    private static let github = ["ACTIONS_ID_TOKEN_REQUEST_URL": "https://a/?b", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"]

    @Test func `is found in the documented order`() throws {
        let folder = try TemporaryFolder()
        let file = "\(folder.path)/token"
        try Data("a.b.c".utf8).write(to: URL(filePath: file))
        var environment = Self.github
        environment["GITLAB_CI"] = "true"
        environment["DAYPASS_ID_TOKEN"] = "a.b.c"
        environment["BUILDKITE"] = "true"
        environment["BUILDKITE_JOB_ID"] = "1"
        environment["CIRCLECI"] = "true"
        environment["DAYPASS_KUBERNETES_TOKEN_FILE"] = file
        #expect(Identity.found(in: environment, at: "https://a") == .github)
        environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = nil
        #expect(Identity.found(in: environment, at: "https://a") == .gitlab)
        environment["DAYPASS_ID_TOKEN"] = nil
        #expect(Identity.found(in: environment, at: "https://a") == .buildkite)
        environment["BUILDKITE"] = nil
        #expect(Identity.found(in: environment, at: "https://a") == .circleci)
        environment["CIRCLECI"] = nil
        #expect(Identity.found(in: environment, at: "https://a") == .kubernetes)
        environment["DAYPASS_KUBERNETES_TOKEN_FILE"] = "\(folder.path)/nothing"
        #expect(Identity.found(in: environment, at: "https://a") == nil)
    }

    @Test func `is the sign-in at this broker where there is no other, never by itself in a job`() async throws {
        let folder = try TemporaryFolder()
        let environment = ["HOME": folder.path, "DAYPASS_KUBERNETES_TOKEN_FILE": "\(folder.path)/nothing"]
        #expect(Identity.found(in: environment, at: "https://a") == nil)
        let store = try #require(SignInStore("https://a", in: environment))
        let clock = SystemTokenClock()
        let lock = try await store.lock(until: clock.uptime + .seconds(5), clock)
        let refresh = try #require(TokenText("r"))
        _ = try store.keep(refresh, email: nil, at: 1, lock)
        #expect(Identity.found(in: environment, at: "https://a") == .login)
        #expect(Identity.found(in: environment, at: "https://a:8443") == nil)
        #expect(Identity.found(in: environment, at: nil) == nil)
        for name in ["CI", "GITHUB_ACTIONS", "GITLAB_CI"] {
            let job = environment.merging([name: "true"]) { $1 }
            #expect(Identity.found(in: job, at: "https://a") == nil, "\(name)")
        }
    }

    @Test func `of a job without permission says which line is missing`() {
        #expect(Identity.absence(in: ["GITHUB_ACTIONS": "true"]).contains("permissions: id-token: write"))
        #expect(Identity.absence(in: ["GITLAB_CI": "true"]).contains("id_tokens"))
        #expect(Identity.absence(in: [:]).contains("--identity"))
    }

    @Test func `of one job is told apart from that of another, and from another user's`() throws {
        func key(_ identity: Identity, _ environment: [String: String]) throws -> String? {
            try IdentitySource(identity, audience: "a", environment: environment).distinction()?.key
        }
        var other = Self.github
        other["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "u"
        #expect(try key(.github, Self.github) != key(.github, other))
        let gitlab = ["GITLAB_CI": "true", "CI_JOB_ID": "1", "DAYPASS_ID_TOKEN": "a.b.c"]
        #expect(try key(.gitlab, gitlab) != key(.gitlab, gitlab.merging(["CI_JOB_ID": "2"]) { $1 }))
        #expect(try key(.gitlab, gitlab) != key(.gitlab, gitlab.merging(["DAYPASS_ID_TOKEN": "a.b.d"]) { $1 }))
        #expect(try key(.buildkite, ["BUILDKITE": "true", "BUILDKITE_JOB_ID": "1"]) == "buildkite:job:1")
        #expect(try key(.buildkite, ["BUILDKITE": "true"]) == nil && key(.circleci, [:]) == nil)
        let named = try key(.variable("X"), ["X": "a.b.secret"])
        #expect(named?.contains("secret") == false)
        #expect(try named != key(.variable("X"), ["X": "a.b.other"]))
    }

    @Test(arguments: [
        ["GITLAB_CI": "true", "CI_JOB_ID": "1"], ["BUILDKITE": "true", "BUILDKITE_JOB_ID": "1"],
        ["GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "1"],
        ["CIRCLECI": "true", "CIRCLE_WORKFLOW_JOB_ID": "1"],
    ])
    func `that two jobs share is two identities, and none that is kept where they cannot be told apart`(
        job: [String: String]
    ) throws {
        let folder = try TemporaryFolder()
        let file = "\(folder.path)/token"
        try Data("a.b.c".utf8).write(to: URL(filePath: file))
        for identity in [Identity.file(file), .variable("X"), .certificate(chain: file, key: file)] {
            func key(_ environment: [String: String]) throws -> String? {
                let all = environment.merging(["X": "a.b.c"]) { $1 }
                return try IdentitySource(identity, audience: "a", environment: all).distinction()?.key
            }
            #expect(try key(job) == key(job) && key(job) != nil)
            #expect(try key(job) != key(job.mapValues { $0 == "1" ? "2" : $0 }))
            #expect(try key(job) != key([:]))
            #expect(try key(job.filter { $0.value == "true" }) == nil)
            #expect(try key(["CI": "true"]) == nil)
        }
    }

    @Test func `in a file is the same when it is written anew, and noted as another proof`() throws {
        let folder = try TemporaryFolder()
        let source = IdentitySource(.file("\(folder.path)/token"), audience: "a", environment: [:])
        let absent = try #require(try source.distinction())
        try Data("a.b.c".utf8).write(to: URL(filePath: "\(folder.path)/token"))
        let first = try #require(try source.distinction())
        try Data("d.e.f".utf8).write(to: URL(filePath: "\(folder.path)/token"))
        let second = try #require(try source.distinction())
        #expect(absent.key == first.key && first.key == second.key)
        #expect(absent.proof == .unreadable && first.proof != second.proof && first.proof != absent.proof)
    }

    @Test(arguments: ["http://pipelines.example.com/?a=b", "ftp://x/", "x"])
    func `of GitHub never sends the job's secret in the clear`(url: String) {
        let environment = ["ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"]
        #expect(throws: TokenFailure.self) { try GitHubTokenRequest(environment) }
    }

    @Test(arguments: ["", "a b", "\n", String(repeating: "a", count: 70_000)])
    func `in a file that holds no token is refused without its text`(text: String) async throws {
        let folder = try TemporaryFolder()
        let file = "\(folder.path)/token"
        try Data(text.utf8).write(to: URL(filePath: file))
        let source = IdentitySource(.file(file), audience: "a", environment: [:])
        let failure = await #expect(throws: TokenFailure.self) { try await source.proof(within: .seconds(1)) }
        let words = try #require(failure).words
        #expect(failure == .noIdentity(words))
        #expect(words.hasPrefix(file) && words.utf8.count < 200)
    }

    @Test func `in a file may have a line end, and is read each time`() async throws {
        let folder = try TemporaryFolder()
        let file = "\(folder.path)/token"
        let source = IdentitySource(.file(file), audience: "a", environment: [:])
        for text in ["a.b.c", "d.e.f"] {
            try Data("\(text)\r\n".utf8).write(to: URL(filePath: file))
            let token = try #require(TokenText(text))
            #expect(try await source.proof(within: .seconds(1)) == .identityToken(token))
        }
    }
}

@Suite struct `The place of the cache` {
    @Test(
        arguments: [
            (["HOME": "/home/a"], "/home/a/.cache/daypass"),
            (["HOME": "/home/a", "XDG_CACHE_HOME": "/c/"], "/c/daypass"),
            (["HOME": "/home/a", "XDG_CACHE_HOME": "relative"], "/home/a/.cache/daypass"),
            (["XDG_RUNTIME_DIR": "/run/user/7"], "/run/user/7/daypass"), ([:], nil), (["HOME": "home"], nil),
            (["HOME": "/"], "/.cache/daypass"),
            (["HOME": "/h", "CI": "true", "RUNNER_TEMP": "/work/_temp"], "/work/_temp/daypass-7"),
            (["HOME": "/h", "GITLAB_CI": "true", "TMPDIR": "/job/tmp"], "/job/tmp/daypass-7"),
            (["HOME": "/h", "BUILDKITE": "true"], "/tmp/daypass-7"),
            (["HOME": "/h", "CI": "false"], "/h/.cache/daypass"),
        ] as [([String: String], String?)])
    func `is the job's own folder, or below XDG_CACHE_HOME, HOME or XDG_RUNTIME_DIR`(
        environment: [String: String], folder: String?
    ) {
        #expect(CachePlace(in: environment, user: 7)?.folder == folder)
    }
}

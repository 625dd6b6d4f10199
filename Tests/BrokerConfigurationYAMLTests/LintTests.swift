import Broker
import BrokerConfigurationYAML
import Testing

private let gitHub = "https://token.actions.githubusercontent.com"
private let gitLab = "https://gitlab.com"
private let buildkite = "https://agent.buildkite.com"
private let circleCI = "https://oidc.circleci.com/org/5f0b4d2e-8a0e-4d53-a0c1-53a1f3a0b001"
private let google = "https://accounts.google.com"
private let uuid = "0184990a-4777-4a3c-9f0d-2f6ad1f0a001"
private let circle = "oidc.circleci.com/"
private let corp = "https://login.example.com"

/// What is said of a rule whose `match` is this, without the file's path.
private func notes(_ match: String, of issuer: String = gitHub, more: [Int: String] = [:]) throws -> [String] {
    let lines = [8: "    issuer: \(issuer)", 12: "    match: \(match)"].merging(more) { $1 }
    return try SampleConfiguration.read(lines).notes.map { $0.description.replacing("config/daypass.yaml:", with: "") }
}

@Suite struct `Lint of what a rule matches` {
    @Test(
        arguments: [
            ("{aud: \"https://daypass.example.com\"}", "aud"), ("{iss: \"https://login.example.com\"}", "iss"),
            ("{/aud: a, iss: \"https://login.example.com\"}", "aud, iss"), ("{aud: a, exp: 1}", "aud, exp"),
        ])
    func `a rule that tests only the audience and the issuer is warned about`(match: String, claims: String) throws {
        #expect(
            try notes(match, of: corp) == [
                "12:12: rule team tests only \(claims), which does not tell one subject of corp from another: "
                    + "match a claim that says who it is, such as sub"
            ])
    }

    @Test(arguments: ["{aud: a, sub: alice}", "{sub: alice}", "{groups: platform}", "{/x/aud: a}"])
    func `a rule that tests something of its subject is not`(match: String) throws {
        #expect(try notes(match, of: corp) == [])
    }

    private static let names: [(issuer: String, match: String, name: String, id: String)] = [
        (gitHub, "repository_owner_id: \"1\", repository: acme/app", "repository", "repository_id"),
        (gitHub, "repository_owner_id: \"1\", /repository: acme/app", "repository", "repository_id"),
        (gitHub, "repository_id: \"1\", repository_owner: acme", "repository_owner", "repository_owner_id"),
        (gitHub, "repository_id: \"1\", actor: octavia", "actor", "actor_id"),
        ("https://github.example.com/_services/token", "repository: acme/app", "repository", "repository_id"),
        (gitLab, "namespace_id: \"1\", project_path: acme/app", "project_path", "project_id"),
        (gitLab, "project_id: \"1\", namespace_path: acme", "namespace_path", "namespace_id"),
        (gitLab, "project_id: \"1\", user_login: octavia", "user_login", "user_id"),
        ("https://gitlab.example.com", "project_path: acme/app", "project_path", "project_id"),
        (buildkite, "organization_id: \(uuid), pipeline_slug: app", "pipeline_slug", "pipeline_id"),
        (circleCI, "\(circle)vcs-origin: github.com/acme/app", "\(circle)vcs-origin", "\(circle)project-id"),
        (google, "hd: example.com, email: a@example.com", "email", "sub"),
    ]

    @Test(arguments: names.indices)
    func `a name where an id exists is warned about`(index: Int) throws {
        let row = Self.names[index]
        let text = "\(row.name) is a name, which can be given up and taken by somebody else: match \(row.id)"
        #expect(try notes("{\(row.match)}", of: row.issuer).map { $0.drop { $0 != " " }.dropFirst() } == [text[...]])
    }

    @Test(arguments: [
        (gitHub, "repository_id: \"1\", repository: acme/app", "repository", "repository_id"),
        (gitHub, "repository_owner_id: \"1\", repository_owner: acme", "repository_owner", "repository_owner_id"),
        (gitLab, "project_path: acme/app, project_id: \"1\"", "project_path", "project_id"),
        (buildkite, "organization_id: \(uuid), organization_slug: acme", "organization_slug", "organization_id"),
    ])
    func `a name beside its id is as well`(issuer: String, match: String, name: String, id: String) throws {
        let text =
            "\(name) beside \(id) adds nothing until it is renamed, and then the rule stops matching: leave it out"
        #expect(try notes("{\(match)}", of: issuer).map { $0.drop { $0 != " " }.dropFirst() } == [text[...]])
    }

    @Test func `a pattern for an id does not pin it`() throws {
        let notes = try notes("{repository_owner_id: \"1\", repository_id: \"1*\", repository: acme/app}")
        #expect(notes.count == 1)
        #expect(notes.first?.contains("match repository_id") == true, "\(notes)")
    }

    @Test func `ids alone, and names of an issuer of one's own, are not`() throws {
        #expect(try notes("{repository_id: \"1\", ref: refs/heads/main, environment: production}") == [])
        #expect(try notes("{repository: acme/app, actor: octavia}", of: corp) == [])
        #expect(try notes("{repository_id: \"1\", /x/repository: acme/app}") == [])
    }

    @Test(arguments: [
        (gitHub, "{repository_id: \"1\", sub: \"repo:acme/app:ref:refs/heads/main\"}", "can be customised"),
        (gitHub, "{repository_id: \"1\", workflow: Deploy}", "match job_workflow_ref"),
        (gitLab, "{project_id: \"1\", sub: \"project_path:acme/app:*\"}", "match project_id and ref"),
        (
            buildkite, "{organization_id: 0184990a-4777-4a3c-9f0d-2f6ad1f0a001, sub: \"organization:acme:**\"}",
            "match organization_id and pipeline_id"
        ),
    ])
    func `a sub that is made of names is warned about`(issuer: String, match: String, advice: String) throws {
        let notes = try notes(match, of: issuer)
        #expect(notes.count == 1)
        #expect(notes.first?.contains("do not match ") == true)
        #expect(notes.first?.contains(advice) == true, "\(notes)")
    }

    @Test func `a sub of Google or of one's own is what it should be`() throws {
        #expect(try notes("{sub: \"104211348913284576193\"}", of: google) == [])
        #expect(try notes("{sub: \"system:serviceaccount:ml:scorer\"}", of: corp) == [])
    }

    @Test(arguments: [
        ("ref", "\"**\"", "\"**\" matches every text, so nothing but the presence of ref is tested"),
        ("ref", "[refs/heads/main, \"**\"]", "\"**\" matches every text"),
        ("environment", "\"*\"", "\"*\" matches whatever has no / and : in it: write the part of environment"),
        ("job_workflow_ref", "\"*/*/**\"", "\"*/*/**\" matches whatever has its / and : in these places"),
    ])
    func `a pattern that demands nothing is warned about`(claim: String, value: String, text: String) throws {
        let notes = try notes("{repository_id: \"1\", \(claim): \(value)}")
        #expect(notes.count == 1)
        #expect(notes.first?.contains(text) == true, "\(notes)")
    }

    @Test(arguments: ["refs/heads/*", "refs/**", "refs/tags/v*"])
    func `a pattern that demands something is not`(value: String) throws {
        #expect(try notes("{repository_id: \"1\", ref: \"\(value)\"}") == [])
    }

    @Test func `a star that is no wildcard is a value like any other`() throws {
        #expect(try notes(#"{sub: '\*'}"#, of: corp) == [])
    }
}

@Suite struct `Lint of the whole configuration` {
    private static let oneClient =
        "clients come through a proxy, since there is no server.public.tls, and while it is not in "
        + "trusted_proxies all of them share the limits of one: write trusted_proxies: "

    @Test(
        arguments: [
            (#"{listen: "127.0.0.1:80", url: "https://a.example"}"#, #"2:11: \#(oneClient)["127.0.0.1"]"#),
            (
                #"{listen: "[::1]:80", url: "https://a.example", trusted_proxies: []}"#,
                #"2:75: \#(oneClient)["::1"]"#
            ),
            (#"{listen: "127.0.0.1:80", url: "https://a.example", trusted_proxies: ["127.0.0.1"]}"#, nil),
            (#"{listen: "127.0.0.1:80", url: "http://127.0.0.1:80"}"#, nil),
        ] as [(String, String?)])
    func `a proxy that must be there, and that is not trusted, is warned about`(listener: String, start: String?) throws
    {
        let notes = try notes("{sub: a}", of: corp, more: [2: "  public: \(listener)"])
        #expect(notes.count == (start == nil ? 0 : 1))
        for note in notes { #expect(note.hasPrefix(start ?? ""), "\(note)") }
    }

    @Test(
        arguments: [
            ("[]", "", "server.public.trusted_proxies is empty"),
            ("[10.0.0.1]", ", client_certificates: off", "client_certificates is off"), ("[10.0.0.1]", "", nil),
        ] as [(String, String, String?)])
    func `forwarded certificates that can never count are warned about`(
        proxies: String, more: String, reason: String?
    ) throws {
        let listener =
            "{listen: \"127.0.0.1:80\", url: \"https://a.example\", trusted_proxies: \(proxies), "
            + "tls: {certificate: a, key: a, forwarded_certificates: {header: client-cert, from: [\"spiffe://a/b\"]}\(more)}}"
        let notes = try notes("{sub: a}", of: corp, more: [2: "  public: \(listener)"])
        #expect(notes.count == (reason == nil ? 0 : 1))
        for note in notes {
            #expect(note.contains(": forwarded_certificates has no effect while \(reason ?? "")"), "\(note)")
        }
    }

    @Test(arguments: [("5m", true), ("359s", true), ("6m", false), ("15m", false)])
    func `a ttl that a helper's cache outlives is warned about`(ttl: String, isWarned: Bool) throws {
        let notes = try notes("{sub: a}", of: corp, more: [13: "    grant: {scope: [a], ttl: \(ttl)}"])
        let text =
            "13:30: clients keep what a helper prints for 5 minutes, so a token of \(ttl) expires in their hands: "
            + "write at least 6m"
        #expect(notes == (isWarned ? [text] : []))
    }

    @Test(arguments: [("179s", true), ("3m", false), ("5m", false)])
    func `for a client that federates by itself less is enough`(ttl: String, isWarned: Bool) throws {
        let grant = "    federation: {organization_id: o}\n    grant: {scope: [a], ttl: \(ttl)}"
        let notes = try notes("{sub: a}", of: corp, more: [13: grant])
        #expect(notes.count == (isWarned ? 1 : 0))
        #expect(notes.allSatisfy { $0.hasPrefix("14:30: SDKs ask for another token 2 minutes before one expires") })
    }

    @Test func `the default ttl is not`() throws {
        #expect(try notes("{sub: a}", of: corp, more: [13: "    grant: {scope: [a]}"]) == [])
    }

    @Test func `an issuer that no rule is for is warned about, but for one that came with the configuration`() throws {
        let unused = "    issuer: \(corp)\n  - {name: spare, issuer: \"https://spare.example.com\"}"
        #expect(
            try notes("{sub: a}", more: [8: unused]) == [
                "9:12: no rule is for the issuer spare: write one, or take the issuer out"
            ])
        let shared = "    issuer: \(corp)\n  - {name: github, issuer: \"\(gitHub)\"}"
        #expect(try notes("{sub: a}", more: [8: shared]) == [])
    }

    @Test func `warnings are in the order of their lines, and more than 50 are counted`() throws {
        let rules = (0..<60).map {
            "  - {name: r\($0), issuer: corp, match: {sub: \"a\($0)\", aud: \"**\"}, grant: {scope: [a]}}"
        }
        let lines = [13: "    grant: {scope: [a], ttl: 1m}\n" + rules.joined(separator: "\n")]
        let notes = try SampleConfiguration.read(lines).notes
        #expect(notes.count == 51)
        #expect(notes.map(\.place.line).prefix(50) == Array(13...62)[...])
        #expect(notes.last?.description == "config/daypass.yaml: and 11 more warnings")
    }

    @Test func `an error is told without warnings beside it`() {
        let errors = SampleConfiguration.errors([12: "    match: {sub: \"**\"}", 13: "    grant: {scope: []}"])
        #expect(errors == ["13:20: expected a list of scopes, not an empty one"])
    }
}

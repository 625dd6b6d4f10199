import Broker
import BrokerConfigurationYAML
import BrokerTesting
import JOSE
import Testing

private func notes(_ match: String, of issuer: String) throws -> [String] {
    let lines = [8: "    issuer: \(issuer)", 12: "    match: \(match)"]
    return try SampleConfiguration.read(lines).notes.map { $0.description.replacing("config/daypass.yaml:", with: "") }
}

@Suite struct `Lint of rules that can never match` {
    private static let gitHub = "https://token.actions.githubusercontent.com"
    private static let gitLab = "https://gitlab.com"
    private static let circleCI = "https://oidc.circleci.com/org/5f0b4d2e-8a0e-4d53-a0c1-53a1f3a0b001"

    @Test(arguments: [
        ("ref_protected: true", #"ref_protected is text: write "true", in quotes"#),
        ("run_attempt: 1", #"run_attempt is text: write "1", in quotes"#),
        ("ref: main", "ref begins with refs/"), ("ref: \"*\"", "ref begins with refs/"),
        ("ref: [main, \"dev*\"]", "ref begins with refs/"), ("ref_type: heads", #"ref_type is "branch" or "tag""#),
        ("runner_environment: hosted", #"runner_environment is "github-hosted" or "self-hosted""#),
        ("actor_id: octavia", "actor_id has digits only, at most 32"),
        ("actor_id: \"123456789012345678901234567890123*\"", "actor_id has digits only, at most 32"),
        ("sha: main", "sha is a digest of 40 or 64 hexadecimal digits in lower case"),
        ("sha: \"0f8b3c1d5e7a9b2c4d6e8f0a1b3c5d7e9f1a3b5c0*\"", nil),
        (
            "sha: 0F8B3C1D5E7A9B2C4D6E8F0A1B3C5D7E9F1A3B5C",
            "sha is a digest of 40 or 64 hexadecimal digits in lower case"
        ),
        ("/ref/name: main", "ref is no object, so there is nothing in it"),
        ("iss: \"https://github.com\"", "iss of corp is https://token.actions.githubusercontent.com"),
        ("exp: \"soon\"", "exp is a number: write it without quotes"),
        (
            "enviroment: production",
            #"tokens of GitHub have no claim "enviroment" that we know of; did you mean "environment"?"#
        ),
        ("/ref: refs/heads/main, ref: refs/heads/dev", "/ref and ref are the same claim, and no value fits both"),
        ("ref_type: tag, ref: \"refs/heads/*\"", "with this ref_type the claim ref begins with refs/tags/"),
        (
            "ref: \"refs/tags/*\", ref_type: branch",
            "with this ref_type the claim ref begins with refs/heads/ or refs/pull/"
        ),
        ("event_name: pull_request, ref: refs/heads/main", "with this event_name the claim ref begins with refs/pull/"),
    ])
    func `a value that no token of GitHub has is warned about`(match: String, reason: String?) throws {
        let found = try notes("{repository_id: \"1\", \(match)}", of: Self.gitHub)
            .filter { !$0.contains("matches whatever") }
        #expect(found.count == (reason == nil ? 0 : match.contains("[") ? 2 : 1), "\(found)")
        for note in found { #expect(note.hasSuffix(" rule team can never match: \(reason ?? "")"), "\(note)") }
    }

    @Test(arguments: [
        "ref_protected: \"true\"", "ref: \"refs/**\"", "ref: \"**/main\"", "ref_type: [branch, tag]",
        "ref_type: \"t*\"",
        "actor_id: \"12*\"", "sha: \"0f8b*\"", "something_new: 1", "repo_property_team: platform", "/x/ref: main",
        "aud: [\"https://daypass.example.com\"]", "iss: \"https://token.*\"",
        "event_name: [push, pull_request], ref: refs/heads/main",
        "event_name: pull_request, ref: \"refs/pull/*/merge\"",
        "ref_type: tag, ref: \"refs/**\"", "/ref: \"refs/heads/*\", ref: refs/heads/main",
        "ref_type: \"*g\", ref: refs/heads/x",
    ])
    func `one that a token may have is not`(match: String) throws {
        #expect(try notes("{repository_id: \"1\", \(match)}", of: Self.gitHub) == [])
    }

    @Test func `of several values only the impossible ones are named, and the rule may still match`() throws {
        #expect(
            try notes("{repository_id: \"1\", ref: [refs/heads/main, main]}", of: Self.gitHub) == [
                "12:56: this value can never match: ref begins with refs/"
            ])
    }

    @Test(
        arguments: [
            (gitLab, "project_id: \"1\", ref_protected: true", #"ref_protected is text: write "true", in quotes"#),
            (
                gitLab, "project_id: \"1\", ref: refs/heads/main",
                "ref does not begin with refs/: it is the bare name of a branch or tag; ref_path has the rest"
            ),
            (gitLab, "project_id: \"1\", runner_id: \"1\"", "runner_id is a number: write it without quotes"),
            (
                gitLab, "project_id: \"1\", user_identities: github",
                "user_identities is an object: match a member of it, /user_identities/NAME"
            ),
            (
                "https://agent.buildkite.com",
                "organization_id: 0184990a-4777-4a3c-9f0d-2f6ad1f0a001, build_number: \"1\"",
                "build_number is a number: write it without quotes"
            ),
            (
                "https://agent.buildkite.com", "organization_id: acme",
                "organization_id is a UUID of 36 characters in lower case"
            ),
            (
                circleCI, "oidc.circleci.com/ssh-rerun: \"false\", oidc.circleci.com/project-id: \"*-1\"",
                "oidc.circleci.com/ssh-rerun is a boolean: write true or false without quotes"
            ),
            (
                "https://accounts.google.com", "sub: \"1\", email_verified: \"true\"",
                "email_verified is a boolean: write true or false without quotes"
            ),
            ("https://login.example.com", "sub: 1", #"sub is text: write "1", in quotes"#),
            (
                "https://login.example.com", "sub: alice, /sub: bob",
                "sub and /sub are the same claim, and no value fits both"
            ),
        ])
    func `other providers have their own types and forms`(issuer: String, match: String, reason: String) throws {
        let found = try notes("{\(match)}", of: issuer)
        #expect(found.count == 1)
        #expect(found.first?.hasSuffix(" rule team can never match: \(reason)") == true, "\(found)")
    }

    /// What we claim to know of a provider against tokens as its documentation shows them.
    @Test(arguments: ProviderShape.all)
    func `no claim of a provider's own token is called impossible`(shape: ProviderShape) throws {
        let pins = ["github": "repository_id", "gitlab": "project_id", "buildkite": "organization_id"]
        for member in shape.claims.members {
            let value: String
            switch member.value {
            case .string(let text) where !text.isEmpty: value = "\"\(text)\""
            case .number(let number): value = "\(Int(number))"
            case .bool(let bool): value = "\(bool)"
            case .array(let elements):
                guard let text = elements.first?.string else { continue }
                value = "\"\(text)\""
            default: continue
            }
            var match = "\"\(member.name)\": \(value)"
            if let pin = pins[shape.name], member.name != ExactString(pin) {
                match += ", \(pin): \"\(shape.claims[ExactString(pin)]?.string?.string ?? "")\""
            }
            let found = try notes("{\(match)}", of: shape.issuer).filter { $0.contains("never match") }
            #expect(found == [], "\(member.name)")
        }
    }

    @Test func `arrays may hold two values at once`() throws {
        #expect(
            try notes("{project_id: \"1\", groups_direct: acme/a, /groups_direct: acme/b}", of: Self.gitLab) == [])
        #expect(try notes("{groups: a, /groups: b}", of: "https://login.example.com") == [])
    }
}

import Broker
import BrokerConfigurationYAML
import Foundation
import JOSE
import Testing

@Suite struct `The shipped configuration` {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "config").resolvingSymlinksInPath()

    private static var inMemory: FilesInMemory {
        FilesInMemory(
            Dictionary(uniqueKeysWithValues: ShippedConfiguration.files.map { ("etc/\($0.path)", $0.contents) }))
    }

    @Test func `what is built in is what lies under config`() throws {
        var found: Set<String> = []
        let yaml = try FileManager.default.subpathsOfDirectory(atPath: Self.folder.path).filter {
            $0 == "daypass.yaml" || (($0.hasPrefix("issuers/") || $0.hasPrefix("rules/")) && $0.hasSuffix(".yaml"))
        }
        for (path, contents) in ShippedConfiguration.files {
            #expect(try Data(contentsOf: Self.folder.appending(path: path)) == Data(contents), "\(path)")
            found.insert(path)
        }
        #expect(found == Set(yaml))
        #expect(found.count == ShippedConfiguration.files.count)
    }

    @Test func `it loads as it is, without errors and warnings`() throws {
        let (configuration, notes) = try ConfigurationReader(files: Self.inMemory).read(path: "etc/daypass.yaml")
        #expect(notes.isEmpty)
        #expect(configuration.issuers.map(\.name.description) == ["buildkite", "github", "gitlab", "google"])
        #expect(configuration.rules.rules.map(\.name) == ["ci-main"])
        #expect(configuration.masterKeyFile == "/etc/data/master.key")
        #expect(try ConfigurationReader().read(path: Self.folder.path + "/daypass.yaml").notes.isEmpty)
    }

    @Test func `that of a broker where people sign in loads as it is, with nothing to say about it`() throws {
        let (configuration, notes) = try ConfigurationReader().read(path: Self.folder.path + "/sign-in/daypass.yaml")
        #expect(notes.isEmpty, "\(notes)")
        let signIn = try #require(configuration.signIn)
        #expect(signIn.issuer.description == "corp-sso" && signIn.clientID == "daypass")
        #expect(configuration.rules.rules.map(\.name) == ["developers"])
    }

    @Test func `three marked lines make it a company's own`() throws {
        let marked = ShippedConfiguration.files.flatMap { file in
            String(decoding: file.contents, as: UTF8.self).split(separator: "\n").filter { $0.contains("# CHANGE ") }
        }
        #expect(marked.count == 3)
        let changes = [
            ("\"http://127.0.0.1:8080\" #", "\"https://daypass.acme.example\" #"),
            ("\"https://gateway.example.com\"", "\"https://llm.acme.example\""), ("\"123456\" #", "\"42\" #"),
        ]
        let files = ShippedConfiguration.files.map { file in
            let text = String(decoding: file.contents, as: UTF8.self)
            let changed = changes.reduce(text) { $0.replacing($1.0, with: $1.1) }
            return ("etc/\(file.path)", Array(changed.utf8))
        }
        let configuration = try ConfigurationReader(files: FilesInMemory(Dictionary(uniqueKeysWithValues: files)))
            .read(path: "etc/daypass.yaml").configuration
        #expect(configuration.tokens.issuer == "https://daypass.acme.example")
        #expect(configuration.tokens.audiences == ["https://llm.acme.example"])
        #expect(configuration.issuers.allSatisfy { $0.audience == "https://daypass.acme.example" })
        #expect(configuration.rules.rules.first?.matchers.first?.anyOf == [.text(try Glob(parsing: "42"))])
    }

    @Test(arguments: ["circleci", "kubernetes", "okta"])
    func `a template is sound once it is no comment any more`(name: String) throws {
        let file = try #require(ShippedConfiguration.files.first { $0.path == "issuers/\(name).yaml" })
        let text = String(decoding: file.contents, as: UTF8.self)
        let parts = text.split(separator: "from here on.")
        try #require(parts.count == 2)
        let entry = parts[1].replacing("\n#", with: "\n")
            .replacing("    keys: {file: cluster-a-jwks.json}\n", with: "")
        let lines = [5: SampleConfiguration.lines[4] + "\ninclude: [more.yaml]"]
        let reading = try SampleConfiguration.read(lines, files: ["config/more.yaml": Array(entry.utf8)])
        #expect(reading.configuration.issuers.count == 2)
    }
}

@Suite struct `Shared issuers` {
    static let requirements: [String: (issuer: String, claims: [ExactString])] = [
        "github": ("https://token.actions.githubusercontent.com", ["repository_id", "repository_owner_id"]),
        "gitlab": ("https://gitlab.com", ["project_id", "namespace_id", "job_project_id", "job_namespace_id"]),
        "buildkite": ("https://agent.buildkite.com", ["organization_id"]),
        "google": ("https://accounts.google.com", ["sub", "email", "hd"]),
    ]

    /// With an entry of one's own for a shared issuer, and a rule for it.
    private static func lines(_ issuer: String, _ match: String, more: String = "") -> [Int: String] {
        [8: "    issuer: \(issuer)\(more)", 12: "    match: \(match)"]
    }

    @Test(arguments: requirements.keys.sorted())
    func `each demands its claim, also of an entry of one's own that does not say so`(name: String) throws {
        let (issuer, claims) = try #require(Self.requirements[name])
        let names = claims.map(\.string).joined(separator: ", ")
        let error =
            "10:11: rule team has to match one of \(names) without a wildcard: corp issues tokens to everybody"
        for match in ["{ref: refs/heads/main}"] + claims.map({ "{\($0): \"12*\"}" })
            + claims.map({ "{\($0): [\"1\", \"2**\"]}" })
            + claims.map({ "{/x/\($0): \"1\"}" })
        {
            #expect(SampleConfiguration.errors(Self.lines(issuer, match)) == [error], "\(match)")
        }
        for claim in claims {
            let reading = try SampleConfiguration.read(Self.lines(issuer, "{\(claim): \"12\"}"))
            #expect(reading.configuration.issuers.first?.requiredClaims == claims)
        }
    }

    @Test func `an entry may choose among the claims, and not name others`() throws {
        let issuer = "https://token.actions.githubusercontent.com"
        let own = "\n    require_one_of: [repository_id]"
        let reading = try SampleConfiguration.read(Self.lines(issuer, "{repository_id: \"1\"}", more: own))
        #expect(reading.configuration.issuers.first?.requiredClaims == ["repository_id"])
        #expect(SampleConfiguration.errors(Self.lines(issuer, "{repository_owner_id: \"1\"}", more: own)).count == 1)
        let weak = "\n    require_one_of: [repository_id, ref]"
        #expect(
            SampleConfiguration.errors(Self.lines(issuer, "{ref: main}", more: weak)) == [
                "9:37: expected one of repository_id, repository_owner_id: "
                    + "this issuer is shared by many organisations, which only these tell apart"
            ])
    }

    @Test(arguments: ["{repository_id: 123456}", "{repository_id: [\"1\", 2]}", "{/repository_id: 1}"])
    func `an id of a shared issuer is text, so a number could never match`(match: String) {
        let errors = SampleConfiguration.errors(Self.lines("https://token.actions.githubusercontent.com", match))
        #expect(errors.count == 1)
        #expect(errors.first?.contains("as text, so write it in quotes") == true, "\(errors)")
    }
}

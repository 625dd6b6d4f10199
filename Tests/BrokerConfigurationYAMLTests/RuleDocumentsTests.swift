import Broker
import BrokerConfigurationYAML
import JOSE
import Testing

@Suite struct `Reading rules that are not in force` {
    private static func rule(_ name: String, _ issuer: String = "corp", scope: String = "anthropic:messages") -> String
    {
        """
          - name: \(name)
            issuer: \(issuer)
            match: {groups: platform}
            grant: {scope: [\(scope)], ttl: 15m}

        """
    }

    private static func read(
        _ documents: (String, String)...
    ) throws -> (rules: RuleSet, notes: [ConfigurationNote]) {
        let configuration = try SampleConfiguration.read().configuration
        return try ConfigurationReader.readRules(
            documents.map { (name: $0.0, contents: Array($0.1.utf8)) }, under: configuration)
    }

    private static func errors(_ documents: (String, [UInt8])...) throws -> [String] {
        let configuration = try SampleConfiguration.read().configuration
        do throws(ConfigurationErrors) {
            _ = try ConfigurationReader.readRules(
                documents.map { (name: $0.0, contents: $0.1) }, under: configuration)
            return []
        } catch {
            return error.description.split(separator: "\n").map(String.init)
        }
    }

    private static func errors(_ text: String) throws -> [String] { try errors(("r.yaml", Array(text.utf8))) }

    @Test func `takes the rules of all documents in their order, under what is in force`() throws {
        let read = try Self.read(
            ("a.yaml", "rules:\n" + Self.rule("one") + Self.rule("two")), ("empty.yaml", "# nothing\n"),
            ("b.yaml", "rules:\n" + Self.rule("three")))
        #expect(read.rules.rules.map(\.name) == ["one", "two", "three"])
        #expect(read.rules.rules[0].terms.audiences == ["https://gateway.example.com"])
        // Those behind the first match the same.
        #expect(
            read.notes.count == 2
                && read.notes.allSatisfy { $0.description.contains("two") || $0.description.contains("three") })
        #expect(try Self.read(("a.yaml", "rules: []")).rules.rules.isEmpty)
    }

    @Test func `a whole configuration may be given as it is: only its rules are read`() throws {
        let whole = SampleConfiguration.with([8: "    issuer: https://evil.example.com\n    keys: {file: /etc/passwd}"])
        let text = String(decoding: whole, as: UTF8.self).replacing("data/master.key", with: "/etc/shadow")
        let read = try Self.read(("daypass.yaml", text + "include: [rules/*.yaml]\n"))
        #expect(read.rules.rules.map(\.name) == ["team"])
        #expect(
            read.notes.map(\.description).sorted() == [
                "daypass.yaml:15:10: none of the files that it names is given: rules in them are not looked at",
                "daypass.yaml:7:3: the issuers are not read here: those count that are in force",
            ])
    }

    @Test(
        arguments: [
            (["conf/daypass.yaml", "conf/rules/ci.yaml"], false),
            (["./conf/daypass.yaml", "conf/rules/a.yaml"], false),
            (["/etc/daypass.yaml", "/etc/rules/ci.yaml"], false), (["daypass.yaml", "rules/ci.yaml"], false),
            (["conf/daypass.yaml"], true), (["conf/daypass.yaml", "rules/ci.yaml"], true),
            (["conf/daypass.yaml", "conf/new.yaml"], true), (["conf/daypass.yaml", "conf/rules/.ci.yaml"], true),
            (["conf/daypass.yaml", "-"], true),
        ] as [([String], Bool)])
    func `files that include names are missed only where none of them is given`(_ names: [String], _ isMissed: Bool)
        throws
    {
        let main = Array("rules: []\ninclude: [issuers/*.yaml, rules/*.yaml]\n".utf8)
        let documents = names.map { (name: $0, contents: $0 == names[0] ? main : Array("# nothing\n".utf8)) }
        let read = try ConfigurationReader.readRules(documents, under: SampleConfiguration.read().configuration)
        #expect(read.notes.contains { $0.description.contains("none of the files that it names") } == isMissed)
        #expect(read.notes.count == (isMissed ? 1 : 0), "\(read.notes)")
    }

    @Test func `every error has its document, line and column`() throws {
        let bad = Self.rule("one", "crop") + Self.rule("two", scope: "daypass:keyz") + Self.rule("two")
        let errors = try Self.errors("rules:\n" + bad)
        #expect(errors.count == 2)
        #expect(
            errors[0].hasPrefix("r.yaml:3:13: expected the name of an issuer")
                && errors[0].contains(#"did you mean "corp"?"#))
        #expect(errors[1].hasPrefix("r.yaml:9:"))
        let twice = try Self.errors(
            ("a.yaml", Array(("rules:\n" + Self.rule("one")).utf8)),
            ("b.yaml", Array(("rules:\n" + Self.rule("one")).utf8)))
        #expect(twice == ["b.yaml:2:11: two rules are named one; the other is at a.yaml:2:11"])
        let missing = try Self.errors("issuers: []\n")
        #expect(missing == [#"r.yaml: expected the key "rules" in one of the documents"#])
        #expect(try Self.errors("rule: []\n")[0].contains(#"did you mean "rules"?"#))
        #expect(try Self.errors("rules: {a: b}\n").count == 1)
        #expect(try Self.errors("rules:\n" + Self.rule("one").replacing("match", with: "\tmatch")).count == 1)
    }

    @Test(
        arguments: [
            [UInt8](repeating: 0, count: 10), [0xFF, 0xFE], Array("rules: [&a x, *a]".utf8),
            Array("rules: \(String(repeating: "[", count: 100))".utf8), Array("--- 1\n--- 2\n".utf8),
            Array("rules: []\nrules: []\n".utf8), Array("rules: !!python/object []".utf8),
            Array("rules: \u{202E}[]".utf8),
            Array("rules:\n  - name: \"\u{1B}[2K\"".utf8),
        ] as [[UInt8]])
    func `refuses a hostile document in words that a terminal may show`(_ bytes: [UInt8]) throws {
        let errors = try Self.errors(("r\u{1B}[2K.yaml", bytes))
        #expect(!errors.isEmpty)
        #expect(errors.joined().unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "\u{202E}" }, "\(errors)")
    }

    @Test func `a document that is too long is refused before it is read`() throws {
        let errors = try Self.errors(("r.yaml", [UInt8](repeating: 0x20, count: (1 << 20) + 1)))
        #expect(errors == ["r.yaml: it is too large"])
    }

    @Test func `a document of more rules than a configuration may have is refused`() throws {
        // Shorter than 1 MiB: nothing of a rule but that it is one.
        let text = "rules: [" + String(repeating: "1,", count: 10_000) + "1]"
        let errors = try Self.errors(text)
        #expect(errors.count == 1 && errors[0].contains("at most"), "\(errors.prefix(2))")
    }
}

import Broker
import BrokerConfigurationYAML
import Testing

@Suite struct `Strict YAML` {
    @Test(arguments: [
        ("a: &x 1\n", "1:4: anchors (&) are not accepted: write the value where it is used"),
        ("&x a: 1\n", "1:1: anchors (&) are not accepted: write the value where it is used"),
        ("a: *x\n", "1:4: aliases (*) are not accepted: write the value, or quote text that begins with *"),
        ("? *x\n: 1\n", "1:3: aliases (*) are not accepted: write the value, or quote text that begins with *"),
        ("a: !!str 1\n", "1:4: tags (!) are not accepted"),
        ("a: ! 1\n", "1:4: tags (!) are not accepted"),
        ("!mine {a: 1}\n", "1:1: tags (!) are not accepted"),
        ("%YAML 1.1\n---\na: 1\n", "1:1: directives (%) are not accepted"),
        ("%TAG ! tag:a,2000:\n---\na: 1\n", "1:1: directives (%) are not accepted"),
        ("{<<: {a: 1}}\n", "1:2: merge keys (<<) are not accepted"),
        ("? [a]\n: 1\n", "1:3: expected text as a key"),
        ("? {a: b}\n: 1\n", "1:3: expected text as a key"),
        ("store: 1\nstore: 2\n", #"2:1: the key "store" stands here twice, first on line 1"#),
        ("store: 1\n\"store\": 2\n", #"2:1: the key "store" stands here twice, first on line 1"#),
        ("store: 1\n'store': 2\n", #"2:1: the key "store" stands here twice, first on line 1"#),
        ("store: 1\n\"st\\u006Fre\": 2\n", #"2:1: the key "store" stands here twice, first on line 1"#),
        ("store: 1\n? store\n: 2\n", #"2:3: the key "store" stands here twice, first on line 1"#),
        ("store: {a: 1}\n---\nstore: 1\n", "2:1: expected only one document in a file"),
        ("a: [1\n", "2:1: not valid YAML: did not find expected ',' or ']'"),
        ("a: \"x\n", "2:1: not valid YAML: found unexpected end of stream"),
        ("store:\n\tsqlite: a\n", "2:1: expected spaces: a tab does not indent in YAML"),
        ("a: 1\n  b: 2\n", "2:4: not valid YAML: mapping values are not allowed in this context"),
        ("a: \"\\q\"\n", "1:5: not valid YAML: found unknown escape character"),
        ("a: \"\\uD800\"\n", "1:7: not valid YAML: found invalid Unicode character escape code"),
        (
            "- a\n",
            "1:1: expected a configuration, a mapping with the keys server, tokens, verify, store, audit, "
                + "master_key_file, include, issuers, trust_domains, rules, sign_in"
        ),
        (
            "text\n",
            "1:1: expected a configuration, a mapping with the keys server, tokens, verify, store, audit, "
                + "master_key_file, include, issuers, trust_domains, rules, sign_in"
        ),
    ])
    func `what configuration does not need is refused`(yaml: String, error: String) {
        let errors = SampleConfiguration.errors(Array(yaml.utf8))
        #expect(errors.contains(error), "\(errors)")
    }

    @Test(
        arguments: [
            ([0x61, 0xFF], "1:2: expected UTF-8"), ([0x61, 0x0A, 0xC3], "2:1: expected UTF-8"),
            ([0xC0, 0x80], "1:1: expected UTF-8"), ([0xED, 0xA0, 0x80], "1:1: expected UTF-8"),
            ([0xFF, 0xFE, 0x61, 0x00], "1:1: expected UTF-8"),
            ([0x61, 0x00], Self.invisible("1:2", "0")), ([0x23, 0x1B], Self.invisible("1:2", "1B")),
            ([0x61, 0xEF, 0xBB, 0xBF], Self.invisible("1:2", "FEFF")),
            ([0x23, 0xE2, 0x80, 0xAE], Self.invisible("1:2", "202E")),
            ([0x23, 0xE2, 0x80, 0xA8], Self.invisible("1:2", "2028")),
            ([0x23, 0xC2, 0x85], Self.invisible("1:2", "85")), ([0x61, 0x7F], Self.invisible("1:2", "7F")),
            ([0x23, 0x61, 0x0D, 0x62], "1:4: expected a line feed after the carriage return"),
            ([0x23, 0x61, 0x0D], "1:4: expected a line feed after the carriage return"),
        ] as [([UInt8], String)])
    func `bytes that are not what an editor shows are refused, in comments too`(bytes: [UInt8], error: String) {
        #expect(SampleConfiguration.errors(bytes) == [error])
    }

    private static func invisible(_ place: String, _ code: String) -> String {
        "\(place): the character \\u{\(code)} is not accepted as such; where it is meant, write its escape in double quotes"
    }

    @Test func `a byte order mark at the start, Windows line ends and emoji are harmless`() throws {
        let text = String(decoding: SampleConfiguration.with(), as: UTF8.self).replacing("\n", with: " # 😀\r\n")
        #expect(try SampleConfiguration.read([0xEF, 0xBB, 0xBF] + Array(text.utf8)).configuration.issuers.count == 1)
    }

    @Test func `columns count characters, not bytes`() {
        let errors = SampleConfiguration.errors([12: "    match: {\"äöü😀\": a, b: yes}"])
        #expect(errors.first?.hasPrefix("12:27: ") == true, "\(errors)")
    }

    @Test(arguments: ["[", "{", "{a: ", "- ", "? ", "[{", "? - "])
    func `ten thousand levels of nesting are refused`(opening: String) {
        let yaml = String(repeating: opening, count: 10_000)
        #expect(SampleConfiguration.errors(Array(yaml.utf8)).count == 1)
    }

    @Test func `ten thousand levels by indentation are refused`() {
        let yaml = (0..<1_000).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
        #expect(SampleConfiguration.errors(Array(yaml.utf8)) == ["16:16: expected at most 16 levels of nesting"])
    }

    @Test(arguments: ["a%: &a% ", "? &a% "])
    func `a billion laughs are refused before anything is expanded`(key: String) {
        var yaml = "\(key.replacing("%", with: "0"))[x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<40 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            yaml += "\(key.replacing("%", with: "\(level)"))[\(aliases)]\n"
        }
        yaml += "? *a39\n: 1\n"
        let errors = SampleConfiguration.errors(Array(yaml.utf8))
        #expect(errors.contains { $0.hasSuffix("anchors (&) are not accepted: write the value where it is used") })
        #expect(errors.count == 51)
    }

    @Test func `a file has at most 1 MiB and 100,000 values`() {
        let comment = [UInt8](repeating: UInt8(ascii: "#"), count: 1 << 20)
        let sample = SampleConfiguration.with()
        #expect(SampleConfiguration.errors(comment.dropLast(sample.count + 1) + [0x0A] + sample) == [])
        #expect(
            SampleConfiguration.errors(comment.dropLast(sample.count) + [0x0A] + sample) == [
                " it is too large"
            ])
        let list = "rules: [" + String(repeating: "1,", count: 100_000) + "]"
        #expect(SampleConfiguration.errors(Array(list.utf8)) == ["1:200001: expected at most 100000 values in a file"])
    }

    @Test(arguments: [
        "": "expected a configuration", "# nothing\n": "expected a configuration",
    ])
    func `a file without a document is no configuration`(yaml: String, error: String) {
        #expect(SampleConfiguration.errors(Array(yaml.utf8)) == [" \(error)"])
    }
}

@Suite struct `Values of claims` {
    @Test(arguments: ["true": true, "false": false])
    func `true and false without quotes are booleans`(written: String, value: Bool) throws {
        #expect(try SampleConfiguration.pattern(written) == .bool(value))
    }

    @Test(arguments: [
        "0": 0, "-1": -1, "123456": 123_456, "1.5": 1.5, "-0.25": -0.25, "9007199254740992": 9_007_199_254_740_992,
        "-9007199254740992": -9_007_199_254_740_992,
    ])
    func `plain decimals without quotes are numbers`(written: String, value: Double) throws {
        #expect(try SampleConfiguration.pattern(written) == .number(value))
    }

    @Test(arguments: [
        "'true'": "true", "\"123\"": "123", "'no'": "no", "'~'": "~", "\"1_000\"": "1_000", "'null'": "null",
    ])
    func `whatever is quoted is text`(written: String, value: String) throws {
        #expect(try SampleConfiguration.pattern(written) == .text(Glob(parsing: value)))
    }

    @Test(arguments: [
        "main", "refs/heads/main", "v1.2.3", "1.2.3.4", "nope", "onward", "trueish", "e5", "x12", "12ab", "a:b", "1-2",
        "2026-07-15", "0184990a-477b-4fa8-9968-496074483cee", "..", "-", "system:serviceaccount:ns:sa", "1e", "1ex",
    ])
    func `anything else without quotes is text`(written: String) throws {
        #expect(try SampleConfiguration.pattern(written) == .text(Glob(parsing: written)))
    }

    @Test(arguments: [
        "yes", "Yes", "YES", "no", "No", "on", "On", "OFF", "off", "y", "N", "True", "TRUE", "False", "0o17", "0x1F",
        "0b101", "017", "00", "1_000", "12:30:45", "12:30", "1e3", "1E+3", "12e456", "1.5e-3", ".5", "5.", "+5", "+1.5",
        ".inf", "-.Inf", "+.inf", ".NaN", "1_0.5", "-017", "190:20:30.15",
    ])
    func `what readers of YAML disagree about has to be quoted`(written: String) {
        #expect(
            SampleConfiguration.errors([12: "    match: {groups: \(written)}"]) == [
                "12:21: \"\(written)\" without quotes is read in different ways: write text in quotes, "
                    + "booleans as true or false, numbers in plain decimals"
            ])
    }

    @Test(arguments: ["~", "null", "Null", "NULL"])
    func `null is no value`(written: String) {
        #expect(
            SampleConfiguration.errors([12: "    match: {groups: \(written)}"])
                == ["12:21: expected a value; if \"\(written)\" is text, write it in quotes"])
    }

    @Test(arguments: [
        "9007199254740993", "-9007199254740993", "99999999999999999999999999", "9007199254740992.5",
        "9007199254740993.0",
    ])
    func `numbers end at 2 to the power of 53`(written: String) {
        #expect(
            SampleConfiguration.errors([12: "    match: {groups: \(written)}"])
                == ["12:21: expected a number within ±9007199254740992; if it is text, write it in quotes"])
    }

    @Test(arguments: ["name: true", "name: 12", "name: ~", "name: no"])
    func `where text is expected, a boolean, a number or null has to be quoted`(line: String) {
        #expect(SampleConfiguration.errors([10: "  - \(line)"]).count == 1)
        let quoted = line.replacing(": ", with: ": \"") + "\""
        #expect(SampleConfiguration.errors([10: "  - \(quoted)"]) == [])
    }
}

import Broker
import BrokerConfigurationYAML
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `Included files` {
    private static func rules(_ names: String...) -> [UInt8] {
        let entries = names.map { "  - {name: \($0), issuer: corp, match: {a: b}, grant: {scope: [s]}}\n" }
        return Array(("rules:\n" + entries.joined()).utf8)
    }

    private static func include(_ list: String) -> [Int: String] {
        [5: SampleConfiguration.lines[4] + "\ninclude: \(list)"]
    }

    private static func names(_ reading: ConfigurationReader.Reading) -> [String] {
        reading.configuration.rules.rules.map(\.name.string)
    }

    @Test func `rules follow those of the main file, file by file in the order of bytes`() throws {
        let reading = try SampleConfiguration.read(
            Self.include("[rules/*.yaml]"),
            files: [
                "config/rules/b.yaml": Self.rules("b"), "config/rules/a.yaml": Self.rules("a2", "a1"),
                "config/rules/B.yaml": Self.rules("B"), "config/rules/ä.yaml": Self.rules("ae"),
                "config/rules/10.yaml": Self.rules("ten"), "config/rules/9.yaml": Self.rules("nine"),
                "config/rules/.hidden.yaml": Self.rules("hidden"), "config/rules/a.yml": Self.rules("yml"),
                "config/rules/deep/a.yaml": Self.rules("deep"), "config/rules/a.yaml~": Self.rules("backup"),
            ])
        #expect(Self.names(reading) == ["team", "ten", "nine", "B", "a2", "a1", "b", "ae"])
    }

    @Test func `a file that two patterns name is read once, at the first`() throws {
        let reading = try SampleConfiguration.read(
            Self.include("[rules/z.yaml, rules/*.yaml]"),
            files: ["config/rules/a.yaml": Self.rules("a"), "config/rules/z.yaml": Self.rules("z")])
        #expect(Self.names(reading) == ["team", "z", "a"])
    }

    @Test func `a pattern may match nothing, a path may not`() throws {
        #expect(Self.names(try SampleConfiguration.read(Self.include("[rules/*.yaml, '*.yaml']"))) == ["team"])
        #expect(
            SampleConfiguration.errors(Self.include("[rules/ci.yaml]"))
                == ["6:11: config/rules/ci.yaml: there is no such file"])
    }

    @Test func `an included file with nothing but comments is empty`() throws {
        let files = ["config/rules/a.yaml": Array("# all of it commented out\n".utf8)]
        #expect(Self.names(try SampleConfiguration.read(Self.include("[rules/a.yaml]"), files: files)) == ["team"])
    }

    @Test func `its errors name it, and come after those of the main file`() {
        let errors = SampleConfiguration.errors(
            [5: "include: [a.yaml, b.yaml]"],
            files: [
                "config/a.yaml": Array("\nrules: [{name: x}]\n".utf8), "config/b.yaml": Array("issuers: 5\n".utf8),
            ])
        #expect(
            errors == [
                #"1:1: expected the key "master_key_file" in a configuration"#,
                #"config/a.yaml:2:9: expected the key "issuer" in a rule, or "trust_domain""#,
                #"config/a.yaml:2:9: expected the key "match" in a rule"#,
                #"config/a.yaml:2:9: expected the key "grant" in a rule"#,
                "config/b.yaml:1:10: expected a list of issuers, [] for none",
            ])
    }

    @Test(arguments: [
        ("include: [more.yaml]", "an included file does not include others"),
        ("store: {sqlite: a}", #""store" belongs into the main file: an included one holds issuers and rules"#),
        ("trust_domains: []", #""trust_domains" belongs into the main file: an included one holds issuers and rules"#),
        ("rulse: []", #"unknown key "rulse"; did you mean "rules"?"#),
    ])
    func `it holds issuers and rules only`(yaml: String, error: String) {
        #expect(
            SampleConfiguration.errors(Self.include("[a.yaml]"), files: ["config/a.yaml": Array(yaml.utf8)])
                == ["config/a.yaml:1:1: \(error)"])
    }

    @Test func `the main file does not include itself`() throws {
        #expect(
            SampleConfiguration.errors(Self.include("[daypass.yaml]"))
                == ["6:11: expected another file: this one is being read already"])
        #expect(Self.names(try SampleConfiguration.read(Self.include("['*.yaml']"))) == ["team"])
        #expect(
            !SampleConfiguration.errors(
                Self.include("[../config/daypass.yaml]"),
                files: ["config/../config/daypass.yaml": SampleConfiguration.with(Self.include("[a]"))]
            ).isEmpty)
    }

    @Test(arguments: ["'*/a.yaml'", "'**/a.yaml'", "rules/", "''", "~/a.yaml"])
    func `a star stands in the last part only`(pattern: String) {
        let errors = SampleConfiguration.errors(Self.include("[\(pattern)]"))
        #expect(errors.count == 1)
        #expect(
            errors.first?.hasPrefix("6:11: expected a path, in whose last part * stands for any run of characters")
                == true)
    }

    @Test func `at most 200 files are read`() throws {
        let files = Dictionary(
            uniqueKeysWithValues: (0..<200).map { ("config/rules/\($0).yaml", Self.rules("r\($0)")) })
        #expect(
            SampleConfiguration.errors(Self.include("['rules/*.yaml']"), files: files)
                == ["6:11: expected at most 200 files"])
        let fewer = files.filter { $0.key != "config/rules/7.yaml" }
        #expect(Self.names(try SampleConfiguration.read(Self.include("['rules/*.yaml']"), files: fewer)).count == 200)
    }

    @Test func `on a disk, links are followed and only regular files are read`() throws {
        let temporary = try TemporaryFolder()
        let folder = temporary.path
        let manager = FileManager.default
        try manager.createDirectory(atPath: "\(folder)/rules", withIntermediateDirectories: true)
        defer { withExtendedLifetime(temporary) {} }
        func write(_ bytes: [UInt8], _ path: String) throws {
            try Data(bytes).write(to: URL(filePath: "\(folder)/\(path)"))
        }
        try write(SampleConfiguration.with(Self.include("[rules/*.yaml]")), "daypass.yaml")
        try write(Self.rules("linked"), "elsewhere")
        try manager.createSymbolicLink(atPath: "\(folder)/rules/a.yaml", withDestinationPath: "../elsewhere")
        let reader = ConfigurationReader()
        let reading = try reader.read(path: "\(folder)/daypass.yaml")
        #expect(Self.names(reading) == ["team", "linked"])
        #expect(reading.configuration.masterKeyFile == "\(folder)/data/master.key")

        try manager.createDirectory(atPath: "\(folder)/rules/folder.yaml", withIntermediateDirectories: true)
        #expect(mkfifo("\(folder)/rules/pipe.yaml", 0o600) == 0)
        try manager.createSymbolicLink(atPath: "\(folder)/rules/zero.yaml", withDestinationPath: "/dev/zero")
        try manager.createSymbolicLink(atPath: "\(folder)/rules/loop.yaml", withDestinationPath: "loop.yaml")
        let errors = #expect(throws: ConfigurationErrors.self) { try reader.read(path: "\(folder)/daypass.yaml") }
        #expect(
            errors?.errors.map(\.text) == [
                "\(folder)/rules/folder.yaml: it is not a regular file",
                "\(folder)/rules/loop.yaml: Too many levels of symbolic links",
                "\(folder)/rules/pipe.yaml: it is not a regular file",
                "\(folder)/rules/zero.yaml: it is not a regular file",
            ])
        let missing = #expect(throws: ConfigurationErrors.self) { try reader.read(path: "\(folder)/none.yaml") }
        #expect(missing?.description == "\(folder)/none.yaml: there is no such file")
    }
}

import Broker
import BrokerConfigurationYAML
import Testing

@Suite struct `replay of an issuer` {
    private static func lines(_ replay: String) -> [Int: String] {
        [8: "    issuer: https://login.example.com\n    replay: \(replay)"]
    }

    @Test func `is a window of 32 presentations unless it says otherwise`() throws {
        #expect(try SampleConfiguration.read().configuration.issuers.map(\.replay) == [.window(maximumUses: 32)])
    }

    @Test(
        arguments: [
            ("{mode: off}", .off), ("{mode: \"off\"}", .off), ("{mode: once}", .once),
            ("{mode: window}", .window(maximumUses: 32)), ("{mode: window, max_uses: 1}", .window(maximumUses: 1)),
            ("{max_uses: 10000, mode: \"window\"}", .window(maximumUses: 10_000)),
        ] as [(String, ReplayPolicy)])
    func `is read`(written: String, policy: ReplayPolicy) throws {
        let reading = try SampleConfiguration.read(Self.lines(written))
        #expect(reading.configuration.issuers.map(\.replay) == [policy])
        #expect(reading.notes.isEmpty)
    }

    @Test(arguments: [
        ("window", "9:13: expected replay, a mapping with the keys mode, max_uses"),
        ("{}", #"9:13: expected the key "mode" in replay"#),
        ("{max_uses: 3}", #"9:13: expected the key "mode" in replay"#),
        ("{mode: OFF}", "9:20: expected off, once or window"), ("{mode: false}", "9:20: expected off, once or window"),
        ("{mode: never}", "9:20: expected off, once or window"), ("{mode: }", "9:20: expected off, once or window"),
        ("{mode: [off]}", "9:20: expected off, once or window"),
        ("{mode: window, max_uses: 0}", "9:38: expected a whole number from 1 to 10000, without quotes"),
        ("{mode: window, max_uses: 10001}", "9:38: expected a whole number from 1 to 10000, without quotes"),
        ("{mode: window, max_uses: -1}", "9:38: expected a whole number from 1 to 10000, without quotes"),
        ("{mode: window, max_uses: \"3\"}", "9:38: expected a whole number from 1 to 10000, without quotes"),
        ("{mode: window, max_uses: 1.5}", "9:38: expected a whole number from 1 to 10000, without quotes"),
        ("{mode: once, max_uses: 3}", "9:36: max_uses stands only beside mode: window"),
        ("{mode: off, max_uses: 3}", "9:35: max_uses stands only beside mode: window"),
        ("{mode: window, max_use: 3}", #"9:28: unknown key "max_use"; did you mean "max_uses"?"#),
        ("{mode: window, maximum: 3}", #"9:28: unknown key "maximum"; expected one of mode, max_uses"#),
    ])
    func `is refused in words`(written: String, error: String) {
        #expect(SampleConfiguration.errors(Self.lines(written)) == [error])
    }

    @Test func `is off in the template for Kubernetes`() throws {
        let file = try #require(ShippedConfiguration.files.first { $0.path == "issuers/kubernetes.yaml" })
        let text = String(decoding: file.contents, as: UTF8.self)
        #expect(text.contains("\n#    replay: {mode: off}\n"))
        let start = try #require(text.firstRange(of: "\n#issuers:")).lowerBound
        let entry = text[start...].replacing("\n#", with: "\n").replacing(
            "    keys: {file: cluster-a-jwks.json}\n", with: "")
        let lines = [5: SampleConfiguration.lines[4] + "\ninclude: [more.yaml]"]
        let reading = try SampleConfiguration.read(lines, files: ["config/more.yaml": Array(entry.utf8)])
        #expect(reading.configuration.issuers.last?.name.description == "cluster-a")
        #expect(reading.configuration.issuers.last?.replay == .off)
    }
}

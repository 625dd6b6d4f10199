import Foundation
import Testing

/// What Rules.md tells somebody to type, run as it stands there, in the folder that `daypassd init` makes.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Rules as documented` {
    private static func blocks() throws -> [(language: String, text: String)] {
        let file = Programs.repository.appending(path: "Sources/Broker/Broker.docc/Rules.md")
        let document = try String(contentsOf: file, encoding: .utf8)
        let section = try #require(document.components(separatedBy: "\n## ").first { $0.hasPrefix("Trying rules\n") })
        // Every second part stands within a fence.
        return section.components(separatedBy: "\n```").enumerated().filter { $0.offset.isMultiple(of: 2) == false }
            .map { _, part in
                let lines = part.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                return (lines[0], lines.count > 1 ? lines[1] : "")
            }
    }

    @Test func `the claims of a token are decoded, whatever padding they lack`() async throws {
        let file = Programs.repository.appending(path: "Sources/Broker/Broker.docc/Rules.md")
        let document = try String(contentsOf: file, encoding: .utf8)
        let start = try #require(document.range(of: "`cut -d. -f2 | ")).lowerBound
        let command = document[start...].dropFirst().prefix { $0 != "`" }
        let folder = try Workspace()
        for claims in [#"{"a":1}"#, #"{"a":12}"#, #"{"a":123}"#, #"{"a":"??>>"}"#] {
            let payload = Data(claims.utf8).base64EncodedString().replacing("=", with: "").replacing("+", with: "-")
                .replacing("/", with: "_")
            let outcome = try await RunningProcess(
                "/bin/sh", ["-c", "echo 'eyJh.\(payload).c2ln' | \(command)"], in: folder.folder
            ).outcome()
            #expect(outcome.status == 0 && outcome.output == claims, "\(outcome)")
        }
    }

    @Test func `every command of its section does what it says`() async throws {
        let workspace = try Workspace()
        let made = try await RunningProcess(Programs.daypassd, ["init"], in: workspace.folder).outcome()
        try #require(made.status == 0, "\(made.error)")
        try workspace.moveListeners()
        let broker = try RunningProcess(Programs.daypassd, ["serve"], in: workspace.folder)
        try await waitUntil("daypassd is administered") {
            try #require(broker.isRunning, "\(broker.error)")
            return broker.error.contains(#""listener":"admin""#)
        }
        let blocks = try Self.blocks()
        #expect(blocks.map(\.language) == ["json", "sh", "", "sh", "sh", ""])
        try workspace.write("claims.json", blocks[0].text)
        let lines = blocks.filter { $0.language == "sh" }.flatMap { $0.text.split(separator: "\n").map(String.init) }
        var outcomes: [RunningProcess.Outcome] = []
        for line in lines {
            try #require(line.hasPrefix("daypass rules "))
            let script = line.replacing("daypass ", with: "\(Programs.daypass) ", maxReplacements: 1)
            outcomes.append(
                try await AdministeredBroker.daypass([], [:], in: workspace.folder, through: ["/bin/sh", "-c", script]))
        }
        try #require(outcomes.count == 4)
        let documented = "warning: \(try #require(blocks[5].text.components(separatedBy: "\nwarning: ").last))\n"
        #expect(outcomes.map(\.status) == [1, 1, 0, 0], "\(outcomes.map(\.error))")
        // The issuer's audience is that of the machine where it was written.
        func refusal(_ error: String) -> [String] { error.split(separator: "\n").map(String.init) }
        #expect(outcomes[0].output == blocks[2].text + "\n", "\(outcomes[0].output)")
        #expect(refusal(outcomes[0].error).last == "daypass: nothing would be granted: no rule matches")
        #expect(outcomes[1].output == outcomes[0].output)
        #expect(!outcomes[1].error.contains("warning: config/daypass.yaml"), "\(outcomes[1].error)")
        #expect(!outcomes[2].error.contains("warning: config/daypass.yaml"), "\(outcomes[2].error)")
        #expect(outcomes[2].output == "")
        #expect(outcomes[2].error.hasPrefix("0 exchanges: 0 lose"), "\(outcomes[2].error)")
        #expect(outcomes[3].output + outcomes[3].error == blocks[5].text + "\n", "\(outcomes[3].output)")
        #expect(outcomes[3].error == documented)
        broker.signal(SIGTERM)
        #expect(try await broker.outcome().status == 0)
    }
}

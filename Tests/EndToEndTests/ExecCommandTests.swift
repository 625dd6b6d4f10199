import BrokerTesting
import Foundation
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `daypass exec` {
    private func arguments(_ stage: TokenStage, _ command: String...) -> [String] {
        let file = stage.workspace.path("home/identity")
        return ["exec", "--identity", "file:\(file)", "--base-url", "https://gateway.example.com/a", "--"] + command
    }

    @Test func `runs a command with a fresh token and the gateway in its environment, and says when that ends`()
        async throws
    {
        let stage = try await TokenStage()
        try stage.settle()
        let kept = try await stage.daypass(["token", "--identity", "file:\(stage.workspace.path("home/identity"))"])
        let script = #"echo "$ANTHROPIC_AUTH_TOKEN"; echo "$ANTHROPIC_BASE_URL ${ANTHROPIC_API_KEY-unset}" >&2; exit 7"#
        let outcome = try await stage.daypass(
            arguments(stage, "/bin/sh", "-c", script), ["ANTHROPIC_API_KEY": "stray"])
        #expect(outcome.status == 7)
        #expect(kept.status == 0 && outcome.output != kept.output, "a kept one would end sooner")
        #expect(try await stage.isGood(outcome.output))
        let lines = outcome.error.split(separator: "\n")
        #expect(lines.count == 3 && lines.last == "https://gateway.example.com/a unset", "\(outcome.error)")
        #expect(lines[0].contains("ANTHROPIC_API_KEY is not passed on") && !outcome.error.contains("stray"))
        #expect(lines[1].hasPrefix("daypass: the token ends at 20") && !outcome.error.contains("eyJ"))
    }

    @Test func `passes arguments on as they are, and what the command blocks and ignores is its own`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        let token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
        let echoed = try await stage.daypass(arguments(stage, "/bin/echo", "--help", token, "--", "-x"))
        #expect(echoed.output == "--help \(token) -- -x\n", "\(echoed.error)")
        let status = try await stage.daypass(arguments(stage, "/bin/cat", "/proc/self/status"))
        for name in ["SigBlk", "SigIgn"] {
            let line = try #require(status.output.split(separator: "\n").first { $0.hasPrefix(name) })
            let set = try #require(UInt64(line.split(separator: "\t").last ?? "", radix: 16))
            // Signals 1 to 31: 32 is the C library's own, and may be ignored by whoever runs the tests.
            #expect(set & 0x7FFF_FFFF == 0, "\(line)")
        }
    }

    @Test func `hands on none of its own descriptors, and SIGPIPE as it was`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        let list = try await stage.daypass(arguments(stage, "/bin/ls", "/proc/self/fd"))
        // The last one is of the folder that is listed.
        #expect(list.output.split(separator: "\n") == ["0", "1", "2", "3"], "\(list)")
        var environment = stage.environment
        for name in ["PATH", "LD_LIBRARY_PATH"] { environment[name] = ProcessInfo.processInfo.environment[name] }
        let command = arguments(stage, "/bin/grep", "SigIgn", "/proc/self/status")
        let ignoring = try await RunningProcess(
            "/bin/sh", ["-c", "trap '' PIPE; exec \"$0\" \"$@\"", Programs.daypass] + command, environment: environment
        ).outcome()
        let set = try #require(
            UInt64(ignoring.output.split(whereSeparator: \.isWhitespace).last ?? "", radix: 16), "\(ignoring)")
        #expect(set & 0x7FFF_FFFF == 1 << (SIGPIPE - 1))
    }

    @Test func `ends with 127 and 126 where there is no such command, and none that can be run`() async throws {
        let stage = try await TokenStage()
        try stage.settle()
        #expect(try await stage.daypass(arguments(stage, stage.workspace.path("home/nothing"))).status == 127)
        #expect(try await stage.daypass(arguments(stage, stage.workspace.path("home/identity"))).status == 126)
    }

    @Test(arguments: [
        ["exec"], ["exec", "--"], ["exec", "--base-url", "http://example.com", "--", "true"], ["exec", "--", "true"],
    ])
    func `wants a command, and a gateway that it can trust`(arguments: [String]) async throws {
        let workspace = try Workspace()
        let outcome = try await TokenStage.start(
            arguments, ["HOME": workspace.path(""), "DAYPASS_URL": "http://127.0.0.1:1"]
        ).outcome()
        #expect(outcome.status == 2 && outcome.output == "", "\(outcome.error)")
    }
}

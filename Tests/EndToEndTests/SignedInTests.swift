import Foundation
import Testing

@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)), .enabled(if: Programs.python != nil, "python3 is not installed"))
struct `A developer who is signed in` {
    @Test func `signs out at the broker and here`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        #expect(try await stage.daypass(["token"]).status == 0)
        let out = try await stage.daypass(["logout"])
        #expect(out.status == 0 && out.output == "signed out ada@example.com at \(stage.origin)\n", "\(out)")
        #expect(
            try stage.requests.last == ["path": "/oauth/revoke", "token_type_hint": "refresh_token"])
        #expect(stage.kept == nil)
        let cache = try FileManager.default.contentsOfDirectory(atPath: stage.workspace.path("home/.cache/daypass"))
        #expect(!cache.contains { $0.hasSuffix(".token") })
        let token = try await stage.daypass(["token", "--identity", "login"])
        #expect(token.status == 77 && token.error.contains("nobody is signed in at \(stage.origin)"), "\(token)")
        let again = try await stage.daypass(["logout"])
        #expect(again.status == 0 && again.output == "" && again.error.contains("nobody was signed in"), "\(again)")
    }

    @Test func `is gone from here also where the broker does not hear of it, and is told so`() async throws {
        let stage = try await SignInStage(#"{"revoke": "busy"}"#)
        try await stage.login()
        let out = try await stage.daypass(["logout"])
        #expect(out.status == 69 && out.error.contains("on this machine alone"), "\(out)")
        #expect(stage.kept == nil)
    }

    @Test func `sees who the broker takes them for`() async throws {
        let stage = try await SignInStage()
        let none = try await stage.daypass(["whoami"])
        #expect(none.status == 77 && none.output == "" && none.error.contains("`daypass login`"), "\(none)")
        try await stage.login()
        let shown = try await stage.daypass(["whoami"])
        #expect(shown.status == 0 && shown.error == "", "\(shown)")
        for line in ["subject      company:ada", "e-mail       ada@example.com", "rule         developers"] {
            #expect(shown.output.contains("\(line)\n"), "\(shown.output)")
        }
        let json = try await stage.daypass(["whoami", "--json"])
        let members = try JSONDecoder().decode([String: String].self, from: Data(json.output.utf8))
        #expect(members["session_id"] == "session-1" && members["identity"] == "login")
        #expect(!json.output.contains("token-"))
    }

    /// Keeps in $KEYRING, one file for all; and waits for somebody who unlocks it where there is a file "locked".
    private static let secretTool = """
        if [ -e "$KEYRING/locked" ]; then sleep 60; fi
        verb=$1; shift
        case "$verb" in
        store) [ ! -e "$KEYRING/full" ] || exit 1; shift; cat > "$KEYRING/secret" ;;
        lookup) exec cat "$KEYRING/secret" ;;
        clear) rm -f "$KEYRING/secret" ;;
        esac
        echo "$verb $*" >> "$KEYRING/calls"
        """

    private func withKeyring(_ stage: SignInStage) throws -> [String: String?] {
        try stage.workspace.write("keyring/calls", "")
        var variables = try stage.program("secret-tool", Self.secretTool)
        variables["KEYRING"] = stage.workspace.path("keyring")
        variables["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
        return variables
    }

    @Test func `is kept by the Secret Service where there is one`() async throws {
        let stage = try await SignInStage()
        let variables = try withKeyring(stage)
        func secret() throws -> String {
            try String(contentsOfFile: stage.workspace.path("keyring/secret"), encoding: .utf8)
        }
        try await stage.login(variables)
        #expect(try secret() == "refresh-of-session-1" && !stage.keptText.contains("refresh-"))
        #expect(try await stage.daypass(["token"], variables).status == 0)
        #expect(try secret().hasPrefix("refresh-") && secret() != "refresh-of-session-1")
        #expect(try !stage.keptText.contains("refresh-"))
        #expect(try await stage.daypass(SignInStage.anew, variables).status == 0)
        // On no command line, which all users see.
        let calls = try String(contentsOfFile: stage.workspace.path("keyring/calls"), encoding: .utf8)
        #expect(calls.contains("store service daypass broker \(stage.origin)") && !calls.contains("refresh-"))
        #expect(try await stage.daypass(["logout"], variables).status == 0)
        #expect(!FileManager.default.fileExists(atPath: stage.workspace.path("keyring/secret")))
    }

    @Test func `is kept in a file where the Secret Service waits for somebody`() async throws {
        let stage = try await SignInStage()
        let variables = try withKeyring(stage)
        try stage.workspace.write("keyring/locked", "")
        try await stage.login(variables)
        #expect(try stage.keptText.contains("refresh-of-session-1"))
        #expect(try await stage.daypass(["token"], variables).status == 0)
    }

    @Test func `loses no session to a Secret Service that fails later`() async throws {
        let stage = try await SignInStage()
        let variables = try withKeyring(stage)
        try await stage.login(variables)
        // It takes nothing any more: the next token is in the file.
        try stage.workspace.write("keyring/full", "")
        #expect(try await stage.daypass(["token"], variables).status == 0)
        #expect(try stage.keptText.contains("refresh-"))
        #expect(try await stage.daypass(SignInStage.anew, variables).status == 0)
    }

    @Test func `is told to unlock the Secret Service, and the broker is not asked`() async throws {
        let stage = try await SignInStage()
        let variables = try withKeyring(stage)
        try await stage.login(variables)
        try stage.workspace.write("keyring/locked", "")
        let token = try await stage.daypass(["token"], variables)
        #expect(token.status == 77 && token.error.contains("unlock it"), "\(token)")
        #expect(try stage.refreshes == 0)
        let doctor = try await stage.daypass(["doctor"], variables)
        #expect(doctor.output.contains("do: unlock the keyring, or daypass login"), "\(doctor)")
        try FileManager.default.removeItem(atPath: stage.workspace.path("keyring/locked"))
        let good = try await stage.daypass(["token"], variables)
        #expect(good.status == 0)
        // What there is yet is given out.
        try stage.workspace.write("keyring/locked", "")
        let kept = try await stage.daypass(SignInStage.anew, variables)
        #expect(kept.status == 0 && kept.output == good.output && kept.error.contains("unlock it"), "\(kept)")
    }

    @Test(arguments: [
        (["DISPLAY": ":0"], true), (["WAYLAND_DISPLAY": "wayland-0"], true), ([:], false),
        (["DISPLAY": ":0", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"], false),
    ])
    func `has a browser opened where there is one, and not over SSH`(
        variables: [String: String], isOpened: Bool
    ) async throws {
        let stage = try await SignInStage(#"{"polls": ["pending", "approved"]}"#)
        var all = try stage.program("xdg-open", #"printf '%s' "$*" > "$HOME/opened""#)
        for (name, value) in variables { all[name] = value }
        let login = try await stage.daypass(["login"], all)
        #expect(login.status == 0 && login.error.contains("page in your browser") == isOpened, "\(login)")
        let file = stage.workspace.path("home/opened")
        if isOpened {
            try await waitUntil("the page is opened") {
                (try? String(contentsOfFile: file, encoding: .utf8)) == "\(stage.origin)/device"
            }
            try FileManager.default.removeItem(atPath: file)
            let without = try await stage.daypass(["login", "--no-browser"], all)
            #expect(without.status == 0 && !without.error.contains("page in your browser"), "\(without)")
        }
        #expect(!FileManager.default.fileExists(atPath: file))
    }

    @Test func `needs to name no identity to Claude Code's helper`() async throws {
        let stage = try await SignInStage()
        try await stage.login()
        let setup = try await stage.daypass(
            ["setup", "claude-code", "--yes", "--gateway", "https://gateway.example.com", "--url", stage.origin])
        #expect(setup.status == 0, "\(setup)")
        let file = try Data(contentsOf: URL(filePath: stage.workspace.path("home/.claude/settings.json")))
        struct Settings: Decodable { let apiKeyHelper: String }
        let helper = try JSONDecoder().decode(Settings.self, from: file).apiKeyHelper
        #expect(!helper.contains("--identity"))
        // As the client runs it: with no broker among its variables.
        var variables = ["HOME": stage.workspace.path("home")]
        for name in ["PATH", "LD_LIBRARY_PATH"] { variables[name] = ProcessInfo.processInfo.environment[name] }
        let printed = try await RunningProcess("/bin/sh", ["-c", helper], environment: variables).outcome()
        #expect(printed.status == 0 && printed.output == "session-1.token-2\n", "\(printed)")
    }

    @Test func `is not kept by a Secret Service that gives nothing back`() async throws {
        let stage = try await SignInStage()
        var variables = try stage.program("secret-tool", #"[ "$1" = store ] && cat > /dev/null"#)
        variables["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
        try await stage.login(variables)
        #expect(try stage.keptText.contains("refresh-of-session-1"))
    }

    @Test func `is found by doctor, also where the session has ended`() async throws {
        let stage = try await SignInStage()
        let none = try await stage.daypass(["doctor"])
        #expect(none.status == 1 && none.output.contains("do: daypass login"), "\(none)")
        try await stage.login()
        let good = try await stage.daypass(["doctor"])
        #expect(good.output.contains("ok       identity: signed in at \(stage.origin) as ada@example.com since "))
        #expect(good.output.contains("ok       token: ") && !good.output.contains("refresh-"), "\(good)")
        #expect(try await stage.daypass(["doctor", "--no-token"]).output.contains("ok       identity: signed in"))
        try stage.script(#"{"refresh": "ended"}"#)
        let ended = try await stage.daypass(["doctor"])
        #expect(ended.status == 1 && ended.output.contains("problem  token: the session at "), "\(ended)")
        #expect(ended.output.contains("do: daypass login\n"))
    }
}

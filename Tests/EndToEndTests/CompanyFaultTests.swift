import Foundation
import JOSE
import Testing

/// What happens between the broker's answer and the file that keeps it.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.peerPython != nil, "oidc-provider-mock is not installed: Tests/Peers/install"))
struct `A developer of a company whose machine fails` {
    /// Keeps in $KEYRING; where there is a file "deadly", kills whoever wants to keep something.
    private static let secretTool = """
        verb=$1; shift
        case "$verb" in
        store) if [ -e "$KEYRING/deadly" ]; then kill -9 $PPID; exit 1; fi; cat > "$KEYRING/secret" ;;
        lookup) exec cat "$KEYRING/secret" ;;
        clear) rm -f "$KEYRING/secret" ;;
        esac
        """

    private func keyring(_ stage: CompanyStage) throws -> [String: String?] {
        try stage.workspace.write("bin/secret-tool", "#!/bin/sh\n\(Self.secretTool)\n")
        chmod(stage.workspace.path("bin/secret-tool"), 0o755)
        try stage.workspace.write("keyring/x", "")
        return [
            "PATH": "\(stage.workspace.path("bin")):/usr/bin:/bin", "KEYRING": stage.workspace.path("keyring"),
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
        ]
    }

    @Test func `is signed in yet after a kill between the broker's answer and keeping it`() async throws {
        let stage = try await CompanyStage()
        let variables = try keyring(stage)
        try await stage.login(variables)
        #expect(FileManager.default.fileExists(atPath: stage.workspace.path("keyring/secret")))
        try stage.workspace.write("keyring/deadly", "")
        let killed = try await stage.daypass(["token"], variables)
        #expect(killed.status == 128 + SIGKILL && killed.output == "", "\(killed)")
        #expect(try await stage.renewals() == 1, "the broker has answered")
        try FileManager.default.removeItem(atPath: stage.workspace.path("keyring/deadly"))
        let token = try await stage.daypass(["token"], variables)
        #expect(token.status == 0, "\(token)")
        #expect(try await stage.isGood(token.output))
        #expect(try await stage.renewals(repeated: true) == 1, "the answer was given again")
        #expect(try await stage.anew(variables).status == 0)
        #expect(try await stage.renewals() == 2)
    }

    @Test(.enabled("a file system has to be mounted") { try await SmallDisk.isPossible() })
    func `has the token and a warning where the disk is full, and is signed in yet`() async throws {
        let stage = try await CompanyStage()
        try await stage.login()
        let state = stage.workspace.path("home/.local/state/daypass")
        let full = """
            mkdir kept && cp -a "$0/." kept && mount -t tmpfs -o size=16k,mode=700 none "$0" && cp -a kept/. "$0" || exit 3
            cat /dev/zero > "$0/filling" 2> /dev/null
            exec "$@"
            """
        var variables = ["HOME": stage.workspace.path("home"), "DAYPASS_URL": stage.origin]
        for name in ["PATH", "LD_LIBRARY_PATH"] { variables[name] = ProcessInfo.processInfo.environment[name] }
        let wrapper = ["unshare", "-Urm", "/bin/sh", "-c", full, state, Programs.daypass, "token"]
        let printed = try await RunningProcess(
            "/usr/bin/env", wrapper, in: stage.workspace.folder, environment: variables
        ).outcome()
        #expect(printed.status == 0, "\(printed)")
        #expect(try await stage.isGood(printed.output))
        #expect(
            printed.error.contains("the sign-in is not kept") && printed.error.contains("`daypass login`"), "\(printed)"
        )
        // With room again, and soon: what was lost is given once more.
        let token = try await stage.anew()
        #expect(token.status == 0, "\(token)")
        #expect(try await stage.anew().status == 0)
    }

    @Test func `gives what keeps them signed in to no other address, whatever DAYPASS_URL says`() async throws {
        let stage = try await CompanyStage()
        try await stage.login()
        let thief = try await SignInStage()
        let home: [String: String?] = ["DAYPASS_URL": thief.origin]
        for more in [[String: String?](), ["DAYPASS_IDENTITY": "login"]] {
            let token = try await stage.daypass(["token"], home.merging(more) { $1 })
            #expect(token.status == 77 && token.output == "", "\(token)")
        }
        // Also where the file of the one is under the name of the other.
        try await thief.login()
        let folder = stage.workspace.path("home/.local/state/daypass")
        let own = try #require(FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasSuffix(".login") })
        let other = URL(filePath: try #require(thief.kept)).lastPathComponent
        try FileManager.default.copyItem(atPath: "\(folder)/\(own)", toPath: "\(folder)/\(other)")
        let before = try thief.requests.count
        for command in [["token"], ["whoami"], ["logout"]] {
            let outcome = try await stage.daypass(command, home)
            #expect(outcome.status != 0 && outcome.output == "", "\(outcome)")
        }
        #expect(try thief.requests.count == before)
        #expect(try await stage.anew().status == 0)
    }
}

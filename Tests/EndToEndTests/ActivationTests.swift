import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import Testing

@testable import DaypassServer

/// The sockets are opened by a program that does what systemd does (`Tests/Peers/activate`), since systemd itself runs in no
/// container.
@Suite(
    .onOwnThreads, .serialized, .timeLimit(.minutes(4)),
    .enabled(if: Programs.python != nil, "python3 is not installed"))
struct `A broker whose sockets are open before it runs` {
    private struct Report: Decodable {
        let outcomes: [String: Int]
        let told: [String: Int]
    }

    private static let script = Programs.repository.appending(path: "Tests/Peers/activate")
        .path(percentEncoded: false)

    /// A configuration with what it names, and its public port.
    private func prepare(_ workspace: Workspace, admin: Bool = true, tls: Bool = false) async throws -> Int {
        let (port, telemetryPort) = (try Workspace.freePort(), try Workspace.freePort())
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        if tls { try await Certificates.develop(workspace, "certificates") }
        let secure = tls ? ", tls: {certificate: certificates/server.pem, key: certificates/server.key}" : ""
        let scheme = tls ? "https" : "http"
        try workspace.write(
            "daypass.yaml",
            """
            server:
              public: {listen: "127.0.0.1:\(port)", url: "\(scheme)://127.0.0.1:\(port)"\(secure)}
              telemetry: {listen: "127.0.0.1:\(telemetryPort)"}\(admin ? "\n  admin: {socket: run/admin.sock}" : "")
              limits: {exchanges_per_second_per_address: 1000000}
            tokens: {audiences: ["https://gateway.example.com"]}
            verify: {failures_per_second_per_address: 100000}
            store: {sqlite: data/daypass.db}
            master_key_file: data/master.key

            """ + RunningBroker.fileIssuer(issuer, in: workspace))
        let made = try await RunningProcess(
            Programs.daypassd, ["init", "--config", workspace.path("daypass.yaml")]
        ).outcome()
        try #require(made.status == 0, "\(made.error)")
        return port
    }

    private func activate(_ arguments: [String], _ workspace: Workspace) async throws -> RunningProcess.Outcome {
        try await RunningProcess(
            try #require(Programs.python),
            [Self.script] + arguments + [Programs.daypassd, "serve", "--config", workspace.path("daypass.yaml")],
            seconds: 200
        ).outcome(within: 200)
    }

    private func report(_ outcome: RunningProcess.Outcome) throws -> Report {
        try #require(outcome.status == 0, "\(outcome.error)")
        return try JSONDecoder().decode(Report.self, from: Data(outcome.output.utf8))
    }

    @Test(arguments: [false, true])
    func
        `is restarted ten times under load, and no connection is refused, nor left without an answer that it waits for`(
            tls: Bool
        ) async throws
    {
        let workspace = try Workspace()
        _ = try await prepare(workspace, tls: tls)
        let report = try report(try await activate([tls ? "restarts-tls" : "restarts", "10"], workspace))
        var outcomes = report.outcomes
        // Where a busy machine let a client pause for long.
        outcomes["kept: closed while idle"] = nil
        #expect(
            Set(outcomes.keys) == [
                "answered", "answered, come too early", "kept: answered", "kept: answered, the last",
            ],
            "\(outcomes)")
        #expect(outcomes["answered"] ?? 0 > 300, "\(outcomes)")
        #expect(outcomes["kept: answered"] ?? 0 > 1000, "\(outcomes)")
        // Most of twelve clients at each restart.
        #expect(outcomes["kept: answered, the last"] ?? 0 > 60, "\(outcomes)")
        // Twenty at each restart, while nobody was there.
        #expect(outcomes["answered, come too early"] == 200, "\(outcomes)")
        #expect(report.told == ["READY=1": 11, "STOPPING=1": 11])
    }

    @Test func `which opens its port itself refuses some, so that the load would show it`() async throws {
        let workspace = try Workspace()
        let port = try await prepare(workspace)
        let report = try report(try await activate(["unaided", "\(port)", "3"], workspace))
        #expect(report.outcomes["ConnectionRefusedError"] ?? 0 > 0, "\(report.outcomes)")
        #expect(report.told == ["READY=1": 4, "STOPPING=1": 4])
    }

    @Test(arguments: [
        ("tcp:daypassd.socket", #"there is no listener "daypassd.socket": expected FileDescriptorName="#),
        ("tcp:public,tcp:other", #"there is no listener "other""#),
        ("tcp:public,tcp:public", "there are two sockets public"),
        ("tcp:public,tcp:telemetry,unix:admin,tcp:more", "LISTEN_FDS=4: expected at most 3 sockets"),
        ("tcp:public:telemetry", "LISTEN_FDNAMES has 2 names for 1 sockets"),
        ("deaf:public", "the socket public: descriptor 3 does not listen"),
        ("udp:public", "the socket public: descriptor 3 is no stream socket"),
        ("tcp:public,file:telemetry", "the socket telemetry: descriptor 4 is no socket"),
        ("unix:public", "the socket public: descriptor 3 is a Unix socket; expected a TCP socket"),
        ("tcp:admin", "the socket admin: descriptor 3 is a TCP socket; expected a Unix socket"),
        ("anywhere:public", "expected a loopback address, since there is no server.public.tls"),
    ])
    func `refuses in words a socket that it cannot use`(sockets: String, words: String) async throws {
        let workspace = try Workspace()
        _ = try await prepare(workspace)
        let outcome = try await activate(["once", sockets], workspace)
        #expect(outcome.status == 1, "\(outcome.error)")
        #expect(outcome.error.contains("daypassd: socket activation: "), "\(outcome.error)")
        #expect(outcome.error.contains(words), "\(outcome.error)")
    }

    @Test func `refuses a socket of an administration that is not configured`() async throws {
        let workspace = try Workspace()
        _ = try await prepare(workspace, admin: false)
        let outcome = try await activate(["once", "unix:admin"], workspace)
        #expect(outcome.status == 1)
        #expect(outcome.error.contains("there is a socket admin, and no server.admin"), "\(outcome.error)")
    }

    @Test(arguments: [
        [:], ["LISTEN_FDS": "1", "LISTEN_FDNAMES": "public"],
        // Of the process that started this one, and forgot to take them away.
        ["LISTEN_FDS": "1", "LISTEN_FDNAMES": "other", "LISTEN_PID": "76"],
        ["LISTEN_FDS": "0", "LISTEN_PID": "77"],
    ])
    func `takes only sockets that are meant for it`(environment: [String: String]) throws {
        let sockets = try Activation.sockets(in: environment, processID: 77)
        #expect(sockets.public == nil && sockets.telemetry == nil && sockets.admin == nil)
    }

    @Test(arguments: ["", "-1", "1x", "4", "2147483647", "99999999999999"])
    func `refuses a number of sockets that cannot be`(count: String) {
        #expect(throws: CommandFailure.self) {
            try Activation.sockets(
                in: ["LISTEN_FDS": count, "LISTEN_FDNAMES": "public", "LISTEN_PID": "77"], processID: 77, from: 900)
        }
    }

    /// The broker's own user is 1000 here, and its groups are 1000 and 2000.
    @Test(
        arguments: [
            (0o600, 1000, 1000, true), (0o400, 1000, 9, true), (0o400, 0, 0, true), (0o640, 0, 1000, true),
            (0o440, 0, 2000, true),
            // Its own file, which others can read; or root's, which everybody can, or somebody can change.
            (0o640, 1000, 1000, false), (0o440, 1000, 1000, false), (0o644, 0, 1000, false), (0o604, 0, 1000, false),
            (0o660, 0, 1000, false), (0o650, 0, 1000, false), (0o440, 1001, 1000, false),
            // Of a group of others; or root's, where no access list is to be expected.
            (0o440, 0, 9, false), (0o640, 0, 100, false), (0o440, 0, 0, false),
        ] as [(mode_t, uid_t, gid_t, Bool)])
    func `reads a master key that root gives to it alone`(mode: mode_t, owner: uid_t, group: gid_t, isPrivate: Bool) {
        func isPrivateTo(_ user: uid_t, in groups: [gid_t]) -> Bool {
            MasterKeyFile.isPrivate(mode: mode, owner: owner, group: group, to: user, in: groups)
        }
        #expect(isPrivateTo(1000, in: [1000, 2000]) == isPrivate)
        // Of root itself nobody is a group.
        #expect(isPrivateTo(0, in: [0, 1000, 2000]) == (mode & 0o077 == 0))
        // As a credential of systemd's.
        #expect(isPrivateTo(1000, in: [1000, 2000, 0]) == (isPrivate || (mode == 0o440 && owner == 0 && group == 0)))
    }

    @Test(arguments: [
        ("/run/credentials/daypassd.service/master.key", true), ("/run/credentials/daypassd.service", false),
        ("/run/credentials/daypassd.service/../../master.key", false), ("/run/credentials/daypassd.serviced/a", false),
        ("/etc/daypass/master.key", false), ("master.key", false),
    ])
    func `takes for a credential what is in its folder`(path: String, isCredential: Bool) {
        #expect(MasterKeyFile.isIn("/run/credentials/daypassd.service", path) == isCredential)
        #expect(!MasterKeyFile.isIn(nil, path) && !MasterKeyFile.isIn("", path))
    }
}

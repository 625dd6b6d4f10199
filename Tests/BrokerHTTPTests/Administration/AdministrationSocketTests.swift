import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

@Suite(.onOwnThreads) struct `The administration socket` {
    private static let isRoot = geteuid() == 0
    /// The user nobody and its own group, as every Linux has them.
    private static let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    private static let daemon = ["setpriv", "--reuid", "1", "--regid", "1", "--clear-groups"]

    private func socket(_ path: String) -> AdministrationSocket {
        AdministrationSocket(path: path, group: nil)
    }

    private static func mode(_ path: String) throws -> Int {
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        return try #require(mode)
    }

    private static func curl(_ live: LiveAdministration, as user: [String]) async throws -> Command {
        try await Command.run(
            user + ["curl", "-sS", "--unix-socket", live.socket, "http://localhost/admin/v1/keys"],
            in: URL(filePath: "/"))
    }

    @Test func `is its owner's alone in a folder that is too, and goes with the broker`() async throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/run/admin.sock"
        let configuration = AdministrationConfiguration(socketPath: path)
        try await LiveAdministration.serve(configuration, FakeAdministration().administration, LogRecorder()) { _ in
            let modes = try [path, "\(folder.path)/run"].map(Self.mode)
            #expect(modes == [0o600, 0o700])
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test(.enabled(if: isRoot)) func `cannot be reached by another user`() async throws {
        try await LiveAdministration.run { live in
            let answer = try await Self.curl(live, as: Self.nobody)
            #expect(answer.status >> 8 == 7, "\(answer.output)")
        }
    }

    @Test(.enabled(if: isRoot)) func `answers 403 to another user who gets through, and logs who it was`() async throws
    {
        try await LiveAdministration.run { live in
            for (path, mode) in [
                (URL(filePath: live.socket).deletingLastPathComponent().path, 0o777), (live.socket, 0o666),
            ] {
                try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            }
            let answer = try await Self.curl(live, as: Self.nobody)
            #expect(answer.output.contains(#""error":"not_permitted""#), "\(answer.output)")
            #expect(!answer.output.contains("kid"))
            let line = try #require(live.log.lines.first { $0.contains("administration refused") })
            #expect(line.hasPrefix("warning ") && line.contains("caller=uid 65534"), "\(line)")
        }
    }

    @Test(.enabled(if: isRoot)) func `is for the members of admin.group, and for nobody else`() async throws {
        try await LiveAdministration.run(group: "nogroup") { live in
            #expect(try Self.mode(live.socket) == 0o660)
            #expect(try Self.mode(URL(filePath: live.socket).deletingLastPathComponent().path) == 0o710)
            let member = try await Self.curl(live, as: Self.nobody)
            #expect(member.output.contains("active-key"), "\(member.output)")
            #expect(try await Self.curl(live, as: Self.daemon).status >> 8 == 7)
            for (path, mode) in [
                (URL(filePath: live.socket).deletingLastPathComponent().path, 0o777), (live.socket, 0o666),
            ] {
                try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            }
            let other = try await Self.curl(live, as: Self.daemon)
            #expect(other.output.contains("not_permitted"), "\(other.output)")
        }
    }

    @Test(
        arguments: [
            (0, 77, true), (4711, 77, true), (4712, 1, true), (1, 77, true), (4712, 77, false), (65534, 65534, false),
        ] as [(UInt32, UInt32, Bool)])
    func `admits root, the broker's user, and who is in the group by his process or by the database`(
        uid: UInt32, gid: UInt32, may: Bool
    ) async {
        let peer = SocketPeer(uid: uid, gid: gid, pid: 1, loginUID: nil)
        // The group of the user daemon, 1, is 1 in the database.
        let members = GroupMembers(
            1, timers: AdministrationServer.socketLoop.next(), timeLimit: .minutes(1), isMember: UserDatabase.isMember)
        let membership = await SocketPermission(ownUID: 4711, members: members).membership(of: peer)
        #expect(membership == (may ? .member : .stranger))
        let without = await SocketPermission(ownUID: 4711, members: nil).membership(of: peer)
        #expect(without == ([0, 4711].contains(uid) ? .member : .stranger))
    }

    @Test func `answers while the network's listener does not`() async throws {
        let gate = DispatchSemaphore(value: 0)
        AdministrationServer.networkLoop.next().execute { gate.wait() }
        defer { gate.signal() }
        try await LiveAdministration.run { live in
            let answer = try await live.send(.GET, "keys")
            #expect(answer.status == 200)
        }
    }

    @Test func `answers one request over each connection`() async throws {
        try await LiveAdministration.run { live in
            let url = "http://localhost/admin/v1/keys"
            let answer = try await Command.run(
                ["curl", "-sS", "--unix-socket", live.socket, "-w", "connections=%{num_connects}\n", url, url],
                in: Self.folder(live))
            #expect(answer.output.components(separatedBy: "connections=1\n").count == 3, "\(answer.output)")
        }
    }

    /// Where the programs of a test leave what they print.
    private static func folder(_ live: LiveAdministration) -> URL {
        URL(filePath: live.socket).deletingLastPathComponent().deletingLastPathComponent()
    }

    /// One that every user may run.
    private static let python = "/usr/bin/python3"

    private static func openToAll(_ live: LiveAdministration) throws {
        for (path, mode) in [
            (URL(filePath: live.socket).deletingLastPathComponent().path, 0o777), (live.socket, 0o666),
        ] {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
    }

    @Test(.enabled(if: isRoot)) func `refuses at his next request who has left the group`() async throws {
        let members = Mutex<Set<UInt32>>([1])
        try await LiveAdministration.run(
            group: "nogroup", isMember: { uid, _ in members.withLock { $0.contains(uid) } }
        ) { live in
            try Self.openToAll(live)
            #expect(try await Self.curl(live, as: Self.daemon).output.contains("active-key"))
            members.withLock { $0 = [] }
            #expect(try await Self.curl(live, as: Self.daemon).output.contains("not_permitted"))
            members.withLock { $0 = [1] }
            #expect(try await Self.curl(live, as: Self.daemon).output.contains("active-key"))
        }
    }

    @Test(.enabled(if: isRoot)) func `is there for root while the database of users hangs, and nobody is let in by it`()
        async throws
    {
        let gate = DispatchSemaphore(value: 0)
        defer { gate.signal() }
        try await LiveAdministration.run(
            group: "nogroup",
            isMember: { _, _ in
                gate.wait()
                gate.signal()
                return true
            }
        ) { live in
            try Self.openToAll(live)
            async let member = Self.curl(live, as: Self.daemon)
            #expect(try await live.send(.GET, "keys").status == 200)
            let refused = try await member
            #expect(refused.output.contains(#""error":"unavailable""#), "\(refused.output)")
            #expect(!refused.output.contains("active-key"))
        }
    }

    @Test(.enabled(if: isRoot && FileManager.default.isExecutableFile(atPath: python)))
    func `has a place for root when a member of the group takes all that he gets`() async throws {
        let script = """
            import socket, sys, time
            kept = []
            for _ in range(200):
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                kept.append(s)
            time.sleep(120)
            """
        try await LiveAdministration.run(group: "nogroup") { live in
            try await Command.during(Self.nobody + [Self.python, "-c", script, live.socket], in: Self.folder(live)) {
                let end = ContinuousClock.now + .seconds(60)
                while !live.log.lines.contains(where: { $0.contains("reason=connections") }) {
                    try #require(ContinuousClock.now < end, "\(live.log.lines)")
                    await Task.yield()
                }
                for _ in 0..<3 { #expect(try await live.send(.GET, "keys").status == 200) }
            }
            let line = try #require(live.log.lines.first { $0.contains("reason=connections") })
            #expect(line.hasPrefix("warning ") && line.contains("caller=uid 65534"), "\(line)")
        }
    }

    @Test func `that a broker left behind is replaced`() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/run/admin.sock"
        try socket(path).prepare()
        try leaveSocket(path)
        try socket(path).prepare()
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func `that another program listens on is left alone`() async throws {
        let folder = try TemporaryFolder()
        let configuration = AdministrationConfiguration(socketPath: "\(folder.path)/run/admin.sock")
        try await LiveAdministration.serve(configuration, FakeAdministration().administration, LogRecorder()) { _ in
            let failure = #expect(throws: ListenerFailure.self) { try socket(configuration.socketPath).prepare() }
            #expect(failure?.description.contains("another program listens on it") == true)
            #expect(FileManager.default.fileExists(atPath: configuration.socketPath))
        }
    }

    @Test(arguments: [
        ("a file", "there is a file that is no socket"), ("open to others", "is open to others"),
        ("open to its group", "is open to its group"), ("a link", "is no folder"),
        ("no parent", "cannot be made: No such file or directory"),
    ])
    func `is refused where it would not be safe`(_ what: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        let run = "\(folder.path)/run"
        let manager = FileManager.default
        try manager.createDirectory(atPath: run, withIntermediateDirectories: false)
        try manager.setAttributes([.posixPermissions: 0o700], ofItemAtPath: run)
        var path = "\(run)/admin.sock"
        switch what {
        case "a file": try Data().write(to: URL(filePath: path))
        case "open to others": try manager.setAttributes([.posixPermissions: 0o701], ofItemAtPath: run)
        case "open to its group": try manager.setAttributes([.posixPermissions: 0o710], ofItemAtPath: run)
        case "a link":
            try manager.createSymbolicLink(atPath: "\(folder.path)/link", withDestinationPath: run)
            path = "\(folder.path)/link/admin.sock"
        default: path = "\(folder.path)/none/run/admin.sock"
        }
        let failure = #expect(throws: ListenerFailure.self) { try socket(path).prepare() }
        #expect(failure?.description.contains(words) == true, "\(String(describing: failure))")
        if what == "a file" { #expect(manager.fileExists(atPath: path)) }
    }

    @Test func `with a path that is too long, or a group that is not there, is refused in words`() throws {
        let long = "/\(String(repeating: "a", count: 107))"
        let failure = #expect(throws: ListenerFailure.self) { try socket(long).prepare() }
        #expect(failure?.description.contains("more than 107 bytes") == true)
        let configuration = AdministrationConfiguration(socketPath: "/x/y", group: "no-such-group")
        let unknown = #expect(throws: ListenerFailure.self) { _ = try AdministrationSocket(configuration) }
        #expect(unknown?.description == "server.admin.group: there is no group no-such-group on this host")
    }

    /// A socket that nobody listens on.
    private func leaveSocket(_ path: String) throws {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let outcome = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(outcome == 0)
    }
}

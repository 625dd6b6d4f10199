import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
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

    @Test func `admits root, the broker's user, and who is in the group by his process or by the database`() {
        let permission = SocketPeer.Permission(ownUID: 4711, group: 1)
        #expect(permission.admits(uid: 0, gid: 77))
        #expect(permission.admits(uid: 4711, gid: 77))
        #expect(permission.admits(uid: 4712, gid: 1))
        // The user daemon, whose own group it is in the database.
        #expect(permission.admits(uid: 1, gid: 77))
        #expect(!permission.admits(uid: 4712, gid: 77))
        #expect(!permission.admits(uid: 65534, gid: 65534))
        #expect(!SocketPeer.Permission(ownUID: 4711, group: nil).admits(uid: 1, gid: 1))
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

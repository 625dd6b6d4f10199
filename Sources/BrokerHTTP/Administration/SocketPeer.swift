import Broker
import Glibc
import NIOCore
import NIOPosix

/// The process at the other end of a Unix socket, as the kernel knew it when it connected (unix(7), SO_PEERCRED).
struct SocketPeer: Sendable, Hashable {
    let uid: UInt32
    let pid: Int32
    /// The user id that its session logged in with, whatever it became since; nil where the kernel does not know.
    ///
    /// Read when it connects, from a process that may have ended: it is for the record, and decides nothing.
    let loginUID: UInt32?
    let isPermitted: Bool

    /// That of the connection whose requests this task answers; nil on other listeners.
    @TaskLocal static var current: SocketPeer?

    var caller: Caller { .socket(uid: uid, loginUID: loginUID, pid: pid) }

    /// Who may use the socket: root, the user that the broker runs as, and the members of a group.
    struct Permission: Sendable {
        var ownUID = geteuid()
        /// Nil where no group may.
        var group: UInt32?

        /// Whether a process of that user may, whose own group is `gid`. Asks the system's database of users where a group
        /// may, so that who leaves the group is out at once; that takes as long as the database does.
        func admits(uid: UInt32, gid: UInt32) -> Bool {
            if uid == 0 || uid == ownUID { return true }
            guard let group else { return false }
            return gid == group || Self.groups(of: uid).contains(group)
        }

        private static func groups(of uid: UInt32) -> [UInt32] {
            guard let (name, gid) = UserDatabase.user(uid) else { return [] }
            var count: CInt = 64
            var groups = [gid_t](repeating: 0, count: Int(count))
            if getgrouplist(name, gid, &groups, &count) < 0 {
                // It says how many there are; more than that nobody is in.
                guard (1...65_536).contains(count) else { return [] }
                groups = [gid_t](repeating: 0, count: Int(count))
                guard getgrouplist(name, gid, &groups, &count) >= 0 else { return [] }
            }
            return Array(groups.prefix(Int(count)))
        }
    }

    /// Who has just connected. On the connection's event loop.
    static func of(_ channel: any Channel, _ permission: Permission) -> EventLoopFuture<SocketPeer> {
        guard let socket = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        let credentials: EventLoopFuture<Credentials> = socket.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        return credentials.map { credentials in
            SocketPeer(
                uid: credentials.uid, pid: credentials.pid, loginUID: loginUID(of: credentials.pid),
                isPermitted: permission.admits(uid: credentials.uid, gid: credentials.gid))
        }
    }

    /// `struct ucred`, which Swift's import of the C library leaves out.
    private struct Credentials {
        var pid: Int32
        var uid: UInt32
        var gid: UInt32
    }

    private static func loginUID(of pid: Int32) -> UInt32? {
        guard pid > 0 else { return nil }
        let descriptor = open("/proc/\(pid)/loginuid", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0, let id = UInt32(String(decoding: bytes.prefix(count), as: UTF8.self)), id != .max else {
            return nil
        }
        return id
    }
}

/// The system's users and groups by name.
enum UserDatabase {
    /// His name, and the group that is his own.
    static func user(_ uid: UInt32) -> (name: String, group: UInt32)? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return (String(cString: entry.pw_name), entry.pw_gid)
    }

    static func groupID(_ name: String) -> UInt32? {
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        var buffer = [CChar](repeating: 0, count: 1 << 20)
        guard getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.gr_gid
    }
}

import Broker
import Glibc
import NIOCore
import NIOPosix

/// The process at the other end of a Unix socket, as the kernel knew it when it connected (unix(7), SO_PEERCRED).
struct SocketPeer: Sendable, Hashable {
    let uid: UInt32
    /// The group that it ran as.
    let gid: UInt32
    let pid: Int32
    /// The user id that its session logged in with, whatever it became since; nil where the kernel does not know.
    ///
    /// Read when it connects, from a process that may have ended: it is for the record, and decides nothing.
    let loginUID: UInt32?

    /// That of the connection whose requests this task answers; nil on other listeners.
    @TaskLocal static var current: SocketPeer?

    var caller: Caller { .socket(uid: uid, loginUID: loginUID, pid: pid) }

    /// Who has just connected. On the connection's event loop.
    static func of(_ channel: any Channel) -> EventLoopFuture<SocketPeer> {
        guard let socket = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        let credentials: EventLoopFuture<Credentials> = socket.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        return credentials.map { credentials in
            SocketPeer(
                uid: credentials.uid, gid: credentials.gid, pid: credentials.pid,
                loginUID: loginUID(of: credentials.pid))
        }
    }

    /// `struct ucred`, which Swift's import of the C library leaves out.
    private struct Credentials {
        var pid: Int32
        var uid: UInt32
        var gid: UInt32
    }

    private static func loginUID(of pid: Int32) -> UInt32? {
        LoginUID.of(pid)
    }
}

/// The user id that a process's session logged in with.
package enum LoginUID {
    /// - Returns: nil where the kernel does not know.
    package static func of(_ pid: Int32) -> UInt32? {
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

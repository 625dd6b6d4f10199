import Foundation
import ServiceLifecycle
import Synchronization

/// Tells the program that started this one that it serves, and that it stops (sd_notify(3)).
///
/// The last of the services: it is the first that is shut down.
final class StartNotification: Service {
    private let path: String?
    private let awaited: Mutex<Int>

    /// - Parameters:
    ///   - path: `NOTIFY_SOCKET`; nil where nobody wants to know.
    ///   - listeners: so many have to listen before it serves.
    init(to path: String?, listeners: Int) {
        self.path = path
        awaited = Mutex(listeners)
    }

    /// One more listener accepts connections.
    func listens() {
        let isLast = awaited.withLock { awaited in
            awaited -= 1
            return awaited == 0
        }
        if isLast { send("READY=1\nSTATUS=serving") }
    }

    func run() async throws {
        try? await gracefulShutdown()
        send("STOPPING=1\nSTATUS=finishing what is under way")
    }

    /// Whoever does not take it does not hear of it: it keeps nobody from being served.
    private func send(_ text: String) {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@"), path.utf8.count < 108 else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // Nor does whoever reads none of it.
        var patience = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            bytes.copyBytes(from: path.utf8)
            // A name that no file has.
            if path.hasPrefix("@") { bytes[0] = 0 }
        }
        let length = MemoryLayout<sa_family_t>.size + path.utf8.count
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                Array(text.utf8).withUnsafeBytes {
                    sendto(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), address, socklen_t(length))
                }
            }
        }
    }
}

package import Broker
import Glibc

/// A socket that somebody else opened, and that listens already. Its connections are taken here; it is closed here in the
/// end, and goes on listening where others have it open: what then waits in its queue is theirs.
package struct ListeningSocket: Sendable {
    package enum Kind: String, Sendable {
        case tcp = "a TCP socket", unix = "a Unix socket"
    }

    package let descriptor: Int32
    package let kind: Kind
    /// Where it listens, on TCP.
    package let address: ListenAddress?
    /// The length of its queue; nil where the kernel does not tell, as on a Unix socket.
    let backlog: Int32?

    /// - Throws: where it is no stream socket that listens, on TCP or on a Unix socket.
    package init(descriptor: Int32) throws(ListenerFailure) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure(descriptor, "is not open") }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw Self.failure(descriptor, "is no socket") }
        guard Self.option(SO_TYPE, descriptor) == Int32(SOCK_STREAM.rawValue) else {
            throw Self.failure(descriptor, "is no stream socket")
        }
        guard Self.option(SO_ACCEPTCONN, descriptor) == 1 else {
            throw Self.failure(descriptor, "does not listen (with Accept=yes it is a connection; leave that out)")
        }
        switch Self.option(SO_DOMAIN, descriptor) {
        case AF_INET, AF_INET6: kind = .tcp
        case AF_UNIX: kind = .unix
        default: throw Self.failure(descriptor, "is neither a TCP nor a Unix socket")
        }
        address = kind == .tcp ? Self.address(descriptor) : nil
        // By it is decided whether TLS is needed.
        guard kind == .unix || address != nil else { throw Self.failure(descriptor, "does not say where it listens") }
        backlog = kind == .tcp ? Self.backlog(descriptor) : nil
        self.descriptor = descriptor
    }

    private static func failure(_ descriptor: Int32, _ words: String) -> ListenerFailure {
        ListenerFailure(description: "descriptor \(descriptor) \(words)")
    }

    private static func option(_ name: Int32, _ descriptor: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    private static func backlog(_ descriptor: Int32) -> Int32? {
        var info = tcp_info()
        var length = socklen_t(MemoryLayout<tcp_info>.size)
        guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) == 0 else { return nil }
        // Of a socket that listens this is what listen(2) was told.
        return Int32(clamping: info.tcpi_sacked)
    }

    private static func address(_ descriptor: Int32) -> ListenAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var port = [CChar](repeating: 0, count: Int(NI_MAXSERV))
        let found = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                getsockname(descriptor, address, &length) == 0
                    && getnameinfo(
                        address, length, &host, socklen_t(host.count), &port, socklen_t(port.count),
                        NI_NUMERICHOST | NI_NUMERICSERV) == 0
            }
        }
        guard found else { return nil }
        func text(_ characters: [CChar]) -> String {
            String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return ListenAddress(host: text(host), port: Int(text(port)) ?? 0)
    }
}

/// The sockets that were opened for this process, by whom they are for.
package struct ListeningSockets: Sendable {
    package var `public`: ListeningSocket?
    package var telemetry: ListeningSocket?
    package var admin: ListeningSocket?

    package init(public: ListeningSocket? = nil, telemetry: ListeningSocket? = nil, admin: ListeningSocket? = nil) {
        self.public = `public`
        self.telemetry = telemetry
        self.admin = admin
    }
}

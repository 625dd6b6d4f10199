import Glibc
import NIOCore
import NIOHTTP1
import NIOSSL

/// Why a connection failed, in words that are the same for the same cause: no descriptor, port or source file in them.
enum ConnectionReason {
    static let endedEarly = "the connection ended before its answer did"

    /// Whether nothing can have been sent over the connection that failed so.
    static func isBeforeConnection(_ error: any Error) -> Bool {
        switch error {
        case let error as IOError:
            [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENETDOWN, EADDRNOTAVAIL].contains(error.errnoCode)
        case NIOSSLError.handshakeFailed, is NIOSSLExtraError, ChannelError.connectTimeout: true
        default: false
        }
    }

    /// At most 300 characters.
    static func words(for error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode)).lowercased()
        case NIOSSLError.handshakeFailed(let cause):
            "\(cause)".contains("CERTIFICATE_VERIFY_FAILED")
                ? "its certificate does not lead to a trusted authority" : "the TLS handshake failed"
        case is NIOSSLExtraError: "its certificate is not of that host"
        case ChannelError.connectTimeout: "the connection was not accepted in time"
        case NIOSSLError.uncleanShutdown, HTTPParserError.invalidEOFState: endedEarly
        case HTTPParserError.headerOverflow: "the head of its answer is too large"
        case let error as HTTPParserError: "it does not speak HTTP/1.1: \(error)"
        default: String("\(error)".prefix(300))
        }
    }
}

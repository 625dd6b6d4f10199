import Glibc
import NIOCore
import NIOSSL

/// Why a connection failed, in words that are the same for the same cause: no descriptor, port or source file in them.
enum ConnectionReason {
    /// At most 300 characters.
    static func words(for error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode)).lowercased()
        case NIOSSLError.handshakeFailed(let cause):
            "\(cause)".contains("CERTIFICATE_VERIFY_FAILED")
                ? "its certificate does not lead to a trusted authority" : "the TLS handshake failed"
        case is NIOSSLExtraError: "its certificate is not of that host"
        default: String("\(error)".prefix(300))
        }
    }
}

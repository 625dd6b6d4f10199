import AsyncHTTPClient
import Glibc
import NIOCore
import NIOPosix
import NIOSSL

/// Why there is no connection, or no answer over it, in words for a person.
enum ConnectionWords {
    /// - Parameter hint: what may be the cause where the connection was closed without an answer.
    static func words(_ error: any Error, _ hint: String = "") -> String {
        if let error = error as? IOError { return String(cString: strerror(error.errnoCode)) }
        if let error = error as? NIOConnectionError {
            guard let cause = error.connectionErrors.first?.error else {
                return "the name \(error.host) cannot be resolved"
            }
            return words(cause, hint)
        }
        if case .connectTimeout? = error as? ChannelError { return "no answer in time" }
        if error as? AnswerReader.Failure == .late { return "no answer in time" }
        if error as? AnswerReader.Failure == .closed { return "the connection was closed without an answer\(hint)" }
        if let error = error as? HTTPClientError {
            switch error {
            case .remoteConnectionClosed: return "the connection was closed without an answer\(hint)"
            case .connectTimeout, .readTimeout, .deadlineExceeded: return "no answer in time"
            default: break
            }
        }
        if error as? NIOSSLExtraError == .failedToValidateHostname {
            return "its certificate is for another name than the URL's"
        }
        // The library tells its reasons apart by their names alone.
        let text = "\(error)"
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            return
                "its certificate is not to be trusted: none of the authorities vouches for it (--ca-file), or it has "
                + "expired"
        }
        if text.contains("WRONG_VERSION_NUMBER") { return "what answers there does not speak TLS" }
        return text
    }
}

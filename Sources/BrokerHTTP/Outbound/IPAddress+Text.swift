import Broker
import NIOCore

extension IPAddress {
    /// The usual spelling (RFC 5952 for IPv6), without brackets.
    var text: String {
        // Throws only for a number of bytes other than 4 and 16.
        (try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: 0))?.ipAddress ?? ""
    }
}

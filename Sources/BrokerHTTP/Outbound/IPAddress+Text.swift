import Broker
import NIOCore

extension IPAddress {
    /// The usual spelling (RFC 5952 for IPv6), without brackets. That of IPv4 is short enough to need no memory.
    var text: String {
        guard bytes.count == 4 else {
            // Throws only for a number of bytes other than 4 and 16.
            return (try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: 0))?.ipAddress ?? ""
        }
        return String(unsafeUninitializedCapacity: 15) { output in
            var count = 0
            let append = { (byte: UInt8) in
                output[count] = byte
                count += 1
            }
            for (index, byte) in bytes.enumerated() {
                if index > 0 { append(UInt8(ascii: ".")) }
                if byte >= 100 { append(UInt8(ascii: "0") + byte / 100) }
                if byte >= 10 { append(UInt8(ascii: "0") + byte / 10 % 10) }
                append(UInt8(ascii: "0") + byte % 10)
            }
            return count
        }
    }
}

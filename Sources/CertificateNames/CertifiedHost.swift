package import NIOCore
import NIOSSL

/// Whether a server's certificate is for the host that was asked for.
///
/// swift-nio-ssl takes one for the *address* of the connection as well, whatever host was asked for: anybody has such a one
/// for his own address, and a name that leads there is all that he needs.
package enum CertifiedHost {
    /// Asks nothing of a host that is an address: then the address is what the certificate is compared with.
    /// - Parameters:
    ///   - channel: a connection whose TLS handshake is over. Has to be called on its event loop.
    ///   - host: without brackets and port.
    /// - Throws: `NIOSSLExtraError.failedToValidateHostname`, and where there is no TLS.
    package static func check(_ channel: any Channel, for host: String) throws {
        guard (try? SocketAddress(ipAddress: host, port: 0)) == nil else { return }
        guard let certificate = try channel.pipeline.syncOperations.nioSSL_peerCertificate() else {
            throw NIOSSLExtraError.failedToValidateHostname
        }
        let names = certificate._subjectAlternativeNames()
        // Without any the library has compared the common name.
        guard !names.isEmpty else { return }
        let isNamed = names.contains { $0.nameType == .dnsName && matches(host, Array($0.contents)) }
        guard isNamed else { throw NIOSSLExtraError.failedToValidateHostname }
    }

    /// RFC 6125 §6.4: without regard to ASCII case; a wildcard is a whole label, the leftmost one.
    static func matches(_ host: String, _ name: [UInt8]) -> Bool {
        let (wanted, given) = (labels(Array(host.utf8)), labels(name))
        guard wanted.count == given.count, !wanted.contains([]), !given.contains([]) else { return false }
        guard given[0] == [UInt8(ascii: "*")] else { return wanted == given }
        return given.count > 2 && wanted.dropFirst() == given.dropFirst()
    }

    /// In small letters; a dot at the end is that of the root.
    private static func labels(_ name: [UInt8]) -> [[UInt8]] {
        let name = name.last == UInt8(ascii: ".") ? name.dropLast() : name[...]
        return name.map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 }
            .split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map(Array.init)
    }
}

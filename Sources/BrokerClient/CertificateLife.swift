package import FoundationEssentials
import NIOSSL

/// From when until when a certificate counts.
package struct CertificateLife: Sendable, Hashable {
    package let start: Date
    package let end: Date

    package init(start: Date, end: Date) {
        (self.start, self.end) = (start, end)
    }

    /// That of the first certificate of a PEM file, which is the holder's own.
    /// - Returns: nil where the file has none, or cannot be read.
    package init?(ofFirstIn path: String) {
        guard let bytes = try? SmallFile.read(path), let first = try? NIOSSLCertificate.fromPEMBytes(bytes).first else {
            return nil
        }
        self.init(
            start: Date(timeIntervalSince1970: Double(first.notValidBefore)),
            end: Date(timeIntervalSince1970: Double(first.notValidAfter)))
    }
}

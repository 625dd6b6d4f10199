import NIOSSL
import OpenSSL
import SPIFFE

extension [NIOSSLCertificate] {
    /// The DER of each, for our own validation, unless there are more than that would take.
    func chain() throws(X509SVIDFailure) -> [[UInt8]] {
        guard count <= X509SVID.maximumChainLength else { throw .tooManyCertificates }
        guard let chain = try? map({ try $0.toDERBytes() }) else { throw .certificate(0, .encoding) }
        return chain
    }
}

import FoundationEssentials
import JOSE
import NIOSSL
import OpenSSL

/// A self-signed certificate of one DNS name, with its key: what a server needs that nobody vouches for.
struct TestCertificate {
    let der: [UInt8]
    private let key: [UInt8]

    init(name: String) throws {
        try self.init(subject: DER.value(0x82, Array(name.utf8)))
    }

    /// - Parameter address: of four bytes.
    init(address: [UInt8]) throws {
        try self.init(subject: DER.value(0x87, address))
    }

    private init(subject alternative: [UInt8]) throws {
        let key = try PrivateKey.generate(.ellipticCurve(.p256))
        self.key = try key.pkcs8().withSpan { span in span.indices.map { span[$0] } }
        let algorithm = DER.sequence(DER.ecdsaWithSHA256)
        let point = key.publicKey.coordinates.map { [0x04] + $0.x + $0.y } ?? []
        let subject = DER.sequence(
            DER.value(0x31, DER.sequence(DER.commonName, DER.value(0x0C, Array("test".utf8)))))
        let names = DER.sequence(alternative)
        let certificate = DER.sequence(
            DER.value(0xA0, DER.integer([2])), DER.integer([1]), algorithm, subject,
            DER.sequence(DER.time("200101000000Z"), DER.time("491231235959Z")), subject,
            DER.sequence(DER.sequence(DER.ecPublicKey, DER.prime256v1), DER.bits(point)),
            DER.value(0xA3, DER.sequence(DER.sequence(DER.subjectAlternativeName, DER.value(0x04, names)))))
        let signature = try key.signature(over: certificate.span, scheme: JWSAlgorithm.ES256.scheme)
        let pair = DER.sequence(DER.integer(Array(signature[..<32])), DER.integer(Array(signature[32...])))
        der = DER.sequence(certificate, algorithm, DER.bits(pair))
    }

    var pem: [UInt8] {
        let lines = Data(der).base64EncodedString(options: .lineLength64Characters)
        return Array("-----BEGIN CERTIFICATE-----\n\(lines)\n-----END CERTIFICATE-----\n".utf8)
    }

    var serverContext: NIOSSLContext {
        get throws {
            let certificate = try NIOSSLCertificate(bytes: der, format: .der)
            let key = try NIOSSLPrivateKey(bytes: key, format: .der)
            return try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: [.certificate(certificate)], privateKey: .privateKey(key)))
        }
    }
}

/// As much of ITU-T X.690 as the certificate takes.
private enum DER {
    static let ecdsaWithSHA256: [UInt8] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]
    static let ecPublicKey: [UInt8] = [0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]
    static let prime256v1: [UInt8] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]
    static let commonName: [UInt8] = [0x06, 0x03, 0x55, 0x04, 0x03]
    static let subjectAlternativeName: [UInt8] = [0x06, 0x03, 0x55, 0x1D, 0x11]

    static func value(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count = content.count
        let length: [UInt8] =
            if count < 0x80 { [UInt8(count)] } else if count < 0x100 { [0x81, UInt8(count)] } else {
                [0x82, UInt8(count >> 8), UInt8(count & 0xFF)]
            }
        return [tag] + length + content
    }

    static func sequence(_ elements: [UInt8]...) -> [UInt8] { value(0x30, elements.flatMap(\.self)) }
    static func bits(_ bytes: [UInt8]) -> [UInt8] { value(0x03, [0] + bytes) }
    static func time(_ text: String) -> [UInt8] { value(0x17, Array(text.utf8)) }

    /// - Parameter magnitude: big-endian, not negative.
    static func integer(_ magnitude: [UInt8]) -> [UInt8] {
        let digits = magnitude.drop { $0 == 0 }
        return value(0x02, (digits.first.map { $0 >= 0x80 } ?? true ? [0] : []) + digits)
    }
}

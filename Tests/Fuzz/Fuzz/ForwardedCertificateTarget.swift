import FoundationEssentials
import JOSE
import OpenSSL
import SPIFFE

/// Headers with a client's certificate. (`ForwardedCertificate.swift` is a link, as `FormBody.swift` is.)
enum ForwardedCertificateTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        if let fingerprint = ForwardedCertificate.fingerprint(forwardedClientCert: input) {
            let digits = fingerprint.bytes.flatMap { [hexadecimal[Int($0 >> 4)], hexadecimal[Int($0 & 15)]] }
            let pairs = input.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
            let hashes = pairs.filter { $0.count == 69 && $0.suffix(64).elementsEqual(digits) }
            precondition(!hashes.isEmpty, "a fingerprint that no pair spells")
        }
        if let fingerprint = ForwardedCertificate.fingerprint(clientCert: input) {
            let inner = String(decoding: input.dropFirst().dropLast(), as: UTF8.self)
            guard let der = Data(base64Encoded: inner) else { preconditionFailure("no base64 was accepted") }
            precondition(der.base64EncodedString() == inner, "one certificate has two spellings")
            precondition(fingerprint.bytes == HashAlgorithm.sha256.digest(Array(der)))
        }
    }

    private static let hexadecimal = Array("0123456789abcdef".utf8)
}

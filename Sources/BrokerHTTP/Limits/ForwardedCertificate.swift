import JOSE
import OpenSSL
package import SPIFFE

/// The client's certificate as a proxy forwards it: `Client-Cert` (RFC 9440 §2.2) or Envoy's `X-Forwarded-Client-Cert`.
///
/// The headers are anybody's to write: who may be believed is decided elsewhere (`PresentedCertificates`). What is read is
/// the fingerprint alone. A header that has another form than the one its proxy writes, or that stands twice, gives none.
package enum ForwardedCertificate {
    /// In bytes of DER.
    package static let maximumLength = Certificate.maximumLength

    /// A byte sequence (RFC 9651 §3.3.5) without parameters: the DER of the certificate.
    package static func fingerprint(clientCert value: [UInt8]) -> CertificateFingerprint? {
        let colon = UInt8(ascii: ":")
        guard value.count > 2, value.first == colon, value.last == colon,
            let der = Base64.decode(Array(value.dropFirst().dropLast())), der.count <= maximumLength
        else { return nil }
        return CertificateFingerprint(ofDER: der)
    }

    /// One element, as with `forward_client_cert_details: SANITIZE_SET`: of several, some came from the client. Its `Hash`,
    /// exactly one, is SHA-256 of the DER in lower-case hexadecimal.
    ///
    /// Envoy writes URIs of the certificate without quotes: with a semicolon or a comma in one, whoever chose it makes a
    /// second `Hash` or a second element, and has none that counts.
    package static func fingerprint(forwardedClientCert value: [UInt8]) -> CertificateFingerprint? {
        var fingerprint: CertificateFingerprint?
        guard let pairs = pairs(of: value) else { return nil }
        for pair in pairs {
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { return nil }
            let key = ExactString(String(decoding: pair[..<equals], as: UTF8.self))
            guard !key.isEmpty else { return nil }
            guard key.equalsIgnoringASCIICase("Hash") else { continue }
            guard fingerprint == nil, let bytes = hexadecimal(pair[(equals + 1)...]),
                let found = CertificateFingerprint(bytes: bytes)
            else { return nil }
            fingerprint = found
        }
        return fingerprint
    }

    /// What stands between semicolons outside quotes; nil for several elements, and for a quote that has no end.
    private static func pairs(of value: [UInt8]) -> [ArraySlice<UInt8>]? {
        var pairs: [ArraySlice<UInt8>] = []
        var start = 0
        var index = 0
        var isQuoted = false
        while index < value.count {
            switch value[index] {
            case UInt8(ascii: "\\") where isQuoted: index += 1
            case UInt8(ascii: "\""): isQuoted.toggle()
            case UInt8(ascii: ",") where !isQuoted: return nil
            case UInt8(ascii: ";") where !isQuoted:
                pairs.append(value[start..<index])
                start = index + 1
            default: break
            }
            index += 1
        }
        guard !isQuoted, index == value.count else { return nil }
        return pairs + [value[start...]]
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> [UInt8]? {
        guard digits.count == 64 else { return nil }
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in digits {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }
}

import Broker
import BrokerTesting
import Foundation
import HTTPTypes
import JOSE
import SPIFFE
import Testing

@testable import BrokerHTTP

@Suite struct `A forwarded certificate` {
    private static let der = Result { try TestTrustDomain().ca.certificate }

    private var der: [UInt8] { get throws { try Self.der.get() } }
    private var fingerprint: CertificateFingerprint { get throws { CertificateFingerprint(ofDER: try der) } }
    private var base64: String { get throws { Data(try der).base64EncodedString() } }
    private var hash: String { get throws { try fingerprint.bytes.map { String(format: "%02x", $0) }.joined() } }

    /// From the header that stands first.
    private func read(_ fields: [(HTTPField.Name, String)]) -> CertificateFingerprint? {
        var headers = HTTPFields()
        for (name, value) in fields { headers.append(HTTPField(name: name, value: value)) }
        let header: ListenerTLS.CertificateHeader = fields.first?.0 == .clientCert ? .clientCert : .forwardedClientCert
        return ForwardedCertificate.fingerprint(headers, in: header)
    }

    @Test func `in Client-Cert is a byte sequence of its DER`() throws {
        #expect(read([(.clientCert, ":\(try base64):")]) == (try fingerprint))
    }

    @Test func `in Client-Cert of any other form is none`() throws {
        let base64 = try base64
        var cases = [
            "", ":", "::", base64, ":\(base64)", "\(base64):", ":\(base64):;a=1",
            ":\(base64):, :\(base64):", "\"\(base64)\"", ":\(base64.replacingOccurrences(of: "=", with: ""))=:x",
            ":\(base64.dropLast()):", ":\(base64)\n:", ":-\(base64.dropFirst()):",
            "-----BEGIN CERTIFICATE-----\(base64)-----END CERTIFICATE-----",
            ":\(Data(repeating: 0x30, count: 16_385).base64EncodedString()):",
        ]
        if base64.hasSuffix("=") { cases.append(":\(base64.replacingOccurrences(of: "=", with: "")):") }
        for value in cases { #expect(read([(.clientCert, value)]) == nil, "\(value)") }
    }

    @Test func `in X-Forwarded-Client-Cert is the Hash of the only element`() throws {
        let hash = try hash
        for value in [
            "Hash=\(hash)", "hash=\(hash)", "By=spiffe://a/b;Hash=\(hash);Subject=\"/C=US/CN=a,b;c=\\\"d\";URI=;DNS=a",
            "By=;Hash=\(hash);URI=spiffe://a/b?x=y",
        ] {
            #expect(read([(.forwardedClientCert, value)]) == (try fingerprint), "\(value)")
        }
    }

    @Test func `in X-Forwarded-Client-Cert of any other form is none`() throws {
        let hash = try hash
        for value in [
            "", "Hash=", "Hash=\(hash.uppercased())", "Hash=\(hash)0", "Hash=\(hash.dropLast())", "Hash=\"\(hash)\"",
            "Hash= \(hash)", "By=a", "Subject=\"Hash=\(hash)\"", "Subject=\"a\\\";Hash=\(hash)\"",
            // A second one that somebody wrote into a URI of a certificate, and a second element.
            "Hash=\(hash);URI=spiffe://a/b;Hash=\(hash)", "Hash=\(hash);URI=spiffe://a,Hash=\(hash)",
            "Hash=\(hash),Hash=\(hash)", "Hash=\(hash),", ",Hash=\(hash)", "Hash=\(hash);", "Hash=\(hash);;By=a",
            "Hash=\(hash);Subject=\"a", "Hash=\(hash);Subject=\"a\\", "=\(hash)", "\(hash)",
            "Hash=\(String(repeating: "g", count: 64))",
        ] {
            #expect(read([(.forwardedClientCert, value)]) == nil, "\(value)")
        }
    }

    @Test func `that stands twice is none, and the header that is not the proxy's says nothing`() throws {
        let (standard, envoy) = (":\(try base64):", "Hash=\(try hash)")
        #expect(read([(.clientCert, standard), (.clientCert, standard)]) == nil)
        #expect(read([(.forwardedClientCert, envoy), (.forwardedClientCert, envoy)]) == nil)
        for other in [envoy, "By=a", ""] {
            #expect(read([(.clientCert, standard), (.forwardedClientCert, other)]) == (try fingerprint))
        }
        #expect(read([(.clientCert, ":AAAA:"), (.forwardedClientCert, envoy)]) != (try fingerprint))
        #expect(ForwardedCertificate.fingerprint([.clientCert: standard], in: .forwardedClientCert) == nil)
        #expect(ForwardedCertificate.fingerprint([.forwardedClientCert: envoy], in: .clientCert) == nil)
        #expect(read([]) == nil)
    }
}

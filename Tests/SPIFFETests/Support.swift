import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import SPIFFE
import VectorFiles

extension TrustDomain {
    static let example = domain("example.org")

    static func domain(_ name: String) -> TrustDomain {
        do {
            return try TrustDomain(parsing: name)
        } catch {
            preconditionFailure("\(name): \(error)")
        }
    }
}

/// Certificates as a PEM text.
func pem(_ certificates: [[UInt8]]) -> [UInt8] {
    certificates.flatMap { der -> [UInt8] in
        let digits = Data(der).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        return Array("-----BEGIN CERTIFICATE-----\n\(digits)\n-----END CERTIFICATE-----\n".utf8)
    }
}

/// The set with one bundle of these roots.
func bundles(_ roots: [[UInt8]], of domain: TrustDomain = .example) throws -> TrustBundleSet {
    try TrustBundleSet([TrustBundle(pem: pem(roots), of: domain)])
}

func bundles(_ roots: TestCA..., of domain: TrustDomain = .example) throws -> TrustBundleSet {
    try bundles(roots.map(\.certificate), of: domain)
}

/// What a bundle's JWK entry says about a certificate.
func jwkEntry(_ certificate: [UInt8], _ key: PublicKey, use: String = "x509-svid") -> JSONObject {
    var members = JWK.publicMembers(of: key)
    _ = members.append("use", .string(ExactString(use)))
    _ = members.append("x5c", [.string(ExactString(Data(certificate).base64EncodedString()))])
    return members
}

func bundleJSON(_ entries: JSONObject..., sequence: JSONValue? = nil) -> [UInt8] {
    var document: JSONObject = ["keys": .array(entries.map(JSONValue.object))]
    if let sequence { _ = document.append("spiffe_sequence", sequence) }
    return document.encoded()
}

extension VectorFiles {
    static func bytes(_ path: String) throws -> [UInt8] { try [UInt8](data(path)) }
}

/// The failure of validating a chain, nil where it succeeds.
func refusal(
    of chain: [[UInt8]], against bundles: TrustBundleSet, for purpose: CertificatePath.Purpose = .tlsClient,
    at now: Date = ManualClock().now
) -> X509SVIDFailure? {
    do {
        _ = try X509SVID.validate(chain, against: bundles, for: purpose, at: now)
        return nil
    } catch {
        return error
    }
}

package import OpenSSL

/// A public key of a JWK Set that may verify signatures (RFC 7517 §4).
package struct JWK: Sendable {
    package let keyID: ExactString
    package let publicKey: PublicKey
    /// The only algorithm that the key may be used with, where its publisher says so.
    package let algorithm: JWSAlgorithm?

    package init(keyID: ExactString, publicKey: PublicKey, algorithm: JWSAlgorithm?) {
        self.keyID = keyID
        self.publicKey = publicKey
        self.algorithm = algorithm
    }

    /// Whether a token with this `alg` may be verified with the key (RFC 8725 §3.1: one algorithm per key).
    package func permits(_ algorithm: JWSAlgorithm) -> Bool {
        algorithm.scheme.fits(publicKey.type) && (self.algorithm == nil || self.algorithm == algorithm)
    }

    package init(parsing members: JSONObject) throws(JWKFailure) {
        let type = try Self.requiredText("kty", in: members)
        if let use = try Self.text("use", in: members), use != "sig" { throw .notForSignatures }
        if let operations = members["key_ops"] {
            guard let operations = operations.array else { throw .member("key_ops") }
            guard operations.contains("verify") else { throw .notForSignatures }
        }
        guard ["RSA", "EC", "OKP"].contains(type) else { throw type == "oct" ? .symmetric : .unknownType }
        // Whoever publishes the private half, or a part of it, has no secret left (RFC 7518 §6.2.2, §6.3.2).
        guard Self.privateMembers.allSatisfy({ members[$0] == nil }) else { throw .privateKey }
        keyID = try Self.requiredText("kid", in: members)
        guard keyID.utf8.count <= 1024, !keyID.hasControlCharacters else { throw .member("kid") }
        publicKey = try Self.publicKey(type, members)
        if let name = try Self.text("alg", in: members) {
            guard let algorithm = JWSAlgorithm(name), algorithm.scheme.fits(publicKey.type) else { throw .algorithm }
            self.algorithm = algorithm
        } else {
            algorithm = nil
        }
    }

    private static let privateMembers: [ExactString] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

    private static func publicKey(_ type: ExactString, _ members: JSONObject) throws(JWKFailure) -> PublicKey {
        do {
            switch type {
            case "RSA":
                return try PublicKey(rsaModulus: bytes("n", in: members), exponent: bytes("e", in: members))
            case "EC":
                let curve: EllipticCurve? =
                    switch try requiredText("crv", in: members) {
                    case "P-256": .p256
                    case "P-384": .p384
                    case "P-521": .p521
                    default: nil
                    }
                guard let curve else { throw JWKFailure.curve }
                return try PublicKey(curve: curve, x: bytes("x", in: members), y: bytes("y", in: members))
            default:
                guard try requiredText("crv", in: members) == "Ed25519" else { throw JWKFailure.curve }
                return try PublicKey(ed25519: bytes("x", in: members))
            }
        } catch let failure as JWKFailure {
            throw failure
        } catch let failure as KeyFailure {
            throw .key(failure)
        } catch {
            throw .unknownType
        }
    }

    private static func bytes(_ name: ExactString, in members: JSONObject) throws(JWKFailure) -> [UInt8] {
        let text = try requiredText(name, in: members)
        guard let bytes = try? Base64URL.decode(text) else { throw .member(name.string) }
        return bytes
    }

    private static func requiredText(_ name: ExactString, in members: JSONObject) throws(JWKFailure) -> ExactString {
        guard let text = try text(name, in: members), !text.isEmpty else { throw .member(name.string) }
        return text
    }

    private static func text(_ name: ExactString, in members: JSONObject) throws(JWKFailure) -> ExactString? {
        guard let value = members[name] else { return nil }
        guard let text = value.string else { throw .member(name.string) }
        return text
    }
}

extension JWK {
    /// The public members (RFC 7518 §6), in the order of the thumbprint.
    package static func publicMembers(of key: PublicKey) -> JSONObject {
        func text(_ bytes: [UInt8]) -> JSONValue { .string(ExactString(Base64URL.encode(bytes))) }
        switch key.type {
        case .rsa:
            guard let (modulus, exponent) = key.rsaNumbers else { return [:] }
            return ["e": text(exponent), "kty": "RSA", "n": text(modulus)]
        case .ellipticCurve(let curve):
            guard let (x, y) = key.coordinates else { return [:] }
            return ["crv": .string(ExactString(curve.name)), "kty": "EC", "x": text(x), "y": text(y)]
        case .ed25519:
            guard let bytes = key.ed25519Bytes else { return [:] }
            return ["crv": "Ed25519", "kty": "OKP", "x": text(bytes)]
        }
    }

    /// The key's thumbprint (RFC 7638 §3) with SHA-256, in base64url.
    package static func thumbprint(of key: PublicKey) -> ExactString {
        ExactString(Base64URL.encode(HashAlgorithm.sha256.digest(publicMembers(of: key).encoded())))
    }

    /// The key as it is published.
    package var json: JSONObject {
        var members = Self.publicMembers(of: publicKey)
        _ = members.append("use", "sig")
        _ = members.append("kid", .string(keyID))
        if let algorithm { _ = members.append("alg", .string(ExactString(algorithm.rawValue))) }
        return members
    }
}

extension EllipticCurve {
    /// RFC 7518 §6.2.1.1
    var name: String {
        switch self {
        case .p256: "P-256"
        case .p384: "P-384"
        case .p521: "P-521"
        }
    }
}

/// Why an entry of a JWK Set is not used.
package enum JWKFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// It is meant for something else; sets often hold such keys.
    case notForSignatures
    case unknownType
    case symmetric, privateKey, curve, algorithm
    case member(String)
    case key(KeyFailure)

    /// Whether the entry is sound but not for us, rather than broken or dangerous.
    package var isForeign: Bool { self == .notForSignatures || self == .unknownType }

    package var description: String {
        switch self {
        case .notForSignatures: "it is not for verifying signatures"
        case .unknownType: "its kty is unknown"
        case .symmetric: "it is a symmetric key"
        case .privateKey: "it holds a private key"
        case .curve: "its crv is none of P-256, P-384, P-521 and Ed25519"
        case .algorithm: "its alg is unknown or does not fit the key"
        case .member(let name): "its \(name) is missing or malformed"
        case .key(let failure): "it is \(failure)"
        }
    }
}

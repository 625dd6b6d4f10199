import Foundation
import JOSE
import OpenSSL
import VectorFiles

extension CompactJWS {
    init(_ token: String) throws(JWSFailure) {
        try self.init(parsing: Array(token.utf8))
    }
}

/// Tokens as an attacker or a careless issuer would write them: any header text, any payload, any signature.
enum Tokens {
    static func base64url(_ text: String) -> String { Base64URL.encode(Array(text.utf8)) }

    /// A token of these segments whose signature `key` makes over exactly what stands there.
    static func signed(
        header: String, payload: String = #"{"sub":"x"}"#, by key: PrivateKey, _ algorithm: JWSAlgorithm = .ES256
    ) throws -> String {
        let input = base64url(header) + "." + base64url(payload)
        let signature = try key.signature(over: Array(input.utf8).span, scheme: algorithm.scheme)
        return input + "." + Base64URL.encode(signature)
    }

    /// HMAC with SHA-256 (RFC 2104), which the product itself has no use for.
    static func hmac(_ message: [UInt8], secret: [UInt8]) -> [UInt8] {
        var block = secret.count > 64 ? HashAlgorithm.sha256.digest(secret) : secret
        block += [UInt8](repeating: 0, count: 64 - block.count)
        let inner = HashAlgorithm.sha256.digest(block.map { $0 ^ 0x36 } + message)
        return HashAlgorithm.sha256.digest(block.map { $0 ^ 0x5C } + inner)
    }
}

/// What several tests read from JSON files with a parser that is not ours.
enum JSONFile {
    static func object(_ path: String) throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: VectorFiles.data(path)) as? [String: Any] ?? [:]
    }

    static func bytes(_ value: Any) throws -> [UInt8] {
        try [UInt8](JSONSerialization.data(withJSONObject: value))
    }

    /// The JWK `members`; with a key id where the vector has none, since we demand one, and without the private half.
    static func publicJWK(_ members: [String: Any]) throws -> JWK {
        var members = members.filter { !["d", "p", "q", "dp", "dq", "qi"].contains($0.key) }
        if members["kid"] == nil { members["kid"] = "example" }
        return try JWK(parsing: JSONReader.readObject(bytes(members)))
    }
}

import OpenSSL

/// A JSON Web Signature in compact serialisation (RFC 7515 §7.1), parsed and **not verified**.
///
/// What it says is a claim of whoever sent it. The only way to a `VerifiedJWS` is `verified(with:)`.
package struct CompactJWS: Sendable {
    /// In bytes; longer input is refused before anything looks at it.
    package static let maximumLength = 16 * 1024

    package var header: JWSHeader { unopened.header }
    package let payload: [UInt8]
    private let unopened: UnopenedJWS
    private let signature: [UInt8]

    /// - Throws: unless `token` is exactly three non-empty segments of canonical base64url around a header that we
    ///   accept. The payload may be anything.
    package init(parsing token: [UInt8]) throws(JWSFailure) {
        unopened = try UnopenedJWS(parsing: token)
        payload = try unopened.payload()
        signature = try unopened.signature()
    }

    /// The same token as verified, if `key` signed it with the header's algorithm.
    package func verified(with key: JWK) throws(JWSFailure) -> VerifiedJWS {
        try unopened.checkSignature(signature, with: key)
        return VerifiedJWS(header: header, payload: payload, signingInput: unopened.signingInput)
    }
}

/// The same with nothing but its header read: for whoever knows by that which key it has to be signed with, and spends
/// nothing on what others send.
package struct UnopenedJWS: Sendable {
    package let header: JWSHeader
    /// The exact bytes presented: `header.payload.signature`.
    private let token: [UInt8]
    private let payloadRange: Range<Int>

    /// - Parameter maximumHeaderLength: of its segment, in bytes.
    /// - Throws: unless `token` is exactly three non-empty segments, the first one of which is canonical base64url of a
    ///   header that we accept.
    package init(
        parsing token: [UInt8], maximumHeaderLength: Int = CompactJWS.maximumLength
    ) throws(JWSFailure) {
        guard token.count <= CompactJWS.maximumLength else { throw .tooLong }
        let dot = UInt8(ascii: ".")
        guard let first = token.firstIndex(of: dot), let second = token[(first + 1)...].firstIndex(of: dot),
            !token[(second + 1)...].contains(dot)
        else { throw .segments }
        guard first <= maximumHeaderLength else { throw .headerTooLong }
        header = try JWSHeader(parsing: Self.decode(token[..<first]))
        guard first + 1 < second, second + 1 < token.count else { throw .segments }
        payloadRange = first + 1..<second
        self.token = token
    }

    /// What `key` signed, if it did, with the header's algorithm.
    package func verified(with key: JWK) throws(JWSFailure) -> VerifiedJWS {
        try checkSignature(signature(), with: key)
        return VerifiedJWS(header: header, payload: try payload(), signingInput: signingInput)
    }

    fileprivate func checkSignature(_ signature: [UInt8], with key: JWK) throws(JWSFailure) {
        guard key.permits(header.algorithm) else { throw .algorithmDoesNotFitKey }
        let signingInput = token.span.extracting(0..<payloadRange.upperBound)
        guard key.publicKey.isValidSignature(signature.span, over: signingInput, scheme: header.algorithm.scheme) else {
            throw .signature
        }
    }

    fileprivate var signingInput: ArraySlice<UInt8> { token[..<payloadRange.upperBound] }

    fileprivate func payload() throws(JWSFailure) -> [UInt8] { try Self.decode(token[payloadRange]) }

    fileprivate func signature() throws(JWSFailure) -> [UInt8] {
        try Self.decode(token[(payloadRange.upperBound + 1)...])
    }

    private static func decode(_ segment: ArraySlice<UInt8>) throws(JWSFailure) -> [UInt8] {
        guard !segment.isEmpty else { throw .segments }
        do {
            return try Base64URL.decode(segment)
        } catch {
            throw .base64url
        }
    }
}

/// A token whose signature was checked; what it says is said by the holder of the key. Made in this file alone.
package struct VerifiedJWS: Sendable {
    package let header: JWSHeader
    package let payload: [UInt8]
    /// SHA-256 of `header.payload` as presented. The signature is left out: a second valid one over the same input is
    /// easily made for ECDSA, and has to count as the same token.
    package var signingInputDigest: [UInt8] { HashAlgorithm.sha256.digest(signingInput.span) }
    private let signingInput: ArraySlice<UInt8>

    fileprivate init(header: JWSHeader, payload: [UInt8], signingInput: ArraySlice<UInt8>) {
        self.header = header
        self.payload = payload
        self.signingInput = signingInput
    }
}

/// The header members that decide anything. `jwk`, `jku`, `x5u` and `x5c` are never looked at: no key comes with a token.
package struct JWSHeader: Sendable, Hashable {
    package let algorithm: JWSAlgorithm
    package let keyID: ExactString?
    package let type: ExactString?

    init(parsing json: [UInt8]) throws(JWSFailure) {
        let members: JSONObject
        do {
            members = try JSONReader.readObject(json)
        } catch {
            throw .headerJSON(error)
        }
        // Each changes what the signature or the payload means (RFC 7515 §4.1.11, RFC 7797, RFC 7516 §4.1.3).
        for name: ExactString in ["crit", "b64", "zip"] where members[name] != nil {
            throw .forbiddenHeader(name.string)
        }
        guard let name = members["alg"]?.string, let algorithm = JWSAlgorithm(name) else { throw .algorithm }
        self.algorithm = algorithm
        keyID = try Self.text("kid", in: members, maximum: 1024)
        type = try Self.text("typ", in: members, maximum: 64)
        // A nested token (RFC 7519 §5.2): the claims would be those of a token that nobody verified.
        if let contentType = try Self.text("cty", in: members, maximum: 64), contentType.equalsIgnoringASCIICase("JWT")
        {
            throw .forbiddenHeader("cty")
        }
    }

    private static func text(
        _ name: ExactString, in members: JSONObject, maximum: Int
    ) throws(JWSFailure) -> ExactString? {
        guard let value = members[name] else { return nil }
        guard let text = value.string, !text.isEmpty, text.utf8.count <= maximum, !text.hasControlCharacters else {
            throw .forbiddenHeader(name.string)
        }
        return text
    }
}

/// Why a token is not accepted as a JWS. Holds nothing of the token but names of our own choice.
package enum JWSFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case tooLong, segments, base64url, headerTooLong
    case headerJSON(JSONFailure)
    case forbiddenHeader(String)
    case algorithm
    case algorithmDoesNotFitKey
    case signature

    package var description: String {
        switch self {
        case .tooLong: "the token is longer than \(CompactJWS.maximumLength) bytes"
        case .segments: "the token is not three non-empty segments"
        case .base64url: "a segment is not canonical base64url"
        case .headerTooLong: "the header is longer than any of ours"
        case .headerJSON(let failure): "the header is \(failure)"
        case .forbiddenHeader(let name): "the header member \(name) is not acceptable"
        case .algorithm: "the header names no asymmetric signature algorithm that we know"
        case .algorithmDoesNotFitKey: "the header's algorithm does not fit the key"
        case .signature: "the signature is not valid"
        }
    }
}

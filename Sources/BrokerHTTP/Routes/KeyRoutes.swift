import Broker
import HTTPTypes
import JOSE
import NIOCore
import OpenSSL

/// What gateways and clients read to find and check us: `GET /oauth/jwks` (RFC 7517 §5) and the metadata (RFC 8414 §3).
struct KeyRoutes: Sendable {
    private let state: @Sendable () -> BrokerState
    private let takesCertificates: @Sendable () -> Bool
    /// By the algorithms of the published keys, and whether clients are asked for certificates.
    private let metadata: [Bool: [[JWSAlgorithm]: [UInt8]]]

    /// - Parameter takesCertificates: whether clients that connect now are asked for a certificate.
    init(
        configuration: BrokerConfiguration, takesCertificates: @escaping @Sendable () -> Bool,
        state: @escaping @Sendable () -> BrokerState
    ) {
        self.state = state
        self.takesCertificates = takesCertificates
        // Both while the keys of one algorithm make place for those of the other.
        let possible: [[JWSAlgorithm]] = [[], [.ES256], [.EdDSA], [.ES256, .EdDSA]]
        let documents = [false, true].map { takes in
            let documents = possible.map { algorithms in
                (algorithms, Self.metadata(configuration, signing: algorithms, takesCertificates: takes).encoded())
            }
            return (takes, Dictionary(uniqueKeysWithValues: documents))
        }
        metadata = Dictionary(uniqueKeysWithValues: documents)
    }

    /// Five minutes of caching are far below the time for which a key is published before it signs.
    func jwks(_ headers: HTTPFields) -> ImmediateAnswer {
        document(state().keyRing.jwks, type: "application/jwk-set+json", headers)
    }

    func metadata(_ headers: HTTPFields) -> ImmediateAnswer {
        document(metadata[takesCertificates()]?[state().keyRing.algorithms] ?? [], type: "application/json", headers)
    }

    private func document(_ bytes: [UInt8], type: String, _ asked: HTTPFields) -> ImmediateAnswer {
        let tag = "\"\(Base64URL.encode(Array(HashAlgorithm.sha256.digest(bytes).prefix(16))))\""
        let headers: HTTPFields = [.contentType: type, .cacheControl: "public, max-age=300", .eTag: tag]
        guard !Self.matches(asked[values: .ifNoneMatch], tag) else { return ImmediateAnswer(.notModified, headers) }
        return ImmediateAnswer(.ok, headers, ByteBuffer(bytes: bytes))
    }

    /// RFC 9110 §13.1.2: a list of tags, compared weakly, or a star.
    static func matches(_ fields: [String], _ tag: String) -> Bool {
        fields.flatMap { $0.split(separator: ",") }.contains { candidate in
            let candidate = candidate.drop { $0 == " " }.prefix { $0 != " " }
            return candidate == "*" || candidate == tag || candidate == "W/\(tag)"
        }
    }

    private static func metadata(
        _ configuration: BrokerConfiguration, signing algorithms: [JWSAlgorithm], takesCertificates: Bool
    ) -> JSONObject {
        let base = configuration.server.publicURL
        func url(_ path: String) -> JSONValue { .string(ExactString(base + path)) }
        let grantTypes = GrantType.allCases.filter { takesCertificates || $0 != .clientCredentials }
        let ofPeople = configuration.signIn == nil ? [] : SignInRoutes.Grant.allCases.map(\.rawValue)
        let algorithms = algorithms.map { JSONValue.string(ExactString($0.rawValue)) }
        var json: JSONObject = [
            "issuer": .string(configuration.tokens.issuer),
            "token_endpoint": url("/oauth/token"),
            "jwks_uri": url("/oauth/jwks"),
            "revocation_endpoint": url(RevocationRoutes.revocationPath),
            // RFC 7009 §2.1: whoever shows a token holds it.
            "revocation_endpoint_auth_methods_supported": ["none"],
            "introspection_endpoint": url(RevocationRoutes.introspectionPath),
            "revocation_feed": url(RevocationFeed.path),
            "grant_types_supported": .array(
                (grantTypes.map(\.rawValue) + ofPeople).map { .string(ExactString($0)) }),
            // There is no authorization endpoint; the member itself is required (RFC 8414 §2).
            "response_types_supported": ["none"],
            // RFC 8705 §2.1.1, draft-ietf-oauth-spiffe-client-auth
            "token_endpoint_auth_methods_supported": takesCertificates
                ? ["none", "tls_client_auth", "spiffe_x509"] : ["none"],
            // For readers of OpenID Connect Discovery, which requires these two.
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": .array(algorithms),
        ]
        if configuration.signIn != nil {
            // RFC 8628 §4
            _ = json.append("device_authorization_endpoint", url(SignInRoutes.devicePath))
        }
        // RFC 8705 §3.3
        if takesCertificates { _ = json.append("tls_client_certificate_bound_access_tokens", true) }
        return json
    }
}

import Broker
import JOSE

/// What an identity provider publishes of itself (OpenID Connect Discovery 1.0 §3), as far as signing in needs it.
struct ProviderMetadata: Sendable {
    /// Where a browser is sent.
    let authorization: OutboundURL
    /// Where a code becomes an ID token.
    let token: OutboundURL
    /// Whether its callbacks always carry `iss` (RFC 9207 §3).
    let namesItself: Bool
    /// Whether a client with a secret authenticates in the header `Authorization`; else in the form.
    let takesBasic: Bool

    /// - Throws: what is wrong with the document, in words for the operator.
    init(_ document: [UInt8], of issuer: IssuerConfiguration) throws(ProviderFailure) {
        let members: JSONObject
        do {
            members = try JSONReader.readObject(document)
        } catch {
            throw .unavailable("discovery: the document is \(error)")
        }
        // OpenID Connect Discovery §4.3: otherwise one host could speak for another.
        guard let name = members["issuer"]?.string, name == issuer.issuer else {
            throw .unavailable("discovery: the document is not of the issuer that is configured")
        }
        authorization = try Self.endpoint("authorization_endpoint", in: members, of: issuer)
        token = try Self.endpoint("token_endpoint", in: members, of: issuer)
        namesItself = members["authorization_response_iss_parameter_supported"] == .bool(true)
        // OpenID Connect Discovery §3: client_secret_basic where nothing is said.
        takesBasic =
            members["token_endpoint_auth_methods_supported"]?.array.map { methods in
                methods.contains(.string("client_secret_basic")) || !methods.contains(.string("client_secret_post"))
            } ?? true
    }

    private static func endpoint(
        _ name: ExactString, in members: JSONObject, of issuer: IssuerConfiguration
    ) throws(ProviderFailure) -> OutboundURL {
        guard let text = members[name]?.string else { throw .unavailable("discovery: the document has no \(name)") }
        let url: OutboundURL
        do {
            url = try OutboundURL(parsing: text.string)
        } catch {
            throw .unavailable("discovery: \(name) is \(DiscoveryKeySetFetcher.quoted(text)): \(error)")
        }
        // A browser goes there, or a secret: in the clear only within this machine.
        guard url.scheme == .https || (issuer.allowsPrivateAddresses && url.host.isLoopback) else {
            throw .unavailable("discovery: \(name) is not https")
        }
        return url
    }
}

extension OutboundURL.Host {
    /// Whether it is this machine by its very spelling: nothing is resolved.
    var isLoopback: Bool {
        switch self {
        case .name(let name): name == "localhost"
        case .address(let address): address.isLoopback
        }
    }
}

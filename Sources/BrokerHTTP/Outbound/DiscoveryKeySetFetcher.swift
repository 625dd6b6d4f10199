package import Broker
package import JOSE

/// Fetches the keys of an issuer from where its discovery document says they are (OpenID Connect Discovery 1.0 §4).
package struct DiscoveryKeySetFetcher: KeySetFetcher {
    private let issuer: ExactString
    private let documentURL: OutboundURL
    private let allowsPrivateAddresses: Bool
    private let fetcher: GuardedFetcher

    /// - Throws: when `issuer` is not a URL with a host, or has a query or a fragment.
    package init(
        issuer: ExactString, allowsPrivateAddresses: Bool, fetcher: GuardedFetcher
    ) throws(KeySetFetchFailure) {
        self.issuer = issuer
        self.allowsPrivateAddresses = allowsPrivateAddresses
        self.fetcher = fetcher
        documentURL = try Self.documentURL(of: issuer)
    }

    package func fetch() async throws(KeySetFetchFailure) -> FetchedKeySet {
        let deadline = fetcher.deadline
        let document: FetchedDocument
        do {
            document = try await fetcher.fetch(
                documentURL, allowsPrivateAddresses: allowsPrivateAddresses, before: deadline)
        } catch {
            throw KeySetFetchFailure("discovery: \(error)")
        }
        return try await fetcher.keySet(
            at: try keysURL(in: document), allowsPrivateAddresses: allowsPrivateAddresses, before: deadline)
    }

    private func keysURL(in document: FetchedDocument) throws(KeySetFetchFailure) -> OutboundURL {
        let members: JSONObject
        do {
            members = try JSONReader.readObject(document.body)
        } catch {
            throw KeySetFetchFailure("discovery: \(documentURL) is \(error)")
        }
        guard let published = members["issuer"]?.string else {
            throw KeySetFetchFailure("discovery: \(documentURL) names no issuer")
        }
        // RFC 8414 §3.3: otherwise one host could speak for another.
        guard published == issuer else {
            throw KeySetFetchFailure(
                "discovery: \(documentURL) is of the issuer \(Self.quoted(published)), not \(Self.quoted(issuer))")
        }
        guard let text = members["jwks_uri"]?.string else {
            throw KeySetFetchFailure("discovery: \(documentURL) has no jwks_uri")
        }
        do {
            return try OutboundURL(parsing: text.string)
        } catch {
            throw KeySetFetchFailure("discovery: \(documentURL) has the jwks_uri \(Self.quoted(text)): \(error)")
        }
    }

    /// Where an issuer's discovery document is.
    static func documentURL(of issuer: ExactString) throws(KeySetFetchFailure) -> OutboundURL {
        let text = issuer.string
        guard !text.utf8.contains(UInt8(ascii: "?")) else {
            throw KeySetFetchFailure("\(quoted(issuer)) is not an issuer: it has a query")
        }
        do throws(OutboundURLFailure) {
            // By itself first: an issuer without a host must not borrow one from what is appended.
            _ = try OutboundURL(parsing: text)
            let base = text.utf8.last == UInt8(ascii: "/") ? String(text.dropLast()) : text
            return try OutboundURL(parsing: base + "/.well-known/openid-configuration")
        } catch {
            throw KeySetFetchFailure("\(quoted(issuer)) is not an issuer: \(error)")
        }
    }

    /// At most 200 characters, all of them printable ASCII.
    static func quoted(_ text: ExactString) -> String {
        "\"" + text.string.unicodeScalars.prefix(200).map { $0.escaped(asASCII: true) }.joined() + "\""
    }
}

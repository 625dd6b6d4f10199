import JOSE

/// The bundles of the trust domains that are trusted. Each is looked up by its name, byte for byte, and none is ever
/// merged with another (SPIFFE Federation §4.2): an authority signs for the domain in whose bundle it stands.
package struct TrustBundleSet: Sendable {
    package static let maximumTrustDomains = 1000

    private var bundles: [TrustDomain: TrustBundle] = [:]

    /// The set that trusts nobody.
    package init() {}

    /// - Throws: where a trust domain has two bundles.
    package init(_ bundles: some Sequence<TrustBundle>) throws(TrustBundleFailure) {
        for bundle in bundles {
            guard self.bundles.updateValue(bundle, forKey: bundle.trustDomain) == nil else {
                throw .duplicateTrustDomain(bundle.trustDomain)
            }
        }
        guard self.bundles.count <= Self.maximumTrustDomains else { throw .tooManyTrustDomains }
    }

    /// A bundle map (SPIFFE Trust Domain and Bundle §5). Its bundles' refresh hints mean nothing (§5.1.1).
    package init(parsingMap json: [UInt8]) throws(TrustBundleFailure) {
        guard json.count <= TrustBundle.maximumLength else { throw .tooLong }
        let document: JSONObject
        do {
            // A name that stands twice is refused by the reader (§6.3).
            document = try JSONReader.readObject(json, largeIntegers: .asText)
        } catch {
            throw .json(error)
        }
        guard let domains = document["trust_domains"]?.object else { throw .noTrustDomains }
        guard domains.members.count <= Self.maximumTrustDomains else { throw .tooManyTrustDomains }
        for (name, value) in domains.members {
            let domain: TrustDomain
            do {
                domain = try TrustDomain(parsing: name.string)
            } catch {
                throw .trustDomain(error)
            }
            guard let members = value.object else { throw .noKeys }
            bundles[domain] = try TrustBundle(members, of: domain)
        }
    }

    package subscript(trustDomain: TrustDomain) -> TrustBundle? { bundles[trustDomain] }

    package var trustDomains: some Collection<TrustDomain> { bundles.keys }

    /// The same set with a newer bundle of one trust domain in the place of its old one.
    package func replacing(_ bundle: TrustBundle) -> TrustBundleSet {
        var copy = self
        copy.bundles[bundle.trustDomain] = bundle
        return copy
    }

    package func removing(_ trustDomain: TrustDomain) -> TrustBundleSet {
        var copy = self
        copy.bundles[trustDomain] = nil
        return copy
    }
}

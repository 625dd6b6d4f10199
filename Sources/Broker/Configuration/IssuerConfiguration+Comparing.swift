import JOSE
import SPIFFE

extension IssuerConfiguration {
    /// Whether keys that were fetched for `other` are this one's.
    package func hasSameKeys(as other: IssuerConfiguration) -> Bool {
        name == other.name && issuer == other.issuer && keys == other.keys
            && allowsPrivateAddresses == other.allowsPrivateAddresses
    }
}

extension IssuerConfiguration.KeySource: Equatable {
    package static func == (one: Self, other: Self) -> Bool {
        switch (one, other) {
        case (.discovery, .discovery): true
        case (.url(let one), .url(let other)): one == other
        case (.inline(let one, let path), .inline(let other, let otherPath)):
            path == otherPath && one.keys.mapValues(\.json) == other.keys.mapValues(\.json)
        default: false
        }
    }
}

extension TrustDomainConfiguration.BundleSource: Equatable {
    /// Files are compared by their paths: what they hold is looked at all the time.
    package static func == (one: Self, other: Self) -> Bool {
        switch (one, other) {
        case (.file(_, let one), .file(_, let other)): one == other
        case (.endpoint(let one), .endpoint(let other)):
            one.identity == other.identity && one.authorities == other.authorities
                && one.allowsPrivateAddresses == other.allowsPrivateAddresses
                && one.initial?.epoch == other.initial?.epoch && one.initial?.sequence == other.initial?.sequence
        default: false
        }
    }
}

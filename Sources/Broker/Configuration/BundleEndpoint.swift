package import JOSE
package import SPIFFE

/// Where a trust domain publishes its bundle, and how the server shows who it is (SPIFFE Federation §5).
package struct BundleEndpoint: Sendable {
    package enum Profile: Sendable, Hashable {
        /// `https_web`: the server is who its name says, by a public authority.
        case web
        /// `https_spiffe`: the server is who this SPIFFE ID says.
        case spiffe(SPIFFEID)
    }

    /// https, without user and fragment.
    package var url: String
    package var profile: Profile
    /// PEM of the authorities that vouch for a server of the web profile; nil for those of the machine.
    package var authorities: [UInt8]?
    package var allowsPrivateAddresses: Bool
    /// What is trusted until the endpoint has answered once.
    package var initial: TrustBundle?

    package init(
        url: String, profile: Profile, authorities: [UInt8]? = nil, allowsPrivateAddresses: Bool = false,
        initial: TrustBundle? = nil
    ) {
        self.url = url
        self.profile = profile
        self.authorities = authorities
        self.allowsPrivateAddresses = allowsPrivateAddresses
        self.initial = initial
    }

    /// Profile, server and URL: what is kept of one endpoint says nothing about another.
    package var identity: ExactString {
        switch profile {
        case .web: ExactString("https_web \(url)")
        case .spiffe(let id): ExactString("https_spiffe \(id) \(url)")
        }
    }
}

package import Broker

/// Decides which addresses a request of ours may go to, so that no issuer, redirect or name server leads it into our own
/// network (server-side request forgery).
package struct AddressGuard: Sendable {
    private let resolver: any HostResolver

    package init(resolver: any HostResolver) {
        self.resolver = resolver
    }

    /// The addresses of the URL's host, the ones to prefer first; never none. Connect to one of them and to nothing else: a
    /// second look-up of the name may answer differently.
    ///
    /// One unacceptable address refuses all of them: which one a connection gets must not be a matter of luck.
    /// Acceptable are public addresses over https; with `allowsPrivateAddresses` any address over https, and loopback
    /// over http.
    package func addresses(
        of url: OutboundURL, allowsPrivateAddresses: Bool
    ) async throws(FetchFailure) -> [IPAddress] {
        guard url.scheme == .https || allowsPrivateAddresses else { throw .plainHTTP(url) }
        let addresses = try await resolve(url.host)
        for address in addresses {
            switch url.scheme {
            case .https:
                guard allowsPrivateAddresses || address.isPublic else { throw .privateAddress(url, address) }
            case .http:
                guard address.isLoopback else { throw .plainHTTP(url) }
            }
        }
        return addresses
    }

    private func resolve(_ host: OutboundURL.Host) async throws(FetchFailure) -> [IPAddress] {
        switch host {
        case .address(let address): return [address]
        case .name(let name):
            do throws(ResolutionFailure) {
                let addresses = try await resolver.addresses(of: name)
                guard !addresses.isEmpty else { throw ResolutionFailure("the name has no address") }
                return addresses
            } catch {
                throw .resolution(host, error)
            }
        }
    }
}

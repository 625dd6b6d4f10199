// Bundle endpoints of the profile https_spiffe (SPIFFE Federation §5.2.2). The way to an address is OutboundRoute.swift;
// who answers there is decided in SPIFFEPeer.swift, the connection and its HTTP are in SPIFFERequest.swift and
// SingleGET.swift.
package import Broker
package import SPIFFE

/// Fetches a document from whoever proves to be a certain SPIFFE ID, under whichever name and address.
///
/// Neither public authorities nor host names prove anything here. Nothing is kept between two connections: no session, and
/// no bundle, so that each is judged by the newest one.
package struct SPIFFEBundleFetcher: Sendable {
    private let addressGuard: AddressGuard
    private let bundles: @Sendable () -> TrustBundleSet
    private let clock: any BrokerClock
    private let timeLimit: Duration

    /// - Parameters:
    ///   - bundles: the newest ones, asked for at each handshake.
    ///   - timeLimit: for all that one document takes: names, connections, TLS, redirects and bodies.
    package init(
        resolver: any HostResolver, bundles: @escaping @Sendable () -> TrustBundleSet, clock: any BrokerClock,
        timeLimit: Duration = .seconds(5)
    ) {
        addressGuard = AddressGuard(resolver: resolver)
        (self.bundles, self.clock, self.timeLimit) = (bundles, clock, timeLimit)
    }

    /// When something that begins now has to be over.
    package var deadline: ContinuousClock.Instant { .now + timeLimit }

    /// The document at `url`, or where that redirects to, from a server that is `id`, byte for byte.
    ///
    /// A redirect may lead to another host, which has to be the same `id` (§5.2.2.4): it learns that somebody connects to
    /// it, and not what for, unless it proves that.
    /// - Parameter allowsPrivateAddresses: of the host in `url`, and of no other that it redirects to.
    /// - Throws: at the deadline at the latest.
    package func fetch(
        _ url: OutboundURL, from id: SPIFFEID, allowsPrivateAddresses: Bool, before deadline: ContinuousClock.Instant
    ) async throws(FetchFailure) -> FetchedDocument {
        guard url.scheme == .https else { throw .notHTTPS(url) }
        let route = OutboundRoute(
            addressGuard: addressGuard, allowsPrivateAddresses: allowsPrivateAddresses,
            transport: SPIFFETransport(id: id, bundles: bundles, clock: clock))
        return try await route.document(at: url, before: deadline)
    }
}

private struct SPIFFETransport: OutboundTransport {
    let id: SPIFFEID
    let bundles: @Sendable () -> TrustBundleSet
    let clock: any BrokerClock

    func answer(
        from url: OutboundURL, at address: IPAddress, connectTimeout: Duration
    ) async throws(OutboundFailure) -> OutboundAnswer {
        let peer = SPIFFEPeer(at: url, expected: id, bundles: bundles, clock: clock)
        let request = SPIFFERequest(url: url, address: address, peer: peer, connectTimeout: connectTimeout)
        return try await request.answer()
    }

    func check(redirectTo target: OutboundURL, from url: OutboundURL) throws(FetchFailure) {
        guard target.scheme == .https else { throw .notHTTPS(target) }
    }
}

import Broker

/// Fetches small documents from hosts that configuration, or what a configured host publishes, names.
///
/// A server is known by a certificate of its host from a public authority. The way there is `OutboundRoute`; nothing is
/// kept between two fetches: no connection, no cookie, no credential.
package struct GuardedFetcher: Sendable {
    package static let maximumBodyBytes = 512 * 1024
    package static let maximumRedirects = 3
    /// A host whose first address does not answer is tried at its next ones.
    package static let maximumAddresses = 4

    private let addressGuard: AddressGuard
    private let trustRoots: TrustRoots
    private let timeLimit: Duration
    private let redirects: Redirects

    /// The certificate authorities that a server's certificate has to lead to.
    package enum TrustRoots: Sendable {
        /// Those of the machine.
        case system
        /// These certificates, as PEM.
        case pem([UInt8])
    }

    /// Where a server may send us. Never from https to http.
    package enum Redirects: Sendable {
        case sameHost
        /// Private addresses, where they are allowed, are so for the first host alone.
        case anyHost
    }

    /// - Parameter timeLimit: for all that one key set takes: names, connections, TLS, redirects and bodies.
    package init(
        resolver: any HostResolver, trustRoots: TrustRoots = .system, timeLimit: Duration = .seconds(5),
        redirects: Redirects = .sameHost
    ) {
        addressGuard = AddressGuard(resolver: resolver)
        self.trustRoots = trustRoots
        self.timeLimit = timeLimit
        self.redirects = redirects
    }

    /// When something that begins now has to be over.
    package var deadline: ContinuousClock.Instant { .now + timeLimit }

    /// The document at `url`.
    /// - Throws: at the deadline at the latest.
    package func fetch(
        _ url: OutboundURL, allowsPrivateAddresses: Bool, before deadline: ContinuousClock.Instant
    ) async throws(FetchFailure) -> FetchedDocument {
        let route = OutboundRoute(
            addressGuard: addressGuard, allowsPrivateAddresses: allowsPrivateAddresses, transport: self)
        return try await route.document(at: url, before: deadline)
    }

    /// The answer to a form. No redirect is followed: what the form holds is for nobody else.
    /// - Throws: at the deadline at the latest.
    func post(
        _ form: PostedForm, to url: OutboundURL, allowsPrivateAddresses: Bool,
        before deadline: ContinuousClock.Instant
    ) async throws(FetchFailure) -> FetchedDocument {
        let route = OutboundRoute(
            addressGuard: addressGuard, allowsPrivateAddresses: allowsPrivateAddresses,
            transport: FormTransport(form: form, trustRoots: trustRoots))
        return try await route.document(at: url, before: deadline)
    }
}

extension GuardedFetcher: OutboundTransport {
    func answer(
        from url: OutboundURL, at address: IPAddress, connectTimeout: Duration
    ) async throws(OutboundFailure) -> OutboundAnswer {
        let request = PinnedRequest(
            url: url, address: address, trustRoots: trustRoots, connectTimeout: connectTimeout)
        return try await request.answer()
    }

    /// A host that may be, and https unless it was http before.
    func check(redirectTo target: OutboundURL, from url: OutboundURL) throws(FetchFailure) {
        guard redirects == .anyHost || target.host == url.host, target.scheme == .https || url.scheme == .http else {
            throw .redirect(from: url, to: target)
        }
    }
}

private struct FormTransport: OutboundTransport {
    let form: PostedForm
    let trustRoots: GuardedFetcher.TrustRoots

    func answer(
        from url: OutboundURL, at address: IPAddress, connectTimeout: Duration
    ) async throws(OutboundFailure) -> OutboundAnswer {
        let request = PinnedRequest(
            url: url, address: address, trustRoots: trustRoots, connectTimeout: connectTimeout, form: form)
        return try await request.answer()
    }

    func check(redirectTo target: OutboundURL, from url: OutboundURL) throws(FetchFailure) {
        throw .redirect(from: url, to: target)
    }
}

/// What a server answered with status 200, or to a posted form also with one of `PostedForm.errorStatuses`.
package struct FetchedDocument: Sendable {
    /// At most 512 KiB.
    package let body: [UInt8]
    /// From `Cache-Control: max-age` (RFC 9111 §5.2.2.1), where given.
    package let maximumAge: Duration?
    package let status: Int

    package init(body: [UInt8], maximumAge: Duration?, status: Int = 200) {
        self.body = body
        self.maximumAge = maximumAge
        self.status = status
    }
}

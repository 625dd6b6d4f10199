import Broker

/// Fetches small documents from hosts that configuration, or what a configured host publishes, names.
///
/// Where a request goes is decided by `AddressGuard`, anew for each redirect, and the connection goes to the address that
/// was checked. Nothing is kept between two fetches: no connection, no cookie, no credential.
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
        let outcome = await withTaskGroup(of: Result<FetchedDocument, FetchFailure>.self) { group in
            group.addTask { await follow(url, allowsPrivateAddresses, deadline) }
            group.addTask {
                try? await Task.sleep(until: deadline, clock: .continuous)
                return .failure(.deadline(url))
            }
            defer { group.cancelAll() }
            return await group.next()
        }
        return try (outcome ?? .failure(.deadline(url))).get()
    }

    private func follow(
        _ url: OutboundURL, _ allowsPrivateAddresses: Bool, _ deadline: ContinuousClock.Instant
    ) async -> Result<FetchedDocument, FetchFailure> {
        do throws(FetchFailure) {
            var current = url
            for _ in 0...Self.maximumRedirects {
                let addresses = try await addressGuard.addresses(
                    of: current, allowsPrivateAddresses: allowsPrivateAddresses && current.host == url.host)
                switch try await request(current, at: addresses.prefix(Self.maximumAddresses), before: deadline) {
                case .document(let document): return .success(document)
                case .redirect(let location): current = try target(of: location, from: current)
                }
            }
            throw .tooManyRedirects(url)
        } catch {
            return .failure(error)
        }
    }

    private func request(
        _ url: OutboundURL, at addresses: ArraySlice<IPAddress>, before deadline: ContinuousClock.Instant
    ) async throws(FetchFailure) -> PinnedRequest.Answer {
        var failure = FetchFailure.deadline(url)
        for (index, address) in addresses.enumerated() where !Task.isCancelled {
            let remaining = ContinuousClock.now.duration(to: deadline)
            guard remaining > .zero else { throw .deadline(url) }
            // So that an address which swallows everything leaves time for the next ones; at the last one it is the
            // deadline that ends the wait.
            let isLast = index == addresses.count - 1
            let share = isLast ? remaining + .seconds(1) : remaining / (addresses.count - index)
            let request = PinnedRequest(url: url, address: address, trustRoots: trustRoots, connectTimeout: share)
            do throws(PinnedRequest.Failure) {
                return try await request.answer()
            } catch {
                switch error {
                case .notReached(let reason): failure = .connection(url, reason)
                case .refused(let reason): throw reason
                }
            }
        }
        throw failure
    }

    /// A host that may be, and https unless it was http before.
    private func target(of location: String, from url: OutboundURL) throws(FetchFailure) -> OutboundURL {
        guard let target = try? url.redirected(to: location) else { throw .redirect(from: url, to: nil) }
        guard redirects == .anyHost || target.host == url.host, target.scheme == .https || url.scheme == .http else {
            throw .redirect(from: url, to: target)
        }
        return target
    }
}

/// What a server answered with status 200.
package struct FetchedDocument: Sendable {
    /// At most 512 KiB.
    package let body: [UInt8]
    /// From `Cache-Control: max-age` (RFC 9111 §5.2.2.1), where given.
    package let maximumAge: Duration?

    package init(body: [UInt8], maximumAge: Duration?) {
        self.body = body
        self.maximumAge = maximumAge
    }
}
